//! `afterimage import`.

use std::{path::Path, sync::Arc};

use afterimage::{
    Name,
    cache::{SegmentLimits, StreamWriter, WriterOptions},
    changelog::{Disk, SectorSize},
    open_worker_store,
    storage::{Nonces, Store, open_input},
    system_clock,
};
use afterimage_capture::{
    Import, ImportError, Imported,
    log_writes::{LogFault, LogReader, decompressing},
};
use serde_json::json;

use crate::{
    args::{self, ImportFormat, LogWrites},
    failure::Failure,
    output::{Output, size},
    progress,
};

pub(crate) fn run(import: &args::Import, output: &mut Output) -> Result<(), Failure> {
    let ImportFormat::LogWrites(arguments) = &import.format;
    let sector_size = SectorSize::from_bytes(arguments.sector_size)
        .ok_or_else(|| Failure::invalid("--sector-size is 512 or 4096"))?;
    let disk = Disk::new(arguments.disk.clone(), arguments.size.0, sector_size);
    let disk = disk.ok_or_else(|| {
        Failure::invalid(format!(
            "--size {} bytes: a disk has whole sectors of {} bytes and at most 64 TiB",
            arguments.size.0,
            sector_size.bytes()
        ))
    })?;
    if !(64 << 10..=512 << 20).contains(&arguments.segment_size.0) {
        return Err(Failure::invalid("--segment-size is 64KiB to 512MiB"));
    }
    let cache = open_worker_store(&arguments.cache, arguments.sole_worker)?;
    let imported = import_log(arguments, &cache, disk, output)?;
    let Totals {
        imported,
        sealed_bytes,
    } = &imported;
    output.value(&json!({
        "group": arguments.group.as_str(),
        "stream": arguments.stream.as_str(),
        "disk": arguments.disk.as_str(),
        "entries": imported.entries,
        "writes": imported.writes,
        "written_bytes": imported.written_bytes,
        "discards": imported.discards,
        "markers": imported.markers,
        "stored_bytes": sealed_bytes,
    }))?;
    output.note(&format!(
        "imported {} entries: {} writes of {}, {} discards, {} markers; {} in the cache",
        imported.entries,
        imported.writes,
        size(imported.written_bytes),
        imported.discards,
        imported.markers,
        size(*sealed_bytes)
    ))
}

/// What an import came to.
#[derive(Debug)]
pub(crate) struct Totals {
    pub(crate) imported: Imported,
    pub(crate) sealed_bytes: u64,
}

fn import_log(
    arguments: &LogWrites,
    cache: &Arc<dyn Store>,
    disk: Disk,
    output: &Output,
) -> Result<Totals, Failure> {
    let LogWrites {
        log,
        group,
        stream,
        marker_every,
        segment_size,
        ..
    } = arguments;
    let limits = SegmentLimits {
        segment_bytes: segment_size.0,
        ..SegmentLimits::default()
    };
    let input = open_input(log).map_err(|error| unreadable(log, &error))?;
    let input = decompressing(input).map_err(|error| unreadable(log, &error))?;
    let reader = LogReader::open(input).map_err(|error| match error.fault {
        LogFault::Magic(_) | LogFault::Version(_) | LogFault::SectorSize(_) => {
            Failure::invalid(format!(
                "{} is no write log that is known (plain, or compressed with zstd): {error}",
                log.display()
            ))
        }
        _ => in_log(log, ImportError::Log(error).into()),
    })?;
    let append = arguments.append;
    let options = LogOptions {
        group,
        stream,
        disk,
        limits,
        marker_every: *marker_every,
        append,
    };
    into_cache(reader, cache, options, output).map_err(|failure| in_log(log, failure))
}

/// Says which log it was.
fn in_log(log: &Path, failure: Failure) -> Failure {
    Failure {
        message: format!("{}: {}", log.display(), failure.message),
        ..failure
    }
}

fn unreadable(log: &Path, error: &std::io::Error) -> Failure {
    Failure::invalid(format!("{} cannot be read: {error}", log.display()))
}

/// How a log is imported.
#[derive(Debug)]
pub(crate) struct LogOptions<'a> {
    pub(crate) group: &'a Name,
    pub(crate) stream: &'a Name,
    pub(crate) disk: Disk,
    pub(crate) limits: SegmentLimits,
    pub(crate) marker_every: Option<u64>,
    /// Whether the stream may hold records already.
    pub(crate) append: bool,
}

/// Imports an opened log.
pub(crate) fn into_cache<R: std::io::Read>(
    mut reader: LogReader<R>,
    cache: &Arc<dyn Store>,
    options: LogOptions<'_>,
    output: &Output,
) -> Result<Totals, Failure> {
    let LogOptions {
        group,
        stream,
        disk,
        limits,
        marker_every,
        append,
    } = options;
    let nonces = Arc::new(Nonces::from_os());
    let clock = system_clock();
    let name = disk.name.clone();
    let options = WriterOptions {
        group: group.clone(),
        stream: stream.clone(),
        disks: vec![disk],
        limits,
        level: 1,
    };
    let mut writer = StreamWriter::open(Arc::clone(cache), Arc::clone(&nonces), options)?;
    let last = writer.last().0;
    if last > 0 && !append {
        return Err(Failure::invalid(format!(
            "stream {stream} of group {group} holds {last} records already, perhaps of an import \
             that was stopped; import into another group, or --append to play the whole log onto them (the \
             points of what comes twice are then none that the source ever had)"
        )));
    }
    let number = writer.disks().iter().position(|disk| disk.name == name);
    let number = number.and_then(|number| u16::try_from(number).ok());
    let number = number.ok_or_else(|| Failure::invalid("the stream has too many disks"))?;
    let bar = progress::items("importing", reader.entries(), output.is_json());
    let mut import = Import {
        writer: &mut writer,
        disk: number,
        marker_every,
        nonces: &nonces,
    };
    let imported = import.run(&mut reader, &|| clock(), &mut |done| {
        bar.set_position(done.entries);
    });
    bar.finish_and_clear();
    let imported = imported?;
    Ok(Totals {
        imported,
        sealed_bytes: writer.sealed_bytes(),
    })
}
