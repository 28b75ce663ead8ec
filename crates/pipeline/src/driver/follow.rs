//! The replicas' loop: beside the ingest, not in its way.

use std::sync::Arc;

use afterimage_recovery::Head;
use crossbeam_channel::{Receiver, Sender};

use super::Told;
use crate::{
    held::Stands,
    in_use::InUse,
    ingest::IngestParts,
    pipeline::Event,
    points::Points,
    replicas::{OpenReplica, ReplicaReport, ReplicaSpec},
    stages::PART_SHARE,
    stop::Stop,
};

/// The part of the memory that the reader of a point may keep: a quarter of what is left beside
/// what is gathered and what is moved.
const CACHE_SHARE: u64 = 4 * PART_SHARE;

/// Replica disks that follow the newest point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Following<'a> {
    pub(super) parts: &'a IngestParts,
    pub(super) replicas: &'a [ReplicaSpec],
    pub(super) in_use: &'a InUse,
    pub(super) pool: &'a rayon::ThreadPool,
    pub(super) stop: &'a Stop,
}

impl Following<'_> {
    /// Brings the replicas to the newest point whenever there is a new head; points in between are
    /// passed over.
    pub(super) fn run(&self, heads: &Receiver<Arc<Head>>, tell: &Sender<Told>) {
        let mut stand = None;
        let mut stands = Stands::default();
        let mut open: Vec<Option<OpenReplica>> = self.replicas.iter().map(|_| None).collect();
        for head in heads {
            if self.replicas.is_empty() || self.stop.is_stopped() {
                continue;
            }
            let reading = self.in_use.read(head);
            let manifest = reading.head().manifest.clone();
            let points = Points::of(&self.parts.target, manifest);
            let points = points.keeping(self.parts.memory / CACHE_SHARE);
            let newest = ReplicaSpec::newest(&points);
            if newest.is_none() || newest == stand {
                continue;
            }
            let mut all = true;
            for (replica, open) in self.replicas.iter().zip(&mut open) {
                let advance = || replica.advance(open, &points, self.stop);
                let event = match self.pool.install(advance) {
                    Ok(None) => continue,
                    Ok(Some(report)) => {
                        self.hold_stand(&mut stands, &report);
                        Event::Replica(report)
                    }
                    Err(_) if self.stop.is_stopped() => continue,
                    Err(error) => {
                        all = false;
                        let disk = replica.disk.clone();
                        Event::ReplicaFailed { disk, error }
                    }
                };
                if tell.send(Told::Event(event)).is_err() {
                    return;
                }
            }
            stand = newest.filter(|_| all);
        }
    }

    /// Keeps the point that a replica stands at from being pruned: from there it goes on by what
    /// changed since, and from nowhere only by being compared whole. No more depends on it.
    fn hold_stand(&self, stands: &mut Stands, report: &ReplicaReport) {
        let IngestParts {
            group,
            target,
            nonces,
            clock,
            ..
        } = self.parts;
        let now = clock();
        let held = stands.stand(target, nonces, (group, &report.disk), report.point, now);
        if let Err(error) = held {
            tracing::warn!(disk = %report.disk, %error, "the point of a replica is not held");
        }
    }
}
