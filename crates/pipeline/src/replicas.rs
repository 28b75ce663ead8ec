//! Replica disks: beside the pipeline, not in its way.

use std::path::PathBuf;

use afterimage_changelog::Name;
use afterimage_storage::FileDisk;
use afterimage_target::{Applied, Replica, progress::PROGRESS_BYTES};

use crate::{
    error::Error,
    points::{PointSelector, Points},
    restore::{RestoreProgress, advance, exists, record_path},
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

impl ReplicaSpec {
    /// Brings the replica to the newest point.
    ///
    /// # Errors
    ///
    /// The disk failed or is not ours, or a layer could not be read.
    pub fn advance(&self, points: &Points, stop: &Stop) -> Result<Option<ReplicaReport>, Error> {
        let Some(point) = points.list().last() else {
            return Ok(None);
        };
        let geometry = points.manifest().disks(point).iter();
        let Some(geometry) = geometry.clone().find(|disk| disk.name == self.disk) else {
            let known: Vec<&str> = geometry.map(|disk| disk.name.as_str()).collect();
            let what = format!(
                "the group has no disk {}; it has {}",
                self.disk,
                known.join(", ")
            );
            return Err(Error::invalid(what));
        };
        let group = &points.manifest().group;
        let path = self
            .record
            .clone()
            .unwrap_or_else(|| record_path(&self.path));
        let there = exists(&self.path);
        if there && !exists(&path) && !self.take_over {
            let what = format!(
                "{} exists and is no replica of ours (no {}); name another path, or allow to take \
                 it over",
                self.path.display(),
                path.display()
            );
            return Err(Error::target(what));
        }
        // The record comes first: a disk without one is never believed to be ours.
        let record = if exists(&path) {
            FileDisk::open(&path, true)?
        } else {
            FileDisk::create_new(&path, PROGRESS_BYTES)?
        };
        // A worker that was paused and wakes up must not write beside the one that took over.
        record.lock()?;
        let disk = if there {
            FileDisk::open(&self.path, true)?
        } else {
            // What the record says is of a disk that is gone.
            Replica::forget(&record, group, &self.disk)?;
            FileDisk::create_new(&self.path, geometry.bytes())?
        };
        let mut replica = Replica::open(&disk, &record, group, &self.disk)?;
        if !there {
            replica.adopt_blank()?;
        }
        let progress = RestoreProgress::default();
        let applied = advance(
            &mut replica,
            points,
            point.id,
            &self.disk,
            (&disk, &self.path),
            &progress,
            stop,
        )?;
        Ok(Some(ReplicaReport {
            disk: self.disk.clone(),
            point: point.id,
            applied,
        }))
    }

    /// Finds the newest point and brings the replica there.
    pub(crate) fn newest(points: &Points) -> Option<u64> {
        points
            .find(&PointSelector::Latest)
            .ok()
            .map(|point| point.id)
    }
}
