//! Writes a segment as an agent does, and reads it back as the service does.
//!
//! ```text
//! cargo run -p afterimage-examples --example segment
//! ```
//!
//! Everything happens in memory; any other store works the same way.

use std::{error::Error, sync::Arc};

use afterimage::{
    MarkerKind, Name, Timestamp,
    cache::{SegmentLimits, StreamReader, StreamWriter, WriterOptions},
    changelog::{Disk, ObjectId, Row, RowKind, SectorSize},
    open_store,
    storage::{Nonces, Store},
};

fn main() -> Result<(), Box<dyn Error>> {
    let cache = open_store("memory://")?;
    write(&cache)?;
    read(&cache)?;
    Ok(())
}

fn write(cache: &Arc<dyn Store>) -> Result<(), Box<dyn Error>> {
    let disk = Disk::new("root".parse()?, 1 << 20, SectorSize::B512);
    let options = WriterOptions {
        group: "shop".parse()?,
        stream: "main".parse()?,
        disks: vec![disk.ok_or("no disk has this size")?],
        limits: SegmentLimits::default(),
        level: 1,
    };
    let nonces = Arc::new(Nonces::from_os());
    let mut writer = StreamWriter::open(Arc::clone(cache), nonces, options)?;

    // Disks are counted by their place in the options, positions in sectors of 512 bytes.
    let now = Timestamp(1_700_000_000_000_000);
    writer.write(0, 63, &[b'a'; 4096], now)?;
    writer.write(0, 65, &[b'b'; 512], now)?;
    writer.zero(0, 100, 8, now)?;
    writer.mark(
        MarkerKind::User,
        "before the upgrade",
        ObjectId([1; 16]),
        now,
    )?;
    // Nothing is durable before this returns.
    writer.seal()?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it shows what it read")]
fn read(cache: &Arc<dyn Store>) -> Result<u64, Box<dyn Error>> {
    let (group, stream): (Name, Name) = ("shop".parse()?, "main".parse()?);
    let mut reader = StreamReader::new(Arc::clone(cache), group, stream, None);
    let mut rows = 0;
    while let Some(segment) = reader.next_segment()? {
        println!("{}", segment.key);
        for (row, sequence) in segment
            .index
            .rows
            .iter()
            .zip(segment.container.header.first.0..)
        {
            println!("{sequence:>4}  {}", describe(row));
            rows += 1;
        }
        for marker in &segment.container.directory.markers {
            println!("record {} marks: {}", marker.sequence, marker.name);
        }
    }
    Ok(rows)
}

fn describe(row: &Row) -> String {
    let place = format!("disk {} sectors {}..{}", row.disk, row.start, row.end());
    match row.kind {
        RowKind::Write { frame, offset } => {
            format!("write  {place}, from sector {offset} of frame {frame}")
        }
        RowKind::Zero => format!("zero   {place}"),
        RowKind::Marker => format!("marker {}", row.start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_that_was_written_is_read() {
        let cache = open_store("memory://").unwrap();
        write(&cache).unwrap();
        assert_eq!(read(&cache).unwrap(), 4);
    }
}
