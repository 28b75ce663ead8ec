//! Many things that wait for a server, at once.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread::{Builder, scope},
};

/// How many wait at once: cores are no measure for that.
const AT_ONCE: usize = 16;

/// Does something with each item, on threads of their own; gives what came of each, in their order, or
/// the first failure of them.
pub(crate) fn each_waiting<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let some = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(number) else {
                return done;
            };
            let result = work(item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            done.push((number, result));
        }
    };
    let others = items.len().min(AT_ONCE).saturating_sub(1);
    let mut done = scope(|scope| {
        // Where no thread is to be had there are fewer.
        let spawned = (0..others).map_while(|_| Builder::new().spawn_scoped(scope, some).ok());
        let others: Vec<_> = spawned.collect();
        let mut done = some();
        for other in others {
            let joined = other.join();
            done.extend(joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_the_first_failure_ends_it() {
        let items: Vec<u32> = (0..100).collect();
        let doubled = each_waiting(&items, |item| Ok::<_, ()>(2 * item));
        assert_eq!(doubled, Ok(items.iter().map(|item| 2 * item).collect()));
        let begun = AtomicUsize::new(0);
        let failed = each_waiting(&items, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(*item)
        });
        assert!(failed.is_err());
        assert!(begun.into_inner() <= AT_ONCE);
        assert_eq!(each_waiting(&[], |(): &()| Ok::<_, ()>(())), Ok(vec![]));
    }
}
