//! `afterimage import`.

use std::{path::Path, sync::Arc};

use afterimage::{
    Name,
    cache::{SegmentLimits, StreamWriter, WriterOptions},
    changelog::{Disk, SectorSize},
    open_store,
    storage::{Nonces, Store, open_input},
    system_clock,
};
use afterimage_capture::{
    Import, Imported,
    log_writes::{LogReader, decompressing},
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
    let disk = Disk::new(arguments.disk.clone(), arguments.size.as_u64(), sector_size);
    let disk = disk.ok_or_else(|| {
        Failure::invalid(format!(
            "--size {}: a disk has whole sectors of {} bytes and at most 64 TiB",
            arguments.size,
            sector_size.bytes()
        ))
    })?;
    let cache = open_store(&arguments.cache)?;
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
        segment_bytes: segment_size.as_u64().clamp(64 << 10, 512 << 20),
        ..SegmentLimits::default()
    };
    let input = open_input(log).map_err(|error| unreadable(log, &error))?;
    let input = decompressing(input).map_err(|error| unreadable(log, &error))?;
    let reader = LogReader::open(input).map_err(afterimage_capture::ImportError::Log)?;
    let totals = into_cache(
        reader,
        cache,
        group,
        stream,
        disk,
        limits,
        *marker_every,
        output,
    )?;
    Ok(totals)
}

fn unreadable(log: &Path, error: &std::io::Error) -> Failure {
    Failure::invalid(format!("{} cannot be read: {error}", log.display()))
}

/// Imports an opened log.
#[expect(
    clippy::too_many_arguments,
    reason = "one caller a command; each is one flag"
)]
pub(crate) fn into_cache<R: std::io::Read>(
    mut reader: LogReader<R>,
    cache: &Arc<dyn Store>,
    group: &Name,
    stream: &Name,
    disk: Disk,
    limits: SegmentLimits,
    marker_every: Option<u64>,
    output: &Output,
) -> Result<Totals, Failure> {
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
