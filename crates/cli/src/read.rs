//! `afterimage read`.

use afterimage::{HeldPoints, PointReader, PointSelector, open_existing_store};

use crate::{args, failure::Failure, output::Output};

/// Bytes read and printed at once.
const PIECE_BYTES: u64 = 1 << 20;

pub(crate) fn run(arguments: &args::Read, output: &mut Output) -> Result<(), Failure> {
    let args::Read { at, point, .. } = arguments;
    let target = open_existing_store(&at.target)?;
    let held = HeldPoints::take(&target, &at.group, point, "read")?;
    let reader = held.points().open(&PointSelector::Id(held.point()));
    let printed = reader
        .map_err(Failure::from)
        .and_then(|reader| print(&reader, arguments, output));
    held.release()?;
    printed
}

fn print(reader: &PointReader, arguments: &args::Read, output: &mut Output) -> Result<(), Failure> {
    let args::Read {
        disk,
        offset,
        length,
        ..
    } = arguments;
    let (start, length) = (offset.0, length.0);
    let size = reader.disk(disk).map_err(afterimage::Error::from)?.bytes();
    let end = start.checked_add(length).filter(|&end| end <= size);
    let end = end.ok_or_else(|| {
        Failure::invalid(format!(
            "{length} bytes at {start} are not all on disk {disk} of {size}"
        ))
    })?;
    let mut at = start;
    while at < end && !output.is_closed() {
        let bytes = PIECE_BYTES.min(end - at);
        let mut piece = vec![0; usize::try_from(bytes).unwrap_or_default()];
        reader
            .read_at(disk, at, &mut piece)
            .map_err(afterimage::Error::from)?;
        output.bytes(&piece)?;
        at += bytes;
    }
    Ok(())
}
