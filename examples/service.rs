//! Makes points of several groups at once, until it is told to stop.
//!
//! ```text
//! cargo run -p afterimage-examples --example service -- ./cache ./points shop wiki
//! ```
//!
//! Each group has a pipeline and a thread of its own. SIGTERM, SIGHUP and ctrl-c end them after
//! what they are doing; whatever is not a point then stays in the cache for the next start.

use std::{error::Error, process::ExitCode, sync::Arc, thread};

use afterimage::{
    Event, Name, Outcome, Pipeline, Stop, open_existing_store, open_store, storage::Store,
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [cache, target, groups @ ..] = arguments.as_slice() else {
        return Err("service CACHE TARGET GROUP...".into());
    };
    let (cache, target) = (open_existing_store(cache)?, open_store(target)?);
    let groups = groups.iter().map(|group| group.parse());
    let groups: Vec<Name> = groups.collect::<Result<_, _>>()?;
    let stop = Stop::default();
    let on_signal = stop.clone();
    ctrlc::set_handler(move || on_signal.stop())?;
    let exit = serve(&groups, &cache, &target, &stop);
    Ok(exit)
}

/// Runs a pipeline for each group until stopped. One that cannot go on does not stop the others.
fn serve(
    groups: &[Name],
    cache: &Arc<dyn Store>,
    target: &Arc<dyn Store>,
    stop: &Stop,
) -> ExitCode {
    let codes: Vec<u8> = thread::scope(|scope| {
        let running: Vec<_> = groups
            .iter()
            .map(|group| scope.spawn(|| follow(group, Arc::clone(cache), Arc::clone(target), stop)))
            .collect();
        let ended = running.into_iter().map(|thread| thread.join());
        ended.map(|code| code.unwrap_or(u8::MAX)).collect()
    });
    ExitCode::from(codes.into_iter().max().unwrap_or(0))
}

/// Follows one group; gives the exit code.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a service tells what it does"
)]
fn follow(group: &Name, cache: Arc<dyn Store>, target: Arc<dyn Store>, stop: &Stop) -> u8 {
    let watch = &mut |event: Event| match event {
        Event::Point { report, elapsed } => println!(
            "{group}: point {} of {} bytes written, {} stored, after {elapsed:.1?}",
            report.id, report.source_bytes, report.stored_bytes
        ),
        Event::Retry { error, pause } => eprintln!("{group}: {error}; again in {pause:?}"),
        _ => {}
    };
    let builder = Pipeline::builder(group.clone(), cache, target).memory(256 << 20);
    let ended = builder
        .build()
        .and_then(|pipeline| pipeline.run(stop, watch));
    match ended {
        Ok(Outcome { points, .. }) => {
            println!("{group}: stopped after {points} points");
            0
        }
        Err(error) => {
            eprintln!("{group}: {error}; {}", error.kind().advice());
            error.kind().exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterimage::{
        MarkerKind, Points, Timestamp,
        cache::{SegmentLimits, StreamWriter, WriterOptions},
        changelog::{Disk, ObjectId, SectorSize},
        storage::Nonces,
    };
    use std::time::Duration;

    fn record(cache: &Arc<dyn Store>, group: &Name) {
        let options = WriterOptions {
            group: group.clone(),
            stream: "main".parse().unwrap(),
            disks: vec![Disk::new("root".parse().unwrap(), 1 << 20, SectorSize::B512).unwrap()],
            limits: SegmentLimits::default(),
            level: 1,
        };
        let nonces = Arc::new(Nonces::seeded(1));
        let mut writer = StreamWriter::open(Arc::clone(cache), nonces, options).unwrap();
        writer.write(0, 0, &[1; 512], Timestamp(1)).unwrap();
        let cut = ObjectId([1; 16]);
        writer
            .mark(MarkerKind::Crash, "", cut, Timestamp(1))
            .unwrap();
        writer.seal().unwrap();
    }

    #[test]
    fn each_group_gets_its_point_and_all_stop() {
        let (cache, target) = (
            open_store("memory://").unwrap(),
            open_store("memory://").unwrap(),
        );
        let groups: [Name; 2] = ["shop".parse().unwrap(), "wiki".parse().unwrap()];
        groups.iter().for_each(|group| record(&cache, group));
        let stop = Stop::default();
        let has_point = |group| Points::load(&target, group).is_ok_and(|p| p.list().len() == 1);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Gives up some time, so that a point that never comes is a failure and no hang.
                let tries = 0..6000;
                for _ in tries.take_while(|_| !groups.iter().all(has_point)) {
                    let _stopped = stop.wait(Duration::from_millis(10));
                }
                stop.stop();
            });
            serve(&groups, &cache, &target, &stop);
        });
        assert!(groups.iter().all(has_point), "each group has one point");
    }
}
