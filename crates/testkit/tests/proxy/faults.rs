//! Each kind of fault does what it says, and is counted.

use std::{collections::BTreeSet, io, time::Duration};

use afterimage_testkit::{FaultKind, Faults};

use super::{
    client::{Answer, Client, create, delete, get, get_range, put},
    only, pattern,
    server::{Script, answer, field},
    start,
};

/// Long enough that a test that waits for it is seen to hang.
const FOR_EVER: Duration = Duration::from_secs(100_000);

#[test]
fn refusals_have_no_effect_and_keep_the_connection() {
    let kinds = [
        (FaultKind::RequestTimeout, 408),
        (FaultKind::TooManyRequests, 429),
        (FaultKind::InternalError, 500),
        (FaultKind::Unavailable, 503),
    ];
    for (kind, status) in kinds {
        let (server, proxy) = start(only(kind));
        let mut client = Client::connect(proxy.addr());
        let mut after = BTreeSet::new();
        for turn in 1..=20 {
            let answer = client.ask(&put("/a", b"refused")).unwrap();
            assert_eq!((answer.status, answer.body.len()), (status, 0));
            after.extend(field(&answer.head, "Retry-After"));
            assert_eq!(proxy.counts().of(kind), turn);
        }
        assert_eq!(client.ask(&get("/a")).unwrap().status, status);
        assert_eq!(client.ask(&put("/a", b"last")).unwrap().status, status);
        assert_eq!(server.received(), []);
        let expected: &[&str] = if status == 429 { &["0", "1"] } else { &[] };
        assert!(after.iter().eq(expected), "{after:?}");

        proxy.set(Faults::none());
        assert_eq!(client.ask(&create("/a", b"x")).unwrap().status, 201);
        let counts = proxy.counts();
        assert_eq!((counts.requests, counts.passed), (23, 1));
        assert_eq!((counts.of(kind), counts.faults()), (22, 22));
    }
}

#[test]
fn errors_after_the_effect_hide_it_and_keep_the_connection() {
    let kinds = [
        (FaultKind::InternalErrorAfter, 500),
        (FaultKind::UnavailableAfter, 503),
    ];
    for (kind, status) in kinds {
        let (server, proxy) = start(only(kind));
        let mut client = Client::connect(proxy.addr());
        let answer = client.ask(&create("/a", b"first")).unwrap();
        assert_eq!((answer.status, answer.body.len()), (status, 0));
        assert_eq!(server.object("/a").unwrap(), b"first");
        assert_eq!(client.ask(&get("/a")).unwrap().status, status);
        assert_eq!(server.received().len(), 2);
        assert_eq!((proxy.counts().of(kind), proxy.counts().passed), (2, 0));

        proxy.set(Faults::none());
        assert_eq!(client.ask(&create("/a", b"x")).unwrap().status, 412);
        assert_eq!(client.ask(&get("/a")).unwrap().body, b"first");
    }
}

#[test]
fn resets_are_errors_before_or_after_the_effect() {
    let kinds = [(FaultKind::ResetBefore, 0), (FaultKind::ResetAfter, 1)];
    for (kind, effects) in kinds {
        let (server, proxy) = start(only(kind));
        let mut client = Client::connect(proxy.addr());
        client.send(&put("/a", b"body"));
        let end = client.end().unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::ConnectionReset, "{kind:?}");
        assert_eq!(server.received().len(), effects, "{kind:?}");
        assert_eq!(proxy.counts().of(kind), 1);
    }
}

#[test]
fn stalls_hold_the_connection_before_or_after_the_effect() {
    let kinds = [(FaultKind::StallBefore, 0), (FaultKind::StallAfter, 1)];
    for (kind, effects) in kinds {
        let stall = FOR_EVER;
        let (server, proxy) = start(Faults {
            stall,
            ..only(kind)
        });
        let mut client = Client::connect(proxy.addr());
        client.send(&put("/a", b"body"));
        while proxy.counts().of(kind) == 0 {
            std::thread::yield_now();
        }
        assert_eq!(server.received().len(), effects, "{kind:?}");
        client.stream().set_nonblocking(true).unwrap();
        let silence = client.end().unwrap_err();
        assert_eq!(silence.kind(), io::ErrorKind::WouldBlock, "{kind:?}");
        client.stream().set_nonblocking(false).unwrap();

        // Others are not held.
        proxy.set(Faults::none());
        let mut other = Client::connect(proxy.addr());
        assert_eq!(other.ask(&put("/b", b"body")).unwrap().status, 201);
        drop(proxy);
        client.end().unwrap();

        let (_server, proxy) = start(Faults {
            stall: Duration::from_millis(1),
            ..only(kind)
        });
        let mut client = Client::connect(proxy.addr());
        client.send(&put("/a", b"body"));
        client.end().unwrap();
    }
}

#[test]
fn cut_answers_have_the_whole_head_and_a_part_of_the_body() {
    let body = pattern(1000);
    let plain = answer("200 OK", "ETag: x\r\n", &body);
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n".to_vec();
    chunked.extend(&body);
    chunked.extend(b"\r\n0\r\n\r\n");
    for whole in [plain, chunked] {
        let head = whole.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let head = head.unwrap() + 4;
        let mut lengths = BTreeSet::new();
        for seed in 0..20 {
            let (server, proxy) = start(Faults {
                seed,
                ..only(FaultKind::AnswerCut)
            });
            server.say(whole.as_slice());
            let mut client = Client::connect(proxy.addr());
            client.send(&get("/a"));
            let found = client.rest();
            assert!(whole.starts_with(&found));
            assert!(found.len() >= head && found.len() < whole.len());
            assert!(!found.ends_with(b"\r\n0\r\n"));
            lengths.insert(found.len());
            assert_eq!(proxy.counts().of(FaultKind::AnswerCut), 1);
        }
        assert!(lengths.len() > 10, "{lengths:?}");
    }
}

#[test]
fn answers_that_cannot_be_cut_pass() {
    let (server, proxy) = start(only(FaultKind::AnswerCut));
    let mut client = Client::connect(proxy.addr());
    assert_eq!(client.ask(&put("/a", b"x")).unwrap().status, 201);
    assert_eq!(client.ask(&delete("/a")).unwrap().status, 204);
    let last = b"HTTP/1.1 200 OK\r\n\r\nuntil the end";
    server.script(Script::AnswerAndClose(last.to_vec()));
    client.send(&get("/a"));
    assert_eq!(client.rest(), last);
    let counts = proxy.counts();
    assert_eq!((counts.passed, counts.faults()), (3, 0));
}

#[test]
fn cut_requests_are_seen_incomplete() {
    let body = pattern(1000);
    let plain = put("/a", &body);
    let mut chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n".to_vec();
    chunked.extend(&body);
    chunked.extend(b"\r\n0\r\n\r\n");
    for whole in [plain, chunked] {
        let mut lengths = BTreeSet::new();
        for seed in 0..20 {
            let (server, proxy) = start(Faults {
                seed,
                ..only(FaultKind::RequestCut)
            });
            let mut client = Client::connect(proxy.addr());
            client.send(&whole);
            client.end().unwrap();
            server.until(|state| !state.received.is_empty());
            let received = server.received();
            assert!(!received[0].whole);
            assert!(whole.starts_with(&received[0].bytes));
            lengths.insert(received[0].bytes.len());
            assert_eq!(server.object("/a"), None);
            assert_eq!(proxy.counts().of(FaultKind::RequestCut), 1);
        }
        assert!(lengths.len() > 10, "{lengths:?}");
        assert!(lengths.iter().all(|&length| length < whole.len()));
    }

    let (_server, proxy) = start(only(FaultKind::RequestCut));
    let mut client = Client::connect(proxy.addr());
    assert_eq!(client.ask(&get("/a")).unwrap().status, 404);
    assert_eq!(client.ask(&put("/a", b"")).unwrap().status, 201);
    let counts = proxy.counts();
    assert_eq!((counts.passed, counts.faults()), (2, 0));
}

#[test]
fn ignored_ranges_are_not_said_to_be_ranges() {
    let (server, proxy) = start(only(FaultKind::RangeIgnored));
    let body = pattern(1000);
    server.put("/a", &body);
    let mut client = Client::connect(proxy.addr());
    let found = client.ask(&get_range("/a", 100, 199)).unwrap();
    assert_eq!(found.status, 200);
    assert_eq!(field(&found.head, "Content-Range"), None);
    assert_eq!(found.body, body[100..200]);
    assert_eq!(proxy.counts().of(FaultKind::RangeIgnored), 1);
    ranges_that_are_none_pass(FaultKind::RangeIgnored);
}

#[test]
fn shifted_ranges_say_that_they_are() {
    let body = pattern(1000);
    let mut shapes = BTreeSet::new();
    for seed in 0..40 {
        let (server, proxy) = start(Faults {
            seed,
            ..only(FaultKind::RangeShifted)
        });
        server.put("/a", &body);
        let mut client = Client::connect(proxy.addr());
        let found = client.ask(&get_range("/a", 100, 199)).unwrap();
        assert_eq!(found.status, 206);
        let (first, last) = content_range(&found);
        assert_eq!(last + 1 - first, found.body.len(), "{}", found.head);
        shapes.insert(match (first, last) {
            (100, ..199) => {
                assert_eq!(found.body, body[first..=last]);
                "without its end"
            }
            (101.., 199) => {
                assert_eq!(found.body, body[first..=last]);
                "without its start"
            }
            (101, 200) => "later",
            _ => panic!("asked for 100-199 and got {first}-{last}"),
        });
        assert_eq!(proxy.counts().of(FaultKind::RangeShifted), 1);

        // A single byte can only be another one, and what has no length cannot be shortened.
        let found = client.ask(&get_range("/a", 7, 7)).unwrap();
        assert_eq!(content_range(&found), (8, 8));
        let chunked = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/*\r\n\
            Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        server.say(chunked.as_slice());
        client.send(&get_range("/a", 0, 1));
        let shifted = String::from_utf8_lossy(chunked).replace("0-1/*", "1-2/*");
        assert_eq!(client.receive(chunked.len()), shifted.as_bytes());
        assert_eq!(proxy.counts().of(FaultKind::RangeShifted), 3);
    }
    assert_eq!(shapes.len(), 3, "{shapes:?}");
    ranges_that_are_none_pass(FaultKind::RangeShifted);
}

fn content_range(answer: &Answer) -> (usize, usize) {
    let range = field(&answer.head, "Content-Range").expect("it is a range");
    let (range, total) = range.split_once('/').expect("it has a total");
    assert_eq!(total, "1000");
    let (first, last) = range
        .trim_start_matches("bytes ")
        .split_once('-')
        .expect("it has two ends");
    let number = |text: &str| text.parse().expect("it is a number");
    (number(first), number(last))
}

fn ranges_that_are_none_pass(kind: FaultKind) {
    let (server, proxy) = start(only(kind));
    server.put("/a", b"body");
    let mut client = Client::connect(proxy.addr());
    let statuses = [
        client.ask(&get("/a")).expect("it passes").status,
        client
            .ask(&get_range("/b", 0, 1))
            .expect("it passes")
            .status,
        client.ask(&put("/c", b"x")).expect("it passes").status,
    ];
    assert_eq!(statuses, [200, 404, 201]);
    let whole = answer("200 OK", "Content-Range: bytes 0-3/4\r\n", b"body");
    server.say(whole.as_slice());
    client.send(&get_range("/a", 0, 3));
    assert_eq!(client.receive(whole.len()), whole);
    let counts = proxy.counts();
    assert_eq!((counts.passed, counts.faults()), (4, 0));
}

#[test]
fn duplicated_requests_answer_for_the_second() {
    let (server, proxy) = start(only(FaultKind::Duplicated));
    let mut client = Client::connect(proxy.addr());
    let request = create("/a", b"body");
    assert_eq!(client.ask(&request).unwrap().status, 412);
    assert_eq!(server.object("/a").unwrap(), b"body");
    let received = server.received();
    assert_eq!(received.len(), 2);
    assert!(received.iter().all(|one| one.whole && one.bytes == request));

    // Also where the server closes between the two.
    server.script(Script::AnswerAndClose(answer(
        "200 OK",
        "Connection: close\r\n",
        b"one",
    )));
    server.say(answer("200 OK", "", b"two"));
    assert_eq!(client.ask(&put("/a", b"")).unwrap().body, b"two");

    assert_eq!(client.ask(&delete("/a")).unwrap().status, 204);
    assert_eq!(server.received().len(), 6);
    assert_eq!(client.ask(&get("/a")).unwrap().status, 404);
    assert_eq!(server.received().len(), 7);
    let counts = proxy.counts();
    assert_eq!((counts.of(FaultKind::Duplicated), counts.passed), (3, 1));
}

#[test]
fn late_requests_reach_the_server_after_their_answer() {
    let request = create("/a", b"late");
    let mut outcomes = BTreeSet::new();
    for seed in 0..20 {
        // As late as never: the answer does not wait for the effect.
        let (server, proxy) = start(Faults {
            seed,
            late: FOR_EVER,
            ..only(FaultKind::Late)
        });
        let mut client = Client::connect(proxy.addr());
        let answer = client.ask(&request);
        outcomes.insert(answer.ok().map(|answer| answer.status));
        assert_eq!(proxy.counts().of(FaultKind::Late), 1);
        assert_eq!(server.received(), []);
        drop(proxy);
        assert_eq!(server.received(), []);

        let (server, proxy) = start(Faults {
            seed,
            late: Duration::from_millis(1),
            ..only(FaultKind::Late)
        });
        let mut client = Client::connect(proxy.addr());
        let _ = client.ask(&request);
        // It arrives even if the store is gone for others by then.
        proxy.set(Faults::gone());
        proxy.settle();
        assert_eq!(server.received().len(), 1);
        assert_eq!(server.received()[0].bytes, request);
        assert_eq!(server.object("/a").unwrap(), b"late");
    }
    assert_eq!(outcomes, [None, Some(503)].into());

    let (_server, proxy) = start(only(FaultKind::Late));
    let mut client = Client::connect(proxy.addr());
    assert_eq!(client.ask(&delete("/a")).unwrap().status, 204);
    assert_eq!(client.ask(&get("/a")).unwrap().status, 404);
    assert_eq!((proxy.counts().passed, proxy.counts().faults()), (2, 0));
}

#[test]
fn bodies_too_large_to_hold_pass() {
    let body = pattern((64 << 20) + 1);
    let plain = put("/plain", &body);
    let mut chunked = b"PUT /chunked HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.chunks(1 << 20) {
        chunked.extend(format!("{:x}\r\n", piece.len()).bytes());
        chunked.extend(piece);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    for kind in [FaultKind::Duplicated, FaultKind::Late] {
        let (server, proxy) = start(only(kind));
        let mut client = Client::connect(proxy.addr());
        for request in [&plain, &chunked] {
            assert_eq!(client.ask(request).unwrap().status, 201);
            let received = server.received();
            assert!(received.last().unwrap().bytes == *request);
        }
        assert_eq!(server.received().len(), 2);
        let counts = proxy.counts();
        assert_eq!((counts.passed, counts.faults()), (2, 0));
    }
}
