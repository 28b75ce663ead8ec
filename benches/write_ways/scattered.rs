//! Ways to write a disk with holes, in address order, as a restore does.

use std::{fs::File, io, num::NonZeroU64, ops::Range, os::unix::fs::FileExt, path::Path};

use afterimage::storage::{Disk as _, DraftDisk};
use afterimage_benches::copy_sparse;
use afterimage_testkit::Random;
use memmap2::MmapMut;
use rustix::fs::{Advice, OFlags};

use crate::{
    objects::create,
    source::Source,
    ways::{Carrier, Engine, Way},
};

const SECTOR: u64 = 512;
const BLOCK_BYTES: u64 = 4096;
const BUFFER_BYTES: usize = 1 << 20;

/// A piece of the source, and where on the disk it belongs.
#[derive(Clone, Debug)]
struct Piece {
    from: Range<u64>,
    to: u64,
}

/// Pieces of 4 KiB to 1 MiB, as many of each order of size, at any sector; a quarter of the disk.
fn pieces(bytes: u64) -> Vec<Piece> {
    let mut random = Random::new(7);
    let mut pieces = Vec::new();
    let (mut from, mut to) = (0, 0);
    while from < bytes {
        let largest = 8 << random.below(9);
        let length = SECTOR * (largest / 2 + random.below(largest) + 4);
        let length = length.min(bytes - from);
        // Every third piece follows the one before without a gap.
        if random.percent(66) {
            to += SECTOR * random.below(9 * (length / SECTOR + 1));
        }
        let last = 4 * bytes - (bytes - from);
        to = to.min(last);
        let end = from + length;
        pieces.push(Piece {
            from: from..end,
            to,
        });
        (from, to) = (end, to + length);
    }
    pieces
}

pub(crate) fn ways(source: &Source, bytes: u64, folder: &Path) -> io::Result<Vec<Way>> {
    let image = tempfile::NamedTempFile::new_in(folder)?;
    let pieces = pieces(bytes);
    image.as_file().set_len(4 * bytes)?;
    write(source, &pieces, image.as_file(), None)?;
    image.as_file().sync_all()?;

    let mut ways = vec![Way {
        is_limit: true,
        ..Way::new("cp --sparse and fsync", move |_: &Source, folder: &Path| {
            copy_sparse(image.path(), &folder.join("disk"))
        })
    }];
    for (name, early) in [
        ("buffered", None),
        ("buffered, writeback begun every 1 MiB", Some(1 << 20)),
        ("buffered, writeback begun every 8 MiB", Some(8 << 20)),
    ] {
        let pieces = pieces.clone();
        ways.push(Way::new(name, move |source: &Source, folder: &Path| {
            let disk = blank(folder, OFlags::empty(), bytes)?;
            write(source, &pieces, &disk, early)?;
            disk.sync_all()
        }));
    }
    let drafted = pieces.clone();
    let draft = move |source: &Source, folder: &Path| {
        let disk = DraftDisk::new(&folder.join("disk"), 4 * bytes).map_err(io::Error::other)?;
        for Piece { from, to } in &drafted {
            let data = source.slice(from.clone());
            disk.write_at(*to, data).map_err(io::Error::other)?;
        }
        disk.publish(false).map_err(io::Error::other)
    };
    ways.push(Way::new("a draft disk of the store", draft));
    for (name, engine) in [
        ("direct 1 MiB", Engine::Caller),
        ("direct 1 MiB, ring of 4", Engine::Ring(4)),
        ("direct 1 MiB, ring of 16", Engine::Ring(16)),
    ] {
        let pieces = pieces.clone();
        ways.push(Way::new(name, move |source: &Source, folder: &Path| {
            let disk = blank(folder, OFlags::DIRECT, bytes)?;
            engine.drive(&disk, BUFFER_BYTES, |carrier, buffer| {
                direct(source, &pieces, carrier, buffer)
            })?;
            disk.sync_all()
        }));
    }
    Ok(ways)
}

fn blank(folder: &Path, flags: OFlags, bytes: u64) -> io::Result<File> {
    let disk = create(&folder.join("disk"), flags)?;
    disk.set_len(4 * bytes)?;
    Ok(disk)
}

fn write(source: &Source, pieces: &[Piece], disk: &File, early: Option<u64>) -> io::Result<()> {
    let (mut due, mut started) = (0, 0);
    for Piece { from, to } in pieces {
        if let Some(length) = NonZeroU64::new(to - to % BLOCK_BYTES - started)
            && early.is_some_and(|early| due >= early)
        {
            rustix::fs::fadvise(disk, started, Some(length), Advice::DontNeed)?;
            (due, started) = (0, started + length.get());
        }
        disk.write_all_at(source.slice(from.clone()), *to)?;
        due += from.end - from.start;
    }
    Ok(())
}

/// Gathers what lies in neighbouring blocks. The disk is blank, so a block is filled up with zeroes.
fn direct(
    source: &Source,
    pieces: &[Piece],
    carrier: &mut dyn Carrier,
    mut buffer: MmapMut,
) -> io::Result<MmapMut> {
    let narrow = |number| usize::try_from(number).expect("buffers are small");
    let wide = |number| u64::try_from(number).expect("usize is at most 64 bits");
    let block = narrow(BLOCK_BYTES);
    let (mut offset, mut filled) = (0, 0_usize);
    let mut flush = |mut buffer: MmapMut, filled: usize, offset: u64| {
        let whole = filled.next_multiple_of(block);
        buffer[filled..whole].fill(0);
        carrier.write(buffer, whole, offset)
    };
    for Piece { from, to } in pieces {
        let mut rest = source.slice(from.clone());
        let mut to = *to;
        while !rest.is_empty() {
            let end = filled.next_multiple_of(block);
            if filled > 0 && (to > offset + wide(end) || to >= offset + wide(buffer.len())) {
                buffer = flush(buffer, filled, offset)?;
                filled = 0;
            }
            if filled == 0 {
                offset = to - to % BLOCK_BYTES;
            }
            let place = narrow(to - offset);
            buffer[filled..place].fill(0);
            let take = rest.len().min(buffer.len() - place);
            let (now, later) = rest.split_at(take);
            buffer[place..place + take].copy_from_slice(now);
            filled = place + take;
            to += wide(take);
            rest = later;
        }
    }
    if filled > 0 {
        buffer = flush(buffer, filled, offset)?;
    }
    Ok(buffer)
}
