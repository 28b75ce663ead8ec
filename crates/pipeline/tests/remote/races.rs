//! Two workers on one group.

use std::{sync::Arc, sync::Barrier, thread};

use afterimage::{
    Timestamp,
    recovery::{Committer, RecoveryErrorKind, chain},
    storage::{Nonces, Store},
};
use afterimage_testkit::servers::Kind;

use crate::world::{name, server, store};

const RACES: u64 = 50;

/// In each race two workers take the group over at the same time and commit. Whoever was told that his
/// commit counts finds it in the chain.
fn one_chain(kind: Kind) {
    let Some(server) = server(kind, "races") else {
        return;
    };
    let store: Arc<dyn Store> = Arc::new(store(&server, server.addr(), "races", "").unwrap());
    let nonces = Arc::new(Nonces::from_os());
    let mut reported = Vec::new();
    let mut fenced = 0;
    for race in 0..RACES {
        let start = Barrier::new(2);
        let outcomes = thread::scope(|scope| {
            let worker = || {
                let (store, nonces) = (Arc::clone(&store), Arc::clone(&nonces));
                start.wait();
                let mut numbers = Vec::new();
                let acquired = Committer::acquire(store, nonces, name("shop"), Timestamp(race));
                let mut committer = acquired.map_err(|error| error.kind)?;
                for _ in 0..3 {
                    let head = committer.commit(Default::default(), Timestamp(race));
                    let head = match head {
                        Ok(head) => head,
                        Err(error) => return Ok((numbers, Some(error.kind))),
                    };
                    numbers.push((head.manifest.number, head.digest));
                }
                Ok::<_, RecoveryErrorKind>((numbers, None))
            };
            let workers = [scope.spawn(worker), scope.spawn(worker)];
            workers.map(|worker| worker.join().unwrap())
        });
        for outcome in outcomes {
            let stopped = match outcome {
                Ok((numbers, stopped)) => {
                    reported.extend(numbers);
                    stopped
                }
                Err(kind) => Some(kind),
            };
            if let Some(kind) = stopped {
                assert!(matches!(kind, RecoveryErrorKind::Fenced(_)), "{kind:?}");
                fenced += 1;
            }
        }
    }
    assert!(fenced > 0, "they never met");
    reported.sort_by_key(|(number, _)| *number);
    // No number was reported twice, and each is in the one chain.
    assert!(reported.is_sorted_by(|one, next| one.0 < next.0));
    for (number, digest) in &reported {
        let head = chain::load(store.as_ref(), &name("shop"), *number).unwrap();
        assert!(head.is_some_and(|head| head.digest == *digest), "{number}");
    }
    let head = chain::load_head(store.as_ref(), &name("shop"))
        .unwrap()
        .unwrap();
    let mut number = head.manifest.number;
    let mut predecessor = head.manifest.predecessor;
    while number > 0 {
        number -= 1;
        let before = chain::load(store.as_ref(), &name("shop"), number)
            .unwrap()
            .unwrap();
        assert_eq!(before.digest, predecessor, "manifest {number}");
        predecessor = before.manifest.predecessor;
    }
}

#[test]
fn two_workers_on_s3_make_one_chain() {
    one_chain(Kind::Moto);
}

#[test]
fn two_workers_on_azure_make_one_chain() {
    one_chain(Kind::Azurite);
}
