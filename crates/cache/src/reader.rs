//! The service's side: segments in order, each checked against the one before it.

use std::{ops::Range, sync::Arc};

use afterimage_changelog::{
    Container, Digest, Epoch, Fidelity, Name, ObjectKind, Position, Sequence, container::Index,
};
use afterimage_storage::{Key, Store, StoreError, StoreErrorKind, Tail};
use bytes::Bytes;

use crate::{
    error::{CacheError, CacheErrorKind},
    name::{segment_key, segment_number, stream_prefix},
    writer::{open, open_with_tail},
};

/// A segment whose index has been read and whose place in the chain has been checked.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The key that it was read from.
    pub key: Key,
    /// Header, directory with the markers, and footer.
    pub container: Container,
    /// Its rows and frame entries.
    pub index: Index,
    /// Rows at its front that an earlier point covers already.
    pub covered_rows: usize,
    store: Arc<dyn Store>,
}

/// Reads one stream from the cache.
#[derive(Debug)]
pub struct StreamReader {
    store: Arc<dyn Store>,
    group: Name,
    stream: Name,
    /// The last record given, or the position the reader began at.
    at: Option<Position>,
    epoch: Epoch,
    /// Whether the segment that holds the position the reader began at may hold more.
    resuming: bool,
}

impl Segment {
    /// The position behind its last record.
    #[must_use]
    pub fn end(&self) -> Position {
        Position {
            segment: self.container.header.number,
            digest: self.container.digest(),
            sequence: self.container.footer.last,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Fetches stored bytes of the segment.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.store.read_range(&self.key, range)
    }
}

impl StreamReader {
    /// Begins behind `position`, or at the first segment there ever was.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        group: Name,
        stream: Name,
        position: Option<Position>,
    ) -> StreamReader {
        StreamReader {
            store,
            group,
            stream,
            at: position,
            epoch: Epoch(0),
            resuming: position.is_some(),
        }
    }

    /// The stream's name.
    #[must_use]
    pub const fn stream(&self) -> &Name {
        &self.stream
    }

    /// Whether somebody bills each request.
    #[must_use]
    pub fn is_billed(&self) -> bool {
        self.store.is_billed()
    }

    /// The next segment with records not yet covered; `None` where there is none yet.
    ///
    /// Its name is known, so this never lists.
    ///
    /// # Errors
    ///
    /// The store failed, the segment is damaged, or it does not go on where the one before it ended.
    pub fn next_segment(&mut self) -> Result<Option<Segment>, CacheError> {
        self.next_segment_of(&mut |_| None)
    }

    /// The number of the segment that comes next.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.at.map_or(0, |at| at.segment + 1)
    }

    /// Loads a segment of the stream elsewhere, to be given to
    /// [`next_segment_of`](StreamReader::next_segment_of) when it is its turn.
    pub fn loader(
        &self,
        number: u64,
    ) -> impl FnOnce() -> Result<Option<Segment>, CacheError> + Send + 'static {
        let (store, group, stream) = (
            Arc::clone(&self.store),
            self.group.clone(),
            self.stream.clone(),
        );
        move || {
            let key = segment_key(&group, &stream, number);
            load_segment(&store, &key, &group, &stream, number)
        }
    }

    /// As [`next_segment`](StreamReader::next_segment), with segments that were loaded before where
    /// `loaded` has them.
    ///
    /// # Errors
    ///
    /// Those of `next_segment`.
    pub fn next_segment_of(
        &mut self,
        loaded: &mut dyn FnMut(u64) -> Option<Segment>,
    ) -> Result<Option<Segment>, CacheError> {
        if self.resuming
            && let Some(position) = self.at
        {
            let Some(mut segment) = self.load(position.segment, None)? else {
                let key = segment_key(&self.group, &self.stream, position.segment);
                return Err(missing_anchor(&key));
            };
            if segment.end().digest != position.digest {
                return Err(self.gap(&segment.key, "is not the segment that was read before"));
            }
            let first = segment.container.header.first.0;
            let covered = (position.sequence.0 + 1).saturating_sub(first);
            segment.covered_rows = usize::try_from(covered)
                .unwrap_or(usize::MAX)
                .min(segment.index.rows.len());
            self.resuming = false;
            self.epoch = segment.container.header.epoch;
            if segment.covered_rows < segment.index.rows.len() {
                self.at = Some(segment.end());
                return Ok(Some(segment));
            }
        }
        let number = self.next_number();
        let Some(segment) = self.load(number, loaded(number))? else {
            return Ok(None);
        };
        self.check_chain(&segment)?;
        self.resuming = false;
        self.epoch = segment.container.header.epoch;
        self.at = Some(segment.end());
        Ok(Some(segment))
    }

    /// Where the next segment is not there, says whether a later one is. Lists once.
    ///
    /// # Errors
    ///
    /// A gap, or the store failed.
    pub fn check_no_gap(&self) -> Result<(), CacheError> {
        let next = self.at.map_or(0, |at| at.segment + 1);
        let prefix = stream_prefix(&self.group, &self.stream);
        let key = segment_key(&self.group, &self.stream, next);
        let before = next.checked_sub(1);
        let before = before.map(|number| segment_key(&self.group, &self.stream, number));
        let listed = self
            .store
            .list(&prefix, before.as_ref(), 1)
            .map_err(CacheError::store)?;
        match listed.first().and_then(|entry| segment_number(&entry.key)) {
            // A listing may be older than a create that it runs beside.
            Some(number)
                if number > next && !self.store.exists(&key).map_err(CacheError::store)? =>
            {
                let what = format!("is missing, but segment {number} is there");
                Err(self.gap(&key, &what))
            }
            _ => Ok(()),
        }
    }

    fn load(&self, number: u64, loaded: Option<Segment>) -> Result<Option<Segment>, CacheError> {
        let key = segment_key(&self.group, &self.stream, number);
        let loaded = match loaded {
            Some(segment) => Some(segment),
            None => load_segment(&self.store, &key, &self.group, &self.stream, number)?,
        };
        let fidelity = loaded
            .as_ref()
            .map(|segment| segment.container.header.fidelity);
        match (loaded, fidelity) {
            (Some(segment), Some(fidelity)) if fidelity != Fidelity::Data => {
                let what = format!("holds no order, only {}", fidelity.word());
                Err(self.gap(&segment.key, &what))
            }
            (loaded, _) => Ok(loaded),
        }
    }

    fn check_chain(&self, segment: &Segment) -> Result<(), CacheError> {
        let header = &segment.container.header;
        let (digest, next) = match self.at {
            None => (Digest::NONE, Sequence::FIRST),
            Some(at) => (at.digest, Sequence(at.sequence.0 + 1)),
        };
        if header.predecessor != digest {
            return Err(self.gap(
                &segment.key,
                "does not follow the segment that was read last",
            ));
        }
        if header.first != next {
            let what = format!("begins at record {} where {next} is due", header.first);
            return Err(self.gap(&segment.key, &what));
        }
        if header.epoch < self.epoch {
            return Err(self.gap(&segment.key, "is of an older epoch than the one before it"));
        }
        Ok(())
    }

    fn gap(&self, key: &Key, what: &str) -> CacheError {
        let advice = format!(
            "it {what}; the order of writes is lost here, so no point is made from stream {} until \
             it is resynchronised; points made before stay usable",
            self.stream
        );
        CacheError::new(key, CacheErrorKind::Gap(advice))
    }
}

/// Opens the segment that lies under a key, in a cache or elsewhere, whatever comes before it; `None`
/// where there is none.
///
/// # Errors
///
/// The store failed, or the segment is damaged or another one.
pub fn open_segment(
    store: &dyn Store,
    key: &Key,
    group: &Name,
    stream: &Name,
    number: u64,
) -> Result<Option<Container>, CacheError> {
    let opened = open_with_its_tail(store, key, group, stream, number)?;
    Ok(opened.map(|(container, _)| container))
}

fn open_with_its_tail(
    store: &dyn Store,
    key: &Key,
    group: &Name,
    stream: &Name,
    number: u64,
) -> Result<Option<(Container, Tail)>, CacheError> {
    let opened = match open_with_tail(store, key) {
        Err(CacheError {
            kind: CacheErrorKind::Store(error),
            ..
        }) if error.kind == StoreErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let header = &opened.0.header;
    if (header.kind, &header.group, &header.stream, header.number)
        != (ObjectKind::Segment, group, stream, number)
    {
        let owner = format!(
            "{}/{} as number {}",
            header.group, header.stream, header.number
        );
        return Err(CacheError::new(key, CacheErrorKind::Misplaced(owner)));
    }
    Ok(Some(opened))
}

/// Loads the segment that lies under a key, in a cache or elsewhere, and its index, whatever comes
/// before it; `None` where there is none.
///
/// # Errors
///
/// The store failed, or the segment is damaged or another one.
pub fn load_segment(
    from: &Arc<dyn Store>,
    key: &Key,
    group: &Name,
    stream: &Name,
    number: u64,
) -> Result<Option<Segment>, CacheError> {
    let store = from.as_ref();
    let Some((container, tail)) = open_with_its_tail(store, key, group, stream, number)? else {
        return Ok(None);
    };
    let index = container
        .index(|range| match tail.get(&range) {
            Some(bytes) => Ok(bytes),
            None => store.read_range(key, range),
        })
        .map_err(|error| CacheError::open(key, error))?;
    Ok(Some(Segment {
        key: key.clone(),
        container,
        index,
        covered_rows: 0,
        store: Arc::clone(from),
    }))
}

/// Checks that the cache is the one that a position was reached in: the segment that holds the last
/// covered record is never deleted before a later one is covered, so it is there and is the same.
///
/// # Errors
///
/// A gap where it is not, or the store failed.
pub fn check_anchor(
    store: &dyn Store,
    group: &Name,
    stream: &Name,
    position: &Position,
) -> Result<(), CacheError> {
    let key = segment_key(group, stream, position.segment);
    match open(store, &key) {
        Ok(container) if container.digest() == position.digest => Ok(()),
        Ok(_) => Err(CacheError::new(
            &key,
            CacheErrorKind::Gap(format!(
                "it is not the segment that the newest point ends in; {OTHER_CACHE}"
            )),
        )),
        Err(CacheError {
            kind: CacheErrorKind::Store(error),
            ..
        }) if error.kind == StoreErrorKind::NotFound => Err(missing_anchor(&key)),
        Err(error) => Err(error),
    }
}

const OTHER_CACHE: &str = "this is another cache, or it was emptied: what was written since is lost, \
                           so no point is made until the stream is resynchronised; points made \
                           before stay usable";

fn missing_anchor(key: &Key) -> CacheError {
    let what = format!("the segment that the newest point ends in is missing; {OTHER_CACHE}");
    CacheError::new(key, CacheErrorKind::Gap(what))
}
