//! `afterimage plan`.

use std::time::Duration;

use afterimage::{
    plan::{MONTH, MeanRequests, Plan, PlanInput, PriceLine, StoreAmounts, plan},
    storage::Provider,
};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::{
    args,
    failure::Failure,
    output::{Output, size},
    price_table::PriceTable,
    requests,
};

/// A table of prices, and what comes of it.
struct Priced {
    table: PriceTable,
    lines: Vec<PriceLine>,
    total: f64,
}

pub(crate) fn run(arguments: &args::Plan, output: &mut Output) -> Result<(), Failure> {
    let table = arguments.price_table.as_deref().map(PriceTable::read);
    let table = table.transpose()?;
    let provider = table.as_ref().map_or(Provider::S3, |table| table.provider);
    let planned = plan(&input(arguments, provider)?)?;
    let priced = table.map(|table| {
        let lines = planned.price(&table.prices);
        let total = lines.iter().map(|line| line.price).sum();
        Priced {
            table,
            lines,
            total,
        }
    });
    if output.is_json() {
        return output.value(&value(arguments, provider, &planned, priced.as_ref()));
    }
    output.line(&summary(arguments, &planned))?;
    output.line("")?;
    output.line(&requests_table(&planned).to_string())?;
    output.line("")?;
    output.line(&bytes_table(&planned).to_string())?;
    if let Some(priced) = &priced {
        output.line("")?;
        output.line(&price_table(priced).to_string())?;
        output.line("")?;
        output.line(&total(arguments, priced))?;
    }
    Ok(())
}

fn input(arguments: &args::Plan, provider: Provider) -> Result<PlanInput, Failure> {
    let time = |what: &str, time: jiff::SignedDuration| {
        let wrong = |_| Failure::invalid(format!("--{what}: a time below 0"));
        Duration::try_from(time).map_err(wrong)
    };
    Ok(PlanInput {
        churn_bytes_per_second: arguments.churn.0,
        disks: arguments.disks,
        seal: time("seal", arguments.seal)?,
        points: time("points", arguments.points)?,
        poll: time("poll", arguments.poll)?,
        keep: arguments.keep.clone(),
        ratio: arguments.ratio,
        live: arguments.live,
        used_bytes: arguments.used.map(|used| used.0),
        provider,
    })
}

/// What comes in, and what is made of it.
fn summary(arguments: &args::Plan, plan: &Plan) -> String {
    format!(
        "in 30 days: {} segments of {}, one every {:.1} s; {} points of {}, of which {} keeps {}{}{}",
        plan.segments,
        size(plan.segment_bytes),
        plan.segment_time.as_secs_f64(),
        plan.points,
        size(plan.point_bytes),
        arguments.keep,
        plan.kept_points,
        match plan.waiting_points {
            0 => String::new(),
            waiting => format!(", and up to {waiting} more until the next pruning"),
        },
        match arguments.used {
            Some(_) => "",
            None => "\nwithout what the disks hold before: give --used for that",
        },
    )
}

fn requests_table(plan: &Plan) -> Table {
    let mut table = new_table(["REQUESTS", "PUTS", "GETS", "HEADS", "LISTS", "DELETES"]);
    for (name, mean) in [
        ("cache, a segment", &plan.per_segment),
        ("target, a point", &plan.per_point),
        ("target, a pruning", &plan.per_pruning),
    ] {
        let numbers = mean.counts().map(|number| format!("{number:.2}"));
        table.add_row([name.to_owned()].into_iter().chain(numbers));
    }
    for (name, amounts) in [
        ("cache, a month", &plan.cache),
        ("target, a month", &plan.target),
    ] {
        let numbers = amounts.requests.counts().map(|number| number.to_string());
        table.add_row([name.to_owned()].into_iter().chain(numbers));
    }
    table
}

fn bytes_table(plan: &Plan) -> Table {
    let mut table = new_table(["BYTES", "STORED", "IN, A MONTH", "OUT, A MONTH"]);
    for (name, amounts) in [("cache", &plan.cache), ("target", &plan.target)] {
        table.add_row([
            name.to_owned(),
            size(amounts.stored_bytes),
            size(amounts.in_bytes),
            size(amounts.out_bytes),
        ]);
    }
    table
}

fn price_table(priced: &Priced) -> Table {
    let Priced { table, lines, .. } = priced;
    let price = format!("{} A MONTH", table.currency);
    let mut shown = new_table(["PRICE", "", "AMOUNT", "UNIT", &price]);
    for line in lines.iter().filter(|line| line.amount > 0.0) {
        let digits = if line.unit == "requests" { 0 } else { 1 };
        shown.add_row([
            line.store.to_owned(),
            line.what.to_owned(),
            format!("{:.digits$}", line.amount),
            line.unit.to_owned(),
            format!("{:.2}", line.price),
        ]);
    }
    for column in [1, 3] {
        if let Some(column) = shown.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Left);
        }
    }
    shown
}

fn total(arguments: &args::Plan, priced: &Priced) -> String {
    let Priced { table, total, .. } = priced;
    format!(
        "{total:.2} {currency} a month, {each:.2} a disk, at the prices of {date}: {name} ({source})",
        currency = table.currency,
        each = total / f64::from(arguments.disks),
        date = table.date,
        name = table.name,
        source = table.source,
    )
}

/// A table with numbers in all columns but the first.
fn new_table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    for column in 1..COLUMNS {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A plan as the JSON contract has it.
fn value(
    arguments: &args::Plan,
    provider: Provider,
    plan: &Plan,
    priced: Option<&Priced>,
) -> Value {
    let provider = match provider {
        Provider::S3 => "s3",
        Provider::Azure => "azure",
        Provider::Google => "google",
    };
    json!({
        "days": MONTH.as_secs() / 86_400,
        "provider": provider,
        "segments": plan.segments,
        "segment_bytes": plan.segment_bytes,
        "segment_seconds": plan.segment_time.as_secs_f64(),
        "points": plan.points,
        "point_bytes": plan.point_bytes,
        "keep": arguments.keep.to_string(),
        "kept_points": plan.kept_points,
        "waiting_points": plan.waiting_points,
        "used_bytes": arguments.used.map(|used| used.0),
        "prunings": plan.prunings,
        "requests_per_segment": mean(&plan.per_segment),
        "requests_per_point": mean(&plan.per_point),
        "requests_per_pruning": mean(&plan.per_pruning),
        "cache": amounts(&plan.cache),
        "target": amounts(&plan.target),
        "prices": priced.map(|priced| prices(arguments, priced)),
    })
}

fn mean(mean: &MeanRequests) -> Value {
    requests::by_kind(mean.counts())
}

fn amounts(amounts: &StoreAmounts) -> Value {
    json!({
        "requests": requests::counts(&amounts.requests),
        "stored_bytes": amounts.stored_bytes,
        "in_bytes": amounts.in_bytes,
        "out_bytes": amounts.out_bytes,
    })
}

fn prices(arguments: &args::Plan, priced: &Priced) -> Value {
    let Priced {
        table,
        lines,
        total,
    } = priced;
    let lines = lines.iter().map(|line| {
        json!({
            "store": line.store,
            "what": line.what,
            "amount": line.amount,
            "unit": line.unit,
            "price": line.price,
        })
    });
    json!({
        "name": table.name,
        "currency": table.currency,
        "date": table.date.to_string(),
        "source": table.source,
        "lines": lines.collect::<Vec<_>>(),
        "total": total,
        "per_disk": total / f64::from(arguments.disks),
    })
}
