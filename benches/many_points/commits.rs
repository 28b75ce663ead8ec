//! Commits one at a time, in turns with the limit.

use std::{
    error::Error,
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use afterimage::{PointReport, changelog::size, recovery::name::manifest_key, storage::Store};
use afterimage_benches::{create_durable, median, timed};

use crate::guest::{Guest, group};

/// The times of some commits, and what they need to be taken.
pub(crate) struct Commits<'a> {
    guest: &'a mut Guest,
    target: &'a Arc<dyn Store>,
    /// A folder that the limit works in.
    folder: PathBuf,
    commits: u64,
    /// When the interval was there that becomes the next point.
    since: Instant,
    ours: Vec<Duration>,
    limit: Vec<Duration>,
}

impl<'a> Commits<'a> {
    /// Writes the first interval. One more point than these commits is made of it and what follows,
    /// since a run takes the group over before its first: that one is not timed.
    pub(crate) fn new(
        guest: &'a mut Guest,
        target: &'a Arc<dyn Store>,
        folder: PathBuf,
        commits: u64,
    ) -> Result<Commits<'a>, Box<dyn Error>> {
        guest.write(1)?;
        Ok(Commits {
            guest,
            target,
            folder,
            commits,
            since: now(),
            ours: Vec::new(),
            limit: Vec::new(),
        })
    }

    /// Notes that a point was committed, measures the limit and writes the next interval; says whether
    /// there is one.
    pub(crate) fn committed(&mut self, report: &PointReport) -> Result<bool, Box<dyn Error>> {
        self.ours.push(self.since.elapsed());
        if self.ours.len() >= size(self.commits) {
            self.ours.remove(0);
            return Ok(false);
        }
        let manifest = self.target.size(&manifest_key(&group(), report.manifest))?;
        let files = [report.stored_bytes, manifest].map(|bytes| vec![0xA5; size(bytes)]);
        fs::create_dir(&self.folder)?;
        rustix::fs::sync();
        let (time, written) = timed(|| {
            let mut numbered = files.iter().zip(0..);
            numbered.try_for_each(|(bytes, number)| {
                create_durable(&self.folder.join(format!("{number}")), bytes)
            })
        });
        written?;
        self.limit.push(time);
        fs::remove_dir_all(&self.folder)?;
        rustix::fs::sync();
        self.guest.write(1)?;
        self.since = now();
        Ok(true)
    }

    /// The medians and their ratio.
    #[expect(clippy::print_stdout, reason = "the figures are what this is for")]
    pub(crate) fn print(&self, points: u64) {
        let of = |times: &[Duration]| median(times.iter().copied()).unwrap_or(f64::NAN);
        let (ours, limit) = (of(&self.ours), of(&self.limit));
        println!(
            "ratio one more point at {points}: {ours:.4} / {limit:.4} = {:.2}",
            ours / limit
        );
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measuring time is what this is for"
)]
fn now() -> Instant {
    Instant::now()
}
