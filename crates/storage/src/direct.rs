//! Writes that go past the page cache, several on their way at a time.
//!
//! What is written through the page cache is copied into fresh pages and written out from there, which
//! takes the processor longer than compressing frames does. Here bytes are gathered in a few aligned
//! buffers, and a ring of the kernel carries those to the disk. Measured in docs/performance.md.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::{fd::AsRawFd, unix::fs::FileExt},
    sync::{Mutex, MutexGuard, PoisonError},
};

use io_uring::{IoUring, opcode, types};
use memmap2::MmapMut;
use rustix::{
    fs::{FallocateFlags, OFlags},
    io::Errno,
};

use crate::disk::count;

/// Bytes of a buffer.
const BUFFER_BYTES: usize = 1 << 20;
/// Buffers that are filled or on their way to the disk.
const DEPTH: u32 = 4;
/// What a direct write is aligned to. Where a disk wants more it refuses, and is written through the
/// page cache.
const BLOCK_BYTES: usize = 4096;
/// Room is made this far ahead of what is written, as a write that makes a file longer waits for
/// those before it.
const ROOM_BYTES: u64 = 16 << 20;
/// Buffers that are kept for the next file: a new one costs a page fault for every 4 KiB.
const SPARE_MAX: usize = 8;

static SPARE: Mutex<Vec<MmapMut>> = Mutex::new(Vec::new());

/// Bytes that are appended to a file from a block's boundary on.
///
/// What was appended may be in a buffer until [`finish`](Direct::finish), after which nothing more can
/// be appended. Dropped before, the file holds any part of it.
#[derive(Debug)]
pub(crate) struct Direct {
    ring: Ring,
    /// The buffer being filled, and how far it is.
    open: MmapMut,
    filled: usize,
    /// Where in the file it goes.
    offset: u64,
    /// How far room is made.
    room: u64,
}

impl Direct {
    /// Begins direct writes at `offset`, where the file ends; `None` where the system has no rings or
    /// the file system no direct writes.
    pub(crate) fn begin(file: &File, offset: u64) -> Option<Direct> {
        if !offset.is_multiple_of(count(BLOCK_BYTES)) {
            return None;
        }
        let ring = Ring::new().ok()?;
        let open = buffer().ok()?;
        set_direct(file, true).ok()?;
        Some(Direct {
            ring,
            open,
            filled: 0,
            offset,
            room: offset,
        })
    }

    /// Appends the first of the slices, as many bytes as the open buffer takes; says how many.
    pub(crate) fn append(&mut self, file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let before = self.filled;
        for slice in slices {
            let take = slice.len().min(BUFFER_BYTES - self.filled);
            let place = self.open.get_mut(self.filled..self.filled + take);
            let piece = slice.get(..take).unwrap_or_default();
            place.expect("it takes that much").copy_from_slice(piece);
            self.filled += take;
        }
        let taken = self.filled - before;
        if self.filled == BUFFER_BYTES {
            self.send(file, BUFFER_BYTES)?;
        }
        Ok(taken)
    }

    /// Writes what is left and waits for all of it; the file is as long as what was appended. It is
    /// not durable yet.
    pub(crate) fn finish(mut self, file: &File) -> io::Result<()> {
        let end = self.offset + count(self.filled);
        if self.filled > 0 {
            let whole = self.filled.next_multiple_of(BLOCK_BYTES);
            let padding = self.open.get_mut(self.filled..whole).unwrap_or_default();
            padding.fill(0);
            self.send(file, whole)?;
        }
        self.ring.finish(file)?;
        give_back(self.open);
        // Whoever writes or reads on does it as usual.
        set_direct(file, false)?;
        file.set_len(end)
    }

    /// Sends the first bytes of the open buffer on their way.
    fn send(&mut self, file: &File, bytes: usize) -> io::Result<()> {
        self.make_room(file, self.offset + count(bytes))?;
        let next = self.ring.free_buffer(file)?;
        let full = std::mem::replace(&mut self.open, next);
        self.ring.write(file, full, bytes, self.offset)?;
        self.offset += count(self.filled);
        self.filled = 0;
        Ok(())
    }

    fn make_room(&mut self, file: &File, end: u64) -> io::Result<()> {
        if end <= self.room {
            return Ok(());
        }
        let next = end + ROOM_BYTES;
        let length = next - self.room;
        match rustix::fs::fallocate(file, FallocateFlags::empty(), self.room, length) {
            Ok(()) => {}
            // A write says whether there is room for what is really written.
            Err(Errno::OPNOTSUPP | Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.room = next;
        Ok(())
    }
}

/// Writes on their way. Dropping it waits for them, as they read from the buffers.
#[derive(Debug)]
struct Ring {
    ring: Debugless,
    /// What is on its way: buffer, bytes, place in the file.
    busy: [Option<(MmapMut, usize, u64)>; DEPTH as usize],
}

/// A ring, which has no text of its own.
struct Debugless(IoUring);

impl std::fmt::Debug for Debugless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IoUring")
    }
}

impl Ring {
    fn new() -> io::Result<Ring> {
        Ok(Ring {
            ring: Debugless(IoUring::new(DEPTH)?),
            busy: Default::default(),
        })
    }

    /// A buffer to be filled: of all there are, at most so many are on their way that one place is
    /// left for it.
    fn free_buffer(&mut self, file: &File) -> io::Result<MmapMut> {
        // The caller holds one more.
        if self.busy.iter().filter(|busy| busy.is_some()).count() + 1 >= self.busy.len() {
            return self.reap(file);
        }
        buffer()
    }

    #[expect(unsafe_code, reason = "a ring takes addresses")]
    fn write(&mut self, file: &File, buffer: MmapMut, bytes: usize, at: u64) -> io::Result<()> {
        let free = self.busy.iter().position(Option::is_none);
        let slot = free.expect("the caller waited for one");
        let entry = opcode::Write::new(
            types::Fd(file.as_raw_fd()),
            buffer.as_ptr(),
            u32::try_from(bytes).expect("a buffer is small"),
        );
        let entry = entry.offset(at).build().user_data(count(slot));
        if let Some(place) = self.busy.get_mut(slot) {
            *place = Some((buffer, bytes, at));
        }
        // SAFETY: the buffer stays in its slot until the completion of this write was seen; what is
        // left is waited for before the slots are dropped.
        let pushed = unsafe { self.ring.0.submission().push(&entry) };
        if pushed.is_err() {
            self.release(slot);
            return Err(io::Error::other("the ring has no place for a write"));
        }
        // Where it was not taken, it is when the next one is, or when all are waited for.
        self.ring.0.submit().map(drop)
    }

    /// Waits for any write; gives its buffer.
    fn reap(&mut self, file: &File) -> io::Result<MmapMut> {
        let (slot, result) = self.wait()?;
        let (buffer, bytes, at) = self.release(slot).expect("its write was on its way");
        let written = match usize::try_from(result) {
            Ok(written) => written.min(bytes),
            // The file system takes direct writes, but not of these blocks.
            Err(_) if Errno::from_raw_os_error(-result) == Errno::INVAL => {
                set_direct(file, false)?;
                0
            }
            Err(_) => return Err(io::Error::from_raw_os_error(-result)),
        };
        // Where the disk is full this says so.
        let left = buffer.get(written..bytes).unwrap_or_default();
        file.write_all_at(left, at + count(written))?;
        Ok(buffer)
    }

    /// Waits for all writes.
    fn finish(&mut self, file: &File) -> io::Result<()> {
        while self.busy.iter().any(Option::is_some) {
            give_back(self.reap(file)?);
        }
        Ok(())
    }

    /// The slot of a write that has ended, and what came of it.
    fn wait(&mut self) -> io::Result<(usize, i32)> {
        loop {
            let ended = self.ring.0.completion().next();
            if let Some(ended) = ended {
                let slot = usize::try_from(ended.user_data()).expect("it is the number of a slot");
                return Ok((slot, ended.result()));
            }
            match self.ring.0.submit_and_wait(1) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }

    fn release(&mut self, slot: usize) -> Option<(MmapMut, usize, u64)> {
        self.busy.get_mut(slot).and_then(Option::take)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        while self.busy.iter().any(Option::is_some) {
            match self.wait() {
                Ok((slot, _)) => {
                    if let Some((buffer, ..)) = self.release(slot) {
                        give_back(buffer);
                    }
                }
                // Whether the system still reads from them is not known, so they stay for ever.
                Err(_) => self
                    .busy
                    .iter_mut()
                    .for_each(|busy| std::mem::forget(busy.take())),
            }
        }
    }
}

fn set_direct(file: &File, on: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, on);
    Ok(rustix::fs::fcntl_setfl(file, flags)?)
}

fn buffer() -> io::Result<MmapMut> {
    match spare().pop() {
        Some(spare) => Ok(spare),
        None => MmapMut::map_anon(BUFFER_BYTES),
    }
}

fn give_back(buffer: MmapMut) {
    let mut spare = spare();
    if spare.len() < SPARE_MAX {
        spare.push(buffer);
    }
}

fn spare() -> MutexGuard<'static, Vec<MmapMut>> {
    // A list of buffers is sound whatever its holder did.
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests look at what is on the disk"
)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    /// Bytes that no two places near each other share.
    fn content(bytes: usize) -> Vec<u8> {
        let words = (0u32..).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes());
        words.take(bytes).collect()
    }

    /// Writes through a `Direct` that begins at a block's boundary; gives what the file holds then.
    fn written(dir: &Path, content: &[u8], begin: usize, piece: usize) -> Option<Vec<u8>> {
        let path = dir.join(format!("{}-{begin}-{piece}", content.len()));
        fs::write(&path, &content[..begin]).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let mut direct = Direct::begin(&file, count(begin))?;
        for piece in content[begin..].chunks(piece) {
            let (mut rest, mut slices) = (piece.len(), [IoSlice::new(piece)]);
            while rest > 0 {
                let taken = direct.append(&file, &slices).unwrap();
                IoSlice::advance_slices(&mut slices.as_mut_slice(), taken);
                rest -= taken;
            }
        }
        direct.finish(&file).unwrap();
        file.sync_all().unwrap();
        Some(fs::read(path).unwrap())
    }

    #[test]
    fn a_file_holds_what_was_appended_at_every_edge() {
        let dir = tempfile::tempdir().unwrap();
        let (block, buffer) = (BLOCK_BYTES, BUFFER_BYTES);
        let whole = content(9 * buffer);
        let mut seen = 0;
        for begin in [0, block, 3 * block] {
            for more in [
                0,
                1,
                block - 1,
                block,
                block + 1,
                buffer - 1,
                buffer,
                buffer + 1,
                3 * buffer,
                5 * buffer + 512,
                // More than there is room for at once.
                8 * buffer,
            ] {
                for piece in [777, 100_000, 3 * buffer + 1] {
                    let expected = &whole[..begin + more];
                    let Some(found) = written(dir.path(), expected, begin, piece) else {
                        eprintln!("NOT RUN: direct writes: this system refuses them");
                        return;
                    };
                    assert!(found == expected, "{more} bytes from {begin} on by {piece}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 99);
    }

    #[test]
    fn what_does_not_begin_at_a_block_is_written_as_usual() {
        let file = tempfile::tempfile().unwrap();
        assert!(Direct::begin(&file, 512).is_none());
    }

    /// The buffers are read from until the writes have ended, whoever still wants them.
    #[test]
    fn writes_on_their_way_are_waited_for_when_nobody_wants_them() {
        let file = tempfile::tempfile().unwrap();
        let Some(mut direct) = Direct::begin(&file, 0) else {
            eprintln!("NOT RUN: direct writes: this system refuses them");
            return;
        };
        let bytes = content(BUFFER_BYTES);
        for _ in 0..3 {
            direct.append(&file, &[IoSlice::new(&bytes)]).unwrap();
        }
        assert!(direct.ring.busy.iter().any(Option::is_some));
        drop(direct);
        let read_only = fs::OpenOptions::new().read(true).open("/dev/zero").unwrap();
        let failing = Direct::begin(&read_only, 0);
        if let Some(mut failing) = failing {
            let sent = failing.append(&read_only, &[IoSlice::new(&bytes)]);
            let ended = sent.and_then(|_| failing.finish(&read_only));
            assert!(ended.is_err(), "a file that cannot be written says so");
        }
    }
}
