//! The stores of object stores keep the contract, against real servers.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::{cell::Cell, sync::Arc};

use afterimage_storage::{Address, Key, RemoteStore, Store, StoreErrorKind};
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
