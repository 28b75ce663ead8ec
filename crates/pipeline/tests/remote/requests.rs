//! What is asked of servers.

use std::{sync::Arc, time::Duration};

use afterimage::{
    Event, Pipeline, Stop, Upkeep,
    storage::{Requests, Store},
};
use afterimage_testkit::servers::Kind;

use crate::world::{Source, name, server, store};

/// As long as segments come, nothing is listed: neither by the service nor by the source.
#[test]
fn once_it_runs_nothing_is_listed() {
    let (Some(azure), Some(s3)) = (
        server(Kind::Azurite, "requests"),
        server(Kind::Moto, "requests"),
    ) else {
        return;
    };
    let cache: Arc<dyn Store> = Arc::new(store(&azure, azure.addr(), "cache", "").unwrap());
    let target: Arc<dyn Store> = Arc::new(store(&s3, s3.addr(), "points", "").unwrap());
    // The source has a client of its own, as on another machine.
    let agent: Arc<dyn Store> = Arc::new(store(&azure, azure.addr(), "cache", "").unwrap());
    let mut source = Source::new(Arc::clone(&agent), 5).unwrap();
    source.interval().unwrap();
    let upkeep = Upkeep {
        compact: None,
        ..Upkeep::default()
    };
    let pipeline = Pipeline::builder(name("shop"), Arc::clone(&cache), Arc::clone(&target))
        .poll(Duration::from_millis(20))
        .upkeep(upkeep)
        .build()
        .unwrap();
    let stop = Stop::default();
    let now = || [&agent, &cache, &target].map(|store| store.requests().unwrap());
    let mut points = 0;
    let mut begun = None;
    pipeline
        .run(&stop, &mut |event| {
            if let Event::Point { .. } = event {
                points += 1;
                if points == 3 {
                    begun = Some(now());
                }
                if points == 23 {
                    stop.stop();
                } else {
                    source.interval().unwrap();
                }
            }
        })
        .unwrap();
    let before: [Requests; 3] = begun.unwrap();
    let now = now();
    let since = |at: usize| now[at].since(&before[at]);
    let [by_agent, to_cache, to_target] = [0, 1, 2].map(since);
    eprintln!("twenty points: {by_agent:?} by the agent, {to_cache:?}, {to_target:?}");
    assert_eq!(by_agent.lists, 0, "{by_agent:?}");
    assert_eq!(to_cache.lists, 0, "{to_cache:?}");
    assert_eq!(to_target.lists, 0, "{to_target:?}");
    assert!(source.check(&target) == 23);
}
