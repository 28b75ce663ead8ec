//! Reads the write log of Linux's `dm-log-writes`, which QEMU's `blklogwrites` writes too.
//!
//! Everything is little-endian and counted in *log sectors*, whose size the superblock states:
//!
//! ```text
//! log sector 0, the superblock        one log sector per entry
//! offset  size                        offset  size
//!      0     8  magic                      0     8  first sector on the disk
//!      8     8  version, 1                 8     8  sectors on the disk
//!     16     8  number of entries         16     8  flags
//!     24     4  sector size               24     8  bytes of a mark's text
//!                                         32        the text of a mark, then zeroes
//! ```
//!
//! The data of a write follows its entry, exactly as many log sectors as the entry names. A discard
//! names sectors but has no data; a flush alone and a mark name none. The length field belongs to
//! marks only: both writers leave it zero for plain writes, so it is not looked at there.
//!
//! The log holds no times and no checksums, and it is written while the disk is in use: the number
//! of entries in the superblock is what counts. Input that ends before that is an error, what
//! follows the last entry is not an entry.

use std::{
    error, fmt,
    io::{self, BufReader, Cursor, Read},
};

use bytes::Bytes;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
/// Bytes of the superblock that mean something.
const SUPERBLOCK_LEN: u64 = 28;
const SECTOR_SIZE_MIN: u32 = 512;
const SECTOR_SIZE_MAX: u32 = 64 << 10;

const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;
const METADATA: u64 = 16;
const FLAGS: u64 = FLUSH | FUA | DISCARD | MARK | METADATA;

/// Set aside for a piece before any of it was read; what is more grows with what arrives.
const RESERVE_MAX: u64 = 1 << 20;
/// How far the input is read behind the last entry, to meet the checksum of a compressed one.
const TAIL_BYTES_MAX: u64 = 64 << 20;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// What `zstd --long=31` may have used, the most there is.
const ZSTD_WINDOW_LOG_MAX: u32 = 31;
const BUFFER_BYTES: usize = 128 << 10;

/// Gives the entries of a write log one by one, and the data of writes piece by piece.
///
/// Reads forwards only and in small steps: give it buffered input, such as [`decompressing`] makes.
/// Holds one log sector; never sets memory aside for a length that the input merely claims.
pub struct LogReader<R> {
    input: Counted<R>,
    entries: u64,
    sector_size: u32,
    /// Entries given so far, and the number of the newest.
    given: u64,
    /// Bytes of the newest entry's data that were neither given nor skipped.
    remaining: u64,
    /// The part of an entry's sector behind the fields.
    text: Vec<u8>,
    /// A call has failed: where the input stands means nothing any more.
    spent: bool,
}

/// One entry of the log. Extents are in bytes of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it stands in the log, from 1.
    pub number: u64,
    /// First byte on the disk.
    pub start: u64,
    /// Bytes on the disk; 0 for a mark and for a flush alone.
    pub length: u64,
    /// What it does.
    pub action: Action,
    /// Everything completed before it was made durable first.
    pub flush: bool,
    /// It was durable itself when it completed.
    pub fua: bool,
    /// The file system called it metadata.
    pub metadata: bool,
}

/// What an entry does to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Replaces the extent by the data that [`LogReader::next_piece`] gives.
    Write,
    /// Gives the extent up. What it reads as afterwards is the disk's affair; QEMU's raw files and
    /// the log's own replay tool read zeroes.
    Discard,
    /// Changes nothing; a note somebody left in the log. Bytes that are not UTF-8 and control
    /// characters have become U+FFFD, so that it can be shown as it is.
    Mark(String),
    /// Changes nothing; only the flush counts.
    FlushOnly,
}

/// A log that could not be read on.
#[derive(Debug)]
pub struct LogError {
    /// Byte of the (uncompressed) log: where the superblock or entry at fault begins, or where
    /// reading stopped if the input is what failed.
    pub offset: u64,
    /// The entry at fault, from 1; `None` for the superblock and for what follows the last entry.
    pub entry: Option<u64>,
    /// What was wrong.
    pub fault: LogFault,
}

/// The ways a log can be wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogFault {
    /// The input failed.
    Read(io::Error),
    /// The input is compressed and its compressed form is damaged or cut.
    Damaged(io::Error),
    /// The input ended inside the superblock, an entry or its data, or before the last entry.
    Truncated,
    /// The first eight bytes are not the magic of a write log.
    Magic(u64),
    /// A version that is not known.
    Version(u64),
    /// A sector size that is not a power of two from 512 to 65536.
    SectorSize(u32),
    /// Flag bits that are not known.
    Flags(u64),
    /// A mark that is also a discard or names sectors.
    Mixed,
    /// It names no sectors, and is neither a mark nor a flush.
    Empty,
    /// The extent runs past the end of the number space.
    Range,
    /// The text of a mark is longer than the room behind the fields.
    MarkLength(u64),
    /// Bytes behind the fields or the text are not zero: this is not the start of an entry.
    Padding,
    /// An earlier call failed; where entries begin is not known any more.
    Spent,
}

impl<R: Read> LogReader<R> {
    /// Reads the superblock.
    ///
    /// # Errors
    ///
    /// If the input ends or fails, or is not a write log of a known version and sector size.
    pub fn open(input: R) -> Result<LogReader<R>, LogError> {
        let mut input = Counted { input, offset: 0 };
        let superblock = read_superblock(&mut input);
        let (entries, sector_size) = superblock.map_err(|fault| {
            let offset = fault.place(0, input.offset);
            LogError {
                offset,
                entry: None,
                fault,
            }
        })?;
        Ok(LogReader {
            input,
            entries,
            sector_size,
            given: 0,
            remaining: 0,
            text: Vec::new(),
            spent: false,
        })
    }

    /// Number of entries that the superblock states.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes of a log sector; every extent and every piece is a multiple of it.
    #[must_use]
    pub fn sector_size(&self) -> u32 {
        self.sector_size
    }

    /// The next entry, or `None` after the last. Data of the entry before that was not taken is
    /// skipped.
    ///
    /// After the last entry the input is read on a little, up to its end as a rule: only there
    /// does a compressed log show that it was whole. Until `None` was returned it may not have been.
    ///
    /// # Errors
    ///
    /// See [`LogFault`]; after an error every further call fails.
    pub fn next_entry(&mut self) -> Result<Option<LogEntry>, LogError> {
        self.guard(LogReader::skip_data)?;
        if self.given == self.entries {
            let mut tail = (&mut self.input).take(TAIL_BYTES_MAX);
            let read = io::copy(&mut tail, &mut io::sink());
            return match read {
                Ok(_) => Ok(None),
                Err(error) => Err(self.fail(None, self.input.offset, LogFault::from(error))),
            };
        }
        self.given += 1;
        self.guard(LogReader::read_entry).map(Some)
    }

    /// The next piece of the newest entry's data: at most `bytes_max` bytes, a multiple of the
    /// sector size, never empty. `None` when all is given, and for entries without data.
    ///
    /// # Errors
    ///
    /// If the input ends or fails; after an error every further call fails.
    ///
    /// # Panics
    ///
    /// If `bytes_max` is smaller than a log sector, which is at most 64 KiB.
    pub fn next_piece(&mut self, bytes_max: usize) -> Result<Option<Bytes>, LogError> {
        let sector_size = u64::from(self.sector_size);
        let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        assert!(
            bytes_max >= sector_size,
            "a piece of {bytes_max} bytes holds no sector of {sector_size}"
        );
        let want = (bytes_max - bytes_max % sector_size).min(self.remaining);
        self.guard(|reader| reader.read_piece(want))
    }

    /// Runs one step on the newest entry, and remembers if it failed.
    fn guard<T>(
        &mut self,
        step: impl FnOnce(&mut LogReader<R>) -> Result<T, LogFault>,
    ) -> Result<T, LogError> {
        let start = self.input.offset;
        let result = if self.spent {
            Err(LogFault::Spent)
        } else {
            step(self)
        };
        let entry = (self.given > 0).then_some(self.given);
        result.map_err(|fault| self.fail(entry, start, fault))
    }

    fn fail(&mut self, entry: Option<u64>, start: u64, fault: LogFault) -> LogError {
        self.spent = true;
        let offset = fault.place(start, self.input.offset);
        LogError {
            offset,
            entry,
            fault,
        }
    }

    fn skip_data(&mut self) -> Result<(), LogFault> {
        skip(&mut self.input, self.remaining)?;
        self.remaining = 0;
        Ok(())
    }

    fn read_entry(&mut self) -> Result<LogEntry, LogFault> {
        let mut fields = [0; 32];
        self.input.read_exact(&mut fields)?;
        let room = u64::from(self.sector_size) - 32;
        self.text.clear();
        fill(&mut self.input, &mut self.text, room)?;

        let mut rest = fields.as_slice();
        let sector = take(&mut rest);
        let sectors = take(&mut rest);
        let flags = take(&mut rest);
        let text_len = take(&mut rest);

        if flags & !FLAGS != 0 {
            return Err(LogFault::Flags(flags & !FLAGS));
        }
        let in_bytes = |sectors: u64| sectors.checked_mul(u64::from(self.sector_size));
        let start = in_bytes(sector).ok_or(LogFault::Range)?;
        let length = in_bytes(sectors).ok_or(LogFault::Range)?;
        start.checked_add(length).ok_or(LogFault::Range)?;

        let is = |flag: u64| flags & flag != 0;
        let action = match (is(MARK), is(DISCARD), length) {
            (true, false, 0) => Action::Mark(read_mark(&self.text, text_len)?),
            (true, _, _) => return Err(LogFault::Mixed),
            (false, false, 0) if is(FLUSH) => Action::FlushOnly,
            (false, _, 0) => return Err(LogFault::Empty),
            (false, true, _) => Action::Discard,
            (false, false, _) => Action::Write,
        };
        if !is(MARK) && self.text.iter().any(|&byte| byte != 0) {
            return Err(LogFault::Padding);
        }
        if action == Action::Write {
            self.remaining = length;
        }
        Ok(LogEntry {
            number: self.given,
            start,
            length,
            action,
            flush: is(FLUSH),
            fua: is(FUA),
            metadata: is(METADATA),
        })
    }

    fn read_piece(&mut self, want: u64) -> Result<Option<Bytes>, LogFault> {
        if want == 0 {
            return Ok(None);
        }
        let mut piece = Vec::new();
        fill(&mut self.input, &mut piece, want)?;
        self.remaining -= want;
        Ok(Some(Bytes::from(piece)))
    }
}

/// Makes a log readable whether it is compressed with zstd or not, which its first bytes decide,
/// not its name. The result is buffered.
///
/// Windows of up to 2 GiB (`zstd --long=31`) are accepted, and cost as much memory as the
/// compressor said it used. Damage of the compressed form is reported by the reads that meet it,
/// as [`io::ErrorKind::InvalidData`].
///
/// # Errors
///
/// If the first bytes cannot be read, or there is no memory for a decoder.
pub fn decompressing(mut input: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut head = Vec::with_capacity(ZSTD_MAGIC.len());
    // Input shorter than the magic is passed on as it is: short, and then refused as a log.
    (&mut input).take(4).read_to_end(&mut head)?;
    let compressed = head == ZSTD_MAGIC;
    let whole = Cursor::new(head).chain(input);
    if !compressed {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, whole)));
    }
    let mut decoder = zstd::Decoder::new(whole)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    let decompressed = Decompressed { decoder };
    Ok(Box::new(BufReader::with_capacity(
        BUFFER_BYTES,
        decompressed,
    )))
}

/// Tells damage that the decoder found from failures of the input below it.
struct Decompressed<D> {
    decoder: D,
}

impl<D: Read> Read for Decompressed<D> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(into).map_err(|error| {
            let cause = error.get_ref();
            let found = cause.is_some_and(|cause| cause.is::<zstd::Error>());
            // A stream that is cut is reported with this kind, and without a code of its own.
            if found || error.kind() == io::ErrorKind::UnexpectedEof {
                io::Error::new(io::ErrorKind::InvalidData, error)
            } else {
                error
            }
        })
    }
}

/// Input that knows how much of it was read.
struct Counted<R> {
    input: R,
    offset: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.offset = self.offset.saturating_add(width(read));
        Ok(read)
    }
}

/// The number of entries and the sector size.
fn read_superblock(input: &mut impl Read) -> Result<(u64, u32), LogFault> {
    let mut fields = [0; 24];
    input.read_exact(&mut fields)?;
    let mut sector_size = [0; 4];
    input.read_exact(&mut sector_size)?;

    let mut rest = fields.as_slice();
    let magic = take(&mut rest);
    let version = take(&mut rest);
    let entries = take(&mut rest);
    let sector_size = u32::from_le_bytes(sector_size);
    if magic != MAGIC {
        return Err(LogFault::Magic(magic));
    }
    if version != VERSION {
        return Err(LogFault::Version(version));
    }
    if !sector_size.is_power_of_two() || !(SECTOR_SIZE_MIN..=SECTOR_SIZE_MAX).contains(&sector_size)
    {
        return Err(LogFault::SectorSize(sector_size));
    }
    skip(input, u64::from(sector_size) - SUPERBLOCK_LEN)?;
    Ok((entries, sector_size))
}

/// The text at the front of `room`, behind which there must be nothing.
fn read_mark(room: &[u8], len: u64) -> Result<String, LogFault> {
    let (text, padding) = usize::try_from(len)
        .ok()
        .and_then(|len| room.split_at_checked(len))
        .ok_or(LogFault::MarkLength(len))?;
    if padding.iter().any(|&byte| byte != 0) {
        return Err(LogFault::Padding);
    }
    let shown = String::from_utf8_lossy(text);
    Ok(shown.replace(char::is_control, "\u{fffd}"))
}

/// Reads exactly `want` bytes behind what `into` holds; memory grows with what arrives.
fn fill(input: &mut impl Read, into: &mut Vec<u8>, want: u64) -> Result<(), LogFault> {
    let reserve = usize::try_from(want.min(RESERVE_MAX)).expect("a mebibyte can be counted");
    into.reserve_exact(reserve);
    let read = input.take(want).read_to_end(into)?;
    if width(read) < want {
        return Err(LogFault::Truncated);
    }
    Ok(())
}

fn skip(input: &mut impl Read, want: u64) -> Result<(), LogFault> {
    let skipped = io::copy(&mut input.take(want), &mut io::sink())?;
    if skipped < want {
        return Err(LogFault::Truncated);
    }
    Ok(())
}

/// Takes the next field off the front.
fn take(rest: &mut &[u8]) -> u64 {
    let (field, tail) = rest
        .split_first_chunk()
        .expect("fields are taken off arrays that hold them");
    *rest = tail;
    u64::from_le_bytes(*field)
}

fn width(len: usize) -> u64 {
    u64::try_from(len).expect("usize is at most 64 bits")
}

impl LogFault {
    /// Where the fault is: input fails where reading stopped, anything else where it began.
    fn place(&self, start: u64, stopped: u64) -> u64 {
        match self {
            LogFault::Read(_) | LogFault::Damaged(_) | LogFault::Truncated | LogFault::Spent => {
                stopped
            }
            _ => start,
        }
    }
}

impl From<io::Error> for LogFault {
    fn from(error: io::Error) -> LogFault {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => LogFault::Truncated,
            io::ErrorKind::InvalidData => LogFault::Damaged(error),
            _ => LogFault::Read(error),
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "write log at byte {}", self.offset)?;
        if let Some(entry) = self.entry {
            write!(f, ", entry {entry}")?;
        }
        write!(f, ": {}", self.fault)
    }
}

impl error::Error for LogError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        // The fault is part of the sentence above, so the cause is what is below it.
        match &self.fault {
            LogFault::Read(cause) | LogFault::Damaged(cause) => Some(cause),
            _ => None,
        }
    }
}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogFault::Read(_) => write!(f, "input cannot be read"),
            LogFault::Damaged(_) => write!(f, "compressed input is damaged"),
            LogFault::Truncated => write!(f, "input ends before the log does"),
            LogFault::Magic(found) => write!(f, "magic is {found:#018x}, this is no write log"),
            LogFault::Version(found) => write!(f, "version {found} is not known"),
            LogFault::SectorSize(found) => {
                write!(
                    f,
                    "sector size {found} is not a power of two from 512 to 65536"
                )
            }
            LogFault::Flags(bits) => write!(f, "flags {bits:#x} are not known"),
            LogFault::Mixed => write!(f, "a mark also names sectors or a discard"),
            LogFault::Empty => write!(f, "it names no sectors and is neither flush nor mark"),
            LogFault::Range => write!(f, "extent runs past the end of the number space"),
            LogFault::MarkLength(len) => {
                write!(f, "mark of {len} bytes does not fit into its sector")
            }
            LogFault::Padding => write!(f, "bytes behind its fields are set"),
            LogFault::Spent => write!(f, "an earlier call failed"),
        }
    }
}

impl<R> fmt::Debug for LogReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader")
            .field("entries", &self.entries)
            .field("sector_size", &self.sector_size)
            .field("given", &self.given)
            .field("offset", &self.input.offset)
            .finish_non_exhaustive()
    }
}
