//! Restoring a point to a file or block device.

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
};

use afterimage_changelog::{Name, SECTOR};
use afterimage_recovery::PointReader;
use afterimage_storage::{Disk, DraftDisk, FileDisk};
use afterimage_target::{
    Applied, Applier, Gaps, Mode, Replica, Stand, Standing, progress::PROGRESS_BYTES,
};

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
        if matches!(self.onto, Onto::Nothing) {
            if exists(&self.to) {
                let path = self.to.display();
                let what = format!("{path} exists already; give another path, or say what to do");
                return Err(Error::invalid(what));
            }
            return self.restored(
                points,
                id,
                self.draft(points, id, &self.to, false, progress, stop)?,
            );
        }
        // Symbolic links are followed, so that what they point to is replaced and not they.
        let to = self.to.canonicalize().map_err(|error| {
            Error::invalid(format!(
                "{} cannot be written over: {error}",
                self.to.display()
            ))
        })?;
        if !to.is_file() && !is_device(&to) {
            let what = format!("{} is neither a file nor a block device", to.display());
            return Err(Error::invalid(what));
        }
        // Whoever keeps a replica there holds this lock.
        let disk = FileDisk::open(&to, true)?;
        disk.lock()?;
        let standing = match &self.onto {
            Onto::Disk { standing } => standing.as_ref(),
            Onto::Nothing | Onto::Anything => None,
        };
        let applied = match &self.onto {
            Onto::Nothing | Onto::Anything if is_device(&to) => {
                self.whole(points, id, &disk, &to, Mode::Overwrite, progress, stop)?
            }
            Onto::Nothing | Onto::Anything => self.draft(points, id, &to, true, progress, stop)?,
            Onto::Disk { .. } => {
                self.check_size(points, id, standing, &disk, &to)?;
                if standing.is_none() && !exists(&record_path(&to)) {
                    // What an earlier try knew of the disk is not true for much longer.
                    let passing = passing_record_path(&to);
                    if exists(&passing) {
                        afterimage_storage::remove_file(&passing)?;
                    }
                    self.whole(points, id, &disk, &to, Mode::Compare, progress, stop)?
                } else {
                    self.step(points, id, standing, &disk, &to, progress, stop)?
                }
            }
        };
        self.restored(points, id, applied)
    }

    fn restored(&self, points: &Points, id: u64, applied: Applied) -> Result<Restored, Error> {
        Ok(Restored {
            point: id,
            disk_bytes: points.disk(id, &self.disk)?.bytes(),
            applied,
        })
    }

    /// Refuses a file that cannot be the disk: its size is neither that of the point it is to become
    /// nor that of the point it is said to be.
    fn check_size(
        &self,
        points: &Points,
        id: u64,
        standing: Option<&PointSelector>,
        disk: &FileDisk,
        to: &Path,
    ) -> Result<(), Error> {
        if is_device(to) || exists(&record_path(to)) {
            return Ok(());
        }
        let before = match standing {
            Some(standing) => points.find(standing)?.id,
            None => id,
        };
        let expected = points.disk(before, &self.disk)?.bytes();
        if disk.size() == expected {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{} has {} bytes and disk {} of point {before} has {expected}, so it is not that disk; \
             give another path, or overwrite it",
            to.display(),
            disk.size(),
            self.disk
        )))
    }

    /// Into a file that gets its name when it is whole.
    fn draft(
        &self,
        points: &Points,
        id: u64,
        to: &Path,
        overwrite: bool,
        progress: &RestoreProgress,
        stop: &Stop,
    ) -> Result<Applied, Error> {
        let point = points.open(&PointSelector::Id(id))?;
        let disk = point.disk(&self.disk)?;
        let draft = DraftDisk::new(to, disk.bytes())?;
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
    #[expect(clippy::too_many_arguments, reason = "two callers, both just above")]
    fn whole(
        &self,
        points: &Points,
        id: u64,
        disk: &FileDisk,
        to: &Path,
        mode: Mode,
        progress: &RestoreProgress,
        stop: &Stop,
    ) -> Result<Applied, Error> {
        let point = points.open(&PointSelector::Id(id))?;
        let geometry = point.disk(&self.disk)?;
        fit(disk, geometry.bytes(), to)?;
        disk.forget_memory()?;
        set(&progress.total_bytes, geometry.bytes());
        let all = 0..geometry.sectors;
        let extents = Gaps::new(point.extents(&self.disk, all.clone())?, all);
        let applied = applier(&point, disk, mode, progress, stop).apply(extents)?;
        cut(disk, geometry.bytes(), to)?;
        disk.flush()?;
        Ok(applied)
    }

    /// From the point the disk stands at to the other one, by what the layers between say.
    ///
    /// A replica has a record that says where it stands. For any other disk one is made, so that a
    /// crash on the way is known of, and goes away when the disk has arrived.
    #[expect(clippy::too_many_arguments, reason = "one caller, just above")]
    fn step(
        &self,
        points: &Points,
        id: u64,
        standing: Option<&PointSelector>,
        disk: &FileDisk,
        to: &Path,
        progress: &RestoreProgress,
        stop: &Stop,
    ) -> Result<Applied, Error> {
        let group = &points.manifest().group;
        let claimed = standing.map(|standing| points.find(standing)).transpose()?;
        let claimed = claimed.map(|point| Stand {
            id: point.id,
            cut: point.cut,
        });
        let is_replica = exists(&record_path(to));
        let path = if is_replica {
            record_path(to)
        } else {
            passing_record_path(to)
        };
        let record = open_record(&path)?;
        record.lock()?;
        let mut replica = Replica::open(disk, &record, group, &self.disk)?;
        if is_replica && !replica.is_ours() {
            let what = format!(
                "{} is no record of disk {} of group {group}",
                path.display(),
                self.disk
            );
            return Err(Error::invalid(what));
        }
        match (replica.standing(), claimed) {
            // A replica knows.
            (Some(_) | None, None) => {}
            // It was said to be there before, and is now on the way of that try or at its end.
            (Some(Standing::At(at)), Some(claimed)) if at == claimed => {}
            (Some(Standing::Moving { from, to }), Some(claimed))
                if [from, to].contains(&claimed) => {}
            (known, Some(_)) if is_replica => {
                let known = match known {
                    Some(Standing::At(at)) => format!("point {}", at.id),
                    _ => "no point that is known: somebody else wrote it".to_owned(),
                };
                return Err(Error::invalid(format!(
                    "{} is a replica, and by its record it stands at {known}; do not say where it \
                     stands",
                    to.display()
                )));
            }
            (Some(Standing::Moving { .. }), Some(_)) => {
                let what = format!(
                    "{} is on its way between two points, as {} says, and not where you say; say \
                     from where it came, or leave that out to have all of it compared",
                    to.display(),
                    path.display()
                );
                return Err(Error::invalid(what));
            }
            (_, Some(claimed)) => replica.adopt(claimed)?,
        }
        let applied = advance(
            &mut replica,
            points,
            id,
            &self.disk,
            (disk, to),
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
    let cut_of_point = points.find(&PointSelector::Id(id))?.cut;
    let sectors = points.disk(id, name)?.sectors;
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
    let stand = Stand {
        id,
        cut: cut_of_point,
    };
    set(&progress.total_bytes, sectors * SECTOR);
    let applied = replica.advance(&source, stand, sectors, &progress.done_bytes, stop.flag())?;
    // Only now: until it stands there, what lies beyond the end may still be needed.
    if cut(disk, sectors * SECTOR, path)? {
        disk.flush()?;
        replica.restamp()?;
    }
    Ok(applied)
}

pub(crate) fn applier<'a>(
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
        return Err(Error::invalid(what));
    }
    Ok(disk.set_size(bytes)?)
}

/// Makes a file no larger than the disk; says whether it was.
fn cut(disk: &FileDisk, bytes: u64, path: &Path) -> Result<bool, Error> {
    let is_larger = disk.size() > bytes && !is_device(path);
    if is_larger {
        disk.set_size(bytes)?;
    }
    Ok(is_larger)
}

/// Where the record of a replica file is.
pub(crate) fn record_path(disk: &Path) -> PathBuf {
    beside(disk, ".progress")
}

/// Where the record of a disk that is no replica is, while it is changed in place.
fn passing_record_path(disk: &Path) -> PathBuf {
    beside(disk, ".restore")
}

fn beside(disk: &Path, ending: &str) -> PathBuf {
    let mut path = disk.as_os_str().to_owned();
    path.push(ending);
    PathBuf::from(path)
}

/// Opens a record, or makes one that says nothing.
pub(crate) fn open_record(path: &Path) -> Result<FileDisk, Error> {
    if !exists(path) {
        return Ok(FileDisk::create_new(path, PROGRESS_BYTES)?);
    }
    let record = FileDisk::open(path, true)?;
    if record.size() == 0 {
        // Its maker crashed before it had a size.
        record.set_size(PROGRESS_BYTES)?;
    }
    if record.size() != PROGRESS_BYTES {
        let what = format!("{} is no record of a replica", path.display());
        return Err(Error::invalid(what));
    }
    Ok(record)
}

pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

pub(crate) fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata()
        .is_ok_and(|found| found.file_type().is_block_device())
}

pub(crate) fn set(counter: &AtomicU64, value: u64) {
    counter.store(value, std::sync::atomic::Ordering::Relaxed);
}
