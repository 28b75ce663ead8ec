//! Moving a disk from point to point, so that after any crash it is known what has to be written.

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, AtomicU64},
};

use afterimage_changelog::{Name, SECTOR};
use afterimage_coalesce::Extent;
use afterimage_fetch::{FetchError, FrameSource};
use afterimage_storage::{Disk, Stamp};

use crate::{
    applier::{Applied, Applier, Mode},
    areas::Areas,
    error::TargetError,
    gaps::Gaps,
    progress::{Progress, Stand, Standing},
};

/// Extents as a source gives them.
pub type Extents<'a> = Box<dyn Iterator<Item = Result<Extent, FetchError>> + 'a>;

/// One disk of the points of a group, read from layers in order of age.
pub trait PointSource: FrameSource {
    /// How many of the layers belong to points up to this one; `None` where that point is not there.
    fn layers_up_to(&self, stand: Stand) -> Option<usize>;

    /// The live extents of some of the layers between two sectors, in address order.
    ///
    /// # Errors
    ///
    /// The points have no such disk.
    fn extents(
        &self,
        layers: Range<usize>,
        sectors: Range<u64>,
    ) -> Result<Extents<'_>, TargetError>;
}

/// A disk that follows the points of a group. Private to one worker; it can always be rebuilt.
#[derive(Debug)]
pub struct Replica<'a> {
    disk: &'a dyn Disk,
    progress: Progress<'a>,
}

/// What is to be written, and over what.
enum Way {
    /// Nothing: the disk stands there.
    None,
    /// What the layers between say; they end at the point.
    Forward(Range<usize>),
    /// The point's content wherever the layers between wrote anything.
    Areas(Range<usize>),
    /// Everything, where it differs.
    Whole,
}

impl<'a> Replica<'a> {
    /// Opens a replica by its record. Where somebody else wrote the disk since, or it is another one,
    /// nothing is known of its content.
    ///
    /// # Errors
    ///
    /// The record could not be read.
    pub fn open(
        disk: &'a dyn Disk,
        record: &'a dyn Disk,
        group: &Name,
        name: &Name,
    ) -> Result<Replica<'a>, TargetError> {
        let mut progress = Progress::load(record, group, name)?;
        let (then, now) = (progress.stamp(), disk.stamp()?);
        let is_same = match progress.standing() {
            Some(Standing::At(_)) => then == now,
            // While it was on its way it changed, but it is still the same file.
            Some(Standing::Moving { .. }) => then.file == now.file,
            Some(Standing::Rebuilding { .. }) | None => true,
        };
        if !is_same {
            progress.distrust();
        }
        Ok(Replica { disk, progress })
    }

    /// What is known of the disk's content.
    #[must_use]
    pub const fn standing(&self) -> Option<Standing> {
        self.progress.standing()
    }

    /// Whether the record is one of this disk of this group, whatever it says.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        self.progress.is_ours()
    }

    /// Records that the disk is what it is now, after its size was changed with nothing else.
    ///
    /// # Errors
    ///
    /// The record could not be written.
    pub fn restamp(&mut self) -> Result<(), TargetError> {
        match self.standing() {
            Some(standing) => self.record(standing),
            None => Ok(()),
        }
    }

    fn record(&mut self, standing: Standing) -> Result<(), TargetError> {
        let stamp = self.disk.stamp()?;
        Ok(self.progress.record(standing, stamp)?)
    }

    /// Makes what the record of a disk says void, durably: before the disk is made anew.
    ///
    /// # Errors
    ///
    /// The record could not be read or written.
    pub fn forget(record: &dyn Disk, group: &Name, name: &Name) -> Result<(), TargetError> {
        let to = Stand::default();
        let mut progress = Progress::load(record, group, name)?;
        Ok(progress.record(Standing::Rebuilding { to }, Stamp::default())?)
    }

    /// Takes a disk that was just created, and holds zeroes throughout, as a replica.
    ///
    /// # Errors
    ///
    /// The record could not be written.
    pub fn adopt_blank(&mut self) -> Result<(), TargetError> {
        self.record(Standing::At(Stand::default()))
    }

    /// Takes a disk that someone says is a point as one.
    ///
    /// # Errors
    ///
    /// The record could not be written.
    pub fn adopt(&mut self, stand: Stand) -> Result<(), TargetError> {
        self.record(Standing::At(stand))
    }

    /// Makes the first `sectors` sectors of the disk those of the point `to`, forward or backward,
    /// writing only what differs as far as that is known. What the disk has behind them becomes
    /// zeroes: the point's disk may have been larger before and may grow again.
    ///
    /// 1. records between which points the disk will be: a crash before leaves it where it stood;
    /// 2. writes: a crash leaves a mix of points of that range, which any next move overwrites;
    /// 3. flushes the disk: a crash before the next step only means writing again;
    /// 4. records that it stands at `to`.
    ///
    /// # Errors
    ///
    /// A layer could not be read, the disk is too small or failed; the record stays true.
    pub fn advance(
        &mut self,
        source: &dyn PointSource,
        to: Stand,
        sectors: u64,
        done_bytes: &AtomicU64,
        stop: &AtomicBool,
    ) -> Result<Applied, TargetError> {
        let (way, intent) = self.way(source, to)?;
        let Some(intent) = intent else {
            return Ok(Applied::default());
        };
        self.record(intent)?;
        let target = source.layers_up_to(to).unwrap_or_default();
        let all = 0..sectors.max(self.disk.size() / SECTOR);
        let whole = || -> Result<_, TargetError> {
            Ok(Gaps::new(
                source.extents(0..target, all.clone())?,
                all.clone(),
            ))
        };
        let applier = |mode| Applier {
            source: as_frames(source),
            disk: self.disk,
            mode,
            done_bytes,
            stop,
        };
        let applied = match way {
            Way::None => Applied::default(),
            Way::Forward(layers) => {
                let extents = source.extents(layers, all.clone())?;
                applier(Mode::Overwrite).apply(extents)?
            }
            Way::Areas(layers) => {
                let areas = source.extents(layers, all.clone())?;
                applier(Mode::Overwrite).apply(Areas::new(areas, whole()?))?
            }
            Way::Whole => {
                self.disk.forget_memory()?;
                applier(Mode::Compare).apply(whole()?)?
            }
        };
        self.disk.flush()?;
        self.record(Standing::At(to))?;
        Ok(applied)
    }

    fn way(
        &self,
        source: &dyn PointSource,
        to: Stand,
    ) -> Result<(Way, Option<Standing>), TargetError> {
        let Some(target) = source.layers_up_to(to) else {
            let what = format!("there is no point {} to bring it to", to.id);
            return Err(TargetError::unfit("the replica".to_owned(), what));
        };
        let known: Vec<Stand> = match self.standing() {
            Some(Standing::At(at)) if at == to => return Ok((Way::None, None)),
            Some(Standing::At(at)) => vec![at],
            Some(Standing::Moving { from, to }) => vec![from, to],
            Some(Standing::Rebuilding { .. }) | None => Vec::new(),
        };
        let mut reach = vec![(target, to)];
        for stand in &known {
            if stand.id == 0 {
                reach.push((0, *stand));
            } else if let Some(layers) = source.layers_up_to(*stand) {
                reach.push((layers, *stand));
            }
        }
        if known.is_empty() || reach.len() <= known.len() {
            return Ok((Way::Whole, Some(Standing::Rebuilding { to })));
        }
        reach.sort_by_key(|(layers, stand)| (*layers, stand.id));
        let (Some((low, from)), Some((high, until))) = (reach.first(), reach.last()) else {
            return Ok((Way::Whole, Some(Standing::Rebuilding { to })));
        };
        let way = if *high == target {
            Way::Forward(*low..*high)
        } else {
            Way::Areas(*low..*high)
        };
        let intent = Standing::Moving {
            from: *from,
            to: *until,
        };
        Ok((way, Some(intent)))
    }
}

fn as_frames(source: &dyn PointSource) -> &dyn FrameSource {
    source
}
