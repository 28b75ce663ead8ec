//! The replicas' loop: beside the ingest, not in its way.

use std::sync::Arc;

use afterimage_recovery::{Head, load_head};
use crossbeam_channel::{Receiver, Sender};

use super::Told;
use crate::{
    error::{Error, ErrorKind},
    held::{HeldPoints, Stands},
    ingest::IngestParts,
    pipeline::Event,
    points::{PointSelector, Points},
    replicas::{OpenReplica, ReplicaReport, ReplicaSpec},
    stop::Stop,
};

/// Replica disks that follow the newest point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Following<'a> {
    pub(super) parts: &'a IngestParts,
    pub(super) replicas: &'a [ReplicaSpec],
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
            let points = Points::of(&self.parts.target, head.manifest.clone());
            let newest = ReplicaSpec::newest(&points);
            if newest.is_none() || newest == stand {
                continue;
            }
            let mut all = true;
            for (replica, open) in self.replicas.iter().zip(&mut open) {
                let event = match self.advance(replica, open, &points) {
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

    /// Brings a replica to the newest point. Upkeep may collect meanwhile what an older manifest names:
    /// then it goes on by the newest one, which is held as long as it takes.
    fn advance(
        &self,
        replica: &ReplicaSpec,
        open: &mut Option<OpenReplica>,
        points: &Points,
    ) -> Result<Option<ReplicaReport>, Error> {
        let mut advance = |points| {
            self.pool
                .install(|| replica.advance(open, points, self.stop))
        };
        let advanced = advance(points);
        let IngestParts { group, target, .. } = self.parts;
        let Err(error) = &advanced else {
            return advanced;
        };
        if error.kind() != ErrorKind::Corrupt {
            return advanced;
        }
        let Ok(Some(newest)) = load_head(target.as_ref(), group) else {
            return advanced;
        };
        if newest.manifest.number == points.manifest().number {
            return advanced;
        }
        let who = format!("replica {}, on its way", replica.disk);
        let held = HeldPoints::take(target, group, &PointSelector::Latest, &who)?;
        let advanced = advance(held.points());
        if let Err(error) = held.release() {
            tracing::warn!(disk = %replica.disk, %error, "a point stays held for a day");
        }
        advanced
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
