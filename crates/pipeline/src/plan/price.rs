//! Amounts times prices.

use super::{Plan, StoreAmounts};

/// Bytes of what providers call a gigabyte.
const GIB: f64 = (1u64 << 30) as f64;

/// Prices of one provider, in one currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// How many requests the prices of requests are for.
    pub per_requests: f64,
    /// Of so many puts.
    pub puts: f64,
    /// Of so many gets.
    pub gets: f64,
    /// Of so many heads.
    pub heads: f64,
    /// Of so many lists.
    pub lists: f64,
    /// Of so many deletes.
    pub deletes: f64,
    /// Of a GiB that is stored for a month.
    pub stored_gib_month: f64,
    /// Of a GiB that the worker reads from the cache.
    pub cache_out_gib: f64,
    /// Of a GiB that the worker reads from the target.
    pub target_out_gib: f64,
}

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PriceLine {
    /// To which store: `cache` or `target`.
    pub store: &'static str,
    /// What: a kind of requests, `stored` or `out`.
    pub what: &'static str,
    /// How many of the unit in a month.
    pub amount: f64,
    /// `requests`, `GiB months` or `GiB`.
    pub unit: &'static str,
    /// In the currency of the prices.
    pub price: f64,
}

impl Plan {
    /// The price of each amount of a month, those that are nothing among them. Their sum is the
    /// price of a month.
    #[must_use]
    pub fn price(&self, prices: &Prices) -> Vec<PriceLine> {
        let mut lines = store_lines("cache", &self.cache, prices, prices.cache_out_gib);
        lines.extend(store_lines(
            "target",
            &self.target,
            prices,
            prices.target_out_gib,
        ));
        lines
    }
}

fn store_lines(
    store: &'static str,
    amounts: &StoreAmounts,
    prices: &Prices,
    out_gib: f64,
) -> Vec<PriceLine> {
    let [puts, gets, heads, lists, deletes] = amounts.requests.counts();
    let requests = [
        ("puts", puts, prices.puts),
        ("gets", gets, prices.gets),
        ("heads", heads, prices.heads),
        ("lists", lists, prices.lists),
        ("deletes", deletes, prices.deletes),
    ];
    let requests = requests.map(|(what, amount, price)| PriceLine {
        store,
        what,
        amount: amount as f64,
        unit: "requests",
        price: amount as f64 / prices.per_requests * price,
    });
    let bytes = [
        (
            "stored",
            amounts.stored_bytes,
            "GiB months",
            prices.stored_gib_month,
        ),
        ("out", amounts.out_bytes, "GiB", out_gib),
    ];
    let bytes = bytes.map(|(what, bytes, unit, price)| PriceLine {
        store,
        what,
        amount: bytes as f64 / GIB,
        unit,
        price: bytes as f64 / GIB * price,
    });
    requests.into_iter().chain(bytes).collect()
}
