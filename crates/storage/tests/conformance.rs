//! Every store and every disk keeps its contract.

use std::{path::Path, sync::Arc};

use afterimage_storage::{
    Disk, DiskErrorKind, DraftDisk, Effect, FileDisk, Key, LocalStore, MemoryDisk, MemoryStore,
    Store, StoreErrorKind,
};
use afterimage_testkit::{SimStore, StoreFaults, World, disk_conformance, store_conformance};

#[test]
fn the_memory_store_keeps_the_contract() {
    store_conformance(&|| Arc::new(MemoryStore::new()));
}

#[test]
fn the_local_store_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let stores = std::cell::Cell::new(0);
    store_conformance(&|| {
        stores.set(stores.get() + 1);
        let root = dir.path().join(format!("deep/root-{}", stores.get()));
        Arc::new(LocalStore::open(&root).unwrap())
    });
}

#[test]
fn the_local_store_keeps_the_contract_over_simulated_files() {
    store_conformance(&|| {
        let files = World::new(1).files();
        let store: Arc<dyn Store> =
            Arc::new(LocalStore::with_files(Path::new("/srv/store"), files).unwrap());
        store
    });
}

#[test]
fn the_simulated_object_store_keeps_the_contract() {
    store_conformance(&|| Arc::new(SimStore::new(1, StoreFaults::NONE).client(None)));
}

/// The contract has no faults in it, so here the client asks again until it knows. Copies that
/// arrive after a delete are left out: they break the contract.
#[test]
fn the_simulated_object_store_keeps_the_contract_whatever_comes_late() {
    let faults = StoreFaults {
        failed: 100,
        unknown: 200,
        twice: 100,
        copies: 0,
        slow_lists: 100,
        late_max: 20,
    };
    for seed in 0..5 {
        store_conformance(&|| Arc::new(SimStore::new(seed, faults).patient_client(None)));
    }
}

#[test]
fn the_memory_disk_keeps_the_contract() {
    disk_conformance(&|size| Arc::new(MemoryDisk::new(size)));
}

#[test]
fn the_simulated_disk_keeps_the_contract() {
    disk_conformance(&|size| World::new(1).disk("disk", size));
}

#[test]
fn the_file_disk_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let disks = std::cell::Cell::new(0);
    disk_conformance(&|size| {
        disks.set(disks.get() + 1);
        let path = dir.path().join(format!("disk-{}", disks.get()));
        Arc::new(FileDisk::create_new(&path, size).unwrap())
    });
}

#[test]
fn the_draft_disk_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    disk_conformance(&|size| Arc::new(DraftDisk::new(&path, size).unwrap()));
    assert!(!path.exists());
}

#[test]
fn a_file_disk_opens_again_and_refuses_what_it_may_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let missing = FileDisk::open(&path, false).unwrap_err();
    assert_eq!(missing.kind, DiskErrorKind::NotFound);

    let disk = FileDisk::create_new(&path, 4096).unwrap();
    disk.write_at(100, b"content").unwrap();
    disk.flush().unwrap();
    let taken = FileDisk::create_new(&path, 4096).unwrap_err();
    assert_eq!(taken.kind, DiskErrorKind::AlreadyExists);

    let reader = FileDisk::open(&path, false).unwrap();
    let mut found = [0; 7];
    reader.read_at(100, &mut found).unwrap();
    assert_eq!(&found, b"content");
    assert_eq!(
        reader.write_at(0, b"x").unwrap_err().kind,
        DiskErrorKind::ReadOnly
    );
    assert_eq!(
        reader.zero_at(0, 1).unwrap_err().kind,
        DiskErrorKind::ReadOnly
    );
    assert_eq!(
        reader.set_size(1).unwrap_err().kind,
        DiskErrorKind::ReadOnly
    );

    disk.set_size(8192).unwrap();
    assert_eq!(disk.size(), 8192);
    disk.write_at(8191, b"x").unwrap();
    assert_eq!(FileDisk::open(&path, true).unwrap().size(), 8192);
    disk.set_size(50).unwrap();
    assert_eq!(
        disk.read_at(49, &mut [0; 2]).unwrap_err().kind,
        DiskErrorKind::Range
    );
}

#[test]
fn zeroes_give_room_back_where_the_file_system_can() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let disk = FileDisk::create_new(&path, 1 << 20).unwrap();
    disk.write_at(0, &vec![1; 1 << 20]).unwrap();
    disk.flush().unwrap();
    let full = path.metadata().unwrap().blocks();
    disk.zero_at(0, 1 << 20).unwrap();
    disk.flush().unwrap();
    assert_eq!(path.metadata().unwrap().len(), 1 << 20);
    assert!(path.metadata().unwrap().blocks() < full);
}

#[test]
fn a_draft_disk_appears_whole_and_replaces_only_when_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let draft = |byte: u8| {
        let draft = DraftDisk::new(&path, 4096).unwrap();
        draft.write_at(0, &[byte; 4096]).unwrap();
        draft
    };
    let first_byte = || {
        let mut found = [0];
        FileDisk::open(&path, false)
            .unwrap()
            .read_at(0, &mut found)
            .unwrap();
        found[0]
    };
    let first = draft(1);
    assert!(!path.exists());
    first.publish(false).unwrap();
    assert_eq!(first_byte(), 1);

    let refused = draft(2).publish(false).unwrap_err();
    assert_eq!(refused.kind, DiskErrorKind::AlreadyExists);
    assert_eq!(first_byte(), 1);

    draft(3).publish(true).unwrap();
    assert_eq!(first_byte(), 3);
    assert_eq!(
        dir.path().read_dir().unwrap().count(),
        1,
        "nothing stays beside the disk"
    );
}

/// Somebody tidied up empty directories under a running store.
#[test]
fn a_removed_directory_is_made_again_by_the_next_try() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    let key = Key::new("g/layers/a").unwrap();
    store.create(&key, &[]).unwrap();
    store.delete(&key).unwrap();
    std::fs::remove_dir_all(dir.path().join("g")).unwrap();
    let error = store.create(&key, &[]).unwrap_err();
    assert_eq!(
        (error.kind, error.effect),
        (StoreErrorKind::Unavailable, Effect::None)
    );
    store.create(&key, &[]).unwrap();
}
