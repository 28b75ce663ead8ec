//! A way to write, and the engines below the direct ones.

use std::{
    fmt::Debug,
    fs::File,
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::Path,
    sync::{Mutex, mpsc},
};

use io_uring::{IoUring, opcode, types};
use memmap2::MmapMut;

use crate::source::Source;

type Run = Box<dyn Fn(&Source, &Path) -> io::Result<()>>;

/// Something that is measured.
pub(crate) struct Way {
    pub(crate) name: String,
    /// Whether the others are divided by it.
    pub(crate) is_limit: bool,
    /// Writes into an empty folder, durably.
    pub(crate) run: Run,
}

impl Way {
    pub(crate) fn new(
        name: impl Into<String>,
        run: impl Fn(&Source, &Path) -> io::Result<()> + 'static,
    ) -> Way {
        Way {
            name: name.into(),
            is_limit: false,
            run: Box::new(run),
        }
    }
}

/// What carries aligned buffers to a file that was opened for direct writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    /// The caller, one at a time.
    Caller,
    /// A thread beside the caller, one at a time, while the caller fills the next of so many buffers.
    Thread(usize),
    /// A ring of the kernel, with so many buffers on their way.
    Ring(u32),
}

/// Buffers that were used, as a new one costs a page fault for every 4 KiB.
static SPARE: Mutex<Vec<MmapMut>> = Mutex::new(Vec::new());

fn buffer_of(bytes: usize) -> io::Result<MmapMut> {
    let mut spare = SPARE.lock().expect("nobody panics with it");
    match spare.iter().position(|buffer| buffer.len() == bytes) {
        Some(found) => Ok(spare.swap_remove(found)),
        None => MmapMut::map_anon(bytes),
    }
}

fn give_back(buffer: MmapMut) {
    SPARE.lock().expect("nobody panics with it").push(buffer);
}

/// Takes a filled buffer and gives an empty one.
pub(crate) trait Carrier {
    fn write(&mut self, buffer: MmapMut, length: usize, offset: u64) -> io::Result<MmapMut>;
    fn finish(&mut self) -> io::Result<()>;
}

impl Engine {
    /// Runs `work` with the engine on `file` and waits for all writes.
    pub(crate) fn drive(
        self,
        file: &File,
        buffer_bytes: usize,
        work: impl FnOnce(&mut dyn Carrier, MmapMut) -> io::Result<MmapMut>,
    ) -> io::Result<()> {
        let first = buffer_of(buffer_bytes)?;
        let drive = |carrier: &mut dyn Carrier| {
            give_back(work(carrier, first)?);
            carrier.finish()
        };
        match self {
            Engine::Caller => drive(&mut Caller { file }),
            Engine::Ring(depth) => drive(&mut Ring {
                file,
                ring: IoUring::new(depth)?,
                depth: usize::try_from(depth).expect("a ring is small"),
                buffer_bytes,
                busy: (0..depth).map(|_| None).collect(),
            }),
            Engine::Thread(buffers) => std::thread::scope(|scope| {
                let (filled, fills) = mpsc::sync_channel::<(MmapMut, usize, u64)>(buffers);
                let (emptied, empties) = mpsc::channel();
                for _ in 0..buffers {
                    drop(emptied.send(Ok(buffer_of(buffer_bytes)?)));
                }
                let writer = scope.spawn(move || {
                    for (buffer, length, offset) in fills {
                        let written = file.write_all_at(&buffer[..length], offset);
                        drop(emptied.send(written.map(|()| buffer)));
                    }
                });
                let mut carrier = Thread {
                    filled: Some(filled),
                    empties,
                };
                let driven = drive(&mut carrier);
                drop(carrier);
                writer.join().expect("the writer does not panic");
                driven
            }),
        }
    }
}

struct Caller<'file> {
    file: &'file File,
}

impl Carrier for Caller<'_> {
    fn write(&mut self, buffer: MmapMut, length: usize, offset: u64) -> io::Result<MmapMut> {
        self.file.write_all_at(&buffer[..length], offset)?;
        Ok(buffer)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Thread {
    filled: Option<mpsc::SyncSender<(MmapMut, usize, u64)>>,
    empties: mpsc::Receiver<io::Result<MmapMut>>,
}

impl Carrier for Thread {
    fn write(&mut self, buffer: MmapMut, length: usize, offset: u64) -> io::Result<MmapMut> {
        if let Some(filled) = &self.filled {
            filled
                .send((buffer, length, offset))
                .map_err(io::Error::other)?;
        }
        self.empties.recv().map_err(io::Error::other)?
    }

    fn finish(&mut self) -> io::Result<()> {
        self.filled = None;
        for emptied in &self.empties {
            give_back(emptied?);
        }
        Ok(())
    }
}

struct Ring<'file> {
    file: &'file File,
    ring: IoUring,
    depth: usize,
    buffer_bytes: usize,
    /// What is on its way, and how much of it has to arrive.
    busy: Vec<Option<(MmapMut, usize)>>,
}

impl Carrier for Ring<'_> {
    #[expect(unsafe_code, reason = "a ring takes addresses")]
    fn write(&mut self, buffer: MmapMut, length: usize, offset: u64) -> io::Result<MmapMut> {
        let slot = self
            .busy
            .iter()
            .position(Option::is_none)
            .expect("one is free");
        let entry = opcode::Write::new(
            types::Fd(self.file.as_raw_fd()),
            buffer.as_ptr(),
            u32::try_from(length).expect("buffers are small"),
        )
        .offset(offset)
        .build()
        .user_data(u64::try_from(slot).expect("slots are few"));
        self.busy[slot] = Some((buffer, length));
        // SAFETY: the buffer stays in its slot until the completion of the write was seen, and
        // `finish` waits for all of them.
        unsafe { self.ring.submission().push(&entry) }.map_err(io::Error::other)?;
        self.ring.submit()?;
        if self.busy.iter().filter(|busy| busy.is_some()).count() == self.depth {
            return self.reap();
        }
        buffer_of(self.buffer_bytes)
    }

    fn finish(&mut self) -> io::Result<()> {
        while self.busy.iter().any(Option::is_some) {
            give_back(self.reap()?);
        }
        Ok(())
    }
}

impl Ring<'_> {
    fn reap(&mut self) -> io::Result<MmapMut> {
        self.ring.submit_and_wait(1)?;
        let entry = self.ring.completion().next().expect("one was waited for");
        let slot = usize::try_from(entry.user_data()).expect("it is the number of a slot");
        let (buffer, length) = self.busy[slot].take().expect("it was on its way");
        let written = usize::try_from(entry.result());
        let written = written.map_err(|_| io::Error::from_raw_os_error(-entry.result()))?;
        // Nothing here writes less than asked for, unless the disk is full.
        if written == length {
            Ok(buffer)
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }
}
