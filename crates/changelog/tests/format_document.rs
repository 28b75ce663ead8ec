//! FORMAT.md says what the code does: its tables add up, their totals and limits are the constants,
//! and the golden files, which the code is pinned to, have the fields of the tables.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::collections::BTreeMap;

use afterimage_changelog::{
    footer::FOOTER_BYTES, frame::FRAME_ENTRY_BYTES, limits, row::ROW_BYTES,
};

const DOCUMENT: &str = include_str!("../../../FORMAT.md");
const GOLDEN: [(&str, &str); 7] = [
    ("segment", include_str!("../golden/segment.hex")),
    ("layer", include_str!("../golden/layer.hex")),
    ("index", include_str!("../golden/index.hex")),
    (
        "manifest",
        include_str!("../../recovery/golden/manifest.hex"),
    ),
    ("page", include_str!("../../recovery/golden/page.hex")),
    ("hold", include_str!("../../recovery/golden/hold.hex")),
    ("progress", include_str!("../../target/golden/progress.hex")),
];

/// A field of a structure: offset and size are none where they depend on what comes before.
#[derive(Debug)]
struct Field {
    name: &'static str,
    offset: Option<usize>,
    size: Option<usize>,
}

/// The cells of a line of a table.
fn cells(line: &'static str) -> Vec<&'static str> {
    let inner = line
        .strip_prefix('|')
        .and_then(|line| line.strip_suffix('|'));
    inner
        .map(|inner| inner.split('|').map(str::trim).collect())
        .unwrap_or_default()
}

/// The structures of the document by their heading.
fn tables() -> BTreeMap<&'static str, Vec<Field>> {
    let mut tables: BTreeMap<&str, Vec<Field>> = BTreeMap::new();
    let mut heading = "";
    let mut in_table = false;
    for line in DOCUMENT.lines() {
        if let Some(text) = line.strip_prefix("### ") {
            heading = text;
        }
        match cells(line)[..] {
            ["offset", "size", "field", "holds"] => in_table = true,
            ["---:", "---:", "---", "---"] => {}
            [offset, size, name, _] if in_table => {
                let number = |cell: &str| (cell != "-").then(|| cell.parse().unwrap());
                tables.entry(heading).or_default().push(Field {
                    name,
                    offset: number(offset),
                    size: number(size),
                });
            }
            _ => in_table = false,
        }
    }
    tables
}

#[test]
fn the_fields_of_each_table_follow_each_other() {
    let tables = tables();
    assert_eq!(tables.len(), 20);
    for (heading, fields) in tables {
        let mut end = Some(0);
        for field in fields {
            assert_eq!(field.offset, end, "{heading}: {}", field.name);
            end = end.and_then(|end| Some(end + field.size?));
        }
    }
}

/// Bytes of a structure that has no field of variable size, or of the part before the first one.
fn fixed_bytes(fields: &[Field]) -> usize {
    fields.iter().map_while(|field| field.size).sum()
}

#[test]
fn the_totals_are_those_of_the_code() {
    let tables = tables();
    let header = usize::try_from(afterimage_changelog::header::HEADER_FIXED_BYTES).unwrap();
    let totals = [
        ("Container header", header),
        ("Frame entry", FRAME_ENTRY_BYTES),
        ("Row", ROW_BYTES),
        ("Footer", FOOTER_BYTES),
    ];
    for (heading, bytes) in totals {
        assert_eq!(fixed_bytes(&tables[heading]), bytes, "{heading}");
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    let stated: Vec<(&str, u64)> = DOCUMENT
        .lines()
        .skip_while(|line| *line != "## Limits")
        .filter_map(|line| match cells(line)[..] {
            [what, number] => {
                let number = number.split(' ').next()?.parse().ok()?;
                Some((what, number))
            }
            _ => None,
        })
        .collect();
    let wide = |limit: usize| u64::try_from(limit).unwrap();
    let known = [
        ("payload of a frame", limits::FRAME_BYTES_MAX.into()),
        ("segment or layer", limits::OBJECT_BYTES_MAX),
        ("frames in an object", limits::FRAMES_MAX.into()),
        ("frames of an index", limits::INDEX_FRAMES_MAX.into()),
        ("rows in an object", limits::ROWS_MAX),
        ("markers in a segment", limits::MARKERS_MAX.into()),
        ("header", limits::HEADER_BYTES_MAX.into()),
        ("directory", limits::DIRECTORY_BYTES_MAX.into()),
        ("rows in a page", limits::ROWS_PER_PAGE.into()),
        ("frame entries in a page", limits::FRAMES_PER_PAGE.into()),
        ("disks in a table", limits::DISKS_MAX.into()),
        ("disk", limits::DISK_BYTES_MAX),
        ("a number that is counted on from", limits::NUMBER_MAX),
        ("name", wide(limits::NAME_BYTES_MAX)),
        ("text", wide(limits::MARKER_TEXT_BYTES_MAX)),
        // Those of the recovery crate, whose own test compares them.
        ("manifest", 64 << 20),
        ("page of points", 64 << 20),
        ("hold", 1024),
        ("streams of a point", limits::DISKS_MAX.into()),
    ];
    assert_eq!(stated, known);
}

/// A structure in a golden file: the table it is of, and the name and size of each field.
struct Section {
    table: &'static str,
    fields: Vec<(&'static str, usize)>,
}

/// The structures of a golden file; one that others interrupt is whole again.
fn sections(hex: &'static str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut at = 0;
    for line in hex.lines() {
        if let Some(head) = line.strip_prefix("# == ") {
            let table = head.split(':').next().unwrap();
            match table.strip_suffix(" goes on") {
                Some(table) => at = sections.iter().rposition(|it| it.table == table).unwrap(),
                None => {
                    at = sections.len();
                    let fields = Vec::new();
                    sections.push(Section { table, fields });
                }
            }
            continue;
        }
        let (bytes, comment) = line.split_once('#').unwrap_or((line, ""));
        let bytes = bytes.split_whitespace().count();
        let fields = sections.get_mut(at).map(|section| &mut section.fields);
        match (bytes, comment.is_empty(), fields) {
            (0, _, _) => {}
            (_, false, Some(fields)) => {
                fields.push((comment.split(':').next().unwrap().trim(), bytes));
            }
            (_, true, Some(fields)) => fields.last_mut().unwrap().1 += bytes,
            (_, _, None) => panic!("{line} is in no structure"),
        }
    }
    sections
}

/// Every table is seen in a golden file, and every structure there has the fields of its table.
#[test]
fn the_golden_files_have_the_fields_of_the_tables() {
    let tables = tables();
    let mut unseen: Vec<&str> = tables.keys().copied().collect();
    for (file, hex) in GOLDEN {
        for Section { table, fields } in sections(hex) {
            if table.starts_with("Frame ") && !table.ends_with("entry") {
                continue;
            }
            unseen.retain(|heading| *heading != table);
            let stated = &tables[table];
            let names = stated.iter().map(|field| field.name);
            assert!(
                names.eq(fields.iter().map(|field| field.0)),
                "{file}: {table}: {fields:?}"
            );
            for (stated, (name, bytes)) in stated.iter().zip(&fields) {
                let size = stated.size.unwrap_or(*bytes);
                assert_eq!(*bytes, size, "{file}: {table}: {name}");
            }
        }
    }
    assert_eq!(unseen, [""; 0], "tables that no golden file has");
}
