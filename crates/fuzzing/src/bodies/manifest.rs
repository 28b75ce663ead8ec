//! Manifests, and taking over a group whose head is one.

use std::sync::Arc;

use afterimage_changelog::Timestamp;
use afterimage_recovery::{Committer, Manifest, PointReader, chain, name::manifest_key};
use afterimage_storage::Nonces;
use bytes::Bytes;

use crate::{
    choices::Choices,
    rehash,
    sample::{SAMPLES, group, memory_store},
    spoil::spoiled,
};

/// Decodes a manifest; one that is accepted encodes to the same bytes, every point of it has its
/// disks, and a worker can take the group over from it or is told why not.
///
/// # Panics
///
/// Where any of that does not hold.
pub fn manifest(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let input = match choices.u8() % 3 {
        0 => choices.rest().to_vec(),
        1 => spoiled(&SAMPLES.manifest, &mut choices),
        _ => {
            let mut input = spoiled(&SAMPLES.manifest, &mut choices);
            rehash::trailing(&mut input);
            input
        }
    };
    let Ok(stored) = Manifest::decode(&input) else {
        return;
    };
    assert_eq!(stored.encode(), input);
    let Ok(manifest) = stored.complete(Vec::new()) else {
        return;
    };
    for point in &manifest.points {
        assert!(usize::from(point.table) < manifest.tables.len());
        assert!(point.id < manifest.next_point);
        assert!(point.sequences.len() <= manifest.streams.len());
    }
    take_over(&manifest, input);
}

fn take_over(manifest: &Manifest, bytes: Vec<u8>) {
    let store = memory_store();
    let key = manifest_key(&group(), manifest.number);
    store
        .create(&key, &[Bytes::from(bytes)])
        .expect("memory does not fail");
    let loaded = chain::load_head(store.as_ref(), &group());
    let is_ours = manifest.group == group();
    assert_eq!(loaded.is_ok(), is_ours);
    let _checked = chain::check_chain(store.as_ref(), &group());
    if let Some(point) = manifest.points.last() {
        // Its layers are not there, which has to be said and nothing else.
        let opened = PointReader::open(&store, manifest, point.id);
        assert!(opened.is_err() || manifest.points.iter().all(|point| point.layers.is_empty()));
    }
    let nonces = Arc::new(Nonces::seeded(3));
    if let Ok(committer) = Committer::acquire(store, nonces, group(), Timestamp(1)) {
        assert!(committer.epoch() > manifest.epoch);
        assert!(committer.head().manifest.number > manifest.number);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 7] = [
        &[1],
        &[2],
        &[1, 1, 20, 0, 3],
        &[2, 2, 16, 0, 2],
        &[2, 2, 24, 0, 3],
        &[2, 0, 110, 0, 9],
        &[2, 6, 150, 0, 40, 0],
    ];
    let raw = [&[0], SAMPLES.manifest.as_ref()].concat();
    seeds
        .iter()
        .map(|seed| seed.to_vec())
        .chain([raw])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valid_manifest_is_accepted() {
        let manifest = Manifest::decode(&SAMPLES.manifest).unwrap();
        let manifest = manifest.partial();
        assert_eq!((manifest.points.len(), manifest.tables.len()), (4, 1));
        let mut same = SAMPLES.manifest.to_vec();
        same[20] ^= 1;
        assert!(Manifest::decode(&same).is_err());
        rehash::trailing(&mut same);
        assert!(Manifest::decode(&same).is_ok());
    }
}
