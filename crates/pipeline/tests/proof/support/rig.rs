//! The machine that a run happens on: stores and disks of a simulated world, with what a mutant puts
//! between.

use std::{path::Path, sync::Arc};

use afterimage::storage::{Disk, Files, LocalStore, Nonces, Store, StoreError};
use afterimage_testkit::World;

use super::{scenario::Scenario, tearing::Tearing};

const CACHE: &str = "/srv/cache";
const TARGET: &str = "/srv/target";
const RESTORED: &str = "/srv/restored";
/// Bytes of a replica's record.
const RECORD_BYTES: u64 = 8192;

/// A replica: its disk and its record.
#[derive(Clone, Debug)]
pub(crate) struct DiskPair {
    pub(crate) data: Arc<dyn Disk>,
    pub(crate) record: Arc<dyn Disk>,
}

/// The stores of one process.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    pub(crate) cache: Arc<dyn Store>,
    pub(crate) target: Arc<dyn Store>,
    /// Where a restored disk gets its name.
    pub(crate) restored: Arc<dyn Store>,
}

/// Takes the target and the cache, gives the target.
pub(crate) type WrapTarget = fn(Arc<dyn Store>, Arc<dyn Store>) -> Arc<dyn Store>;

/// What stands between the code and the machine. Nothing, unless a mutant does.
#[derive(Clone, Copy)]
pub(crate) struct Wraps {
    pub(crate) files: fn(Arc<dyn Files>) -> Arc<dyn Files>,
    pub(crate) cache: fn(Arc<dyn Store>) -> Arc<dyn Store>,
    pub(crate) target: WrapTarget,
    pub(crate) replica: fn(DiskPair) -> DiskPair,
    /// A disk that a point is restored to.
    pub(crate) draft: fn(Arc<dyn Disk>) -> Arc<dyn Disk>,
}

impl Wraps {
    pub(crate) const NONE: Wraps = Wraps {
        files: |files| files,
        cache: |cache| cache,
        target: |target, _| target,
        replica: |pair| pair,
        draft: |disk| disk,
    };
}

/// One process on the machine.
#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) world: World,
    pub(crate) wraps: Wraps,
    /// Unlike that of every process that ran before in this world, and so are its ids.
    pub(crate) process: u64,
}

impl Rig {
    pub(crate) fn new(world: &World, wraps: Wraps, process: u64) -> Rig {
        Rig {
            world: world.clone(),
            wraps,
            process,
        }
    }

    fn store(&self, root: &str) -> Result<Arc<dyn Store>, StoreError> {
        let files = (self.wraps.files)(self.world.files());
        Ok(Arc::new(LocalStore::with_files(Path::new(root), files)?))
    }

    pub(crate) fn stores(&self) -> Result<Stores, StoreError> {
        let cache = (self.wraps.cache)(self.store(CACHE)?);
        let target = (self.wraps.target)(self.store(TARGET)?, Arc::clone(&cache));
        let restored = self.store(RESTORED)?;
        Ok(Stores {
            cache,
            target,
            restored,
        })
    }

    pub(crate) fn nonces(&self) -> Arc<Nonces> {
        Arc::new(Nonces::seeded(0x5eed ^ (self.process << 32)))
    }

    /// The replica of the disk with this number.
    pub(crate) fn replica(&self, scenario: &Scenario, number: usize) -> DiskPair {
        let disk = &scenario.disks[number];
        let record = self
            .world
            .disk(&format!("record of {}", disk.name), RECORD_BYTES);
        (self.wraps.replica)(DiskPair {
            data: self
                .world
                .disk(&format!("replica of {}", disk.name), disk.bytes()),
            record: Arc::new(Tearing(record)),
        })
    }

    /// The disk that the process with this number restores to.
    pub(crate) fn draft(&self, scenario: &Scenario, number: usize, process: u64) -> Arc<dyn Disk> {
        let disk = &scenario.disks[number];
        let name = format!("draft of {} by {process}", disk.name);
        (self.wraps.draft)(self.world.disk(&name, disk.bytes()))
    }
}
