//! Writes the dm-log-writes log of a guest that overwrites its disk, from a seed.
//!
//! `cargo run --release -p afterimage-benches --example generate_log -- --bytes 5GiB --disk 1GiB \
//!     --seed 1 > overwrite.log`
//!
//! The guest is the testkit's database: a log that runs round, pages of which some are hot, and now
//! and then a discard. Its sectors compress to about half. Only the list of the writes is held, so a
//! log of any size can go through a pipe.

use std::{
    error::Error,
    io::{self, BufWriter},
};

use afterimage_benches::writes_of;
use afterimage_testkit::{Workload, Write};
use bytesize::ByteSize;
use clap::Parser;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
const SECTOR: u32 = 512;
const DISCARD: u64 = 4;

#[derive(Debug, Parser)]
#[command(about = "Writes the log of a guest that overwrites its disk")]
struct Arguments {
    /// Bytes the guest writes
    #[arg(long, default_value = "5GiB")]
    bytes: ByteSize,
    /// Size of its disk
    #[arg(long, default_value = "1GiB")]
    disk: ByteSize,
    /// Another seed, other writes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the number of entries and nothing else
    #[arg(long)]
    count: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let disk = arguments.disk.as_u64();
    if disk < 64 << 10 || !disk.is_multiple_of(4096) {
        return Err("--disk is at least 64KiB and a multiple of 4096".into());
    }
    let bytes = arguments.bytes.as_u64();
    let writes = writes_of(Workload::Database, arguments.seed, disk, bytes);
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    if arguments.count {
        io::Write::write_all(&mut out, format!("{}\n", writes.len()).as_bytes())?;
    } else {
        log(&writes, arguments.seed, &mut out)?;
    }
    io::Write::flush(&mut out)?;
    Ok(())
}

/// The log: a superblock, then each entry in a sector and the bytes of writes behind it.
fn log(writes: &[Write], seed: u64, out: &mut impl io::Write) -> io::Result<()> {
    let entries = u64::try_from(writes.len()).map_err(io::Error::other)?;
    out.write_all(&sector([MAGIC, VERSION, entries, u64::from(SECTOR)]))?;
    for (write, sequence) in writes.iter().zip(0u64..) {
        let (start, sectors) = (write.offset, u64::from(write.len));
        let (start, sectors) = (start / u64::from(SECTOR), sectors / u64::from(SECTOR));
        let flags = if write.zero { DISCARD } else { 0 };
        out.write_all(&sector([start, sectors, flags, 0]))?;
        if !write.zero {
            out.write_all(&write.body(seed, sequence))?;
        }
    }
    Ok(())
}

/// A sector that begins with `fields`.
fn sector(fields: [u64; 4]) -> Vec<u8> {
    let mut sector: Vec<u8> = fields
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect();
    sector.resize(usize::try_from(SECTOR).unwrap_or_default(), 0);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterimage_capture::log_writes::{Action, LogReader};

    /// The reader of such logs gives back every write with its bytes.
    #[test]
    fn the_log_holds_the_writes() {
        let writes = writes_of(Workload::Database, 7, 1 << 20, 2 << 20);
        assert!(
            writes.iter().any(|write| write.zero),
            "a discard among them"
        );
        let mut bytes = Vec::new();
        log(&writes, 7, &mut bytes).unwrap();
        let mut reader = LogReader::open(bytes.as_slice()).unwrap();
        for (write, sequence) in writes.iter().zip(0..) {
            let entry = reader.next_entry().unwrap().unwrap();
            assert_eq!(
                (entry.start, entry.length),
                (write.offset, u64::from(write.len))
            );
            let data = reader.next_piece(1 << 20).unwrap();
            if write.zero {
                assert_eq!((entry.action, data), (Action::Discard, None));
            } else {
                assert_eq!(data.unwrap(), write.body(7, sequence));
            }
        }
        assert_eq!(reader.next_entry().unwrap(), None);
    }
}
