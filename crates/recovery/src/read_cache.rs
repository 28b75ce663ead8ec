//! What a reader keeps of what it has read: pages of indexes, resolved regions of disks, decoded
//! frames. All of it together stays under one limit; what is used seldom goes first.

use std::sync::Arc;

use afterimage_changelog::{FrameEntry, Row, count};
use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};

use crate::region::Region;

/// Bytes that a reader keeps where nothing else is said.
pub(crate) const CACHE_BYTES_DEFAULT: u64 = 64 << 20;
/// Bytes of pages that are kept where many objects are read from one end to the other.
pub(crate) const SWEEP_CACHE_BYTES: u64 = 32 << 20;

/// Names what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// A page of rows of an object.
    Rows(u32, u32),
    /// A page of frame entries of an object.
    Entries(u32, u32),
    /// A resolved region of a disk.
    Region(u16, u64),
    /// The payload of a frame of an object.
    Frame(u32, u32),
}

#[derive(Clone, Debug)]
enum Value {
    Rows(Arc<[Row]>),
    Entries(Arc<[FrameEntry]>),
    Region(Arc<Region>),
    Frame(Bytes),
}

#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<Key, Value> for Weigh {
    fn weight(&self, _key: &Key, value: &Value) -> u64 {
        // What the cache itself needs of each.
        const EACH: u64 = 128;
        EACH + match value {
            Value::Rows(rows) => length(rows) * bytes_of::<Row>(),
            Value::Entries(entries) => length(entries) * bytes_of::<FrameEntry>(),
            Value::Region(region) => region.bytes(),
            Value::Frame(payload) => count(payload.len()),
        }
    }
}

fn length<T>(items: &[T]) -> u64 {
    count(items.len())
}

fn bytes_of<T>() -> u64 {
    count(size_of::<T>())
}

/// What readers keep, under one limit. Objects are told apart by numbers that it gives out.
#[derive(Debug)]
pub(crate) struct ReadCache {
    cache: Cache<Key, Value, Weigh>,
}

macro_rules! kept {
    ($get:ident, $variant:ident, $value:ty, $one:ty, $other:ty) => {
        pub(crate) fn $get<E>(
            &self,
            one: $one,
            other: $other,
            load: impl FnOnce() -> Result<$value, E>,
        ) -> Result<$value, E> {
            let key = Key::$variant(one, other);
            if let Some(Value::$variant(known)) = self.cache.get(&key) {
                return Ok(known);
            }
            let loaded = load()?;
            self.cache.insert(key, Value::$variant(loaded.clone()));
            Ok(loaded)
        }
    };
}

impl ReadCache {
    pub(crate) fn new(bytes_max: u64) -> ReadCache {
        // A guess of how many things there are; it only sizes tables.
        const EACH: u64 = 32 << 10;
        let items = usize::try_from(bytes_max / EACH)
            .unwrap_or(usize::MAX)
            .max(16);
        ReadCache {
            cache: Cache::with_weighter(items, bytes_max, Weigh),
        }
    }

    kept!(rows, Rows, Arc<[Row]>, u32, u32);
    kept!(entries, Entries, Arc<[FrameEntry]>, u32, u32);
    kept!(region, Region, Arc<Region>, u16, u64);
    kept!(frame, Frame, Bytes, u32, u32);
}
