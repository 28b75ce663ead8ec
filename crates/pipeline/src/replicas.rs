//! Replica disks: beside the pipeline, not in its way.

use std::path::PathBuf;

use afterimage_changelog::Name;
use afterimage_storage::FileDisk;
use afterimage_target::{Applied, Replica};

use crate::{
    error::Error,
    points::{PointSelector, Points},
    restore::{RestoreProgress, advance, exists, is_device, open_record, record_path},
    stop::Stop,
};

/// A disk that follows the newest point: a raw file or a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSpec {
    /// Which disk of the group.
    pub disk: Name,
    /// Where it is.
    pub path: PathBuf,
    /// Where its progress record is; beside the file where none is given. A device needs one.
    pub record: Option<PathBuf>,
    /// Whether a file or device that has no record yet may be overwritten.
    pub take_over: bool,
}

/// How far a replica was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaReport {
    /// Which disk.
    pub disk: Name,
    /// The point it stands at now.
    pub point: u64,
    /// What was written.
    pub applied: Applied,
}

/// A replica whose disk and record are locked for this process.
#[derive(Debug)]
pub(crate) struct OpenReplica {
    spec: ReplicaSpec,
    disk: FileDisk,
    record: FileDisk,
}

impl ReplicaSpec {
    /// Refuses what cannot work, before anything is made.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let path = self.path.display();
        if is_device(&self.path) && self.record.is_none() {
            let what = format!("{path} is a device: say where its record is kept");
            return Err(Error::invalid(what));
        }
        if self.record.as_ref() == Some(&self.path) {
            let what = format!("{path} cannot be its own record");
            return Err(Error::invalid(what));
        }
        for file in [Some(&self.path), self.record.as_ref()]
            .into_iter()
            .flatten()
        {
            let folder = file
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            if folder.is_some_and(|folder| !folder.is_dir()) {
                let what = format!("{}: there is no such folder", file.display());
                return Err(Error::invalid(what));
            }
        }
        Ok(())
    }

    /// Where its record is.
    pub(crate) fn record(&self) -> PathBuf {
        let beside = || record_path(&self.path);
        self.record.clone().unwrap_or_else(beside)
    }

    /// Opens disk and record, or makes them, and locks both.
    fn open(&self, group: &Name, bytes: u64) -> Result<OpenReplica, Error> {
        let path = self.record();
        let (there, known) = (exists(&self.path), exists(&path));
        let foreign = || {
            Error::invalid(format!(
                "{} exists and is no replica of disk {} of group {group} (see {}); name another \
                 path, or allow it to be taken over (--take-over)",
                self.path.display(),
                self.disk,
                path.display()
            ))
        };
        if there && !known && !self.take_over {
            return Err(foreign());
        }
        // The record comes first: a disk without one is never believed to be ours.
        let record = open_record(&path)?;
        record.lock()?;
        if there {
            let disk = FileDisk::open(&self.path, true)?;
            disk.lock()?;
            let is_ours = Replica::open(&disk, &record, group, &self.disk)?.is_ours();
            if !is_ours && !self.take_over {
                return Err(foreign());
            }
            let spec = self.clone();
            return Ok(OpenReplica { spec, disk, record });
        }
        // What the record says is of a disk that is gone.
        Replica::forget(&record, group, &self.disk)?;
        let disk = FileDisk::create_new(&self.path, bytes)?;
        disk.lock()?;
        Replica::open(&disk, &record, group, &self.disk)?.adopt_blank()?;
        let spec = self.clone();
        Ok(OpenReplica { spec, disk, record })
    }

    /// Brings the replica to the newest point; opens it where it is not open yet.
    pub(crate) fn advance(
        &self,
        open: &mut Option<OpenReplica>,
        points: &Points,
        stop: &Stop,
    ) -> Result<Option<ReplicaReport>, Error> {
        let Some(point) = points.list().last() else {
            return Ok(None);
        };
        let geometry = points.disk(point.id, &self.disk)?;
        let group = &points.manifest().group;
        let OpenReplica { spec, disk, record } = match open {
            Some(open) => open,
            None => open.insert(self.open(group, geometry.bytes())?),
        };
        let mut replica = Replica::open(disk, record, group, &self.disk)?;
        let progress = RestoreProgress::default();
        let place = (&*disk, spec.path.as_path());
        let applied = advance(
            &mut replica,
            points,
            point.id,
            &self.disk,
            place,
            &progress,
            stop,
        )?;
        Ok(Some(ReplicaReport {
            disk: self.disk.clone(),
            point: point.id,
            applied,
        }))
    }

    /// The newest point.
    pub(crate) fn newest(points: &Points) -> Option<u64> {
        let newest = points.find(&PointSelector::Latest);
        newest.ok().map(|point| point.id)
    }
}
