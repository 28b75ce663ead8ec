//! What is said of an object, the same for people and as JSON.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table as Grid, presets};
use serde_json::{Map, Value, json};

use crate::output;

/// One thing that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// A number, as it is.
    Number(u64),
    /// A number of bytes.
    Bytes(u64),
    /// Anything else.
    Text(String),
    /// Numbers that belong together.
    Numbers(Vec<u64>),
    /// Yes or no.
    Truth(bool),
    /// Nothing: the object does not have it.
    None,
}

/// Rows of the same columns.
#[derive(Debug)]
pub(super) struct Table {
    name: &'static str,
    columns: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

/// What is said of an object. Names are those of JSON; people see blanks for underscores.
#[derive(Debug)]
pub(super) struct Report {
    object: &'static str,
    fields: Vec<(&'static str, Cell)>,
    tables: Vec<Table>,
}

impl Cell {
    /// A text of anything that can be shown.
    pub(super) fn text(shown: &(impl ToString + ?Sized)) -> Cell {
        Cell::Text(shown.to_string())
    }

    fn json(&self) -> Value {
        match self {
            Cell::Number(number) | Cell::Bytes(number) => json!(number),
            Cell::Text(text) => json!(text),
            Cell::Numbers(numbers) => json!(numbers),
            Cell::Truth(truth) => json!(truth),
            Cell::None => Value::Null,
        }
    }

    fn shown(&self) -> String {
        match self {
            Cell::Number(number) => number.to_string(),
            Cell::Bytes(bytes) => output::size(*bytes),
            Cell::Text(text) => text.clone(),
            Cell::Numbers(numbers) => {
                let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
                texts.join(" ")
            }
            Cell::Truth(truth) => if *truth { "yes" } else { "no" }.to_owned(),
            Cell::None => "-".to_owned(),
        }
    }
}

impl Report {
    /// Nothing yet, of an object of this kind that is intact.
    pub(super) const fn new(object: &'static str) -> Report {
        Report {
            object,
            fields: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// Says one thing more.
    pub(super) fn field(&mut self, name: &'static str, cell: Cell) {
        self.fields.push((name, cell));
    }

    /// Begins a table; its rows are added to it.
    pub(super) fn table(
        &mut self,
        name: &'static str,
        columns: &'static [&'static str],
        rows: Vec<Vec<Cell>>,
    ) {
        self.tables.push(Table {
            name,
            columns,
            rows,
        });
    }

    /// As JSON, on many lines.
    pub(super) fn json(&self) -> String {
        let mut all = Map::new();
        all.insert("object".to_owned(), json!(self.object));
        all.insert("intact".to_owned(), json!(true));
        for (name, cell) in &self.fields {
            all.insert((*name).to_owned(), cell.json());
        }
        for Table {
            name,
            columns,
            rows,
        } in &self.tables
        {
            let rows = rows.iter().map(|row| {
                let cells = columns.iter().zip(row);
                let cells = cells.map(|(column, cell)| ((*column).to_owned(), cell.json()));
                Value::Object(cells.collect())
            });
            all.insert((*name).to_owned(), rows.collect());
        }
        format!("{:#}", Value::Object(all))
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}, intact\n", self.object);
        let widths = self.fields.iter().map(|(name, _)| name.len());
        let width = widths.max().unwrap_or(0);
        for (name, cell) in &self.fields {
            let name = name.replace('_', " ");
            // A `String` takes everything.
            let _written = writeln!(text, "  {name:width$}  {}", cell.shown());
        }
        for table in self.tables.iter().filter(|table| !table.rows.is_empty()) {
            let name = table.name.replace('_', " ");
            let _written = writeln!(text, "\n{name}\n{}", table.grid());
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl Table {
    fn grid(&self) -> Grid {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        let heads = self.columns.iter();
        grid.set_header(heads.map(|name| name.replace('_', " ").to_uppercase()));
        for row in &self.rows {
            grid.add_row(row.iter().map(Cell::shown));
        }
        for (index, cell) in self.rows.first().into_iter().flatten().enumerate() {
            let is_number = matches!(cell, Cell::Number(_) | Cell::Bytes(_));
            if let Some(column) = grid.column_mut(index).filter(|_| is_number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        grid
    }
}
