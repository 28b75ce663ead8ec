//! A simulated machine that forgets what was not synced.
//!
//! A [`World`] holds files and disks. What is written is visible at once, and pending until it is
//! synced; a crash keeps of the pending changes whatever it likes:
//!
//! | change | pending until | what a crash leaves of it |
//! | --- | --- | --- |
//! | name linked, unlinked, made | `sync_dir` of its directory | for each name, any state it had since then |
//! | bytes of a file | `sync` of the file | for each write and each half of a torn one: the bytes, zeroes, or nothing at all where nothing later is left |
//! | sector of a disk | `flush` of the disk | for each sector, any content it had since then |
//!
//! Names of one directory, sectors and files are independent of each other, so a later change may
//! survive an earlier one. A directory whose own name is lost is lost with all that is below.
//!
//! A sync that fails drops what was pending: it stays visible, and no later sync makes it durable.
//! That is what Linux does with dirty pages that could not be written.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use afterimage_storage::Files;

use crate::{
    crash::CrashStates,
    random::Random,
    sim_disk::{DiskState, SECTOR, SimDisk},
    sim_files::{SimFiles, Tree},
};

/// A handle of a simulated machine; clones are the same machine.
#[derive(Clone, Debug)]
pub struct World {
    machine: Arc<Mutex<Machine>>,
}

/// What goes wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has no effect.
    Before(io::ErrorKind),
    /// It fails and has its effect all the same.
    After(io::ErrorKind),
}

/// Everything the machine holds, and what is about to happen to it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) tree: Tree,
    pub(crate) disks: BTreeMap<String, DiskState>,
    pub(crate) random: Random,
    operations: u64,
    power_off_at: Option<u64>,
    faults: BTreeMap<u64, Fault>,
}

impl World {
    /// A machine with an empty root directory and no disks. The seed decides where writes tear.
    #[must_use]
    pub fn new(seed: u64) -> World {
        World::from_machine(Machine {
            tree: Tree::new(),
            disks: BTreeMap::new(),
            random: Random::new(seed),
            operations: 0,
            power_off_at: None,
            faults: BTreeMap::new(),
        })
    }

    pub(crate) fn from_machine(machine: Machine) -> World {
        World {
            machine: Arc::new(Mutex::new(machine)),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Machine> {
        // A test that failed has poisoned it, and nobody looks at what it holds after that.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files of the machine, to put under a local store. Paths are absolute.
    #[must_use]
    pub fn files(&self) -> Arc<dyn Files> {
        Arc::new(SimFiles::new(self.clone()))
    }

    /// The disk with this name; made, full of zeroes, where there is none.
    ///
    /// # Panics
    ///
    /// If `size` is not a multiple of 512 bytes, or not the size of the disk that is there.
    #[must_use]
    pub fn disk(&self, name: &str, size: u64) -> Arc<SimDisk> {
        assert_eq!(size % SECTOR, 0, "a disk is made of whole sectors");
        let mut machine = self.lock();
        let state = machine
            .disks
            .entry(name.to_owned())
            .or_insert_with(|| DiskState::new(size));
        assert_eq!(state.size(), size, "the size of disk {name}");
        drop(machine);
        Arc::new(SimDisk::new(self.clone(), name, size))
    }

    /// Changing operations so far: each draft write, sync, link, unlink, directory made, directory
    /// synced, sector written, zero and flush is one.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Lets the power fail after `count` operations in all: whatever is called from then on, reads
    /// too, fails with "power is off".
    pub fn cut_power_after(&self, count: u64) {
        self.lock().power_off_at = Some(count);
    }

    /// Whether the power is off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.lock().check_power().is_err()
    }

    /// Lets one operation fail: the one for which [`operations`](World::operations) is `number`.
    pub fn fail_at(&self, number: u64, fault: Fault) {
        self.lock().faults.insert(number, fault);
    }

    /// The machine after the process died while the power stayed on: what is visible stays visible,
    /// what is pending stays pending. Drafts without a name are gone, and so are the faults and the
    /// power cut set before.
    #[must_use]
    pub fn restart(&self) -> World {
        let mut machine = self.lock().clone();
        machine.forget_plans();
        World::from_machine(machine)
    }

    /// The machines that a loss of power now may leave, each a legal state and none twice.
    ///
    /// All of them where there are at most `limit`. Otherwise `limit` of them by `seed`: nothing
    /// pending survived, everything did, then in turn all but one change, just one, and random
    /// choices. Fewer, where so many different ones are not found.
    #[must_use]
    pub fn crash_states(&self, limit: usize, seed: u64) -> CrashStates {
        CrashStates::new(self.lock().clone(), limit, seed)
    }

    /// How many ways there are to choose among the pending changes. Ways that differ only in what
    /// cannot be reached count more than once; [`crash_states`](World::crash_states) gives those
    /// once.
    #[must_use]
    pub fn crash_states_count(&self) -> u128 {
        CrashStates::new(self.lock().clone(), 0, 0).combinations()
    }
}

impl Machine {
    /// The machine after a crash that left these files and disks.
    pub(crate) fn succeeded_by(&self, tree: Tree, disks: BTreeMap<String, DiskState>) -> Machine {
        Machine {
            tree,
            disks,
            random: self.random.clone(),
            operations: 0,
            power_off_at: None,
            faults: BTreeMap::new(),
        }
    }

    /// Starts over the count, without faults.
    pub(crate) fn forget_plans(&mut self) {
        self.operations = 0;
        self.power_off_at = None;
        self.faults.clear();
    }

    /// An error where the power is off.
    pub(crate) fn check_power(&self) -> io::Result<()> {
        match self.power_off_at {
            Some(count) if self.operations >= count => Err(io::Error::other("power is off")),
            _ => Ok(()),
        }
    }

    /// Counts one operation; the fault it has to fail with, if any.
    pub(crate) fn count(&mut self) -> io::Result<Option<Fault>> {
        self.check_power()?;
        let number = self.operations;
        self.operations += 1;
        Ok(self.faults.remove(&number))
    }

    /// Counts one operation and does it, around the fault it may have.
    pub(crate) fn operate<T>(
        &mut self,
        operation: impl FnOnce(&mut Machine) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.count()? {
            None => operation(self),
            Some(Fault::Before(kind)) => Err(kind.into()),
            Some(Fault::After(kind)) => {
                operation(self)?;
                Err(kind.into())
            }
        }
    }
}
