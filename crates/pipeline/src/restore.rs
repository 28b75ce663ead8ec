//! Restoring a point to a file or block device.

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
};

use afterimage_changelog::{Disk as Geometry, Name, SECTOR};
use afterimage_recovery::PointReader;
use afterimage_storage::{Disk, DraftDisk, FileDisk};
use afterimage_target::{Applied, Applier, Gaps, Mode, Replica, Stand, progress::PROGRESS_BYTES};

use crate::{
    disk_of_point::DiskOfPoint,
    error::Error,
    points::{PointSelector, Points},
    stop::Stop,
};

/// What may be at the path before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Onto {
    /// Nothing: the disk appears there when it is whole.
    #[default]
    Nothing,
    /// A file, which the whole disk replaces at once, or a block device, which is overwritten.
    Anything,
    /// A disk, of which only what differs is written.
    Disk {
        /// The point it is known to stand at. Where none is given, a replica's own record says it,
        /// and for any other disk everything is read and compared.
        standing: Option<PointSelector>,
    },
}

/// A restore to be done.
#[derive(Clone, Debug)]
pub struct Restore {
    /// Which point.
    pub point: PointSelector,
    /// Which of its disks.
    pub disk: Name,
    /// Where to.
    pub to: PathBuf,
    /// Over what.
    pub onto: Onto,
}

/// Counts while a restore runs.
#[derive(Debug, Default)]
pub struct RestoreProgress {
    /// Bytes of the disk there are to be dealt with; 0 until that is known.
    pub total_bytes: AtomicU64,
    /// Bytes dealt with.
    pub done_bytes: AtomicU64,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Id of the point.
    pub point: u64,
    /// The disk's size in bytes.
    pub disk_bytes: u64,
    /// What was written.
    pub applied: Applied,
}

impl Restore {
    /// Restores. The disk is durable at its path when this returns.
    ///
    /// # Errors
    ///
    /// There is no such point or disk, a layer is missing or damaged, the path is taken, or the disk
    /// failed. With [`Onto::Nothing`], and onto a file with [`Onto::Anything`], nothing has changed
    /// at the path then.
    pub fn run(
        &self,
        points: &Points,
        progress: &RestoreProgress,
        stop: &Stop,
    ) -> Result<Restored, Error> {
        let id = points.find(&self.point)?.id;
        let device = is_device(&self.to);
        let applied = match &self.onto {
            Onto::Nothing if exists(&self.to) => {
                let path = self.to.display();
                let what = format!("{path} exists already; give another path, or say what to do");
                return Err(Error::invalid(what));
            }
            Onto::Anything if device => self.whole(points, id, Mode::Overwrite, progress, stop)?,
            Onto::Nothing => self.draft(points, id, false, progress, stop)?,
            Onto::Anything => self.draft(points, id, true, progress, stop)?,
            Onto::Disk { standing } => {
                let record = record_path(&self.to);
                if standing.is_none() && !exists(&record) {
                    self.whole(points, id, Mode::Compare, progress, stop)?
                } else {
                    self.step(points, id, standing.as_ref(), progress, stop)?
                }
            }
        };
        let point = points.find(&PointSelector::Id(id))?;
        let disks = points.manifest().disks(point).iter();
        let disk_bytes = disks
            .filter(|disk| disk.name == self.disk)
            .map(Geometry::bytes)
            .sum();
        Ok(Restored {
            point: id,
            disk_bytes,
            applied,
        })
    }

    /// Into a file that gets its name when it is whole.
    fn draft(
        &self,
        points: &Points,
        id: u64,
        overwrite: bool,
        progress: &RestoreProgress,
        stop: &Stop,
    ) -> Result<Applied, Error> {
        let point = points.open(&PointSelector::Id(id))?;
        let disk = point.disk(&self.disk)?;
        let draft = DraftDisk::new(&self.to, disk.bytes())?;
        let mut live = 0;
        for extent in point.extents(&self.disk, 0..disk.sectors)? {
            live += u64::from(extent?.sectors) * SECTOR;
        }
        set(&progress.total_bytes, live);
        let extents = point.extents(&self.disk, 0..disk.sectors)?;
        let applied = applier(&point, &draft, Mode::Blank, progress, stop).apply(extents)?;
        draft.publish(overwrite)?;
        Ok(applied)
    }

    /// The whole of a disk, over whatever is there.
    fn whole(
        &self,
        points: &Points,
        id: u64,
        mode: Mode,
        progress: &RestoreProgress,
        stop: &Stop,
    ) -> Result<Applied, Error> {
        let point = points.open(&PointSelector::Id(id))?;
        let geometry = point.disk(&self.disk)?;
        let disk = FileDisk::open(&self.to, true)?;
        fit(&disk, geometry.bytes(), &self.to)?;
        set(&progress.total_bytes, geometry.bytes());
        let all = 0..geometry.sectors;
        let extents = Gaps::new(point.extents(&self.disk, all.clone())?, all);
        let applied = applier(&point, &disk, mode, progress, stop).apply(extents)?;
        cut(&disk, geometry.bytes(), &self.to)?;
        disk.flush()?;
        Ok(applied)
    }

    /// From the point the disk stands at to the other one, by what the layers between say.
    fn step(
        &self,
        points: &Points,
        id: u64,
        standing: Option<&PointSelector>,
        progress: &RestoreProgress,
        stop: &Stop,
    ) -> Result<Applied, Error> {
        let group = &points.manifest().group;
        let disk = FileDisk::open(&self.to, true)?;
        let path = record_path(&self.to);
        let is_replica = exists(&path);
        let record = if is_replica {
            FileDisk::open(&path, true)?
        } else {
            FileDisk::create_new(&path, PROGRESS_BYTES)?
        };
        record.lock()?;
        let mut replica = Replica::open(&disk, &record, group, &self.disk)?;
        if let Some(standing) = standing.filter(|_| replica.standing().is_none()) {
            let point = points.find(standing)?;
            replica.adopt(Stand {
                id: point.id,
                cut: point.cut,
            })?;
        }
        let applied = advance(
            &mut replica,
            points,
            id,
            &self.disk,
            (&disk, &self.to),
            progress,
            stop,
        )?;
        if !is_replica {
            afterimage_storage::remove_file(&path)?;
        }
        Ok(applied)
    }
}

/// Brings a replica to a point, from wherever it stands.
pub(crate) fn advance(
    replica: &mut Replica<'_>,
    points: &Points,
    id: u64,
    name: &Name,
    (disk, path): (&FileDisk, &Path),
    progress: &RestoreProgress,
    stop: &Stop,
) -> Result<Applied, Error> {
    use afterimage_target::Standing;
    let to = points.find(&PointSelector::Id(id))?.clone();
    let geometry = points.manifest().disks(&to);
    let geometry = geometry.iter().find(|disk| disk.name == *name);
    let sectors = geometry
        .map(|disk| disk.sectors)
        .ok_or_else(|| Error::invalid(format!("point {id} has no disk {name}")))?;
    fit(disk, sectors * SECTOR, path)?;
    let stands: Vec<Stand> = match replica.standing() {
        Some(Standing::At(at)) => vec![at],
        Some(Standing::Moving { from, to }) => vec![from, to],
        Some(Standing::Rebuilding { .. }) | None => Vec::new(),
    };
    // The layers are read through the newest point that is involved and still there.
    let there = |stand: &&Stand| {
        let found = points.find(&PointSelector::Id(stand.id));
        found.is_ok_and(|point| point.cut == stand.cut)
    };
    let newest = stands.iter().filter(there).map(|stand| stand.id).max();
    let newest = newest.unwrap_or(id).max(id);
    let reader = points.open(&PointSelector::Id(newest))?;
    let source = DiskOfPoint {
        point: &reader,
        disk: name,
    };
    let stand = Stand { id, cut: to.cut };
    set(&progress.total_bytes, sectors * SECTOR);
    let applied = replica.advance(&source, stand, sectors, &progress.done_bytes, stop.flag())?;
    // Only now: until it stands there, what lies beyond the end may still be needed.
    cut(disk, sectors * SECTOR, path)?;
    disk.flush()?;
    Ok(applied)
}

fn applier<'a>(
    point: &'a PointReader,
    disk: &'a dyn Disk,
    mode: Mode,
    progress: &'a RestoreProgress,
    stop: &'a Stop,
) -> Applier<'a> {
    Applier {
        source: point,
        disk,
        mode,
        done_bytes: &progress.done_bytes,
        stop: stop.flag(),
    }
}

/// Makes a file as large as the disk, where it is smaller.
pub(crate) fn fit(disk: &FileDisk, bytes: u64, path: &Path) -> Result<(), Error> {
    if disk.size() >= bytes {
        return Ok(());
    }
    if is_device(path) {
        let what = format!(
            "{} has {} bytes, the disk has {bytes}; use a larger device",
            path.display(),
            disk.size()
        );
        return Err(Error::target(what));
    }
    Ok(disk.set_size(bytes)?)
}

/// Makes a file no larger than the disk.
fn cut(disk: &FileDisk, bytes: u64, path: &Path) -> Result<(), Error> {
    if disk.size() > bytes && !is_device(path) {
        disk.set_size(bytes)?;
    }
    Ok(())
}

/// Where the record of a replica file is.
pub(crate) fn record_path(disk: &Path) -> PathBuf {
    let mut path = disk.as_os_str().to_owned();
    path.push(".progress");
    PathBuf::from(path)
}

pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata()
        .is_ok_and(|found| found.file_type().is_block_device())
}

fn set(counter: &AtomicU64, value: u64) {
    counter.store(value, std::sync::atomic::Ordering::Relaxed);
}
