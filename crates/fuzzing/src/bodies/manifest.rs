//! Manifests and the pages they name, and taking over a group whose head is one.

use std::{collections::HashSet, sync::Arc};

use afterimage_changelog::{ObjectId, Timestamp};
use afterimage_recovery::{
    Committer, Manifest, Point, PointReader, chain,
    manifest::Stored,
    name::{manifest_key, page_key},
    page::Page,
};
use afterimage_storage::{Nonces, Store};
use bytes::Bytes;

use crate::{
    choices::Choices,
    rehash,
    sample::{SAMPLES, group, memory_store, page_ref},
    spoil::spoiled,
};

/// Decodes a manifest; one that is accepted encodes to the same bytes. It is loaded if and only if
/// the page that there is is the one it names; then every point of it has its disks, and a worker
/// can take the group over from it or is told why not.
///
/// # Panics
///
/// Where any of that does not hold.
pub fn manifest(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut page = SAMPLES.page.clone();
    let input = match choices.u8() % 5 {
        0 => choices.rest().to_vec(),
        1 => spoiled(&SAMPLES.manifest, &mut choices),
        2 => rehashed(&SAMPLES.manifest, &mut choices),
        3 => rehashed(&SAMPLES.paged_manifest, &mut choices),
        _ => {
            page = rehashed(&SAMPLES.page, &mut choices);
            naming(&page).unwrap_or_default()
        }
    };
    let Ok(stored) = Manifest::decode(&input) else {
        return;
    };
    assert_eq!(stored.encode(), input);
    check(stored, input, page);
}

fn rehashed(valid: &[u8], choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = spoiled(valid, choices);
    rehash::trailing(&mut bytes);
    bytes
}

/// The sample manifest with another page in place of its own; `None` where the page is none.
fn naming(page: &[u8]) -> Option<Vec<u8>> {
    let decoded = Page::decode(page).ok()?;
    let stored = Manifest::decode(&SAMPLES.paged_manifest).ok()?;
    let mut manifest = stored.partial().clone();
    manifest.pages = vec![page_ref(&decoded, page)];
    let paged = decoded.points.into_iter().map(Arc::new);
    manifest.points.splice(..0, paged);
    Some(manifest.encode())
}

/// The points of the pages that a manifest names, where each of them is this one.
fn paged(manifest: &Manifest, page: &[u8]) -> Option<Vec<Arc<Point>>> {
    let Ok(decoded) = Page::decode(page) else {
        return manifest.pages.is_empty().then(Vec::new);
    };
    let known = page_ref(&decoded, page);
    let named = manifest.pages.iter();
    let is_right = decoded.group == group() && named.clone().all(|named| *named == known);
    let points: Vec<_> = decoded.points.into_iter().map(Arc::new).collect();
    let all = named.flat_map(|_| points.iter().cloned()).collect();
    (is_right || manifest.pages.is_empty()).then_some(all)
}

fn check(stored: Stored, bytes: Vec<u8>, page: Vec<u8>) {
    let store = memory_store();
    let key = manifest_key(&group(), stored.partial().number);
    store
        .create(&key, &[Bytes::from(bytes)])
        .expect("memory does not fail");
    let page = Bytes::from(page);
    for named in &stored.partial().pages {
        let key = page_key(&group(), named.object.epoch, named.object.id);
        // One that is named twice is there already.
        let _created = store.create(&key, std::slice::from_ref(&page));
    }
    let is_ours = stored.partial().group == group();
    let points = paged(stored.partial(), &page).filter(|_| is_ours);
    let expected = points.and_then(|points| stored.complete(points).ok());
    let loaded = chain::load_head(store.as_ref(), &group()).ok();
    let loaded = loaded.map(|head| head.expect("it is there").manifest);
    assert_eq!(loaded, expected);
    let _checked = chain::check_chain(store.as_ref(), &group());
    if let Some(manifest) = loaded {
        take_over(&manifest, store);
    }
}

fn take_over(manifest: &Manifest, store: Arc<dyn Store>) {
    for point in &manifest.points {
        assert!(usize::from(point.table) < manifest.tables.len());
        assert!(point.id < manifest.next_point);
        assert!(point.sequences.len() <= manifest.streams.len());
    }
    let ids: Vec<u64> = manifest.points.iter().map(|point| point.id).collect();
    assert!(ids.is_sorted_by(|one, other| one < other));
    let layers: HashSet<ObjectId> = manifest.layers().map(|layer| layer.id).collect();
    assert_eq!(layers.len(), manifest.layers().count());
    if let Some(point) = manifest.points.last() {
        // Its layers are not there, which has to be said and nothing else.
        let opened = PointReader::open(&store, manifest, point.id);
        assert!(opened.is_err() || manifest.points.iter().all(|point| point.layers.is_empty()));
    }
    let nonces = Arc::new(Nonces::seeded(3));
    if let Ok(committer) = Committer::acquire(store, nonces, group(), Timestamp(1)) {
        let next = &committer.head().manifest;
        assert!(committer.epoch() > manifest.epoch);
        assert!(next.number > manifest.number);
        assert_eq!(next.points, manifest.points);
        assert_eq!(next.pages, manifest.pages);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 15] = [
        &[1],
        &[2],
        &[1, 1, 20, 0, 3],
        &[2, 2, 16, 0, 2],
        &[2, 2, 24, 0, 3],
        &[2, 0, 110, 0, 9],
        &[2, 6, 150, 0, 40, 0],
        &[3],
        &[3, 2, 16, 0, 2],
        &[3, 0, 200, 0, 9],
        &[3, 6, 150, 0, 40, 0],
        &[4],
        // Another id of the oldest point, then of the page.
        &[4, 0, 50, 0, 0],
        &[4, 0, 24, 0, 9],
        // A table of that point that the manifest does not have.
        &[4, 0, 84, 0, 7],
    ];
    let raw = |manifest: &[u8]| [&[0], manifest].concat();
    let raw = [raw(&SAMPLES.manifest), raw(&SAMPLES.paged_manifest)];
    let spoiled = seeds.iter().map(|seed| seed.to_vec());
    spoiled.chain(raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::PAGED;

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

    #[test]
    fn the_valid_manifest_is_completed_by_its_page_only() {
        let stored = Manifest::decode(&SAMPLES.paged_manifest).unwrap();
        assert_eq!(stored.partial().points.len(), 2);
        let points = paged(stored.partial(), &SAMPLES.page).unwrap();
        assert_eq!(points.len(), PAGED);
        let whole = Manifest::decode(&SAMPLES.manifest).unwrap();
        let completed = stored.clone().complete(points).unwrap();
        assert_eq!(completed.points, whole.partial().points);
        let mut other = SAMPLES.page.clone();
        other[24] ^= 1;
        rehash::trailing(&mut other);
        assert_eq!(paged(stored.partial(), &other), None);
        assert!(naming(&other).is_some_and(|named| Manifest::decode(&named).is_ok()));
    }
}
