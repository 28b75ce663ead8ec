//! Restoring the disk after any single write of the window that the target keeps.

use std::path::PathBuf;

use afterimage_changelog::{Name, Sequence};
use afterimage_storage::{Disk, DraftDisk, FileDisk};
use afterimage_target::Applied;

use crate::{
    error::Error,
    points::{PointSelector, Points},
    restore::{Onto, Restore, RestoreProgress, exists, fit, is_device, set},
    rewind::{Moment, Rewound},
    stop::Stop,
};

/// A restore of a disk as it was after one write.
#[derive(Clone, Debug)]
pub struct RestoreAt {
    /// After which write.
    pub moment: Moment,
    /// Which disk.
    pub disk: Name,
    /// Where to.
    pub to: PathBuf,
    /// Whether what is there is replaced: a file when the disk is whole, a block device as it goes.
    pub overwrite: bool,
}

/// What such a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredAt {
    /// The last record that the disk holds.
    pub sequence: Sequence,
    /// Id of the point that it was reached from.
    pub point: u64,
    /// The disk's size in bytes.
    pub disk_bytes: u64,
    /// What was written.
    pub applied: Applied,
}

impl RestoreAt {
    /// Restores. The disk is durable at its path when this returns.
    ///
    /// # Errors
    ///
    /// The write is not within the window or is part of a larger one, there is no such disk, an
    /// object is missing or damaged, the path is taken, or the disk failed. Unless the path is a
    /// block device nothing has changed there then.
    pub fn run(
        &self,
        points: &Points,
        progress: &RestoreProgress,
        stop: &Stop,
    ) -> Result<RestoredAt, Error> {
        let rewound = Rewound::find(points.store(), points, self.moment)?;
        let found = rewound.disks.iter().find(|disk| disk.name == self.disk);
        let disk = found.ok_or_else(|| {
            Error::invalid(format!("there was no disk {} at that write", self.disk))
        })?;
        set(&progress.total_bytes, disk.bytes());
        let applied = if self.overwrite && is_device(&self.to) {
            self.onto_device(points, &rewound, disk.bytes(), progress, stop)?
        } else {
            self.by_draft(points, &rewound, disk.bytes(), progress, stop)?
        };
        Ok(RestoredAt {
            sequence: rewound.sequence,
            point: rewound.point,
            disk_bytes: disk.bytes(),
            applied,
        })
    }

    /// Into a file that gets its name when it is whole.
    fn by_draft(
        &self,
        points: &Points,
        rewound: &Rewound,
        bytes: u64,
        progress: &RestoreProgress,
        stop: &Stop,
    ) -> Result<Applied, Error> {
        if exists(&self.to) && !self.overwrite {
            let path = self.to.display();
            let what = format!("{path} exists already; give another path, or say what to do");
            return Err(Error::invalid(what));
        }
        let draft = DraftDisk::new(&self.to, bytes)?;
        let applied = rewound.write(points, &self.disk, &draft, progress, stop)?;
        draft.publish(self.overwrite)?;
        Ok(applied)
    }

    fn onto_device(
        &self,
        points: &Points,
        rewound: &Rewound,
        bytes: u64,
        progress: &RestoreProgress,
        stop: &Stop,
    ) -> Result<Applied, Error> {
        let base = Restore {
            point: PointSelector::Id(rewound.point),
            disk: self.disk.clone(),
            to: self.to.clone(),
            onto: Onto::Anything,
        };
        let restored = base.run(points, progress, stop)?;
        let disk = FileDisk::open(&self.to, true)?;
        disk.lock()?;
        fit(&disk, bytes, &self.to)?;
        let over = rewound.apply(&self.disk, &disk, &progress.done_bytes, stop)?;
        disk.flush()?;
        Ok(restored.applied.and(over))
    }
}
