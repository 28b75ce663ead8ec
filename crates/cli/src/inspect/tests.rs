//! The golden objects are recognised, and each damaged byte of them is refused.

use std::path::PathBuf;

use afterimage::{
    ErrorKind,
    storage::{Disk, FileDisk},
};
use serde_json::Value;

use super::inspect;

const SEGMENT: &str = include_str!("../../../changelog/golden/segment.hex");
const LAYER: &str = include_str!("../../../changelog/golden/layer.hex");
const PAGE: &str = include_str!("../../../recovery/golden/page.hex");
const HOLD: &str = include_str!("../../../recovery/golden/hold.hex");
const MANIFEST: &str = include_str!("../../../recovery/golden/manifest.hex");
const PROGRESS: &str = include_str!("../../../target/golden/progress.hex");

/// The bytes of a hex file; `#` begins a comment.
fn bytes_of(hex: &str) -> Vec<u8> {
    let words = hex.lines().flat_map(|line| {
        let plain = line.split('#').next().unwrap_or_default();
        plain.split_whitespace()
    });
    words
        .map(|word| u8::from_str_radix(word, 16).unwrap())
        .collect()
}

/// A file of these bytes, in a folder that goes when it is dropped.
fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf, FileDisk) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000000000000000007");
    let disk = FileDisk::create_new(&path, u64::try_from(bytes.len()).unwrap()).unwrap();
    disk.write_at(0, bytes).unwrap();
    (folder, path, disk)
}

/// The record of a replica whose second slot was never written.
fn record() -> Vec<u8> {
    let mut record = bytes_of(PROGRESS);
    record.resize(8192, 0);
    record
}

fn json(bytes: &[u8]) -> Value {
    let (_folder, path, _disk) = file(bytes);
    serde_json::from_str(&inspect(&path, true, false).unwrap()).unwrap()
}

#[test]
fn a_segment_is_described() {
    let said = json(&bytes_of(SEGMENT));
    assert_eq!(said["object"], "segment");
    assert_eq!(said["intact"], true);
    assert_eq!(said["number"], 0x22);
    assert_eq!(said["created"], "2025-11-23T08:20:00.000036Z");
    assert_eq!(said["fidelity"], "extents");
    assert_eq!(said["disks"][1]["sector_size"], 4096);
    assert_eq!(said["codecs"][0]["stored_bytes"], 512);
    assert_eq!(said["codecs"][1]["raw_bytes"], 4096);
    assert_eq!(said["markers"][0]["name"], "before the upgrade");
    assert_eq!(said["rows"][1]["continued"], true);
    assert_eq!(said["rows"][2]["disk"], "db");
    assert_eq!(said["rows"][2]["frame"], Value::Null);
    assert_eq!(said["rows"][3]["sequence"], 0x2303);
}

#[test]
fn every_kind_of_object_is_recognised() {
    let objects = [
        (bytes_of(SEGMENT), "segment"),
        (bytes_of(LAYER), "layer"),
        (bytes_of(MANIFEST), "manifest"),
        (bytes_of(PAGE), "page of points"),
        (bytes_of(HOLD), "hold"),
        (record(), "replica progress"),
        (Vec::new(), "boundary"),
    ];
    for (bytes, object) in objects {
        let said = json(&bytes);
        assert_eq!(said["object"], object);
        let (_folder, path, _disk) = file(&bytes);
        let text = inspect(&path, false, false).unwrap();
        assert!(text.starts_with(&format!("{object}, intact\n")), "{text}");
    }
    assert_eq!(json(&[])["number"], 7);
    let manifest = json(&bytes_of(MANIFEST));
    assert_eq!(manifest["points_in_pages"], 1);
    assert_eq!(manifest["keep"], "asr:7d");
    assert_eq!(manifest["streams"][1]["kept"], 0x22);
    assert_eq!(manifest["pages"][0]["epoch"], 0x7a);
    assert_eq!(manifest["layers"][2]["point"], 0x68);
    assert_eq!(json(&record())["slots"][0]["to"], 0x92);
}

#[test]
fn a_manifest_names_pages_and_indexes_and_has_the_points_that_are_in_no_page() {
    let manifest = json(&bytes_of(MANIFEST));
    let page = json(&bytes_of(PAGE));
    for field in ["id", "epoch", "digest", "object_bytes"] {
        assert_eq!(manifest["pages"][0][field], page[field], "{field}");
    }
    assert_eq!(manifest["pages"][0]["points"], 1);
    let ids = |said: &Value| {
        let points = said["points"].as_array().unwrap();
        let ids = points.iter().map(|point| point["id"].as_u64().unwrap());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(&manifest), [0x61, 0x68]);
    assert_eq!(ids(&page), [0x60]);
    assert_eq!(page["layers"][0]["point"], 0x60);
    assert_eq!(page["points"][0]["name"], "hourly");
    for index in [&manifest["indexes"][0], &manifest["indexes"][1]] {
        assert_eq!(index["first"], manifest["layers"][0]["id"]);
        assert_eq!(index["layers"], 3);
    }
    assert_eq!(manifest["indexes"][1]["object_bytes"], 0x7e00);
}

#[test]
fn a_hold_is_described() {
    let said = json(&bytes_of(HOLD));
    assert_eq!(said["group"], "shop");
    assert_eq!(said["id"], "e0e1e2e3e4e5e6e7e8e9eaebecedeeef");
    assert_eq!(said["kind"], "use");
    assert_eq!(said["manifest"], 0x7e);
    assert_eq!(said["point"], 0x61);
    assert_eq!(said["until"], "2025-11-23T08:20:00.0002Z");
    assert_eq!(said["text"], "restore to /srv/disk.raw");
}

#[test]
fn what_has_no_bytes_is_told_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let said = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(FileDisk::create_new(&path, 0).unwrap());
        inspect(&path, false, false).map_err(|error| error.kind())
    };
    let mark = "00112233445566778899aabbccddeeff";
    assert!(said(mark).unwrap().starts_with("pruning mark, intact\n"));
    assert_eq!(
        said("ended/12").unwrap(),
        "mark of an end, intact\n  epoch  12"
    );
    let claim = "claim to an epoch, intact\n  epoch  12";
    assert_eq!(said("epochs/12").unwrap(), claim);
    let of_stream = folder.path().join("epochs/00000000000000000012");
    drop(FileDisk::create_new(&of_stream, 16).unwrap());
    assert_eq!(inspect(&of_stream, false, false).unwrap(), claim);
    for other in [
        "00112233445566778899AABBCCDDEEFF",
        "ended/012",
        "ended/last",
        "epochs/012",
        "started/12",
        "0011",
        "g0112233445566778899aabbccddeeff",
    ] {
        assert_eq!(said(other), Err(ErrorKind::Invalid), "{other}");
    }
}

/// One bit of each byte; what is refused names a part and a place, as damage.
#[test]
fn a_damaged_object_is_refused_with_its_place() {
    for hex in [SEGMENT, LAYER, MANIFEST, PAGE, HOLD] {
        let bytes = bytes_of(hex);
        let (_folder, path, disk) = file(&bytes);
        for (at, byte) in bytes.iter().enumerate() {
            let place = u64::try_from(at).unwrap();
            disk.write_at(place, &[byte ^ 1 << (at % 8)]).unwrap();
            let error = inspect(&path, false, false).unwrap_err();
            // What is no container says only at its front what it is.
            let known = [SEGMENT, LAYER].contains(&hex) || at >= 8;
            let kind = if known {
                ErrorKind::Corrupt
            } else {
                ErrorKind::Invalid
            };
            assert_eq!(error.kind(), kind, "byte {at}: {error}");
            assert!(!known || error.to_string().contains("byte "), "{error}");
            disk.write_at(place, &[*byte]).unwrap();
        }
        assert!(inspect(&path, false, false).is_ok());
    }
}

#[test]
fn a_damaged_frame_is_named_by_its_place() {
    let mut bytes = bytes_of(SEGMENT);
    bytes[0x28e] ^= 1;
    let (_folder, path, _disk) = file(&bytes);
    let error = inspect(&path, false, false).unwrap_err().to_string();
    assert!(
        error.contains("frame, byte 0: the hash does not match"),
        "{error}"
    );
    assert!(
        error.contains(&format!("begins at byte {} of the file", 0x28e)),
        "{error}"
    );
}

#[test]
fn a_slot_that_is_not_whole_is_damage() {
    let whole = record();
    let (_folder, path, disk) = file(&whole);
    for (at, byte) in bytes_of(PROGRESS).iter().enumerate() {
        let place = u64::try_from(at).unwrap();
        disk.write_at(place, &[byte ^ 1 << (at % 8)]).unwrap();
        // The record says only at its front what it is.
        let kind = if at < 8 {
            ErrorKind::Invalid
        } else {
            ErrorKind::Corrupt
        };
        let error = inspect(&path, false, false).unwrap_err();
        assert_eq!(error.kind(), kind, "byte {at}: {error}");
        disk.write_at(place, &[*byte]).unwrap();
    }
    let mut bytes = record();
    bytes[4096] = 1;
    let (_folder, path, _disk) = file(&bytes);
    assert_eq!(
        inspect(&path, false, false).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    let (_folder, path, _disk) = file(&record()[..600]);
    assert_eq!(
        inspect(&path, false, false).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn a_file_that_is_missing_or_no_object_is_no_damage() {
    for bytes in [&b"x"[..], b"something else that is longer than a magic"] {
        let (_folder, path, _disk) = file(bytes);
        let error = inspect(&path, false, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("no object of Afterimage"));
    }
    let (folder, _path, _disk) = file(&[]);
    let missing = inspect(&folder.path().join("missing"), false, false).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Invalid);
    assert!(missing.to_string().contains("does not exist"), "{missing}");
}
