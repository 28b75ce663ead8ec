//! The reader of write logs, against logs laid out here byte by byte and one that QEMU recorded.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may, like the tests themselves"
)]

use std::{
    error::Error as _,
    io::{self, Cursor, Read},
};

use afterimage_capture::log_writes::{
    Action, LogEntry, LogError, LogFault, LogReader, decompressing,
};
use proptest::prelude::*;

/// What a log is made of. Positions and lengths count log sectors.
#[derive(Clone, Debug)]
enum Record {
    Write {
        sector: u64,
        fills: Vec<u8>,
        flags: u64,
    },
    Discard {
        sector: u64,
        sectors: u64,
    },
    Mark(String),
    Flush,
}

/// An entry as it should come out, with its data.
type Expected = (LogEntry, Vec<u8>);

fn superblock(entries: u64, sector_size: u32) -> Vec<u8> {
    let mut log = b"rhswfsj\0".to_vec();
    log.extend(1u64.to_le_bytes());
    log.extend(entries.to_le_bytes());
    log.extend(sector_size.to_le_bytes());
    log.resize(sector_size as usize, 0);
    log
}

fn header(fields: [u64; 4], text: &[u8], sector_size: u32) -> Vec<u8> {
    let mut sector: Vec<u8> = fields
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect();
    sector.extend(text);
    assert!(sector.len() <= sector_size as usize);
    sector.resize(sector_size as usize, 0);
    sector
}

/// The bytes of a log, and what should be read from it.
fn log(sector_size: u32, records: &[Record]) -> (Vec<u8>, Vec<Expected>) {
    let mut bytes = superblock(records.len() as u64, sector_size);
    let mut expected = Vec::new();
    let size = u64::from(sector_size);
    for (index, record) in records.iter().enumerate() {
        let mut entry = LogEntry {
            number: index as u64 + 1,
            start: 0,
            length: 0,
            action: Action::FlushOnly,
            flush: false,
            fua: false,
            metadata: false,
        };
        let mut data = Vec::new();
        match record {
            Record::Write {
                sector,
                fills,
                flags,
            } => {
                for fill in fills {
                    data.extend(vec![*fill; sector_size as usize]);
                }
                let fields = [*sector, fills.len() as u64, *flags, 0];
                bytes.extend(header(fields, b"", sector_size));
                bytes.extend(&data);
                entry.action = Action::Write;
                entry.start = sector * size;
                entry.length = data.len() as u64;
                entry.flush = flags & 1 != 0;
                entry.fua = flags & 2 != 0;
                entry.metadata = flags & 16 != 0;
            }
            Record::Discard { sector, sectors } => {
                bytes.extend(header([*sector, *sectors, 4, 0], b"", sector_size));
                entry.action = Action::Discard;
                entry.start = sector * size;
                entry.length = sectors * size;
            }
            Record::Mark(text) => {
                let fields = [0, 0, 8, text.len() as u64];
                bytes.extend(header(fields, text.as_bytes(), sector_size));
                entry.action = Action::Mark(text.clone());
            }
            Record::Flush => {
                bytes.extend(header([0, 0, 1, 0], b"", sector_size));
                entry.flush = true;
            }
        }
        expected.push((entry, data));
    }
    (bytes, expected)
}

/// Reads on until the end or the first error; says what came before it.
fn read(input: impl Read, piece: usize) -> (Vec<Expected>, Option<LogError>) {
    let mut found = Vec::new();
    let mut reader = match LogReader::open(input) {
        Ok(reader) => reader,
        Err(error) => return (found, Some(error)),
    };
    loop {
        let entry = match reader.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error)),
        };
        let mut data = Vec::new();
        loop {
            match reader.next_piece(piece) {
                Ok(Some(bytes)) => {
                    assert!(!bytes.is_empty() && bytes.len() <= piece);
                    assert_eq!(bytes.len() % reader.sector_size() as usize, 0);
                    data.extend(bytes);
                }
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        found.push((entry, data));
    }
}

/// The error that the log of this one entry gives.
fn refusal(fields: [u64; 4], text: &[u8]) -> LogError {
    let mut bytes = superblock(1, 512);
    bytes.extend(header(fields, text, 512));
    bytes.extend([0x11; 2048]);
    let (found, error) = read(bytes.as_slice(), 512);
    assert!(found.is_empty(), "{found:?}");
    error.unwrap()
}

fn small_log() -> (Vec<u8>, Vec<Expected>) {
    let write = |sector, fills: &[u8], flags| Record::Write {
        sector,
        fills: fills.to_vec(),
        flags,
    };
    log(
        512,
        &[
            Record::Mark("mkfs".to_owned()),
            write(63, &[1, 2, 3], 16),
            Record::Flush,
            Record::Discard {
                sector: 5,
                sectors: 1 << 21,
            },
            write(7, &[4], 1 | 2),
            Record::Mark(String::new()),
        ],
    )
}

#[test]
fn every_kind_of_entry_is_read() {
    let (bytes, expected) = small_log();
    let (found, error) = read(bytes.as_slice(), 1024);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found, expected);
}

/// One entry written out by hand, so that a mistake which builder and reader share would show.
#[test]
fn fields_stand_where_the_format_puts_them() {
    let mut bytes = vec![0; 1024];
    bytes[..28].copy_from_slice(
        b"\x72\x68\x73\x77\x66\x73\x6a\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x02\0\0",
    );
    bytes[512] = 0x3f;
    bytes[520] = 0x02;
    bytes[528] = 0x12;
    bytes.extend([0xaa; 1024]);
    let mut reader = LogReader::open(bytes.as_slice()).unwrap();
    assert_eq!((reader.entries(), reader.sector_size()), (1, 512));
    let entry = reader.next_entry().unwrap().unwrap();
    assert_eq!(
        entry,
        LogEntry {
            number: 1,
            start: 63 * 512,
            length: 1024,
            action: Action::Write,
            flush: false,
            fua: true,
            metadata: true,
        }
    );
    assert_eq!(
        reader.next_piece(4096).unwrap().unwrap().as_ref(),
        [0xaa; 1024]
    );
    assert!(reader.next_piece(4096).unwrap().is_none());
    assert!(reader.next_entry().unwrap().is_none());
}

#[test]
fn data_that_is_not_taken_is_skipped() {
    let (bytes, expected) = small_log();
    let mut reader = LogReader::open(bytes.as_slice()).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        if entry.action == Action::Write {
            reader.next_piece(600).unwrap().unwrap();
        }
        found.push(entry);
    }
    let expected: Vec<LogEntry> = expected.into_iter().map(|(entry, _)| entry).collect();
    assert_eq!(found, expected);
}

/// Writers go on after they have last brought the superblock up to date.
#[test]
fn what_follows_the_last_entry_is_ignored() {
    let (mut bytes, expected) = small_log();
    bytes.extend(header([1, 1, 0, 0], b"", 512));
    bytes.extend([0xee; 100]);
    let (found, error) = read(bytes.as_slice(), 512);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found, expected);
}

#[test]
fn every_truncation_gives_a_prefix_and_an_error_that_names_the_place() {
    let (bytes, expected) = small_log();
    for keep in 0..bytes.len() {
        let (found, error) = read(&bytes[..keep], 512);
        let error = error.unwrap();
        assert!(
            matches!(error.fault, LogFault::Truncated),
            "{keep}: {error}"
        );
        assert_eq!(error.offset, keep as u64);
        assert_eq!(found, expected[..found.len()], "{keep}");
        let number = (keep >= 512).then_some(found.len() as u64 + 1);
        assert_eq!(error.entry, number, "{keep}");
    }
}

#[test]
fn a_superblock_of_something_else_is_refused() {
    let spoiled = |at: usize, byte: u8| {
        let mut bytes = superblock(0, 512);
        bytes[at] = byte;
        LogReader::open(Cursor::new(bytes)).unwrap_err()
    };
    let error = spoiled(0, 0x71);
    assert!(matches!(error.fault, LogFault::Magic(0x6a_7366_7773_6871)));
    assert_eq!(
        error.to_string(),
        "write log at byte 0: magic is 0x006a736677736871, this is no write log"
    );
    assert!(matches!(spoiled(8, 2).fault, LogFault::Version(2)));
    assert!(matches!(spoiled(25, 1).fault, LogFault::SectorSize(256)));
    assert!(matches!(spoiled(24, 1).fault, LogFault::SectorSize(513)));
    let too_large = spoiled(26, 2).fault;
    assert!(matches!(too_large, LogFault::SectorSize(0x2_0200)));
    let mut bytes = superblock(0, 1 << 17);
    let error = LogReader::open(bytes.as_slice()).unwrap_err();
    assert!(matches!(error.fault, LogFault::SectorSize(0x2_0000)));
    bytes = superblock(0, 1 << 16);
    assert!(LogReader::open(bytes.as_slice()).is_ok());
}

#[test]
fn an_entry_that_makes_no_sense_is_refused() {
    assert!(matches!(
        refusal([0, 1, 32, 0], b"").fault,
        LogFault::Flags(32)
    ));
    assert!(matches!(
        refusal([0, 1, 1 << 63, 0], b"").fault,
        LogFault::Flags(0x8000_0000_0000_0000)
    ));
    for mixed in [[0, 1, 8, 0], [0, 0, 8 | 4, 0], [0, 1, 8 | 4, 0]] {
        assert!(matches!(refusal(mixed, b"").fault, LogFault::Mixed));
    }
    for empty in [[9, 0, 0, 0], [9, 0, 2, 0], [9, 0, 4, 0], [9, 0, 1 | 4, 0]] {
        assert!(matches!(refusal(empty, b"").fault, LogFault::Empty));
    }
    let last = u64::MAX / 512;
    for range in [
        [last + 1, 1, 0, 0],
        [0, last + 1, 4, 0],
        [last, 1, 0, 0],
        [last, 1, 4, 0],
        [1, last, 4, 0],
        [last + 1, 0, 1, 0],
    ] {
        assert!(matches!(refusal(range, b"").fault, LogFault::Range));
    }
    let error = refusal([0, 1, 0, 0], b"\0\0x");
    assert!(matches!(error.fault, LogFault::Padding));
    assert_eq!((error.offset, error.entry), (512, Some(1)));
    assert_eq!(
        error.to_string(),
        "write log at byte 512, entry 1: bytes behind its fields are set"
    );
}

#[test]
fn a_mark_ends_where_its_length_says_and_fits_its_sector() {
    assert!(matches!(
        refusal([0, 0, 8, 481], b"").fault,
        LogFault::MarkLength(481)
    ));
    assert!(matches!(
        refusal([0, 0, 8, u64::MAX], b"").fault,
        LogFault::MarkLength(u64::MAX)
    ));
    assert!(matches!(
        refusal([0, 0, 8, 3], b"four").fault,
        LogFault::Padding
    ));
    let text = "m".repeat(480);
    let (bytes, expected) = log(512, &[Record::Mark(text)]);
    assert_eq!(read(bytes.as_slice(), 512).0, expected);
}

/// A mark is shown on terminals and in reports; it must not be able to move a cursor.
#[test]
fn a_mark_that_is_no_text_is_made_harmless() {
    let mut bytes = superblock(1, 512);
    let text = b"a\x1b[2J\xff\xc3\xa9\x7f\n";
    bytes.extend(header([0, 0, 8, text.len() as u64], text, 512));
    let (found, _) = read(bytes.as_slice(), 512);
    let shown = "a\u{fffd}[2J\u{fffd}\u{e9}\u{fffd}\u{fffd}".to_owned();
    assert_eq!(found[0].0.action, Action::Mark(shown));
}

/// Would abort on the allocation if the length were believed.
#[test]
fn a_length_is_not_believed_before_the_data_is_there() {
    for sectors in [1 << 20, 1 << 43, (1 << 54) - 1] {
        let mut bytes = superblock(1, 512);
        bytes.extend(header([0, sectors, 0, 0], b"", 512));
        bytes.extend([0x22; 4096]);
        let mut reader = LogReader::open(bytes.as_slice()).unwrap();
        assert_eq!(
            reader.next_entry().unwrap().unwrap().length,
            sectors.saturating_mul(512)
        );
        let error = reader.next_piece(usize::MAX).unwrap_err();
        assert!(matches!(error.fault, LogFault::Truncated), "{error}");
        assert_eq!((error.offset, error.entry), (1024 + 4096, Some(1)));
    }
}

#[test]
fn an_entry_of_64_mib_comes_in_pieces_of_the_asked_size() {
    let sectors = (64u64 << 20) / 512;
    let mut bytes = superblock(1, 512);
    bytes.extend(header([0, sectors, 0, 0], b"", 512));
    let input = bytes.chain(io::repeat(0x33)).take(1024 + (64 << 20));
    let mut reader = LogReader::open(input).unwrap();
    reader.next_entry().unwrap().unwrap();
    let mut total = 0;
    while let Some(piece) = reader.next_piece(1_000_000).unwrap() {
        assert!(piece.len() == 999_936 || total + piece.len() == 64 << 20);
        assert!(piece.iter().all(|&byte| byte == 0x33));
        total += piece.len();
    }
    assert_eq!(total, 64 << 20);
    assert!(reader.next_entry().unwrap().is_none());
}

/// After an error the input stands anywhere; data must not be taken for entries.
#[test]
fn nothing_is_read_after_an_error() {
    let mut bytes = superblock(2, 512);
    bytes.extend(header([0, 1, 32, 0], b"", 512));
    bytes.extend(header([0, 0, 1, 0], b"", 512));
    let mut reader = LogReader::open(bytes.as_slice()).unwrap();
    assert!(reader.next_entry().is_err());
    let error = reader.next_entry().unwrap_err();
    assert!(matches!(error.fault, LogFault::Spent));
    assert!(reader.next_piece(512).is_err());
}

#[test]
fn input_that_fails_is_told_from_input_that_ends() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    let (bytes, _) = small_log();
    let good = Cursor::new(bytes[..1024].to_vec());
    let input = decompressing(Box::new(good.chain(Failing))).unwrap();
    let (found, error) = read(input, 512);
    let error = error.unwrap();
    assert_eq!(found.len(), 1);
    assert!(matches!(error.fault, LogFault::Read(_)), "{error}");
    assert_eq!((error.offset, error.entry), (1024, Some(2)));
    assert!(error.source().is_some());
}

fn unpacked(bytes: &[u8]) -> Box<dyn Read + Send> {
    decompressing(Box::new(Cursor::new(bytes.to_vec()))).unwrap()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    io::copy(&mut &bytes[..], &mut encoder).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_and_plain_logs_read_alike() {
    let (bytes, expected) = small_log();
    assert_eq!(read(unpacked(&bytes), 512).0, expected);
    let (found, error) = read(unpacked(&packed(&bytes)), 512);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found, expected);
}

#[test]
fn input_too_short_for_any_magic_is_a_truncated_log() {
    for len in 0..4 {
        let error = read(unpacked(&b"\x28\xb5\x2f"[..len.min(3)]), 512).1;
        assert!(matches!(error.unwrap().fault, LogFault::Truncated));
    }
}

/// The checksum stands behind the last entry: a reader that stops there would accept any flip.
#[test]
fn a_compressed_log_that_was_damaged_or_cut_is_noticed_by_its_end() {
    let (bytes, expected) = small_log();
    let packed = packed(&bytes);
    for keep in 4..packed.len() {
        let error = read(unpacked(&packed[..keep]), 512).1.unwrap();
        assert!(matches!(error.fault, LogFault::Damaged(_)), "{keep}");
        assert!(error.source().is_some());
    }
    for at in 0..packed.len() {
        for bit in 0..8 {
            let mut spoiled = packed.clone();
            spoiled[at] ^= 1 << bit;
            let (found, error) = read(unpacked(&spoiled), 512);
            // A few bits mean nothing, such as those that only widen the window.
            let fault = error.map(|error| error.fault);
            assert!(
                fault.is_some() || found == expected,
                "bit {bit} of byte {at}"
            );
            if at >= packed.len() - 4 {
                assert!(matches!(fault, Some(LogFault::Damaged(_))), "{fault:?}");
            }
        }
    }
}

/// `zstd --long=31`: the decoder's own default refuses any window above 128 MiB.
#[test]
fn long_windows_are_accepted() {
    let (bytes, expected) = small_log();
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.include_contentsize(false).unwrap();
    io::copy(&mut bytes.as_slice(), &mut encoder).unwrap();
    // A flush before the end keeps the encoder from narrowing the window to what it has seen.
    io::Write::flush(&mut encoder).unwrap();
    let packed = encoder.finish().unwrap();
    assert!(zstd::stream::decode_all(packed.as_slice()).is_err());
    assert_eq!(read(unpacked(&packed), 512).0, expected);
}

/// The demo log, recorded with QEMU; the numbers are those of the README beside it.
#[test]
fn a_log_that_qemu_recorded_is_read_whole() {
    let packed = include_bytes!("../../cli/demo/orders-ext4-64m.log.zst");
    let mut reader = LogReader::open(unpacked(packed)).unwrap();
    assert_eq!((reader.entries(), reader.sector_size()), (12_657, 512));
    let (mut writes, mut flushes, mut discards) = ((0, 0), 0, (0, 0));
    while let Some(entry) = reader.next_entry().unwrap() {
        assert!(entry.start + entry.length <= 64 << 20);
        match entry.action {
            Action::Write => {
                writes.0 += 1;
                while let Some(piece) = reader.next_piece(64 << 10).unwrap() {
                    writes.1 += piece.len();
                }
            }
            Action::Discard => {
                discards.0 += 1;
                discards.1 += entry.length;
            }
            Action::FlushOnly => flushes += 1,
            Action::Mark(_) => panic!("QEMU writes no marks"),
        }
    }
    assert_eq!(writes, (8_519, 66_180_096));
    assert_eq!(flushes, 3_768);
    assert_eq!(discards, (370, 239_822_848));
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let write = (
        0..1u64 << 40,
        prop::collection::vec(any::<u8>(), 1..6),
        prop::sample::select(vec![0, 1, 2, 3, 16, 17, 18, 19]),
    )
        .prop_map(|(sector, fills, flags)| Record::Write {
            sector,
            fills,
            flags,
        });
    let discard = (0..1u64 << 40, 1..1u64 << 40)
        .prop_map(|(sector, sectors)| Record::Discard { sector, sectors });
    let record = prop_oneof![
        4 => write,
        1 => discard,
        1 => "[a-z \u{e9}]{0,40}".prop_map(Record::Mark),
        1 => Just(Record::Flush),
    ];
    prop::collection::vec(record, 0..12)
}

proptest! {
    #[test]
    fn any_log_comes_out_as_it_was_written(
        sector_size in prop::sample::select(vec![512u32, 1024, 4096]),
        records in records(),
        piece in 4096usize..20_000,
    ) {
        let (bytes, expected) = log(sector_size, &records);
        let (found, error) = read(bytes.as_slice(), piece);
        prop_assert!(error.is_none(), "{error:?}");
        prop_assert_eq!(found, expected);
    }

    /// Starts from a good log and spoils some bytes: random bytes alone would stop at the magic.
    #[test]
    fn spoiled_bytes_never_panic(
        spoil in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = small_log().0;
        for (at, byte) in spoil {
            // Mostly where the fields are, where a byte matters.
            let at = at.index(bytes.len());
            bytes[at / 512 * 512 + at % 40] = byte;
        }
        let keep = keep.index(bytes.len() + 1);
        let (found, error) = read(&bytes[..keep], 65_536);
        prop_assert!(error.is_some() || found.len() as u64 == LogReader::open(&bytes[..keep]).unwrap().entries());
    }
}
