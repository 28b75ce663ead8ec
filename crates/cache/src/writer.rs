//! The agent's side: records in, segments out.

use std::sync::Arc;

use afterimage_changelog::{
    Container, ContainerBuilder, Digest, Disk, Epoch, Fidelity, Header, Marker, MarkerKind, Name,
    ObjectId, ObjectKind, Row, RowKind, SECTOR, Sequence, Timestamp,
    container::tail_bytes,
    count,
    frame::FrameEncoder,
    length,
    limits::{DISKS_MAX, FRAME_BYTES_DEFAULT, FRAME_BYTES_MAX},
    marker::marker_name,
    size,
};
use afterimage_storage::{Key, Nonces, Store, StoreErrorKind, Tail};
use bytes::{Bytes, BytesMut};

use crate::{
    error::{CacheError, CacheErrorKind},
    name::{claim_key, claimed_epoch, segment_key, segment_number, stream_prefix},
};

/// When a segment is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLimits {
    /// Raw bytes of a frame, a multiple of the sector size of every disk. Default 64 KiB, at most
    /// 1 MiB.
    pub frame_bytes: u32,
    /// Stored bytes after which a segment is sealed. Default 16 MiB.
    pub segment_bytes: u64,
    /// Rows after which a segment is sealed. Default 262,144.
    pub segment_rows: u64,
}

impl Default for SegmentLimits {
    fn default() -> SegmentLimits {
        SegmentLimits {
            frame_bytes: FRAME_BYTES_DEFAULT,
            segment_bytes: 16 << 20,
            segment_rows: 1 << 18,
        }
    }
}

/// What a writer needs besides the store.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// The group.
    pub group: Name,
    /// The stream.
    pub stream: Name,
    /// The disks that will be written. Disks the stream had before stay in it.
    pub disks: Vec<Disk>,
    /// When a segment is sealed.
    pub limits: SegmentLimits,
    /// The zstd level of its frames; 1 where nothing speaks against it.
    pub level: i32,
}

/// Writes one stream into the cache.
///
/// A write is durable once [`StreamWriter::seal`] has returned after it, not before; dropping the
/// writer drops what was not sealed.
#[derive(Debug)]
pub struct StreamWriter {
    store: Arc<dyn Store>,
    nonces: Arc<Nonces>,
    options: WriterOptions,
    epoch: Epoch,
    /// Number of the segment being written.
    number: u64,
    predecessor: Digest,
    /// The next record.
    sequence: Sequence,
    encoder: FrameEncoder,
    segment: Option<OpenSegment>,
    sealed_bytes: u64,
    /// Whether a segment of this epoch is known to go on where the stream ended.
    is_owner: bool,
    failed: bool,
}

#[derive(Debug)]
struct OpenSegment {
    builder: ContainerBuilder,
    body: Vec<Bytes>,
    frame: BytesMut,
}

impl StreamWriter {
    /// Takes a stream over: goes on behind its last segment, with a higher epoch that it claims for
    /// itself. The old writer, if one is left, is fenced out by the first segment sealed here.
    ///
    /// What an earlier writer left visible is made durable before it is believed: whoever asks for
    /// [`StreamWriter::last`] may forget the records up to it.
    ///
    /// # Errors
    ///
    /// The store failed, the last segment is damaged, or frames would cut sectors of a disk.
    pub fn open(
        store: Arc<dyn Store>,
        nonces: Arc<Nonces>,
        mut options: WriterOptions,
    ) -> Result<StreamWriter, CacheError> {
        store
            .settle(&stream_prefix(&options.group, &options.stream))
            .map_err(CacheError::store)?;
        let (head, claimed) = head(store.as_ref(), &options.group, &options.stream)?;
        let (epoch, number, predecessor, sequence) = match &head {
            None => (Epoch(0), 0, Digest::NONE, Sequence::FIRST),
            Some(Container { header, footer, .. }) => (
                header.epoch,
                header.number + 1,
                footer.digest,
                Sequence(footer.last.0 + 1),
            ),
        };
        if let Some(head) = head {
            options.disks = joined(head.header.disks, options.disks);
        }
        check_frames(&options)?;
        let epoch = claim(store.as_ref(), &options, &nonces, epoch.max(claimed))?;
        let encoder = FrameEncoder::new(options.level);
        Ok(StreamWriter {
            store,
            nonces,
            options,
            epoch,
            number,
            predecessor,
            sequence,
            encoder,
            segment: None,
            sealed_bytes: 0,
            is_owner: false,
            failed: false,
        })
    }

    /// The disks of the stream, in the numbering that writes use.
    #[must_use]
    pub fn disks(&self) -> &[Disk] {
        &self.options.disks
    }

    /// Sequence of the record before the next one.
    #[must_use]
    pub const fn last(&self) -> Sequence {
        Sequence(self.sequence.0 - 1)
    }

    /// Stored bytes of the segments sealed here so far.
    #[must_use]
    pub const fn sealed_bytes(&self) -> u64 {
        self.sealed_bytes
    }

    /// Records a write of `payload` from sector `start` on.
    ///
    /// # Errors
    ///
    /// The disk cannot hold it, or a segment could not be sealed.
    ///
    /// # Panics
    ///
    /// Never: writes are cut to frames, and segments are sealed before they are full.
    pub fn write(
        &mut self,
        disk: u16,
        start: u64,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<(), CacheError> {
        if !length(payload).is_multiple_of(SECTOR) {
            return Err(self.invalid(format!("a write of {} bytes", payload.len())));
        }
        self.check(disk, start, length(payload) / SECTOR)?;
        if payload.iter().all(|&byte| byte == 0) {
            return self.zero(disk, start, length(payload) / SECTOR, now);
        }
        let frame_bytes = size(u64::from(self.options.limits.frame_bytes));
        let mut at = start;
        for (index, piece) in payload.chunks(frame_bytes).enumerate() {
            let sectors = u32::try_from(length(piece) / SECTOR).expect("a piece fits a frame");
            self.make_room()?;
            let fits = self.open_segment(now).frame.len() + piece.len() <= frame_bytes;
            if !fits {
                self.close_frame();
            }
            let segment = self.open_segment(now);
            let frame = u32::try_from(segment.builder.frames().len()).expect("frames are limited");
            let offset = u16::try_from(length(&segment.frame) / SECTOR).expect("frames are small");
            segment.frame.extend_from_slice(piece);
            segment.builder.push_row(&Row {
                kind: RowKind::Write { frame, offset },
                continued: index > 0,
                disk,
                sectors,
                start: at,
            });
            self.sequence.0 += 1;
            at += u64::from(sectors);
        }
        self.seal_if_due()
    }

    /// Records that sectors were discarded or written with zeroes.
    ///
    /// # Errors
    ///
    /// As for [`StreamWriter::write`].
    pub fn zero(
        &mut self,
        disk: u16,
        start: u64,
        sectors: u64,
        now: Timestamp,
    ) -> Result<(), CacheError> {
        self.check(disk, start, sectors)?;
        // Whole disk sectors, whatever their size.
        const STEP: u32 = !7;
        let (mut at, end) = (start, start + sectors);
        while at < end {
            let piece = u32::try_from(end - at).unwrap_or(STEP).min(STEP);
            self.make_room()?;
            self.open_segment(now).builder.push_row(&Row {
                kind: RowKind::Zero,
                continued: at > start,
                disk,
                sectors: piece,
                start: at,
            });
            self.sequence.0 += 1;
            at += u64::from(piece);
        }
        self.seal_if_due()
    }

    /// Records that a point may be cut here. The frame is closed, so that it belongs to one interval.
    ///
    /// # Errors
    ///
    /// A segment could not be sealed.
    pub fn mark(
        &mut self,
        kind: MarkerKind,
        name: &str,
        cut: ObjectId,
        time: Timestamp,
    ) -> Result<(), CacheError> {
        self.check_running()?;
        self.make_room()?;
        self.close_frame();
        let sequence = self.sequence;
        let segment = self.open_segment(time);
        let name = marker_name(name);
        let number = segment.builder.push_marker(Marker {
            sequence,
            kind,
            time,
            cut,
            name,
        });
        segment.builder.push_row(&Row {
            kind: RowKind::Marker,
            continued: false,
            disk: 0,
            sectors: 0,
            start: number,
        });
        self.sequence.0 += 1;
        self.seal_if_due()
    }

    /// Makes everything recorded so far durable in the cache.
    ///
    /// # Errors
    ///
    /// The store failed, or another writer has taken over; this writer is of no more use then.
    pub fn seal(&mut self) -> Result<(), CacheError> {
        self.check_running()?;
        self.close_frame();
        let Some(OpenSegment { builder, body, .. }) = self.segment.take() else {
            return Ok(());
        };
        let sealed = builder.finish(Sequence(self.sequence.0 - 1));
        let mut parts = body;
        parts.push(sealed.tail);
        let key = segment_key(&self.options.group, &self.options.stream, self.number);
        // Until the outcome is known nothing else may go to this number.
        self.failed = true;
        self.create(&key, &parts, sealed.digest)?;
        if !self.is_owner || self.is_taken_over()? {
            self.check_last(&key)?;
        }
        self.is_owner = true;
        self.failed = false;
        self.number += 1;
        self.predecessor = sealed.digest;
        self.sealed_bytes += sealed.object_bytes;
        Ok(())
    }

    /// Creates the segment; where the outcome is in doubt, what is there decides.
    fn create(&self, key: &Key, parts: &[Bytes], digest: Digest) -> Result<(), CacheError> {
        const ATTEMPTS: u32 = 4;
        let mut attempt = 1;
        loop {
            let Err(error) = self.store.create(key, parts) else {
                return Ok(());
            };
            let in_doubt = error.kind == StoreErrorKind::AlreadyExists
                || error.effect == afterimage_storage::Effect::Unknown
                    && error.kind != StoreErrorKind::NotDurable;
            if !in_doubt {
                return Err(CacheError::store(error));
            }
            match open(self.store.as_ref(), key) {
                // Of a create that was not reported as done it is only known that it is visible.
                Ok(there) if there.digest() == digest => {
                    let prefix = stream_prefix(&self.options.group, &self.options.stream);
                    return self.store.settle(&prefix).map_err(CacheError::store);
                }
                Ok(_) => return Err(CacheError::new(key, CacheErrorKind::Fenced)),
                Err(CacheError {
                    kind: CacheErrorKind::Store(reading),
                    ..
                }) if reading.kind == StoreErrorKind::NotFound => {
                    // Not there, or not yet: the same bytes may go to the same name again.
                    if attempt == ATTEMPTS {
                        return Err(CacheError::store(error));
                    }
                    attempt += 1;
                }
                Err(reading) => return Err(reading),
            }
        }
    }

    /// Whether anybody has opened the stream since: only he can have used and covered a number of ours.
    fn is_taken_over(&self) -> Result<bool, CacheError> {
        let WriterOptions { group, stream, .. } = &self.options;
        let claim = claim_key(group, stream, Epoch(self.epoch.0 + 1));
        self.store.exists(&claim).map_err(CacheError::store)
    }

    /// A number may have been free because it was covered and deleted: then another writer went on
    /// long ago, and nobody will read what was written here. The last segment of a stream is never
    /// deleted, so its writer is always the one with nothing behind it.
    fn check_last(&self, key: &Key) -> Result<(), CacheError> {
        let prefix = stream_prefix(&self.options.group, &self.options.stream);
        match is_last(self.store.as_ref(), &prefix, key)? {
            true => Ok(()),
            false => Err(CacheError::new(key, CacheErrorKind::Fenced)),
        }
    }

    fn check(&self, disk: u16, start: u64, sectors: u64) -> Result<(), CacheError> {
        self.check_running()?;
        let Some(known) = self.options.disks.get(usize::from(disk)) else {
            return Err(self.invalid(format!("a write to disk {disk}, which it does not have")));
        };
        if known.holds(start, sectors) {
            return Ok(());
        }
        Err(self.invalid(format!(
            "a write of {sectors} sectors at sector {start} does not fit disk {} of {} sectors of \
             {} bytes",
            known.name,
            known.bytes() / known.sector_size.bytes(),
            known.sector_size.bytes()
        )))
    }

    fn check_running(&self) -> Result<(), CacheError> {
        if self.failed {
            Err(self.invalid("this writer failed before; open a new one".to_owned()))
        } else {
            Ok(())
        }
    }

    fn invalid(&self, what: String) -> CacheError {
        let prefix = stream_prefix(&self.options.group, &self.options.stream);
        CacheError::new(&prefix, CacheErrorKind::Invalid(what))
    }

    /// Seals the open segment where one more row and frame might not fit it.
    fn make_room(&mut self) -> Result<(), CacheError> {
        let full = self.segment.as_ref().is_some_and(|segment| {
            !segment
                .builder
                .fits(2, 2 * u64::from(FRAME_BYTES_MAX) + length(&segment.frame))
        });
        if full { self.seal() } else { Ok(()) }
    }

    fn seal_if_due(&mut self) -> Result<(), CacheError> {
        let SegmentLimits {
            segment_bytes,
            segment_rows,
            ..
        } = self.options.limits;
        // Payload that compresses to next to nothing reaches the limit of frames first.
        const FRAMES: usize = 1 << 14;
        let due = self.segment.as_ref().is_some_and(|segment| {
            segment.builder.stored_bytes() >= segment_bytes
                || segment.builder.rows() >= segment_rows
                || segment.builder.frames().len() >= FRAMES
        });
        if due { self.seal() } else { Ok(()) }
    }

    fn open_segment(&mut self, now: Timestamp) -> &mut OpenSegment {
        let StreamWriter {
            options,
            epoch,
            number,
            predecessor,
            sequence,
            nonces,
            segment,
            ..
        } = self;
        segment.get_or_insert_with(|| {
            let builder = ContainerBuilder::new(Header {
                kind: ObjectKind::Segment,
                id: ObjectId(nonces.next()),
                fidelity: Fidelity::Data,
                epoch: *epoch,
                number: *number,
                first: *sequence,
                created: now,
                predecessor: *predecessor,
                group: options.group.clone(),
                stream: options.stream.clone(),
                disks: options.disks.clone(),
            });
            let body = vec![builder.header_bytes()];
            OpenSegment {
                builder,
                body,
                frame: BytesMut::new(),
            }
        })
    }

    fn close_frame(&mut self) {
        if let Some(segment) = &mut self.segment
            && !segment.frame.is_empty()
        {
            let frame = self.encoder.encode(segment.frame.split().freeze());
            segment.builder.push_frame(&frame);
            segment.body.push(frame.bytes);
        }
    }
}

/// Refuses frames that writes cannot be cut to: nobody could read the segments.
fn check_frames(options: &WriterOptions) -> Result<(), CacheError> {
    let frame_bytes = options.limits.frame_bytes;
    if options.disks.len() > usize::from(DISKS_MAX) {
        return Err(CacheError::new(
            &stream_prefix(&options.group, &options.stream),
            CacheErrorKind::Invalid(format!("a stream has at most {DISKS_MAX} disks")),
        ));
    }
    let cuts = |disk: &Disk| !u64::from(frame_bytes).is_multiple_of(disk.sector_size.bytes());
    let what = match options.disks.iter().find(|disk| cuts(disk)) {
        _ if frame_bytes == 0 || frame_bytes > FRAME_BYTES_MAX => "are none".to_owned(),
        Some(disk) => format!(
            "would cut the sectors of disk {}, which have {} bytes",
            disk.name,
            disk.sector_size.bytes()
        ),
        None => return Ok(()),
    };
    Err(CacheError::new(
        &stream_prefix(&options.group, &options.stream),
        CacheErrorKind::Invalid(format!("frames of {frame_bytes} bytes {what}")),
    ))
}

/// Claims the first epoch behind `behind` that nobody has; it is this writer's alone.
///
/// So a writer that finds the epoch after its own unclaimed knows that nobody has opened the stream since.
fn claim(
    store: &dyn Store,
    options: &WriterOptions,
    nonces: &Nonces,
    behind: Epoch,
) -> Result<Epoch, CacheError> {
    let mut epoch = behind;
    loop {
        epoch.0 += 1;
        let key = claim_key(&options.group, &options.stream, epoch);
        let body = Bytes::copy_from_slice(&nonces.next());
        let Err(error) = store.create(&key, std::slice::from_ref(&body)) else {
            return Ok(epoch);
        };
        let in_doubt = error.kind == StoreErrorKind::AlreadyExists
            || error.effect == afterimage_storage::Effect::Unknown;
        match in_doubt.then(|| store.read(&key)) {
            // Of a create that was not reported as done it is only known that it is visible.
            Some(Ok(there)) if there == body => {
                let prefix = stream_prefix(&options.group, &options.stream);
                let settled = store.settle(&prefix);
                return settled.map(|()| epoch).map_err(CacheError::store);
            }
            Some(Ok(_)) => {}
            Some(Err(reading)) if error.kind == StoreErrorKind::AlreadyExists => {
                return Err(CacheError::store(reading));
            }
            Some(Err(_)) | None => return Err(CacheError::store(error)),
        }
    }
}

/// Opens the last segment of a stream; gives the last epoch that was claimed besides.
fn head(
    store: &dyn Store,
    group: &Name,
    stream: &Name,
) -> Result<(Option<Container>, Epoch), CacheError> {
    // Each time another writer has gone on in between.
    const ATTEMPTS: u32 = 8;
    let prefix = stream_prefix(group, stream);
    for _ in 0..ATTEMPTS {
        let (last, claimed) = last_of(store, &prefix)?;
        let Some(key) = last else {
            return Ok((None, claimed));
        };
        let opened = open(store, &key);
        // Since it was listed it may have been covered and deleted, and even created anew by a writer
        // that slept: one with segments behind it is not the last one, whatever it holds.
        if !is_last(store, &prefix, &key)? {
            continue;
        }
        let head = opened?;
        let header = &head.header;
        if (header.kind, &header.group, &header.stream) == (ObjectKind::Segment, group, stream)
            && Some(header.number) == segment_number(&key)
        {
            return Ok((Some(head), claimed));
        }
        let owner = format!(
            "{}/{} as number {}",
            header.group, header.stream, header.number
        );
        return Err(CacheError::new(&key, CacheErrorKind::Misplaced(owner)));
    }
    Err(CacheError::new(&prefix, CacheErrorKind::Fenced))
}

/// The key of a stream's last segment, and the last epoch that was claimed.
fn last_of(store: &dyn Store, prefix: &Key) -> Result<(Option<Key>, Epoch), CacheError> {
    const PAGE: usize = 1000;
    let (mut last, mut claimed) = (None, Epoch(0));
    let mut after: Option<Key> = None;
    loop {
        let page = store
            .list(prefix, after.as_ref(), PAGE)
            .map_err(CacheError::store)?;
        let full = count(page.len()) == count(PAGE);
        let keys = || page.iter().map(|entry| &entry.key);
        last = keys()
            .rfind(|key| segment_number(key).is_some())
            .cloned()
            .or(last);
        claimed = keys().filter_map(claimed_epoch).fold(claimed, Epoch::max);
        after = page.last().map(|entry| entry.key.clone());
        if !full {
            return Ok((last, claimed));
        }
    }
}

/// Whether no segment is behind this one.
fn is_last(store: &dyn Store, prefix: &Key, key: &Key) -> Result<bool, CacheError> {
    let mut after = key.clone();
    loop {
        let listed = store
            .list(prefix, Some(&after), 1)
            .map_err(CacheError::store)?;
        match listed.into_iter().next() {
            None => return Ok(true),
            // Claims are behind all segments.
            Some(entry) if claimed_epoch(&entry.key).is_some() => return Ok(true),
            Some(entry) if segment_number(&entry.key).is_some() => return Ok(false),
            Some(entry) => after = entry.key,
        }
    }
}

pub(crate) fn open(store: &dyn Store, key: &Key) -> Result<Container, CacheError> {
    Ok(open_with_tail(store, key)?.0)
}

/// Opens an object, and gives what was read of its end besides.
pub(crate) fn open_with_tail(
    store: &dyn Store,
    key: &Key,
) -> Result<(Container, Tail), CacheError> {
    let tail = store
        .read_tail(key, tail_bytes(store.is_billed()))
        .map_err(CacheError::store)?;
    let container = Container::open(tail.size, &tail.bytes, |range| store.read_range(key, range));
    let container = container.map_err(|error| CacheError::open(key, error))?;
    Ok((container, tail))
}

/// The disks of before, with the size and sector size of now, and the new ones behind them.
fn joined(before: Vec<Disk>, now: Vec<Disk>) -> Vec<Disk> {
    let mut disks = before;
    for disk in now {
        match disks.iter_mut().find(|known| known.name == disk.name) {
            Some(known) => *known = disk,
            None => disks.push(disk),
        }
    }
    disks
}
