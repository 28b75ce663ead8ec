//! Recorded write logs, plain and compressed.

use std::io::Read;

use afterimage_capture::log_writes::{Action, LogEntry, LogReader, decompressing};

use crate::{choices::Choices, sample::SAMPLES, spoil::spoiled};

/// Windows that a fuzzer's run has memory for. The reader takes up to 2 GiB, as documented: that is
/// memory which the operator's compressor asked for, so it is no finding.
const WINDOW_LOG_MAX: u8 = 23;

/// Reads a log to its end or first fault: entries, and the data of writes in bounded pieces that add
/// up to what the entry says.
///
/// # Panics
///
/// Where they do not.
pub fn write_log(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mode = choices.u8();
    // The largest is what an import asks for: a length in the log must not make it real.
    let piece_bytes_max = if mode >= 192 { 256 << 20 } else { 64 << 10 };
    match mode % 4 {
        0 => read(choices.rest(), piece_bytes_max),
        1 => read(
            spoiled(&SAMPLES.log, &mut choices).as_slice(),
            piece_bytes_max,
        ),
        2 => decompress(
            spoiled(&SAMPLES.compressed_log, &mut choices),
            piece_bytes_max,
        ),
        _ => {
            // Intact on the outside, spoiled inside.
            let log = spoiled(&SAMPLES.log, &mut choices);
            let compressed = zstd::bulk::compress(&log, 1).expect("it compresses");
            decompress(compressed, piece_bytes_max);
        }
    }
}

fn decompress(input: Vec<u8>, piece_bytes_max: usize) {
    if window_log(&input).is_some_and(|log| log > WINDOW_LOG_MAX) {
        return;
    }
    let input = Box::new(std::io::Cursor::new(input));
    let input = decompressing(input).expect("there is memory for a decoder");
    read(input.take(8 << 20), piece_bytes_max);
}

/// The window that a zstd frame asks for, rounded down; `None` where it does not say.
fn window_log(frame: &[u8]) -> Option<u8> {
    const SINGLE_SEGMENT: u8 = 0x20;
    let descriptor = frame.get(4)?;
    let window = frame.get(5)?;
    (descriptor & SINGLE_SEGMENT == 0).then_some(10 + (window >> 3))
}

fn read(input: impl Read, piece_bytes_max: usize) {
    let Ok(mut log) = LogReader::open(input) else {
        return;
    };
    let sector_size = u64::from(log.sector_size());
    let mut number = 0;
    while let Ok(Some(entry)) = log.next_entry() {
        number += 1;
        assert_eq!(entry.number, number);
        assert!(entry.number <= log.entries());
        assert!(entry.start.checked_add(entry.length).is_some());
        assert!(
            entry.start.is_multiple_of(sector_size) && entry.length.is_multiple_of(sector_size)
        );
        // Every other entry's data is left to the reader to skip.
        if number % 2 == 1 {
            read_data(&mut log, &entry, piece_bytes_max);
        }
    }
    // What has failed goes on failing, and what has ended stays at its end.
    assert!(!matches!(log.next_entry(), Ok(Some(_))));
}

fn read_data(log: &mut LogReader<impl Read>, entry: &LogEntry, piece_bytes_max: usize) {
    let mut given = 0;
    while let Ok(Some(piece)) = log.next_piece(piece_bytes_max) {
        let length = afterimage_changelog::length(&piece);
        assert!(length > 0 && length.is_multiple_of(u64::from(log.sector_size())));
        assert!(piece.len() <= piece_bytes_max);
        given += length;
        assert!(entry.action == Action::Write && given <= entry.length);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 7] = [
        &[1],
        &[2],
        &[3],
        &[1, 3, 24, 0, 0, 16, 0, 0],
        &[2, 0, 40, 0, 7],
        &[193, 2, 8, 2, 8],
        &[3, 2, 8, 2, 3],
    ];
    let short = SAMPLES.log.get(..2048).unwrap_or_default();
    let raw = [&[0], short].concat();
    seeds
        .iter()
        .map(|seed| seed.to_vec())
        .chain([raw])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valid_log_is_read_to_its_end() {
        let mut log = LogReader::open(SAMPLES.log.as_slice()).unwrap();
        let mut entries = 0;
        while log.next_entry().unwrap().is_some() {
            entries += 1;
        }
        assert_eq!(entries, 5);
        assert!(window_log(&SAMPLES.compressed_log).is_none_or(|log| log <= WINDOW_LOG_MAX));
    }
}
