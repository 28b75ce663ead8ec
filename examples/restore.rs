//! Makes two points from code, restores the first to a file, and reads bytes of it.
//!
//! ```text
//! cargo run -p afterimage-examples --example restore -- root.raw
//! ```
//!
//! Cache and points are in memory; only the restored disk is a file. It must not exist before.

use std::{error::Error, path::Path, sync::Arc};

use afterimage::{
    MarkerKind, Name, Onto, Pipeline, PointSelector, Points, Restore, RestoreProgress, Stop,
    Timestamp,
    cache::{SegmentLimits, StreamWriter, WriterOptions},
    changelog::{Disk as Geometry, ObjectId, SectorSize},
    open_store,
    storage::{Disk, FileDisk, Nonces, Store},
};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1);
    let path = path.ok_or("say where the disk goes: a file that does not exist")?;
    restore(Path::new(&path))?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it shows what it did")]
fn restore(to: &Path) -> Result<[u8; 6], Box<dyn Error>> {
    let (group, disk): (Name, Name) = ("shop".parse()?, "root".parse()?);
    let (cache, target) = (open_store("memory://")?, open_store("memory://")?);
    record(&cache, &group, &disk)?;
    Pipeline::builder(group.clone(), cache, Arc::clone(&target))
        .build()?
        .run_once(&mut |event| println!("{event:?}"))?;

    let points = Points::load(&target, &group)?;
    let restore = Restore {
        point: PointSelector::Name("before".to_owned()),
        disk: disk.clone(),
        to: to.to_path_buf(),
        onto: Onto::Nothing,
    };
    let restored = restore.run(&points, &RestoreProgress::default(), &Stop::default())?;
    println!(
        "point {} is {}, {} bytes",
        restored.point,
        to.display(),
        restored.disk_bytes
    );

    let mut of_file = [0; 6];
    FileDisk::open(to, false)?.read_at(4096, &mut of_file)?;
    println!("the file holds {:?}", String::from_utf8_lossy(&of_file));

    // Bytes of a point can be had without restoring it.
    let mut of_newest = [0; 6];
    let newest = points.open(&PointSelector::Latest)?;
    newest.read_at(&disk, 4096, &mut of_newest)?;
    println!(
        "the newest point holds {:?}",
        String::from_utf8_lossy(&of_newest)
    );
    Ok(of_file)
}

/// Two writes to the same place, and a marker after each.
fn record(cache: &Arc<dyn Store>, group: &Name, disk: &Name) -> Result<(), Box<dyn Error>> {
    let geometry = Geometry::new(disk.clone(), 16 << 20, SectorSize::B512);
    let options = WriterOptions {
        group: group.clone(),
        stream: "main".parse()?,
        disks: vec![geometry.ok_or("no disk has this size")?],
        limits: SegmentLimits::default(),
        level: 1,
    };
    let mut writer = StreamWriter::open(Arc::clone(cache), Arc::new(Nonces::from_os()), options)?;
    for (name, text, time) in [("before", b"before", 1), ("after", b"after.", 2)] {
        let mut sector = [0; 512];
        for (byte, letter) in sector.iter_mut().zip(text) {
            *byte = *letter;
        }
        let now = Timestamp(time);
        writer.write(0, 8, &sector, now)?;
        writer.mark(
            MarkerKind::User,
            name,
            ObjectId([u8::try_from(time)?; 16]),
            now,
        )?;
    }
    writer.seal()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_point_is_restored_and_not_the_second() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = restore(&folder.path().join("root.raw")).unwrap();
        assert_eq!(&bytes, b"before");
    }
}
