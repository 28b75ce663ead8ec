//! The memory of what was fetched.

use bytes::Bytes;
use futures_util::TryStreamExt;
use memmap2::MmapMut;
use object_store::GetResult;

/// From so many bytes on a body has pages of its own. The allocator would put it between smaller things that
/// outlive it, and the process would grow to twice what it has in use.
const MAPPED_BYTES_MIN: u64 = 1 << 20;

/// The whole body of an answer, or as much as there is of it.
pub(super) async fn whole(got: GetResult) -> Result<Bytes, object_store::Error> {
    let bytes = got.range.end.saturating_sub(got.range.start);
    let mapped = usize::try_from(bytes).ok();
    let mapped = mapped.filter(|_| bytes >= MAPPED_BYTES_MIN);
    // Without pages to be had the allocator may have some.
    let Some(mut map) = mapped.and_then(|bytes| MmapMut::map_anon(bytes).ok()) else {
        return got.bytes().await;
    };
    // Fewer faults, where the system has huge pages to give; it may also not.
    let _no_matter = map.advise(memmap2::Advice::HugePage);
    let mut filled = 0;
    let mut chunks = got.into_stream();
    while let Some(chunk) = chunks.try_next().await? {
        let end = filled + chunk.len();
        let Some(room) = map.get_mut(filled..end) else {
            return Err(object_store::Error::Generic {
                store: "answer",
                source: "its body is longer than it said".into(),
            });
        };
        room.copy_from_slice(&chunk);
        filled = end;
    }
    Ok(Bytes::from_owner(map).slice(..filled))
}
