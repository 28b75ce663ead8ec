//! `afterimage prune`.

use afterimage::{
    Point, Tend, Upkeep, decisions, open_existing_store,
    recovery::retention::{Decision, Keep},
};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::{
    args,
    failure::Failure,
    output::{Output, size, time},
    signals::stop_on_signal,
    tended,
};

pub(crate) fn run(arguments: &args::Prune, output: &mut Output) -> Result<(), Failure> {
    let args::Prune {
        at,
        keep,
        dry_run,
        take_over,
    } = arguments;
    let target = open_existing_store(&at.target)?;
    if *dry_run {
        let decided = decisions(&target, &at.group, keep.as_ref())?;
        return explain(&decided, keep.as_ref(), output);
    }
    let upkeep = Upkeep {
        keep: keep.clone(),
        ..Upkeep::default()
    };
    let tend = Tend {
        take_over: *take_over,
        ..Tend::new(target, at.group.clone(), upkeep)
    };
    let tended = tend.run(&stop_on_signal()?)?;
    output.value(&Value::Object(tended::fields(&tended)))?;
    output.note(&tended::line(&tended))
}

fn explain(
    decided: &[(std::sync::Arc<Point>, Decision)],
    keep: Option<&Keep>,
    output: &mut Output,
) -> Result<(), Failure> {
    let gone = decided.iter().filter(|(_, decision)| !decision.keep);
    let (gone, stored) = gone.fold((0u64, 0), |(points, bytes), (point, _)| {
        (points + 1, bytes + point.stored_bytes())
    });
    if output.is_json() {
        let list: Vec<Value> = decided.iter().map(value).collect();
        return output.line(&Value::Array(list).to_string());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ID", "KIND", "TIME", "", "WHY"]);
    for (point, decision) in decided {
        table.add_row([
            point.id.to_string(),
            point.kind.word().to_owned(),
            time(point.time),
            if decision.keep { "stays" } else { "goes" }.to_owned(),
            decision.reason.to_string(),
        ]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    output.line(&table.to_string())?;
    let by = keep.map_or("the group's policy".to_owned(), Keep::to_string);
    output.line(&format!(
        "{gone} of {} points would go by {by}; their layers of {} would be merged into the points \
         behind them",
        decided.len(),
        size(stored)
    ))
}

fn value((point, decision): &(std::sync::Arc<Point>, Decision)) -> Value {
    json!({
        "id": point.id,
        "kind": point.kind.word(),
        "name": point.name,
        "time": time(point.time),
        "keep": decision.keep,
        "reason": decision.reason.to_string(),
    })
}
