//! What is asked of servers.

use std::{sync::Arc, time::Duration};

use afterimage::{
    Event, Pipeline, Stop, Upkeep,
    storage::{Requests, Store},
};
use afterimage_testkit::servers::Kind;

use crate::world::{Source, name, server, store};

/// As long as segments come, the cache is not listed: the next one's name is known.
#[test]
fn once_it_runs_the_cache_is_not_listed() {
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
    let mut source = Source::new(agent, 5).unwrap();
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
    let now =
        || -> (Requests, Requests) { (cache.requests().unwrap(), target.requests().unwrap()) };
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
    let (of_cache, of_target) = begun.unwrap();
    let (to_cache, to_target) = now();
    let (to_cache, to_target) = (to_cache.since(&of_cache), to_target.since(&of_target));
    eprintln!("twenty points: {to_cache:?} to the cache, {to_target:?} to the target");
    assert_eq!(to_cache.lists, 0, "{to_cache:?}");
    // A commit looks for the boundary behind it; the rest is upkeep, which goes by the clock.
    assert!(to_target.lists <= 20 * 4, "{to_target:?}");
    assert!(to_target.puts <= 20 * 4, "{to_target:?}");
    assert!(source.check(&target) == 23);
}
