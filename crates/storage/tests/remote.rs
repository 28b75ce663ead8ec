//! The stores of object stores keep the contract, against real servers.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::{cell::Cell, sync::Arc};

use afterimage_storage::{Address, RemoteStore, Store};
use afterimage_testkit::{
    servers::{Kind, Server, not_run},
    store_conformance,
};

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
