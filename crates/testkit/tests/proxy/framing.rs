//! What passes is exact, whatever its framing.

use std::net::Ipv4Addr;

use afterimage_testkit::{FaultKind, FaultProxy, Faults};

use super::{
    client::{Client, create, expecting, get, put},
    pattern,
    server::{Received, Script, answer},
    start,
};

/// Requests and answers of every framing, as they are on the wire.
fn exchanges() -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs: [(&[u8], &[u8]); 12] = [
        (
            b"GET /a?list-type=2&prefix=%20 HTTP/1.1\r\nHOST: 127.0.0.1:9\r\nauthorization:  x \r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-LENGTH:5\r\nETag: \"x\"\r\n\r\nhello",
        ),
        (
            b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nX: \xff\xfe\r\n\r\n\r\n\r\n",
            b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 412 \r\nContent-Length: 3\r\n\r\nno!",
        ),
        (
            b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\n\
              5;chunk-signature=abc\r\n12345\r\nA\r\n0123456789\r\n0\r\nx-amz-trailer: 1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\r\n\r\r\n0\r\n\r\n",
        ),
        (
            b"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n2\r\nab\r\n0\r\nT: 1\r\nU: 2\r\n\r\n",
        ),
        (
            b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
        ),
        (
            b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            b"DELETE /a HTTP/1.1\r\nHost: h\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nServer: s\r\n\r\n",
        ),
        (
            b"GET /a HTTP/1.1\r\nIf-None-Match: \"x\"\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            b"GET /a HTTP/1.1\r\nRange: bytes=-2\r\n\r\n",
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-4/5\r\nContent-Length: 2\r\n\r\nlo",
        ),
        (
            b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
              HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!",
        ),
        (
            b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
            b"HTTP/1.1 503 Slow Down\r\nContent-Length: 2\r\nRetry-After: 1\r\n\r\nno",
        ),
    ];
    pairs
        .map(|(request, answer)| (request.to_vec(), answer.to_vec()))
        .into()
}

#[test]
fn every_framing_passes_exactly() {
    let (server, proxy) = start(Faults::none());
    let mut client = Client::connect(proxy.addr());
    let exchanges = exchanges();
    for (request, answer) in &exchanges {
        server.say(answer.as_slice());
        client.send(request);
        let found = client.receive(answer.len());
        assert_eq!(found, *answer, "the answer to {}", request.escape_ascii());
    }
    let sent = exchanges.iter().map(|(request, _)| Received {
        bytes: request.clone(),
        whole: true,
    });
    assert_eq!(server.received(), sent.collect::<Vec<_>>());
    let counts = proxy.counts();
    assert_eq!((counts.requests, counts.passed), (12, 12));
    assert_eq!((counts.faults(), counts.refused), (0, 0));

    // Nothing is left over for the next one.
    let last = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\n\r\nuntil\r\n\r\nthe end";
    server.script(Script::AnswerAndClose(last.to_vec()));
    client.send(&get("/a"));
    assert_eq!(client.rest(), last);
    assert_eq!(proxy.counts().passed, 13);
}

#[test]
fn connections_close_when_either_side_wants_it() {
    let (server, proxy) = start(Faults::none());
    let closing = [
        (
            "GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
        ),
        (
            "GET / HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n",
        ),
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.0 200 OK\r\n"),
    ];
    for (request, head) in closing {
        let answer = format!("{head}Content-Length: 2\r\n\r\nok");
        server.say(answer.as_bytes());
        let mut client = Client::connect(proxy.addr());
        client.send(request.as_bytes());
        assert_eq!(client.rest(), answer.as_bytes(), "{request:?}");
    }
}

#[test]
fn a_server_may_close_between_two_requests() {
    const TURNS: usize = 20;
    let (server, proxy) = start(Faults::none());
    let mut client = Client::connect(proxy.addr());
    for turn in 1..=TURNS {
        server.script(Script::AnswerAndClose(answer("200 OK", "", b"body")));
        let found = client.ask(&get("/a")).unwrap();
        assert_eq!(found.body, b"body");
        server.until(|state| state.answered == turn);
    }
    assert_eq!(server.received().len(), TURNS);

    // What may have an effect is not sent again, so it is lost where the end of the connection to the
    // server arrives after it. That is rare.
    let mut passed = 0;
    for turn in TURNS + 1..=2 * TURNS {
        server.script(Script::AnswerAndClose(answer("200 OK", "", b"body")));
        match client.ask(&put("/a", b"x")) {
            Ok(_) => passed += 1,
            Err(_) => client = Client::connect(proxy.addr()),
        }
        server.until(|state| state.answered == turn);
    }
    assert!(passed > TURNS / 2, "{passed} of {TURNS}");
}

#[test]
fn a_read_that_meets_the_end_of_an_idle_connection_is_sent_again() {
    let (server, proxy) = start(Faults::none());
    let mut client = Client::connect(proxy.addr());
    assert_eq!(client.ask(&put("/a", b"x")).unwrap().status, 201);
    server.script(Script::AnswerAndClose(Vec::new()));
    assert_eq!(client.ask(&get("/a")).unwrap().body, b"x");
    server.script(Script::AnswerAndClose(Vec::new()));
    client.send(&put("/a", b"y"));
    client.end().unwrap();
    assert_eq!(server.received().len(), 4);
    assert_eq!(server.object("/a").unwrap(), b"x");
}

#[test]
fn bodies_are_streamed_both_ways() {
    const PART: usize = 40 << 20;
    let (server, proxy) = start(Faults::none());
    let mut client = Client::connect(proxy.addr());
    let (first, second) = (pattern(PART), pattern(PART + 1));
    let length = first.len() + second.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    server.script(Script::Parts(vec![
        head.clone(),
        first.clone(),
        second.clone(),
    ]));

    // The server has what was sent before the rest is sent, and the client likewise.
    let request = format!("PUT /a HTTP/1.1\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    client.send(&request);
    client.send(&first);
    server.until(|state| state.body_bytes >= PART - (64 << 10));
    client.send(&second);
    assert_eq!(client.receive(head.len()), head);
    server.permit();
    assert!(client.receive(PART) == first);
    server.permit();
    assert!(client.receive(PART + 1) == second);
    let received = server.received();
    assert!(received[0].bytes == [request, first, second].concat());
}

#[test]
fn a_client_that_waits_is_told_to_go_on_by_the_server() {
    let (server, proxy) = start(Faults::none());
    let mut client = Client::connect(proxy.addr());
    for _ in 0..2 {
        let (head, body) = expecting("/a", b"body");
        client.send(&head);
        let invitation = b"HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(client.receive(invitation.len()), invitation);
        client.send(&body);
        assert_eq!(client.answer().unwrap().status, 201);
    }
    assert_eq!(server.object("/a").as_deref(), Some(b"body".as_slice()));

    // Refused before it has sent its body, it does not send it, and the connection cannot go on.
    let refusal = answer("417 Expectation Failed", "", b"no");
    server.script(Script::Unread(refusal.clone()));
    let (head, _) = expecting("/a", b"body");
    client.send(&head);
    assert_eq!(client.rest(), refusal);
    assert_eq!(proxy.counts().passed, 3);
}

#[test]
fn a_client_that_waits_is_told_to_go_on_by_the_proxy_where_the_server_is_not_asked() {
    let kinds = [
        FaultKind::RequestTimeout,
        FaultKind::Unavailable,
        FaultKind::StallBefore,
        FaultKind::RequestCut,
        FaultKind::Duplicated,
        FaultKind::Late,
    ];
    for kind in kinds {
        let (_server, proxy) = start(super::only(kind));
        let mut client = Client::connect(proxy.addr());
        let (head, body) = expecting("/a", b"body");
        client.send(&head);
        let invitation = b"HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(client.receive(invitation.len()), invitation, "{kind:?}");
        client.send(&body);
        let answer = client.answer().ok().map(|answer| answer.status);
        match kind {
            FaultKind::RequestTimeout => assert_eq!(answer, Some(408)),
            FaultKind::Unavailable => assert_eq!(answer, Some(503)),
            FaultKind::Duplicated => assert_eq!(answer, Some(201)),
            FaultKind::Late => assert!(matches!(answer, None | Some(503))),
            _ => assert_eq!(answer, None, "{kind:?}"),
        }
        assert_eq!(proxy.counts().of(kind), 1, "{kind:?}");
    }
}

#[test]
fn a_server_may_answer_before_it_has_the_body() {
    let (server, proxy) = start(Faults::none());
    let refusal = answer("403 Forbidden", "Connection: close\r\n", b"no");
    server.script(Script::Unread(refusal.clone()));
    let mut client = Client::connect(proxy.addr());
    client.send(b"PUT /a HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nbegun");
    assert_eq!(client.rest(), refusal);

    // The client may send the rest all the same, and go on.
    let refusal = answer("403 Forbidden", "", b"no");
    server.script(Script::Unread(refusal.clone()));
    let mut client = Client::connect(proxy.addr());
    client.send(b"PUT /a HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
    assert_eq!(client.receive(refusal.len()), refusal);
    client.send(&pattern(1_000_000));
    assert_eq!(client.ask(&get("/a")).unwrap().status, 404);
}

#[test]
fn a_client_that_stops_within_a_body_is_an_end_for_the_server() {
    let (server, proxy) = start(Faults::none());
    let mut client = Client::connect(proxy.addr());
    client.send(b"PUT /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf");
    server.until(|state| state.body_bytes > 0 || !state.received.is_empty());
    drop(client);
    server.until(|state| !state.received.is_empty());
    let received = server.received();
    assert!(!received[0].whole);
    assert!(received[0].bytes.ends_with(b"half"));
    assert_eq!(server.object("/a"), None);
}

#[test]
fn a_server_that_goes_away_ends_the_connection() {
    let (server, proxy) = start(Faults::none());
    server.script(Script::AnswerAndClose(Vec::new()));
    let mut client = Client::connect(proxy.addr());
    client.send(&put("/a", b"x"));
    client.end().unwrap();
    server.script(Script::Unread(Vec::new()));
    let mut client = Client::connect(proxy.addr());
    client.send(b"PUT /a HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nbegun");
    client.end().unwrap();

    // Nobody listens on this port, and no other test is given it.
    let nobody = (Ipv4Addr::LOCALHOST, 1).into();
    let proxy = FaultProxy::start(nobody, Faults::none()).unwrap();
    let mut client = Client::connect(proxy.addr());
    client.send(&create("/a", b""));
    client.end().unwrap();
    let counts = proxy.counts();
    assert_eq!((counts.requests, counts.passed, counts.faults()), (1, 0, 0));
}
