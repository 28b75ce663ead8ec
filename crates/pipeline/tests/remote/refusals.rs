//! What keeps a store from being used, and what it costs.

use std::{sync::Arc, thread, time::Duration};

use afterimage::{
    Error, ErrorKind, Event, Pipeline, Stop,
    storage::{Address, RemoteStore, Store, StoreErrorKind},
};
use afterimage_testkit::{FaultProxy, Faults, servers::Kind};

use crate::world::{Source, name, server, store};

#[test]
fn a_wrong_key_or_bucket_is_one_clear_error() {
    let (Some(azure), Some(s3)) = (
        server(Kind::Azurite, "refusals"),
        server(Kind::Moto, "refusals"),
    ) else {
        return;
    };
    let refused = |url: String, settings: &[(&str, &str)]| {
        let address = Address::parse(&url).unwrap().unwrap();
        let store = RemoteStore::connect_with(address, settings);
        let error = store.and_then(|store| store.check()).unwrap_err();
        let kind = error.kind;
        let error = Error::from(error);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        (
            kind,
            format!("{error} {}", error.cause().unwrap_or_default()),
        )
    };
    let missing = s3
        .url(s3.addr(), "p")
        .replace("s3://bucket", "s3://nowhere");
    let (kind, said) = refused(missing, s3.settings());
    assert_eq!(kind, StoreErrorKind::NoStore, "{said}");
    assert!(said.contains("create the bucket"), "{said}");
    let missing = azure
        .url(azure.addr(), "p")
        .replace("az://bucket", "az://nowhere");
    let (kind, said) = refused(missing, azure.settings());
    assert_eq!(kind, StoreErrorKind::NoStore, "{said}");
    let wrong = [("AZURE_STORAGE_ACCOUNT_KEY", "bm90IHRoZSBrZXk=")];
    let (kind, said) = refused(azure.url(azure.addr(), "p"), &wrong);
    assert_eq!(kind, StoreErrorKind::Denied, "{said}");
    assert!(said.contains("credentials"), "{said}");
}

/// The servers of the tests know neither clocks nor regions nor quotas, so something between says for them
/// what the providers say.
#[test]
fn a_clock_that_is_off_or_a_wrong_region_is_one_clear_error() {
    let Some(s3) = server(Kind::Moto, "refusals by the provider") else {
        return;
    };
    let proxy = FaultProxy::start(s3.addr(), Faults::none()).unwrap();
    let store = store(&s3, proxy.addr(), "p", "&patience=2&timeout=2").unwrap();
    store.check().unwrap();
    for (status, code, advice) in [
        ("403 Forbidden", "RequestTimeTooSkewed", "set it by NTP"),
        ("400 Bad Request", "AuthorizationHeaderMalformed", "region"),
        ("301 Moved Permanently", "PermanentRedirect", "region"),
        ("403 Forbidden", "InvalidAccessKeyId", "credentials"),
        ("400 Bad Request", "ExpiredToken", "expired"),
    ] {
        proxy.set(Faults::refusing(status, code, false));
        let error = Error::from(store.check().unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Invalid, "{code}: {error}");
        let said = format!("{error} {}", error.cause().unwrap_or_default());
        assert!(said.contains(advice), "{code}: {said}");
    }
    proxy.set(Faults::none());
    store.check().unwrap();
}

/// Once there is room again it goes on where it was.
#[test]
fn a_store_that_is_full_is_an_error_that_passes_and_nothing_is_lost() {
    let Some(s3) = server(Kind::Moto, "a store that is full") else {
        return;
    };
    let proxy = FaultProxy::start(s3.addr(), Faults::none()).unwrap();
    let cache: Arc<dyn Store> = Arc::new(afterimage::storage::MemoryStore::new());
    let target: Arc<dyn Store> =
        Arc::new(store(&s3, proxy.addr(), "p", "&patience=2&timeout=2").unwrap());
    let mut source = Source::new(Arc::clone(&cache), 9).unwrap();
    let run = || {
        let pipeline = Pipeline::builder(name("shop"), Arc::clone(&cache), Arc::clone(&target));
        pipeline.build().unwrap().run_once(&mut |_| ())
    };
    source.interval().unwrap();
    run().unwrap();
    for (status, code) in [
        ("507 Insufficient Storage", "InsufficientStorage"),
        ("403 Forbidden", "QuotaExceeded"),
    ] {
        source.interval().unwrap();
        proxy.set(Faults::refusing(status, code, true));
        let error = run().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{code}: {error}");
        let said = format!("{error} {}", error.cause().unwrap_or_default());
        assert!(said.contains("raise the quota"), "{code}: {said}");
        proxy.set(Faults::none());
        run().unwrap();
    }
    assert_eq!(source.check(&target), 3);
}

/// While the store is away for less than the patience of its address, everything waits and then goes
/// on. The hour of the documentation is a second here; nothing else differs.
#[test]
fn a_target_that_vanishes_for_a_while_is_waited_for() {
    let Some(s3) = server(Kind::Moto, "a store that vanishes") else {
        return;
    };
    let proxy = FaultProxy::start(s3.addr(), Faults::none()).unwrap();
    let cache: Arc<dyn Store> = Arc::new(afterimage::storage::MemoryStore::new());
    let options = "&patience=300&timeout=2";
    let target: Arc<dyn Store> = Arc::new(store(&s3, proxy.addr(), "p", options).unwrap());
    let mut source = Source::new(Arc::clone(&cache), 9).unwrap();
    source.interval().unwrap();
    let pipeline = Pipeline::builder(name("shop"), cache, Arc::clone(&target))
        .poll(Duration::from_millis(10))
        .build()
        .unwrap();
    let stop = Stop::default();
    let mut points = 0;
    thread::scope(|scope| {
        pipeline
            .run(&stop, &mut |event| {
                let Event::Point { .. } = event else { return };
                points += 1;
                match points {
                    1 => {
                        proxy.set(Faults::gone());
                        source.interval().unwrap();
                        let proxy = &proxy;
                        scope.spawn(move || {
                            // Refused for certain before it is there again.
                            while proxy.counts().refused < 3 {
                                thread::yield_now();
                            }
                            proxy.set(Faults::none());
                        });
                    }
                    _ => stop.stop(),
                }
            })
            .unwrap();
    });
    assert_eq!(points, 2);
    assert_eq!(source.check(&target), 2);
}

/// Without patience it is one error, and the next run goes on where this one ended.
#[test]
fn a_target_that_is_away_for_longer_is_an_error_and_nothing_is_lost() {
    let Some(s3) = server(Kind::Moto, "a store that is away") else {
        return;
    };
    let proxy = FaultProxy::start(s3.addr(), Faults::none()).unwrap();
    let cache: Arc<dyn Store> = Arc::new(afterimage::storage::MemoryStore::new());
    let target = || -> Arc<dyn Store> {
        Arc::new(store(&s3, proxy.addr(), "p", "&patience=1&timeout=1").unwrap())
    };
    let mut source = Source::new(Arc::clone(&cache), 9).unwrap();
    let run = |target: Arc<dyn Store>| {
        let pipeline = Pipeline::builder(name("shop"), Arc::clone(&cache), target);
        pipeline.build().unwrap().run_once(&mut |_| ())
    };
    source.interval().unwrap();
    run(target()).unwrap();
    source.interval().unwrap();
    proxy.set(Faults::gone());
    let error = run(target()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    proxy.set(Faults::none());
    run(target()).unwrap();
    assert_eq!(source.check(&target()), 2);
}
