//! Parts in, written layers out: the stage that touches payload.

use afterimage_changelog::Epoch;
use afterimage_recovery::{LayerJob, draft_layers};

use super::part::{Moved, Part};
use crate::{error::Error, ingest::IngestParts};

/// Level of zstd for frames that are packed anew.
const ZSTD_LEVEL: i32 = 1;

/// Fetches, checks and writes the frames of which something is live.
#[derive(Clone, Debug)]
pub(crate) struct Mover {
    parts: IngestParts,
    epoch: Epoch,
}

impl Mover {
    /// Writes as the worker of an epoch.
    pub(crate) const fn new(parts: IngestParts, epoch: Epoch) -> Mover {
        Mover { parts, epoch }
    }

    /// Writes the layers of a part.
    ///
    /// # Errors
    ///
    /// A store failed or a frame is damaged; nothing is left under a name that counts.
    pub(crate) fn move_part(&self, part: Part) -> Result<Moved, Error> {
        let IngestParts {
            group,
            stream,
            target,
            nonces,
            clock,
            ..
        } = &self.parts;
        let Part {
            number,
            live,
            sources,
            widest,
            first,
            last,
            counts,
            cut,
        } = part;
        let job = LayerJob {
            store: target.as_ref(),
            nonces,
            group,
            stream,
            epoch: self.epoch,
            disks: &widest,
            first,
            last,
            created: clock(),
            level: ZSTD_LEVEL,
        };
        let layers = draft_layers(&job, &live, &sources.frames_of_object(), &sources)?;
        Ok(Moved {
            number,
            layers,
            counts,
            cut,
        })
    }
}
