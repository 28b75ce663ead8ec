//! Valid hashes for a spoiled container, so that the code behind the hashes is reached.
//!
//! Offsets and lengths are read where a valid object has them and may be nonsense: what does not lie
//! in the object is left as it is.

use afterimage_changelog::{
    Digest, footer::FOOTER_BYTES, frame::FRAME_ENTRY_BYTES, row::ROW_BYTES,
};

const DIGEST_BYTES: usize = 32;
/// Where a directory's entries begin, and the lengths of its two kinds of them.
const ENTRIES_START: usize = 16;
const ROW_PAGE_BYTES: usize = 56;
const FRAME_PAGE_BYTES: usize = 48;

/// Computes the hashes of frames, pages and footer anew, in that order.
pub(crate) fn container(object: &mut [u8]) {
    let Some(footer) = object.len().checked_sub(FOOTER_BYTES) else {
        return;
    };
    let directory = number(object, footer, 8);
    let row_pages = number(object, directory, 4).min(64);
    let frame_pages = number(object, directory.saturating_add(4), 4).min(64);
    let first_row_page = directory.saturating_add(ENTRIES_START);
    let first_frame_page = first_row_page.saturating_add(row_pages * ROW_PAGE_BYTES);
    for page in (0..frame_pages).map(|n| first_frame_page.saturating_add(n * FRAME_PAGE_BYTES)) {
        let (offset, entries) = page_place(object, page);
        for entry in (0..entries.min(2048)).map(|n| offset.saturating_add(n * FRAME_ENTRY_BYTES)) {
            let (start, stored) = page_place(object, entry);
            hash(object, start, stored, entry.saturating_add(24));
        }
        hash(
            object,
            offset,
            entries.saturating_mul(FRAME_ENTRY_BYTES),
            page.saturating_add(16),
        );
    }
    for page in (0..row_pages).map(|n| first_row_page.saturating_add(n * ROW_PAGE_BYTES)) {
        let (offset, rows) = page_place(object, page);
        hash(
            object,
            offset,
            rows.saturating_mul(ROW_BYTES),
            page.saturating_add(24),
        );
    }
    let header = object.get(..number(object, footer + 12, 4));
    let parts = header.zip(object.get(directory..footer));
    let covered = object.get(footer..footer + 56);
    if let Some(((header, directory), covered)) = parts.zip(covered) {
        let digest = Digest::of_parts(&[header, directory, covered]);
        put(object, footer + 56, digest);
    }
}

/// Computes the hash at the end of a manifest anew.
pub(crate) fn trailing(object: &mut [u8]) {
    if let Some(covered) = object.len().checked_sub(DIGEST_BYTES) {
        hash(object, 0, covered, covered);
    }
}

/// Computes the hash of a slot of a replica's record anew; it stands behind the two names.
pub(crate) fn progress_slot(slot: &mut [u8]) {
    const NAMES: usize = 88;
    let second = NAMES + 1 + number(slot, NAMES, 1);
    let covered = second + 1 + number(slot, second, 1);
    hash(slot, 0, covered, covered);
}

/// A u64 offset and the u32 number behind it.
fn page_place(object: &[u8], at: usize) -> (usize, usize) {
    (
        number(object, at, 8),
        number(object, at.saturating_add(8), 4),
    )
}

/// The number in `width` bytes at `at`; as large as can be where they are not there.
fn number(object: &[u8], at: usize, width: usize) -> usize {
    let bytes = object.get(at..at.saturating_add(width));
    bytes.map_or(usize::MAX, |bytes| {
        let digits = bytes.iter().rev();
        digits.fold(0, |number, &byte| number << 8 | usize::from(byte))
    })
}

fn hash(object: &mut [u8], start: usize, len: usize, at: usize) {
    if let Some(bytes) = object.get(start..start.saturating_add(len)) {
        let digest = Digest::of(bytes);
        put(object, at, digest);
    }
}

fn put(object: &mut [u8], at: usize, digest: Digest) {
    if let Some(place) = object.get_mut(at..at.saturating_add(DIGEST_BYTES)) {
        place.copy_from_slice(&digest.0);
    }
}
