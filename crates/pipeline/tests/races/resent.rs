//! A manifest that was created, and then sent once more.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use afterimage::{
    Name, Timestamp,
    recovery::{Change, Collector, Committer, load_head, name::manifest_key},
    storage::{Key, MemoryStore, Nonces, Operation, Store, StoreError, StoreErrorKind},
};
use bytes::Bytes;

use crate::between::{Between, wrapped};

fn group() -> Name {
    "shop".parse().unwrap()
}

/// Behind the first create of manifest 1 another worker takes over and collects it; the second create
/// fails for certain.
#[derive(Debug)]
struct CollectedBehindTheCreate {
    plain: Arc<dyn Store>,
    creates: AtomicU64,
}

impl Between for CollectedBehindTheCreate {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if *key != manifest_key(&group(), 1) {
            return store.create(key, body);
        }
        if self.creates.fetch_add(1, Ordering::SeqCst) > 0 {
            let kind = StoreErrorKind::Unavailable;
            return Err(StoreError::new(Operation::Create, key, kind));
        }
        store.create(key, body)?;
        let (plain, nonces) = (Arc::clone(&self.plain), Arc::new(Nonces::seeded(2)));
        let next = Committer::acquire(Arc::clone(&plain), nonces, group(), Timestamp(1)).unwrap();
        let mut collector = Collector::open(plain, group(), next.head()).unwrap();
        collector.collect(next.head(), None, Timestamp(1)).unwrap();
        Ok(())
    }
}

/// The create was reported as done. Then the manifest was not there any more, the same bytes were sent
/// again, and that failed for certain: so the commit was taken for one that had not happened, and the
/// worker deleted the layers of a point that the one after it had taken over.
#[test]
fn a_manifest_that_was_created_may_count_whatever_comes_of_sending_it_again() {
    let plain: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let between = CollectedBehindTheCreate {
        plain: Arc::clone(&plain),
        creates: AtomicU64::new(0),
    };
    let store = wrapped(Arc::clone(&plain), between);
    let nonces = Arc::new(Nonces::seeded(1));
    let mut committer = Committer::acquire(store, nonces, group(), Timestamp(1)).unwrap();
    let change = Change {
        keep: Some("forever".to_owned()),
        ..Change::default()
    };
    committer.commit(change, Timestamp(1)).unwrap_err();
    let head = load_head(plain.as_ref(), &group()).unwrap().unwrap();
    assert_eq!(
        (head.manifest.number, head.manifest.keep.as_str()),
        (2, "forever")
    );
    assert!(
        committer.is_in_doubt(),
        "the commit counts: manifest 2 goes on from it"
    );
}
