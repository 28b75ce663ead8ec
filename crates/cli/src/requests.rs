//! What was asked of the servers of a run.

use std::fmt::Display;

use afterimage::storage::{Requests, Store};
use serde_json::{Value, json};

/// The requests to a store as JSON; null where nobody bills them.
pub(crate) fn value(store: &dyn Store) -> Value {
    let requests = store.requests();
    requests.map_or(Value::Null, |requests| counts(&requests))
}

/// Requests by kind as JSON.
pub(crate) fn counts(requests: &Requests) -> Value {
    by_kind(requests.counts())
}

/// What there is of each kind as JSON.
pub(crate) fn by_kind<T: Into<Value>>(counts: [T; 5]) -> Value {
    let [puts, gets, heads, lists, deletes] = counts.map(Into::into);
    json!({"puts": puts, "gets": gets, "heads": heads, "lists": lists, "deletes": deletes})
}

/// The requests to a store as a line for people, for each of so many segments or points too; `None` where
/// nobody bills them.
pub(crate) fn line(name: &str, store: &dyn Store, (what, many): (&str, u64)) -> Option<String> {
    Some(describe(name, &store.requests()?, what, many))
}

fn describe(name: &str, requests: &Requests, what: &str, many: u64) -> String {
    let (counts, all) = (requests.counts(), requests.all());
    let each = match many {
        0 => String::new(),
        _ => {
            let each = kinds(counts.map(|count| tenths(count, many)));
            format!("; {} a {what}: {each}", tenths(all, many))
        }
    };
    format!("requests to the {name}: {all} ({}){each}", kinds(counts))
}

fn kinds<T: Display>([puts, gets, heads, lists, deletes]: [T; 5]) -> String {
    format!("{puts} put, {gets} get, {heads} head, {lists} list, {deletes} delete")
}

/// A quotient with one digit behind the point.
fn tenths(count: u64, many: u64) -> String {
    let tenths = (10 * count + many / 2) / many;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_for_each_segment() {
        let requests = Requests {
            puts: 0,
            gets: 17,
            heads: 2,
            lists: 1,
            deletes: 0,
        };
        assert_eq!(
            describe("cache", &requests, "segment", 8),
            "requests to the cache: 20 (0 put, 17 get, 2 head, 1 list, 0 delete); 2.5 a segment: \
             0.0 put, 2.1 get, 0.3 head, 0.1 list, 0.0 delete"
        );
        let nothing = describe("cache", &requests, "segment", 0);
        assert!(nothing.ends_with("0 delete)"), "{nothing}");
    }
}
