//! Single pages of a point through the library, in turns with `pread` of a raw file that holds the same.
//!
//! `cargo run --release -p afterimage-benches --example random_reads -- \
//!     --target ./points --group shop --disk root 1=oldest.raw 50=middle.raw 100=newest.raw`
//!
//! `benches/random_reads.sh` makes points and raw files and calls it. Pages are chosen at random among
//! those that hold data, by a seed. Every page that was read is compared with the raw file, outside of
//! the time. A turn is as many reads of ours and then as many of the file; before each of them
//! the system has written out all it has.

mod figures;
mod page_cache;
mod sides;

use std::{collections::BTreeSet, error::Error, path::PathBuf, str::FromStr, sync::Arc};

use afterimage::{
    Name, PointReader, PointSelector, Points,
    storage::{LocalStore, Store},
};
use afterimage_testkit::Random;
use bytesize::ByteSize;
use clap::Parser;

use crate::{
    figures::Figures,
    sides::{Ours, PAGE, Raw, read_all},
};

/// Measures reads of single pages.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder of the points.
    #[arg(long)]
    target: PathBuf,
    /// Their group.
    #[arg(long)]
    group: Name,
    /// The disk that is read.
    #[arg(long)]
    disk: Name,
    /// Points by their ids, and a raw file of the disk at each of them.
    points: Vec<PointAndFile>,
    /// Reads of one turn.
    #[arg(long, default_value_t = 1000)]
    reads: usize,
    /// Times that each state of the caches is measured.
    #[arg(long, default_value_t = 5)]
    turns: u64,
    /// What the reader may keep where it is to hold all that is read.
    #[arg(long, default_value = "1GiB")]
    cache: ByteSize,
    /// Only the states that have this in their name.
    #[arg(long)]
    only: Option<String>,
}

#[derive(Clone, Debug)]
struct PointAndFile {
    id: u64,
    file: PathBuf,
}

impl FromStr for PointAndFile {
    type Err = String;

    fn from_str(text: &str) -> Result<PointAndFile, String> {
        let (id, file) = text.split_once('=').ok_or("it is written ID=FILE")?;
        Ok(PointAndFile {
            id: id.parse().map_err(|_| "the id is a number")?,
            file: file.into(),
        })
    }
}

/// What is in memory when a turn begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of either side: the point was only opened.
    Cold,
    /// The index of the point has been read, its frames and the raw file have not.
    ColdFrames,
    /// Layers and raw file are in the page cache, and the index of the point has been read; its
    /// frames have not.
    PageCache,
    /// The pages have been read before, and the reader may keep as much as they need.
    Warm,
}

impl State {
    const ALL: [State; 4] = [
        State::Cold,
        State::ColdFrames,
        State::PageCache,
        State::Warm,
    ];

    const fn name(self) -> &'static str {
        match self {
            State::Cold => "cold",
            State::ColdFrames => "cold, index read",
            State::PageCache => "page cache",
            State::Warm => "warm",
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let target: Arc<dyn Store> = Arc::new(LocalStore::open(&arguments.target)?);
    let points = Points::load(&target, &arguments.group)?;
    for PointAndFile { id, file } in &arguments.points {
        let raw = Raw::open(file)?;
        let pages = live_pages(&points, *id, &arguments.disk)?;
        let asked = |state: &State| {
            let only = arguments.only.as_deref().unwrap_or_default();
            state.name().contains(only)
        };
        for state in State::ALL.into_iter().filter(asked) {
            let mut figures = Figures::default();
            for turn in 0..arguments.turns {
                let mut random = Random::new(*id * 1000 + turn);
                let chosen = chosen(&mut random, &pages, arguments.reads);
                let open = || open(&arguments, &points, *id, state);
                measure(
                    &arguments,
                    state,
                    &open,
                    &raw,
                    &pages,
                    &chosen,
                    &mut figures,
                )?;
            }
            println!("{}", figures.line(&format!("point {id}, {}", state.name())));
        }
    }
    Ok(())
}

fn open(
    arguments: &Arguments,
    points: &Points,
    id: u64,
    state: State,
) -> Result<PointReader, Box<dyn Error>> {
    let selector = PointSelector::Id(id);
    Ok(match state {
        State::Warm => points.open_with(&selector, arguments.cache.as_u64())?,
        State::Cold | State::ColdFrames | State::PageCache => points.open(&selector)?,
    })
}

/// One turn: the caches brought into their state, ours; again, the file; then the pages compared.
fn measure(
    arguments: &Arguments,
    state: State,
    open: &dyn Fn() -> Result<PointReader, Box<dyn Error>>,
    raw: &Raw,
    pages: &[u64],
    chosen: &[u64],
    figures: &mut Figures,
) -> Result<(), Box<dyn Error>> {
    let drop_caches = || {
        page_cache::drop(&arguments.target)?;
        page_cache::drop(raw.path())
    };
    rustix::fs::sync();
    if matches!(state, State::Cold) {
        drop_caches()?;
    }
    let ours = Ours::new(open()?, arguments.disk.clone());
    match state {
        State::Cold => {}
        State::ColdFrames => {
            ours.read_index(pages)?;
            drop_caches()?;
        }
        State::PageCache => {
            let other = Ours::new(open()?, arguments.disk.clone());
            read_all(&other, chosen)?;
            ours.read_index(pages)?;
        }
        State::Warm => drop(read_all(&ours, chosen)?),
    }
    let (times, read) = read_all(&ours, chosen)?;
    figures.ours.extend(times);
    rustix::fs::sync();
    match state {
        State::Cold | State::ColdFrames => drop_caches()?,
        State::PageCache | State::Warm => drop(read_all(raw, chosen)?),
    }
    let (times, expected) = read_all(raw, chosen)?;
    figures.limit.extend(times);
    assert!(read == expected, "a page differs from the raw file");
    Ok(())
}

/// The pages of the disk that hold data at the point.
fn live_pages(points: &Points, id: u64, disk: &Name) -> Result<Vec<u64>, Box<dyn Error>> {
    const SECTOR: u64 = 512;
    let reader = points.open(&PointSelector::Id(id))?;
    let sectors = reader.disk(disk)?.sectors;
    let mut pages: Vec<u64> = Vec::new();
    for extent in reader.extents(disk, 0..sectors)? {
        let extent = extent?;
        if !extent.is_zero() {
            let first = (extent.start * SECTOR).next_multiple_of(PAGE);
            let end = extent.end() * SECTOR;
            pages.extend(
                (first..)
                    .step_by(4096)
                    .take_while(|page| page + PAGE <= end),
            );
        }
    }
    Ok(pages)
}

/// Pages at random, at most so many. No two are of one piece of the disk that could lie in one frame:
/// the first would bring the second.
fn chosen(random: &mut Random, pages: &[u64], reads: usize) -> Vec<u64> {
    const PIECE_BYTES: u64 = 64 << 10;
    let mut pages = pages.to_vec();
    for at in (1..pages.len()).rev() {
        pages.swap(at, pick(random, at + 1));
    }
    let mut seen = BTreeSet::new();
    pages.retain(|page| seen.insert(page / PIECE_BYTES));
    pages.truncate(reads);
    pages
}

fn pick(random: &mut Random, len: usize) -> usize {
    let len = u64::try_from(len).expect("pages are few");
    usize::try_from(random.below(len)).expect("it is below the number of pages")
}
