//! The command line.

use std::path::PathBuf;

use afterimage::{Moment, Name, PointSelector, recovery::retention::Keep};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::{
    compact_rate_arg::CompactRate,
    pin::{Until, parse_until},
    point_arg,
    rate_arg::Rate,
    replicate::ReplicaArg,
    size_arg::Size,
    time_arg::parse_time,
};

/// Crash-consistent recovery points from a captured stream of disk writes
#[derive(Debug, Parser)]
#[command(name = "afterimage", version, about, propagate_version = true, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Print what is reported as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  2  the call is wrong: a flag, a name, a point that is not there
  3  a store is unavailable or full: try again, nothing is lost
  4  a gap: records are missing, points made before stay usable
  5  an object is damaged, or is another one than it should be
  6  the disk that is written failed
  7  fenced: another worker or writer has taken over
  130  stopped by a signal before it was done: run the same command again

Sizes: 64GiB and 64G are binary, 64GB is decimal.

Examples:
  afterimage demo
  afterimage import log-writes vm.log.zst --disk root --size 64GiB --group shop --cache ./cache
  afterimage replicate --group shop --cache ./cache --target ./points --once
  afterimage points --group shop --target ./points
  afterimage restore --group shop --target ./points --point latest --disk root --to root.raw";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring recorded writes into the cache
    Import(Import),
    /// Turn cached writes into recovery points
    Replicate(Replicate),
    /// List the recovery points of a group
    Points(Points),
    /// Let points go by a policy, compact layers and give space back
    Prune(Prune),
    /// Keep a point from being pruned until a time
    Pin(Pin),
    /// Take the pins of a point away
    Unpin(Unpin),
    /// List who holds points: pins, and readers at work
    Holds(Holds),
    /// Give a point back as a disk
    Restore(Restore),
    /// Read points back and prove that they can be restored
    Verify(Verify),
    /// Print any bytes of any point, without restoring it
    Read(Read),
    /// Print any stored object: a segment, a layer, a manifest, a replica's record
    Inspect(Inspect),
    /// Find out whether a store can be used: reached, allowed, exact, in time
    Doctor(Doctor),
    /// Say what a group takes of object stores in a month, and what that costs
    Plan(Plan),
    /// Do the whole job on a small recorded log and check every step
    Demo(Demo),
    /// Print the completion script of a shell
    Completions(Completions),
    /// Write the manual pages
    Man(Man),
}

/// Bring recorded writes into the cache.
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(subcommand)]
    pub(crate) format: ImportFormat,
}

/// The formats of recorded writes.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportFormat {
    /// The log of Linux dm-log-writes and of QEMU's blklogwrites
    #[command(after_help = "\
Examples:
  afterimage import log-writes vm.log --disk root --size 64GiB --group shop --cache ./cache
  zstdcat vm.log.zst | afterimage import log-writes - --disk root --size 64GiB \\
      --group shop --cache ./cache --marker-every 500")]
    LogWrites(LogWrites),
}

/// The log of Linux dm-log-writes and of QEMU's blklogwrites.
#[derive(Debug, Args)]
pub(crate) struct LogWrites {
    /// The log, plain or compressed with zstd; - for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) log: PathBuf,
    /// Name of the disk that was recorded
    #[arg(long)]
    pub(crate) disk: Name,
    /// Size of that disk, as in 64GiB
    #[arg(long)]
    pub(crate) size: Size,
    /// The group it belongs to
    #[arg(long, env = "AFTERIMAGE_GROUP")]
    pub(crate) group: Name,
    /// Where the cache is: a path, or a URL: file://, s3://, az:// or gs://
    #[arg(long, value_name = "URL", env = "AFTERIMAGE_CACHE")]
    pub(crate) cache: String,
    /// The stream of the group that the writes belong to
    #[arg(long, default_value = "main")]
    pub(crate) stream: Name,
    /// Put a crash-consistent marker after every so many entries; one after the last comes anyway
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) marker_every: Option<u64>,
    /// Sector size the disk presents: 512 or 4096
    #[arg(long, default_value = "512", value_name = "BYTES")]
    pub(crate) sector_size: u64,
    /// Play the log onto what the stream holds already, instead of refusing a stream with records
    #[arg(long)]
    pub(crate) append: bool,
    /// Use an object store in which two workers could both believe that they had committed; there must
    /// never be a second one
    #[arg(long)]
    pub(crate) sole_worker: bool,
    /// Stored size at which a segment is sealed, 64KiB to 512MiB
    #[arg(long, default_value = "16MiB", value_name = "SIZE")]
    pub(crate) segment_size: Size,
}

/// Find out whether a store can be used.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage doctor s3://bucket/points
  afterimage doctor 'az://cache/shop?account=shopcache' --as capture")]
pub(crate) struct Doctor {
    /// The store
    pub(crate) url: String,
    /// Who is to use it, which says what it has to allow
    #[arg(
        long = "as",
        value_enum,
        default_value = "replicate",
        value_name = "ROLE"
    )]
    pub(crate) role: DoctorRole,
}

/// Who is to use a store.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DoctorRole {
    /// An agent: fills the cache
    Capture,
    /// A worker: empties the cache, makes and prunes points
    Replicate,
    /// Whoever fails over: reads points, and holds them meanwhile
    Restore,
}

/// Turn cached writes into recovery points.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage replicate --group shop --cache ./cache --target ./points --once
  afterimage replicate --group shop --cache ./cache --target ./points \\
      --replica root=/var/lib/replica/root.raw --memory 256MiB
  afterimage replicate --group shop --cache ./cache --target ./points --keep 'asr:7d' --rewind 1h")]
pub(crate) struct Replicate {
    /// The group
    #[arg(long, env = "AFTERIMAGE_GROUP")]
    pub(crate) group: Name,
    /// Where the cache is: a path, or a URL: file://, s3://, az:// or gs://
    #[arg(long, value_name = "URL", env = "AFTERIMAGE_CACHE")]
    pub(crate) cache: String,
    /// Where the points go: a path, or a URL: file://, s3://, az:// or gs://
    #[arg(long, value_name = "URL", env = "AFTERIMAGE_TARGET")]
    pub(crate) target: String,
    /// End when every complete interval in the cache is a point; what is not compacted by then is left
    /// to the next run, or to prune
    #[arg(long)]
    pub(crate) once: bool,
    /// Keep a raw file or block device at the newest point; a device needs `,record=FILE` as well
    #[arg(long, value_name = "DISK=PATH[,record=FILE]")]
    pub(crate) replica: Vec<ReplicaArg>,
    /// Overwrite replica files or devices that exist and are not replicas yet
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Use an object store in which two workers could both believe that they had committed; there must
    /// never be a second one
    #[arg(long)]
    pub(crate) sole_worker: bool,
    /// Memory to stay under: at least 64MiB, with an object store 256MiB, with replicas that are
    /// fetched from one 512MiB
    #[arg(long, default_value = "512MiB", value_name = "SIZE")]
    pub(crate) memory: Size,
    /// Threads that hash and compress; one a core where none are given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Which points stay: a preset (asr, drs, journal, each with :PERIOD) or a ladder such as
    /// 2h:all,1d:1h,7d:2h; the group's own policy, or all, where none is given
    #[arg(long, value_name = "POLICY")]
    pub(crate) keep: Option<Keep>,
    /// Keep the segments of so long a time at the target too, so that `restore --at` can go back to
    /// any single write in it
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    pub(crate) rewind: Option<jiff::SignedDuration>,
    /// How fast layers are compacted in the background: bytes read a second, as in 100MiB/s, unlimited,
    /// or off. While points are behind it goes slower anyway
    #[arg(long, default_value = "unlimited", value_name = "RATE")]
    pub(crate) compact_rate: CompactRate,
    /// How often to look for the next segment
    #[arg(long, value_parser = parse_time, default_value = "1s", value_name = "TIME")]
    pub(crate) poll: jiff::SignedDuration,
}

/// List the recovery points of a group.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage points --group shop --target ./points
  afterimage points --group shop --target ./points --json | jq '.[-1].name'")]
pub(crate) struct Points {
    #[command(flatten)]
    pub(crate) at: At,
}

/// A group at a target.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// The group
    #[arg(long, env = "AFTERIMAGE_GROUP")]
    pub(crate) group: Name,
    /// Where the points are: a path, or a URL: file://, s3://, az:// or gs://
    #[arg(long, value_name = "URL", env = "AFTERIMAGE_TARGET")]
    pub(crate) target: String,
}

/// Let points go by a policy.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage prune --group shop --target ./points --keep asr:7d --dry-run
  afterimage prune --group shop --target ./points --keep '2h:all,1d:1h,7d:2h; user:forever'")]
pub(crate) struct Prune {
    #[command(flatten)]
    pub(crate) at: At,
    /// Which points stay: a preset (asr, drs, journal, each with :PERIOD) or a ladder such as
    /// 2h:all,1d:1h,7d:2h; the group's own policy where none is given
    #[arg(long, value_name = "POLICY")]
    pub(crate) keep: Option<Keep>,
    /// Say what becomes of each point and why, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do it although a worker was heard of lately that has not said that it ended; one that is at
    /// work ends as fenced
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// Keep a point from being pruned.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage pin --group shop --target ./points --point 7 --until 30d --reason 'before the upgrade'
  afterimage pin --group shop --target ./points --point latest --until 2026-12-31T00:00:00Z")]
pub(crate) struct Pin {
    #[command(flatten)]
    pub(crate) at: At,
    /// The point: latest, an id, a name, or a time
    #[arg(long, value_parser = point_arg::parse)]
    pub(crate) point: PointSelector,
    /// Until when: a time, or a duration from now on as in 30d
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    pub(crate) until: Until,
    /// Why, for whoever reads it later
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) reason: String,
}

/// Take the pins of a point away.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage unpin --group shop --target ./points --point 7")]
pub(crate) struct Unpin {
    #[command(flatten)]
    pub(crate) at: At,
    /// The point: latest, an id, a name, or a time
    #[arg(long, value_parser = point_arg::parse)]
    pub(crate) point: PointSelector,
}

/// List who holds points.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage holds --group shop --target ./points")]
pub(crate) struct Holds {
    #[command(flatten)]
    pub(crate) at: At,
}

/// Give a point back as a disk.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage restore --group shop --target ./points --point latest --disk root --to root.raw
  afterimage restore --group shop --target ./points --point 2026-11-20T14:05:00Z --disk root \\
      --to root.raw --overwrite
  afterimage restore --group shop --target ./points --at 48211 --disk root --to root.raw
  afterimage restore --group shop --target ./points --point 7 --disk root --to root.raw \\
      --in-place --from 9")]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) at: At,
    /// The point: latest, an id, a name, or a time as in 2026-11-20T14:05:00Z (the newest point not
    /// younger than it); name:TEXT for a name that looks like one of the others
    #[arg(long, value_parser = point_arg::parse, required_unless_present = "at_write")]
    pub(crate) point: Option<PointSelector>,
    /// The disk after any single write of the window that `replicate --rewind` keeps: the number of a
    /// record of the stream, or a time (everything that is known to be written by then)
    #[arg(long = "at", id = "at_write", value_name = "TIME|RECORD", value_parser = point_arg::parse_moment,
          conflicts_with_all = ["point", "in_place"])]
    pub(crate) moment: Option<Moment>,
    /// The disk
    #[arg(long)]
    pub(crate) disk: Name,
    /// A raw file or block device
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) to: PathBuf,
    /// Replace the regular file, or overwrite the block device, that is there
    #[arg(long, conflicts_with = "in_place")]
    pub(crate) overwrite: bool,
    /// Change the disk that is there, writing only what differs
    #[arg(long)]
    pub(crate) in_place: bool,
    /// The point that the disk is known to stand at and has not been written since; without it
    /// everything is read and compared, except on a replica, whose record says it
    #[arg(long, requires = "in_place", value_name = "POINT", value_parser = point_arg::parse)]
    pub(crate) from: Option<PointSelector>,
}

/// Read points back and prove that they can be restored.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage verify --group shop --target ./points
  afterimage verify --group shop --target ./points --point 7 --sample 5%")]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) at: At,
    /// Everything up to this point: latest, an id, a name, or a time
    #[arg(long, default_value = "latest", value_parser = point_arg::parse)]
    pub(crate) point: PointSelector,
    /// Share of the frames to read, as in 5%; indexes are read whole in any case
    #[arg(long, default_value = "100%", value_parser = point_arg::parse_share)]
    pub(crate) sample: u32,
    /// Chooses which frames a sample reads; another number, other frames
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Print any bytes of any point.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage read --group shop --target ./points --point latest --disk root \\
      --offset 0 --length 512 | xxd
  afterimage read --group shop --target ./points --point 7 --disk root \\
      --offset 1MiB --length 64KiB > piece")]
pub(crate) struct Read {
    #[command(flatten)]
    pub(crate) at: At,
    /// The point: latest, an id, a name, or a time
    #[arg(long, value_parser = point_arg::parse)]
    pub(crate) point: PointSelector,
    /// The disk
    #[arg(long)]
    pub(crate) disk: Name,
    /// The first byte
    #[arg(long, default_value = "0")]
    pub(crate) offset: Size,
    /// How many bytes
    #[arg(long)]
    pub(crate) length: Size,
}

/// Print any stored object.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage inspect cache/shop/main/00000000000000000000.seg
  afterimage inspect points/shop/manifest/00000000000000000003 --json")]
pub(crate) struct Inspect {
    /// The object's file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Print every row of the index
    #[arg(long)]
    pub(crate) rows: bool,
}

/// Say what a group takes of object stores in a month, and what that costs.
///
/// Talks to no store. A month has 30 days. The first copy of the disks, restores, replicas, compaction
/// and what is tried again are not counted; docs/object-stores.md says how the rest is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage plan --churn 20MB/s --disks 40
  afterimage plan --churn 20MB/s --disks 40 --seal 10s --points 5m --keep asr \\
      --price-table docs/prices/s3.toml
  afterimage plan --churn 2MiB/s --points 1m --keep 'asr:7d' --live 0.8 --used 4TB \\
      --price-table docs/prices/azure.toml --json | jq .prices.total")]
pub(crate) struct Plan {
    /// Bytes that all disks of the group together write in a second, as in 20MB/s
    #[arg(long, value_name = "RATE")]
    pub(crate) churn: Rate,
    /// Disks of the group
    #[arg(long, default_value = "1", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) disks: u16,
    /// After how long an agent seals a segment that is not full (16MiB stored)
    #[arg(long, value_parser = parse_time, default_value = "10s", value_name = "TIME")]
    pub(crate) seal: jiff::SignedDuration,
    /// How often a point is made
    #[arg(long, value_parser = parse_time, default_value = "5m", value_name = "TIME")]
    pub(crate) points: jiff::SignedDuration,
    /// Which points stay: a preset (asr, drs, journal, each with :PERIOD) or a ladder such as
    /// 2h:all,1d:1h,7d:2h
    #[arg(long, default_value = "asr", value_name = "POLICY")]
    pub(crate) keep: Keep,
    /// How often a worker looks for the next segment, as `replicate --poll`
    #[arg(long, value_parser = parse_time, default_value = "1s", value_name = "TIME")]
    pub(crate) poll: jiff::SignedDuration,
    /// Stored bytes for each byte that is written
    #[arg(long, default_value = "0.5", value_name = "SHARE")]
    pub(crate) ratio: f64,
    /// Share of the bytes written between two points that is not overwritten before the second
    #[arg(long, default_value = "1.0", value_name = "SHARE")]
    pub(crate) live: f64,
    /// Bytes that all disks together hold, as in 4TB: they are in the oldest point, and no point has more.
    /// Left out where not given
    #[arg(long, value_name = "SIZE")]
    pub(crate) used: Option<Size>,
    /// Prices, as in docs/prices; without them there are only amounts, and requests are counted as for S3
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) price_table: Option<PathBuf>,
}

/// Do the whole job on a small recorded log and check every step.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage demo
  afterimage demo --dir ./demo
  afterimage demo --cache s3://bucket/cache --target s3://bucket/points")]
pub(crate) struct Demo {
    /// A folder to work in and to leave behind; it must not exist. A temporary one, removed at the
    /// end, where none is given
    #[arg(long, value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    /// Where to have the cache, in place of the folder; it must be empty there
    #[arg(long, value_name = "URL")]
    pub(crate) cache: Option<String>,
    /// Where to have the points, in place of the folder; it must be empty there
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<String>,
}

/// Print the completion script of a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage completions bash > /etc/bash_completion.d/afterimage")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// Write the manual pages.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  afterimage man /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// The folder they go to
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
}
