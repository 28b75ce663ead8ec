//! The proxy as a whole: its seed, its changes, its end.

use std::{
    thread,
    time::{Duration, Instant},
};

use afterimage_testkit::{FaultCounts, FaultKind, FaultProxy, Faults};

use super::{
    client::{Client, create, get, get_range, put},
    only, pattern,
    server::{Script, Server},
    start,
};

/// Long enough that a test that waits for it is seen to hang.
const FOR_EVER: Duration = Duration::from_secs(100_000);

/// What a client sees of requests one after another, and what the proxy says that it has done.
fn run(faults: Faults) -> (Vec<Option<(u16, usize)>>, FaultCounts) {
    let (server, proxy) = start(faults);
    server.put("/range", &pattern(1000));
    let mut client = Client::connect(proxy.addr());
    let outcomes = (0..600).map(|turn| {
        let request = match turn % 3 {
            0 => get_range("/range", 10, 19),
            _ => create(&format!("/{}", turn / 2), b"body"),
        };
        let outcome = client.ask(&request).ok();
        if outcome.is_none() {
            client = Client::connect(proxy.addr());
        }
        proxy.settle();
        outcome.map(|answer| (answer.status, answer.body.len()))
    });
    (outcomes.collect(), proxy.counts())
}

#[test]
fn a_seed_repeats() {
    let (first, counts) = run(Faults::all(1, 600));
    let (again, counts_again) = run(Faults::all(1, 600));
    assert_eq!(first, again);
    assert_eq!(counts, counts_again);
    for kind in FaultKind::ALL {
        assert!(counts.of(kind) > 0, "{kind:?} of {counts:?}");
    }
    assert_eq!(counts.requests, 600);
    assert_eq!(counts.passed + counts.faults(), 600);
    let (other, _) = run(Faults::all(2, 600));
    assert_ne!(first, other);
}

#[test]
fn setting_the_same_faults_starts_over() {
    let faults = Faults::all(3, 0)
        .with(FaultKind::InternalError, 3000)
        .with(FaultKind::Unavailable, 3000);
    let (_server, proxy) = start(faults.clone());
    let mut client = Client::connect(proxy.addr());
    let mut statuses = || -> Vec<u16> {
        let ask = |_| client.ask(&get("/a")).unwrap().status;
        (0..100).map(ask).collect()
    };
    let first = statuses();
    assert_ne!(first, statuses());
    proxy.set(faults);
    assert_eq!(first, statuses());
}

#[test]
fn shares_are_of_ten_thousand() {
    let (_server, proxy) =
        start(only(FaultKind::InternalError).with(FaultKind::InternalError, 100));
    let mut client = Client::connect(proxy.addr());
    for _ in 0..3000 {
        client.ask(&get("/a")).unwrap();
    }
    let count = proxy.counts().of(FaultKind::InternalError);
    assert!((15..60).contains(&count), "{count} of 3000 at a hundredth");
}

#[test]
#[should_panic(expected = "10001 faults in 10000 requests")]
fn shares_above_all_are_refused() {
    start(only(FaultKind::Late).with(FaultKind::ResetAfter, 1));
}

#[test]
fn a_store_that_is_gone_comes_back() {
    let (server, proxy) = start(Faults::none());
    let mut idle = Client::connect(proxy.addr());
    assert_eq!(idle.ask(&put("/a", b"x")).unwrap().status, 201);
    server.script(Script::Silence);
    let mut waiting = Client::connect(proxy.addr());
    waiting.send(&get("/a"));
    server.until(|state| state.received.len() == 2);

    proxy.set(Faults::gone());
    idle.end().unwrap();
    waiting.end().unwrap();
    let mut refused = Client::connect(proxy.addr());
    assert!(refused.ask(&get("/a")).is_err());
    assert_eq!(proxy.counts().refused, 1);
    assert_eq!(server.received().len(), 2);

    proxy.set(Faults::none());
    let mut client = Client::connect(proxy.addr());
    assert_eq!(client.ask(&get("/a")).unwrap().body, b"x");
    assert_eq!(proxy.url(), format!("http://{}", proxy.addr()));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it takes is the point")]
fn latency_and_slow_links_take_their_time() {
    let latency = Duration::from_millis(50);
    let (server, proxy) = start(Faults {
        latency,
        ..Faults::none()
    });
    let mut client = Client::connect(proxy.addr());
    let start = Instant::now();
    client.ask(&put("/a", b"x")).unwrap();
    assert!(start.elapsed() >= latency);

    proxy.set(Faults {
        bytes_per_second: Some(100_000),
        ..Faults::none()
    });
    let body = pattern(20_000);
    let start = Instant::now();
    client.ask(&put("/a", &body)).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert!(server.object("/a").unwrap() == body);
    let start = Instant::now();
    assert!(client.ask(&get("/a")).unwrap().body == body);
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn dropping_ends_whatever_goes_on() {
    let server = Server::start();
    let proxy = FaultProxy::start(server.address, Faults::none()).unwrap();
    let mut clients = Vec::new();
    let mut begin = |faults: Faults, request: &[u8]| {
        let requests = proxy.counts().requests;
        proxy.set(faults);
        let mut client = Client::connect(proxy.addr());
        client.send(request);
        // Where it is a whole head, the faults are those that were set for it.
        while request.ends_with(b"body") && proxy.counts().requests == requests {
            thread::yield_now();
        }
        clients.push(client);
    };
    begin(Faults::none(), b"");
    begin(Faults::none(), b"PUT / HTTP/1.1\r\nHos");
    begin(
        Faults::none(),
        b"PUT / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nbody",
    );
    server.until(|state| state.body_bytes == 4);
    let request = put("/a", b"body");
    server.script(Script::Silence);
    begin(Faults::none(), &request);
    server.until(|state| state.received.len() == 1);
    let latency = FOR_EVER;
    begin(
        Faults {
            latency,
            ..Faults::none()
        },
        &request,
    );
    for kind in [FaultKind::StallBefore, FaultKind::StallAfter] {
        let stall = FOR_EVER;
        begin(
            Faults {
                stall,
                ..only(kind)
            },
            &request,
        );
    }
    server.until(|state| state.received.len() == 2);
    let late = FOR_EVER;
    begin(
        Faults {
            late,
            ..only(FaultKind::Late)
        },
        &request,
    );
    begin(
        Faults {
            bytes_per_second: Some(1),
            ..Faults::none()
        },
        &put("/a", &[&[0; 20_000], b"body".as_slice()].concat()),
    );

    drop(proxy);
    for mut client in clients {
        // Whatever comes, it comes to an end.
        while client.answer().is_ok() {}
    }
}

#[test]
fn clients_that_try_again_get_everything_stored() {
    const CLIENTS: usize = 8;
    const OBJECTS: usize = 40;
    let (server, proxy) = start(Faults {
        stall: Duration::from_millis(1),
        late: Duration::from_millis(1),
        latency: Duration::from_micros(100),
        ..Faults::all(4, 400)
    });
    let body = |client: usize, object: usize| pattern(client * 1000 + object);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut client = Client::connect(proxy.addr());
                for object in 0..OBJECTS {
                    let request = create(&format!("/{number}/{object}"), &body(number, object));
                    // A name that is taken is so by an earlier try.
                    while !matches!(client.ask(&request), Ok(answer) if matches!(answer.status, 201 | 412))
                    {
                        client = Client::connect(proxy.addr());
                    }
                }
            });
        }
    });
    proxy.settle();
    for (client, object) in
        (0..CLIENTS).flat_map(|client| (0..OBJECTS).map(move |object| (client, object)))
    {
        let found = server.object(&format!("/{client}/{object}"));
        assert!(found == Some(body(client, object)), "{client} {object}");
    }
    let counts = proxy.counts();
    assert!(counts.requests > (CLIENTS * OBJECTS) as u64);
    assert!(counts.passed + counts.faults() <= counts.requests);
}
