//! Faults of every kind before cache and target.

use std::{env, sync::Arc, time::Duration};

use afterimage::{Pipeline, Tend, Upkeep, recovery::retention::Keep, storage::Store};
use afterimage_testkit::{
    FaultKind, FaultProxy, Faults,
    servers::{Kind, Server},
};

use crate::world::{Source, name, server, store};

/// Requests are tried again for long enough to get through anything that is injected here.
const PATIENT: &str = "&patience=120&timeout=2";

/// Faults that have to come together, of all kinds; `.ci/run` asks for more than the default.
fn faults_wanted() -> u64 {
    let wanted = env::var("AFTERIMAGE_FAULTS");
    wanted.map_or(150, |wanted| wanted.parse().unwrap())
}

fn faults(seed: u64) -> Faults {
    Faults {
        stall: Duration::from_millis(200),
        late: Duration::from_millis(300),
        ..Faults::all(seed, 120)
    }
    // These wait for the client's timeout, so there are fewer of them.
    .with(FaultKind::StallBefore, 40)
    .with(FaultKind::StallAfter, 40)
}

struct Proxied {
    server: Server,
    proxy: FaultProxy,
}

impl Proxied {
    fn new(kind: Kind, seed: u64) -> Option<Proxied> {
        let server = server(kind, "faults")?;
        let proxy = FaultProxy::start(server.addr(), faults(seed)).unwrap();
        Some(Proxied { server, proxy })
    }

    fn faulty(&self) -> Arc<dyn Store> {
        let store = store(&self.server, self.proxy.addr(), "data", PATIENT);
        Arc::new(store.unwrap())
    }

    fn plain(&self) -> Arc<dyn Store> {
        Arc::new(store(&self.server, self.server.addr(), "data", "").unwrap())
    }
}

#[test]
fn whatever_fails_nothing_is_lost_or_twice_and_every_point_is_exact() {
    let (Some(cache), Some(target)) = (Proxied::new(Kind::Azurite, 1), Proxied::new(Kind::Moto, 2))
    else {
        return;
    };
    let injected = || cache.proxy.counts().faults() + target.proxy.counts().faults();
    let are_all = || {
        let (of_cache, of_target) = (cache.proxy.counts(), target.proxy.counts());
        let happened = |kind| of_cache.of(kind) + of_target.of(kind) > 0;
        FaultKind::ALL.into_iter().all(happened)
    };
    let mut source = Source::new(cache.faulty(), 3).unwrap();
    let keep = "forever".parse::<Keep>().unwrap();
    while injected() < faults_wanted() || !are_all() {
        for _ in 0..12 {
            source.interval().unwrap();
        }
        let upkeep = Upkeep {
            keep: Some(keep.clone()),
            ..Upkeep::default()
        };
        let pipeline = Pipeline::builder(name("shop"), cache.faulty(), target.faulty())
            .upkeep(upkeep)
            .build()
            .unwrap();
        pipeline.run_once(&mut |_| ()).unwrap();
        // All of them are read at the end.
        let made = source.check_newest(&target.faulty(), 2);
        assert_eq!(made, source.at_marker.len());
    }
    assert_eq!(source.check(&target.plain()), source.at_marker.len());
    // Half of them go, and what is left is compacted.
    let half = format!("{}s:all", source.at_marker.len() / 2)
        .parse::<Keep>()
        .unwrap();
    let upkeep = Upkeep {
        keep: Some(half),
        ..Upkeep::default()
    };
    let _tended = tend(&target.faulty(), upkeep);
    cache.proxy.settle();
    target.proxy.settle();
    let left = source.check(&target.plain());
    assert!(left > 0 && left <= source.at_marker.len());
    eprintln!(
        "{} faults, {left} points left, all of them exact",
        injected()
    );
}

fn tend(target: &Arc<dyn Store>, upkeep: Upkeep) -> afterimage::Tended {
    let tend = Tend::new(Arc::clone(target), name("shop"), upkeep);
    tend.run(&afterimage::Stop::default()).unwrap()
}
