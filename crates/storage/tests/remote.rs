//! The stores of object stores keep the contract, against real servers.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::{cell::Cell, sync::Arc, thread, time::Duration};

use afterimage_storage::{
    Address, Key, Nonces, RemoteStore, Store, StoreError, StoreErrorKind, probe,
};
use afterimage_testkit::{
    FaultKind, FaultProxy, Faults,
    servers::{Kind, Server, not_run},
    store_conformance,
};
use bytes::Bytes;

fn connect(server: &Server, prefix: &str) -> RemoteStore {
    let url = server.url(server.addr(), prefix);
    let address = Address::parse(&url).unwrap().unwrap();
    RemoteStore::connect_with(address, server.settings()).unwrap()
}

fn conforms(kind: Kind) {
    let server = match Server::start(kind) {
        Ok(server) => server,
        Err(why) => return not_run(&format!("the contract on {kind:?}"), &why),
    };
    let stores = Cell::new(0);
    store_conformance(&|| {
        stores.set(stores.get() + 1);
        let store = connect(&server, &format!("deep/root-{}", stores.get()));
        store.check().unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        store
    });
}

#[test]
fn s3_keeps_the_contract() {
    conforms(Kind::Moto);
}

#[test]
fn azure_keeps_the_contract() {
    conforms(Kind::Azurite);
}

/// Something on the way sends requests twice: the server refuses the second, and that is all the client
/// hears. The object is his all the same, and a later create of equal bytes is not.
#[test]
fn a_create_that_was_sent_twice_is_ours() {
    for kind in [Kind::Moto, Kind::Azurite] {
        let server = match Server::start(kind) {
            Ok(server) => server,
            Err(why) => return not_run(&format!("creates sent twice to {kind:?}"), &why),
        };
        let twice = Faults::none().with(FaultKind::Duplicated, 10_000);
        let proxy = FaultProxy::start(server.addr(), twice).unwrap();
        let address = Address::parse(&server.url(proxy.addr(), "twice")).unwrap();
        let store = RemoteStore::connect_with(address.unwrap(), server.settings()).unwrap();
        let body = [Bytes::from_static(b"equal")];
        for name in ["a", "b"] {
            let key = Key::new(name).unwrap();
            store.create(&key, &body).unwrap();
            let refused = store.create(&key, &body).unwrap_err();
            assert_eq!(refused.kind, StoreErrorKind::AlreadyExists, "{refused}");
        }
        assert!(proxy.counts().of(FaultKind::Duplicated) >= 4);
    }
}

/// Bytes that are unlike those of any other object, in pieces.
fn pieces(object: u8, pieces: usize) -> Vec<Bytes> {
    let piece = |number: usize| {
        let byte = u8::try_from(number % 251).unwrap();
        Bytes::from(vec![object ^ byte; 1 << 20])
    };
    (0..pieces).map(piece).collect()
}

fn upload(store: &RemoteStore, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
    let mut upload = store.upload(key)?;
    for piece in body {
        upload.write(piece.clone())?;
    }
    upload.finish()
}

/// Objects that go up in parts, two at a time for each name, with faults of all kinds in between.
fn large_objects(kind: Kind) {
    const NAMES: u8 = 6;
    let server = match Server::start(kind) {
        Ok(server) => server,
        Err(why) => return not_run(&format!("large objects on {kind:?}"), &why),
    };
    let faults = Faults {
        stall: Duration::from_millis(200),
        late: Duration::from_millis(300),
        ..Faults::all(11, 150)
    };
    let proxy = FaultProxy::start(server.addr(), faults).unwrap();
    let store = |options| {
        let url = format!("{}{options}", server.url(proxy.addr(), "large"));
        let address = Address::parse(&url).unwrap().unwrap();
        RemoteStore::connect_with(address, server.settings()).unwrap()
    };
    let (one, other) = (
        store("&patience=120&timeout=5"),
        store("&patience=120&timeout=5"),
    );
    let mut won = Vec::new();
    for name in 0..NAMES {
        let key = Key::new(&format!("object-{name}")).unwrap();
        let small = pieces(name, 9);
        let large = pieces(128 | name, 17 + usize::from(name));
        let (of_small, of_large) = thread::scope(|scope| {
            let racer = scope.spawn(|| upload(&one, &key, &small));
            let of_large = upload(&other, &key, &large);
            (racer.join().unwrap(), of_large)
        });
        let (winner, lost) = match (of_small, of_large) {
            (Ok(()), Err(lost)) => (small, lost),
            (Err(lost), Ok(())) => (large, lost),
            both => panic!("{key}: {both:?}"),
        };
        assert_eq!(lost.kind, StoreErrorKind::AlreadyExists, "{key}: {lost}");
        won.push((key, winner.concat()));
    }
    proxy.settle();
    let plain = connect(&server, "large");
    for (key, body) in &won {
        assert!(plain.read(key).unwrap() == body, "{key}");
    }
    assert!(proxy.counts().faults() > 0);
}

#[test]
fn large_objects_on_s3_are_whole_and_one_racers_own() {
    large_objects(Kind::Moto);
}

#[test]
fn large_objects_on_azure_are_whole_and_one_racers_own() {
    large_objects(Kind::Azurite);
}

/// Of creates that race this server lets several through. Which ones race is chance, so it is asked several
/// times; once would nearly always do.
#[test]
fn a_server_whose_creates_are_not_exact_is_refused() {
    const PROBES: u32 = 8;
    let server = match Server::start(Kind::S3sFs) {
        Ok(server) => server,
        Err(why) => return not_run("the probe of a server that is not exact", &why),
    };
    let store: Arc<dyn Store> = Arc::new(connect(&server, "probed"));
    let nonces = Nonces::from_os();
    let refused = (0..PROBES).find_map(|_| probe(&store, &nonces).err());
    let said = refused.map(|error| error.to_string()).unwrap_or_default();
    assert!(said.contains("creates of this one name"), "{said}");
}
