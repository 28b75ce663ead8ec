//! Ways to write objects, front to back.

use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice, Write},
    num::NonZeroU64,
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use afterimage::storage::{Files as _, OsFiles};
use memmap2::MmapMut;
use rustix::fs::{Advice, FallocateFlags, OFlags};

use crate::{
    source::Source,
    ways::{Carrier, Engine, Way},
};

/// Room is made this far ahead of what is written.
const AHEAD_BYTES: u64 = 16 << 20;
const BLOCK_BYTES: u64 = 4096;

/// What is done to a file before it is written.
#[derive(Clone, Copy, Debug)]
enum Ahead {
    Nothing,
    /// It is made as long as it will be.
    Size,
    /// Its room is taken, and it is made as long.
    Room,
}

pub(crate) fn ways(files: u64) -> Vec<Way> {
    let early = |kib: u64| {
        let name = format!("buffered, writeback begun every {kib} KiB");
        let write = move |source: &Source, range: &Range<u64>, path: &Path| {
            buffered(source, range, path, Some(kib << 10))
        };
        Way::new(name, each(files, write))
    };
    let mut ways = vec![
        Way {
            is_limit: true,
            ..Way::new("cp and fsync", each(files, copy))
        },
        Way::new(
            "buffered",
            each(files, |source, range, path| {
                buffered(source, range, path, None)
            }),
        ),
        early(256),
        early(1024),
        early(8192),
        Way::new("a draft of the store", each(files, draft)),
        Way::new("copy_file_range of pieces", each(files, copy_pieces)),
    ];
    for (engine_name, engine) in [
        ("", Engine::Caller),
        (", thread", Engine::Thread(2)),
        (", ring of 4", Engine::Ring(4)),
    ] {
        for (ahead_name, ahead) in [
            ("", Ahead::Nothing),
            (", sized", Ahead::Size),
            (", allocated", Ahead::Room),
        ] {
            for kib in [256, 1024] {
                let name = format!("direct {kib} KiB{engine_name}{ahead_name}");
                let write = move |source: &Source, range: &Range<u64>, path: &Path| {
                    direct(source, range, path, kib << 10, (engine, ahead))
                };
                ways.push(Way::new(name, each(files, write)));
            }
        }
    }
    ways
}

/// Writes so many files, one after the other.
fn each(
    files: u64,
    write: impl Fn(&Source, &Range<u64>, &Path) -> io::Result<()>,
) -> impl Fn(&Source, &Path) -> io::Result<()> {
    move |source, folder| {
        (0..files).try_for_each(|number| {
            let path = folder.join(number.to_string());
            write(source, &source.part(number, files), &path)
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "plain files are measured here")]
pub(crate) fn create(path: &Path, flags: OFlags) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// As `cp` does where it may not share blocks, which is what XFS and btrfs would do.
fn copy(source: &Source, range: &Range<u64>, path: &Path) -> io::Result<()> {
    let mut file = create(path, OFlags::empty())?;
    let mut buffer = vec![0; 256 << 10];
    let mut at = range.start;
    while at < range.end {
        let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let take = buffer.len().min(left);
        let read = source.file.read_at(&mut buffer[..take], at)?;
        file.write_all(&buffer[..read])?;
        at += u64::try_from(read).expect("usize is at most 64 bits");
    }
    file.sync_all()
}

fn copy_pieces(source: &Source, range: &Range<u64>, path: &Path) -> io::Result<()> {
    let file = create(path, OFlags::empty())?;
    for (mut at, piece) in source.pieces(range) {
        let mut left = piece.len();
        while left > 0 {
            left -= rustix::fs::copy_file_range(&source.file, Some(&mut at), &file, None, left)?;
        }
    }
    file.sync_data()
}

fn buffered(
    source: &Source,
    range: &Range<u64>,
    path: &Path,
    early: Option<u64>,
) -> io::Result<()> {
    let mut file = create(path, OFlags::empty())?;
    let (mut written, mut started) = (0, 0);
    for batch in source.pieces(range).chunks(16) {
        let mut slices: Vec<IoSlice<'_>> =
            batch.iter().map(|(_, piece)| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let count = file.write_vectored(rest)?;
            IoSlice::advance_slices(&mut rest, count);
            written += u64::try_from(count).expect("usize is at most 64 bits");
        }
        if let Some(early) = early {
            // Whole steps only: a page that is written to again is written out again.
            let end = written - written % early;
            if let Some(due) = NonZeroU64::new(end - started) {
                rustix::fs::fadvise(&file, started, Some(due), Advice::DontNeed)?;
                started = end;
            }
        }
    }
    file.sync_data()
}

/// What the store does for an object, but for the sync of the folder.
fn draft(source: &Source, range: &Range<u64>, path: &Path) -> io::Result<()> {
    let mut draft = OsFiles.draft(path.parent().unwrap_or(path))?;
    for batch in source.pieces(range).chunks(64) {
        let pieces: Vec<&[u8]> = batch.iter().map(|(_, piece)| *piece).collect();
        draft.write(&pieces)?;
    }
    draft.sync()?;
    draft.link(path)
}

fn direct(
    source: &Source,
    range: &Range<u64>,
    path: &Path,
    buffer_bytes: usize,
    (engine, ahead): (Engine, Ahead),
) -> io::Result<()> {
    let file = create(path, OFlags::DIRECT)?;
    let length = range.end - range.start;
    let mut made = 0;
    let mut make_room = |until: u64| {
        if until <= made {
            return Ok(());
        }
        let next = until + AHEAD_BYTES;
        match ahead {
            Ahead::Nothing => {}
            Ahead::Size => file.set_len(next)?,
            Ahead::Room => {
                rustix::fs::fallocate(&file, FallocateFlags::empty(), made, next - made)?;
            }
        }
        made = next;
        io::Result::Ok(())
    };
    engine.drive(
        &file,
        buffer_bytes,
        |carrier: &mut dyn Carrier, mut buffer: MmapMut| {
            let (mut filled, mut offset) = (0, 0);
            for (_, mut piece) in source.pieces(range) {
                while !piece.is_empty() {
                    let take = piece.len().min(buffer_bytes - filled);
                    let (now, later) = piece.split_at(take);
                    buffer[filled..filled + take].copy_from_slice(now);
                    filled += take;
                    piece = later;
                    if filled == buffer_bytes {
                        let end = offset + u64::try_from(filled).expect("buffers are small");
                        make_room(end)?;
                        buffer = carrier.write(buffer, filled, offset)?;
                        (filled, offset) = (0, end);
                    }
                }
            }
            if filled > 0 {
                let whole =
                    filled.next_multiple_of(usize::try_from(BLOCK_BYTES).expect("it is small"));
                buffer[filled..whole].fill(0);
                make_room(length)?;
                buffer = carrier.write(buffer, whole, offset)?;
            }
            Ok(buffer)
        },
    )?;
    file.set_len(length)?;
    file.sync_data()
}
