//! Segments in a cache: reader, writer and ingest behind one.

use std::sync::Arc;

use afterimage::{Ingest, PointReader};
use afterimage_cache::{StreamReader, segment_key};
use afterimage_changelog::{Fault, ObjectKind, Timestamp};
use afterimage_recovery::{RecoveryError, RecoveryErrorKind};
use afterimage_storage::Nonces;
use bytes::Bytes;

use super::container::{header_of, object, object_seeds};
use crate::{
    choices::Choices,
    sample::{group, ingest_parts, memory_store, stream, writer},
};

/// Puts an object into a cache as its first segment. Whatever it is, reader, writer and ingest take it
/// or refuse it; and a point that was made of it can be read, as far as its frames decompress.
///
/// # Panics
///
/// Where one of them does, or a point cannot be read.
pub fn segment(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let object = Bytes::from(object(&mut choices));
    let is_segment = header_of(&object).is_some_and(|header| header.kind == ObjectKind::Segment);
    let (cache, target) = (memory_store(), memory_store());
    let key = segment_key(&group(), &stream(), 0);
    cache.create(&key, &[object]).expect("memory does not fail");

    let mut reader = StreamReader::new(Arc::clone(&cache), group(), stream(), None);
    if let Ok(Some(next)) = reader.next_segment() {
        assert!(is_segment);
        let markers = next.container.directory.markers.len();
        let mut ingest = Ingest::open(ingest_parts(&cache, &target)).expect("the target is empty");
        let mut points = 0;
        let _refused = ingest.push(next, &mut |_| points += 1);
        let manifest = ingest.head().manifest.clone();
        assert!(points == manifest.points.len() && (points == 0 || markers > 0));
        for point in &manifest.points {
            let point = PointReader::open(&target, &manifest, point.id).expect("it was committed");
            for disk in point.disks() {
                let mut first = vec![0; 4096.min(afterimage_changelog::size(disk.bytes()))];
                let read = point.read_at(&disk.name, 0, &mut first);
                assert!(read.is_ok() || is_of_a_payload(&read), "{read:?}");
            }
        }
    }
    let _end = reader.next_segment();
    let _gap = reader.check_no_gap();

    let nonces = Arc::new(Nonces::seeded(4));
    if let Ok(mut writer) = writer(&cache, &nonces, 4096).try_open() {
        let written = writer
            .write(0, 0, &[1; 512], Timestamp(1))
            .and_then(|()| writer.seal());
        written.expect("the writer was opened behind what is there");
    }
}

/// Frames pass through with their hash, undecoded: one whose writer hashed something that does not
/// decompress is met by whoever reads it, and refused.
fn is_of_a_payload(read: &Result<(), RecoveryError>) -> bool {
    let kind = read.as_ref().err().map(|error| &error.kind);
    matches!(kind, Some(RecoveryErrorKind::Corrupt(error)) if error.fault == Fault::Payload)
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    object_seeds(&[])
}
