//! A segment or a layer.

use afterimage::changelog::{
    Codec, Container, DecodeError, Disk, FrameEntry, Marker, ObjectKind, OpenError, Row, RowKind,
    container::{Index, TAIL_BYTES},
    count,
    footer::FOOTER_BYTES,
    header::VERSION,
    limits::FRAMES_PER_PAGE,
};

use super::{
    InspectErrorKind, Object, damaged, opening,
    report::{Cell, Report},
};
use crate::output::time;

/// Rows shown from the front and from the end where not all are asked for.
const ROWS_SHOWN: usize = 5;

/// Verifies every digest of the object, then says what is in it.
pub(super) fn describe(object: &Object, all_rows: bool) -> Result<Report, InspectErrorKind> {
    let container = open(object)?;
    let index = read_index(object, &container)?;
    verify_frames(object, &index.frames)?;
    let mut report = fields(object, &container);
    report.table("disks", DISK_COLUMNS, disks(&container.header.disks));
    report.table("codecs", CODEC_COLUMNS, codecs(&index.frames));
    let markers = container.directory.markers.iter().map(marker).collect();
    report.table("markers", MARKER_COLUMNS, markers);
    report.table("rows", ROW_COLUMNS, rows(&container, &index.rows, all_rows));
    Ok(report)
}

fn open(object: &Object) -> Result<Container, InspectErrorKind> {
    let start = object.bytes().saturating_sub(TAIL_BYTES);
    let tail = object.part(start..object.bytes());
    let tail = tail.map_err(InspectErrorKind::Unreadable)?;
    let opened = Container::open(object.bytes(), &tail, |range| object.part(range));
    // A fault in the footer is counted from where that begins, all others from the front.
    opened.map_err(|error| {
        let in_footer = matches!(
            &error,
            OpenError::Decode(error) if error.part == "footer"
        );
        let footer = object.bytes().saturating_sub(count(FOOTER_BYTES));
        opening(if in_footer { footer } else { 0 }, error)
    })
}

/// Reads the index page by page, so that an error says where its page begins, then as a whole.
fn read_index(object: &Object, container: &Container) -> Result<Index, InspectErrorKind> {
    for number in 0..container.directory.frame_pages.len() {
        let first = u32::try_from(number)
            .unwrap_or(u32::MAX)
            .saturating_mul(FRAMES_PER_PAGE);
        let Some((_, range)) = container.frame_page_range(first) else {
            continue;
        };
        let start = range.start;
        let bytes = object.part(range).map_err(InspectErrorKind::Unreadable)?;
        let page = container.frame_page(number, &bytes);
        page.map_err(|error| damaged(start, error))?;
    }
    for number in 0..container.directory.row_pages.len() {
        let Some(range) = container.row_page_range(number) else {
            continue;
        };
        let start = range.start;
        let bytes = object.part(range).map_err(InspectErrorKind::Unreadable)?;
        let page = container.row_page(number, &bytes);
        page.map_err(|error| damaged(start, error))?;
    }
    let index = container.index(|range| object.part(range));
    index.map_err(|error| opening(container.index_range().start, error))
}

fn verify_frames(object: &Object, frames: &[FrameEntry]) -> Result<(), InspectErrorKind> {
    for entry in frames {
        let stored = object.part(entry.offset..entry.end());
        let stored = stored.map_err(InspectErrorKind::Unreadable)?;
        let payload = entry.check(stored).and_then(|frame| frame.decode());
        // A frame's errors say where it lies in the object; that is the part's begin, no offset in it.
        payload.map_err(|error| damaged(entry.offset, DecodeError { offset: 0, ..error }))?;
    }
    Ok(())
}

fn fields(object: &Object, container: &Container) -> Report {
    let Container {
        header,
        footer,
        directory,
        ..
    } = container;
    let is_segment = header.kind == ObjectKind::Segment;
    let mut report = Report::new(if is_segment { "segment" } else { "layer" });
    report.field("version", Cell::Number(u64::from(VERSION)));
    report.field("id", Cell::text(&header.id));
    report.field("group", Cell::text(&header.group));
    report.field("stream", Cell::text(&header.stream));
    if is_segment {
        report.field("number", Cell::Number(header.number));
        report.field("predecessor", Cell::text(&header.predecessor));
    }
    report.field("digest", Cell::text(&footer.digest));
    report.field("epoch", Cell::Number(header.epoch.0));
    report.field("fidelity", Cell::text(header.fidelity.word()));
    report.field("created", Cell::text(&time(header.created)));
    report.field("first", Cell::Number(header.first.0));
    report.field("last", Cell::Number(footer.last.0));
    report.field("object_bytes", Cell::Bytes(object.bytes()));
    report.field("raw_bytes", Cell::Bytes(footer.raw_bytes));
    report.field("row_count", Cell::Number(footer.rows));
    report.field("frame_count", Cell::Number(u64::from(footer.frames)));
    report.field("marker_count", Cell::Number(u64::from(footer.markers)));
    let pages = |pages: usize| Cell::Number(count(pages));
    report.field("row_pages", pages(directory.row_pages.len()));
    report.field("frame_pages", pages(directory.frame_pages.len()));
    report
}

const DISK_COLUMNS: &[&str] = &["disk", "name", "bytes", "sector_size"];

fn disks(disks: &[Disk]) -> Vec<Vec<Cell>> {
    let numbered = disks.iter().zip(0u64..);
    numbered
        .map(|(disk, number)| {
            vec![
                Cell::Number(number),
                Cell::text(&disk.name),
                Cell::Bytes(disk.bytes()),
                Cell::Number(disk.sector_size.bytes()),
            ]
        })
        .collect()
}

const CODEC_COLUMNS: &[&str] = &["codec", "frames", "stored_bytes", "raw_bytes"];

fn codecs(frames: &[FrameEntry]) -> Vec<Vec<Cell>> {
    [(Codec::Raw, "raw"), (Codec::Zstd, "zstd")]
        .into_iter()
        .map(|(codec, word)| {
            let of_codec = || frames.iter().filter(move |frame| frame.codec == codec);
            let stored = of_codec().map(|frame| u64::from(frame.stored)).sum();
            let raw = of_codec().map(|frame| u64::from(frame.raw)).sum();
            vec![
                Cell::text(word),
                Cell::Number(count(of_codec().count())),
                Cell::Bytes(stored),
                Cell::Bytes(raw),
            ]
        })
        .collect()
}

const MARKER_COLUMNS: &[&str] = &["sequence", "kind", "time", "cut", "name"];

fn marker(marker: &Marker) -> Vec<Cell> {
    vec![
        Cell::Number(marker.sequence.0),
        Cell::text(marker.kind.word()),
        Cell::text(&time(marker.time)),
        Cell::text(&marker.cut),
        Cell::text(&marker.name),
    ]
}

const ROW_COLUMNS: &[&str] = &[
    "row",
    "sequence",
    "kind",
    "disk",
    "start",
    "sectors",
    "frame",
    "offset",
    "continued",
];

/// All rows, or those of the front and of the end; their numbers show what is left out.
fn rows(container: &Container, rows: &[Row], all: bool) -> Vec<Vec<Cell>> {
    let until = if all { rows.len() } else { ROWS_SHOWN };
    let from = rows.len().saturating_sub(until);
    rows.iter()
        .enumerate()
        .filter(|(number, _)| *number < until || *number >= from)
        .map(|(number, row)| row_cells(container, count(number), row))
        .collect()
}

fn row_cells(container: &Container, number: u64, row: &Row) -> Vec<Cell> {
    let header = &container.header;
    let sequence = match header.kind {
        ObjectKind::Segment => Cell::Number(header.first.0.saturating_add(number)),
        ObjectKind::Layer | ObjectKind::Index => Cell::None,
    };
    let name = header
        .disks
        .get(usize::from(row.disk))
        .map(|disk| &disk.name);
    let disk = name.map_or(Cell::None, Cell::text);
    let (start, sectors) = (
        Cell::Number(row.start),
        Cell::Number(u64::from(row.sectors)),
    );
    let (word, place, payload) = match row.kind {
        RowKind::Write { frame, offset } => {
            let frame = Cell::Number(u64::from(frame));
            (
                "write",
                [disk, start, sectors],
                [frame, Cell::Number(u64::from(offset))],
            )
        }
        RowKind::Zero => ("zero", [disk, start, sectors], [Cell::None, Cell::None]),
        RowKind::Marker => (
            "marker",
            [Cell::None, Cell::None, Cell::None],
            [Cell::None, Cell::None],
        ),
    };
    let mut cells = vec![Cell::Number(number), sequence, Cell::text(word)];
    cells.extend(place);
    cells.extend(payload);
    cells.push(Cell::Truth(row.continued));
    cells
}
