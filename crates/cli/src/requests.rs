//! What was asked of the servers of a run.

use afterimage::storage::{Requests, Store};
use serde_json::{Value, json};

/// The requests to a store as JSON; null where nobody bills them.
pub(crate) fn value(store: &dyn Store) -> Value {
    let requests = store.requests();
    requests.map_or(Value::Null, |requests| counts(&requests))
}

/// Requests by kind as JSON.
pub(crate) fn counts(requests: &Requests) -> Value {
    let Requests {
        puts,
        gets,
        heads,
        lists,
        deletes,
    } = requests;
    json!({"puts": puts, "gets": gets, "heads": heads, "lists": lists, "deletes": deletes})
}

/// The requests to a store as a line for people, for each of so many points; `None` where nobody bills
/// them.
pub(crate) fn line(name: &str, store: &dyn Store, points: u64) -> Option<String> {
    let requests = store.requests()?;
    let Requests {
        puts,
        gets,
        heads,
        lists,
        deletes,
    } = requests;
    let all = requests.all();
    let each = all.checked_div(points);
    let each = each.map_or(String::new(), |each| format!(", {each} a point"));
    Some(format!(
        "requests to the {name}: {all}{each} ({puts} put, {gets} get, {heads} head, {lists} list, \
         {deletes} delete)"
    ))
}
