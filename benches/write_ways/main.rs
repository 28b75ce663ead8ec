//! The ways to get an object onto a disk, in turns with copying the same bytes.
//!
//! `cargo run --release -p afterimage-benches --example write_ways -- FOLDER --bytes 128MiB --files 1`
//!
//! The bytes are pieces of about 16 KiB of a mapped file that is in the page cache, as frames that pass
//! through are. Every way ends with the file durable. A ratio is that to the copy of the same turn; the
//! table has the median of them and the quartiles around it, which tell how much to believe of it.
//! The last column is what the process itself had of the processors, in seconds; what the kernel does
//! in threads of its own is not in it.

#![expect(
    clippy::indexing_slicing,
    reason = "a program for measuring may panic, and buffers are cut up all over it"
)]

mod objects;
mod scattered;
mod source;
mod ways;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use afterimage_benches::timed;
use bytesize::ByteSize;
use clap::Parser;

use crate::{source::Source, ways::Way};

/// Measures ways to write objects, or a restored disk, durably.
#[derive(Debug, Parser)]
struct Arguments {
    /// A folder on the file system to be measured.
    folder: PathBuf,
    /// Bytes written each turn.
    #[arg(long, default_value = "128MiB")]
    bytes: ByteSize,
    /// Objects they are divided into.
    #[arg(long, default_value_t = 1)]
    files: u64,
    /// Times that each way is run.
    #[arg(long, default_value_t = 5)]
    turns: usize,
    /// Only the ways that have one of these in their name.
    #[arg(long)]
    only: Vec<String>,
    /// Writes a raw file with holes, of four times the bytes, instead of objects.
    #[arg(long)]
    disk: bool,
}

#[expect(clippy::print_stdout, reason = "the table is what this is for")]
fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let bytes = arguments.bytes.as_u64();
    let source = Source::create(&arguments.folder, bytes)?;
    let ways = if arguments.disk {
        scattered::ways(&source, bytes, &arguments.folder)?
    } else {
        objects::ways(arguments.files)
    };
    let chosen = |way: &Way| {
        let mut asked = arguments.only.iter();
        way.is_limit || arguments.only.is_empty() || asked.any(|part| way.name.contains(part))
    };
    let ways: Vec<Way> = ways.into_iter().filter(chosen).collect();
    let mut times: Vec<Vec<Duration>> = ways.iter().map(|_| Vec::new()).collect();
    let mut busy: Vec<Vec<Duration>> = times.clone();
    for _ in 0..arguments.turns {
        for (number, way) in ways.iter().enumerate() {
            let before = processor_time();
            times[number].push(turn(way, &source, &arguments.folder)?);
            busy[number].push(processor_time() - before);
        }
    }
    println!("| way | seconds | ratio | quartiles | processor |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let limit = ways.iter().position(|way| way.is_limit).unwrap_or(0);
    for (number, Way { name, .. }) in ways.iter().enumerate() {
        let of_turns = times[number].iter().zip(&times[limit]);
        let ratios: Vec<f64> = of_turns
            .map(|(way, limit)| way.div_duration_f64(*limit))
            .collect();
        let [low, middle, high] = quartiles(&ratios);
        let [_, took, _] = quartiles(&seconds(&times[number]));
        let [_, busy, _] = quartiles(&seconds(&busy[number]));
        println!("| {name} | {took:.3} | {middle:.2} | {low:.2} to {high:.2} | {busy:.3} |");
    }
    Ok(())
}

/// One run of a way in a folder of its own, with nothing of an earlier one left to be written.
fn turn(way: &Way, source: &Source, folder: &Path) -> io::Result<Duration> {
    let folder = tempfile::tempdir_in(folder)?;
    rustix::fs::sync();
    let (time, done) = timed(|| (way.run)(source, folder.path()));
    done?;
    Ok(time)
}

/// What this process has had of the processors.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("a process has a past only")
}

fn seconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(Duration::as_secs_f64).collect()
}

/// The lower quartile, the median and the upper quartile.
fn quartiles(numbers: &[f64]) -> [f64; 3] {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |quarter: usize| sorted.get(sorted.len() * quarter / 4).copied();
    [1, 2, 3].map(|quarter| at(quarter).unwrap_or(f64::NAN))
}
