//! The simulated machine forgets what it may forget, and nothing else.

use std::{collections::BTreeSet, io, path::Path};

use afterimage_storage::{Disk, DiskErrorKind, Draft, Files, Part};
use afterimage_testkit::{Fault, Random, World};

fn path(text: &str) -> &Path {
    Path::new(text)
}

/// A draft with this content, synced or not.
fn draft(files: &dyn Files, content: &[u8], synced: bool) -> Box<dyn Draft> {
    let mut draft = files.draft(path("/")).expect("the root is there");
    draft.write(&[content]).expect("the power is on");
    if synced {
        draft.sync().expect("the power is on");
    }
    draft
}

fn link(files: &dyn Files, name: &str, content: &[u8]) {
    draft(files, content, true)
        .link(path(name))
        .expect("the name is free");
}

fn read(world: &World, name: &str) -> Option<Vec<u8>> {
    let found = world.files().read(path(name), &Part::Whole);
    found.ok().map(|found| found.bytes.to_vec())
}

/// The names in the root, in one text.
fn names(world: &World) -> String {
    let listed = world.files().list(path("/")).expect("the power is on");
    let mut names: Vec<String> = listed.into_iter().map(|listed| listed.name).collect();
    names.sort();
    names.concat()
}

fn first_bytes(world: &World, sectors: u64) -> Vec<u8> {
    let disk = world.disk("disk", 4096);
    let first = |sector| {
        let mut byte = [0];
        disk.read_at(sector * 512, &mut byte)
            .expect("the power is on");
        byte[0]
    };
    (0..sectors).map(first).collect()
}

#[test]
fn pending_names_survive_in_any_subset() {
    let world = World::new(1);
    let files = world.files();
    link(files.as_ref(), "/d", b"d");
    files.sync_dir(path("/")).unwrap();
    for name in ["/a", "/b", "/c"] {
        link(files.as_ref(), name, b"x");
    }
    files.unlink(path("/d")).unwrap();
    assert_eq!(names(&world), "abc");
    assert_eq!(world.crash_states_count(), 16);
    let found: BTreeSet<String> = world
        .crash_states(100, 1)
        .map(|state| names(&state))
        .collect();
    assert_eq!(found.len(), 16);
    for expected in ["d", "", "ad", "bc", "abc", "abcd"] {
        assert!(found.contains(expected), "{expected:?} of {found:?}");
    }

    files.sync_dir(path("/")).unwrap();
    let found: Vec<String> = world
        .crash_states(100, 1)
        .map(|state| names(&state))
        .collect();
    assert_eq!(found, ["abc"]);
}

#[test]
fn a_name_used_twice_may_mean_any_of_what_it_meant() {
    let world = World::new(1);
    let files = world.files();
    link(files.as_ref(), "/a", b"first");
    files.unlink(path("/a")).unwrap();
    link(files.as_ref(), "/a", b"second");
    let states = world.crash_states(100, 1);
    let found: BTreeSet<Option<Vec<u8>>> = states.map(|state| read(&state, "/a")).collect();
    let expected = [None, Some(b"first".to_vec()), Some(b"second".to_vec())];
    assert_eq!(found, BTreeSet::from(expected));
}

#[test]
fn a_lost_directory_takes_along_what_is_below() {
    let world = World::new(1);
    let files = world.files();
    files.make_dir(path("/d")).unwrap();
    link(files.as_ref(), "/d/a", b"x");
    files.sync_dir(path("/d")).unwrap();
    let states: Vec<World> = world.crash_states(100, 1).collect();
    assert_eq!(states.len(), 2);
    assert_eq!(
        (names(&states[0]), read(&states[0], "/d/a")),
        (String::new(), None)
    );
    assert_eq!(
        (names(&states[1]), read(&states[1], "/d/a")),
        ("d".to_owned(), Some(b"x".to_vec()))
    );

    // With `/d/a` pending too there are four ways to choose, but only three can be told apart.
    let world = World::new(1);
    let files = world.files();
    files.make_dir(path("/d")).unwrap();
    link(files.as_ref(), "/d/a", b"x");
    assert_eq!(world.crash_states_count(), 4);
    assert_eq!(world.crash_states(100, 1).count(), 3);
}

#[test]
fn a_file_linked_before_it_was_synced_may_be_empty_cut_or_torn() {
    let mut content = vec![0; 1024];
    Random::new(3).fill(&mut content);
    let world = World::new(1);
    let files = world.files();
    draft(files.as_ref(), &content, false)
        .link(path("/a"))
        .unwrap();
    files.sync_dir(path("/")).unwrap();
    let states = world.crash_states(100, 1);
    let found: BTreeSet<Vec<u8>> = states.map(|state| read(&state, "/a").unwrap()).collect();
    let (head, tail) = content.split_at(512);
    let zeroes = [0; 512];
    let expected = [
        vec![],
        zeroes.to_vec(),
        head.to_vec(),
        [zeroes, zeroes].concat(),
        [head, &zeroes].concat(),
        [&zeroes, tail].concat(),
        content.clone(),
    ];
    assert_eq!(found, BTreeSet::from(expected));
    assert_eq!(read(&world, "/a"), Some(content));
}

#[test]
fn a_synced_file_is_whole_wherever_its_name_survives() {
    let world = World::new(1);
    let files = world.files();
    link(files.as_ref(), "/a", &[7; 3000]);
    let states: Vec<World> = world.crash_states(100, 1).collect();
    assert_eq!(states.len(), 2);
    assert_eq!(read(&states[0], "/a"), None);
    assert_eq!(read(&states[1], "/a"), Some(vec![7; 3000]));
}

#[test]
fn a_failed_sync_loses_what_was_pending_for_ever() {
    let world = World::new(1);
    let files = world.files();
    let mut draft = draft(files.as_ref(), b"content", false);
    world.fail_at(world.operations(), Fault::Before(io::ErrorKind::Other));
    draft.sync().unwrap_err();
    draft.sync().unwrap();
    draft.link(path("/a")).unwrap();
    files.sync_dir(path("/")).unwrap();
    assert_eq!(read(&world, "/a"), Some(b"content".to_vec()));
    let states: Vec<World> = world.crash_states(100, 1).collect();
    assert_eq!(states.len(), 1);
    assert_eq!(read(&states[0], "/a"), Some(Vec::new()));

    link(files.as_ref(), "/b", b"x");
    world.fail_at(world.operations(), Fault::Before(io::ErrorKind::Other));
    files.sync_dir(path("/")).unwrap_err();
    assert_eq!(names(&world), "ab");
    files.sync_dir(path("/")).unwrap();
    let states: Vec<World> = world.crash_states(100, 1).collect();
    assert_eq!(states.len(), 1);
    assert_eq!(names(&states[0]), "a");

    let disk = world.disk("disk", 4096);
    disk.write_at(0, &[1; 512]).unwrap();
    world.fail_at(world.operations(), Fault::Before(io::ErrorKind::Other));
    assert_eq!(disk.flush().unwrap_err().kind, DiskErrorKind::NotDurable);
    assert_eq!(first_bytes(&world, 1), [1]);
    disk.flush().unwrap();
    let states: Vec<World> = world.crash_states(100, 1).collect();
    assert_eq!(states.len(), 1);
    assert_eq!(first_bytes(&states[0], 1), [0]);
}

#[test]
fn a_fault_after_the_effect_keeps_the_effect() {
    let world = World::new(1);
    let files = world.files();
    let mut draft = draft(files.as_ref(), b"content", true);
    for _ in 0..2 {
        world.fail_at(world.operations(), Fault::After(io::ErrorKind::TimedOut));
        let error = match names(&world).as_str() {
            "" => draft.link(path("/a")).unwrap_err(),
            _ => files.sync_dir(path("/")).unwrap_err(),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
    let states: Vec<World> = world.crash_states(100, 1).collect();
    assert_eq!(states.len(), 1);
    assert_eq!(read(&states[0], "/a"), Some(b"content".to_vec()));
}

#[test]
fn sectors_survive_in_any_subset_and_the_later_before_the_earlier() {
    let world = World::new(1);
    let disk = world.disk("disk", 4096);
    disk.write_at(0, &[9; 1024]).unwrap();
    disk.flush().unwrap();
    disk.write_at(0, &[1; 1024]).unwrap();
    disk.write_at(512, &[2; 512]).unwrap();
    assert_eq!(world.crash_states_count(), 6);
    let states = world.crash_states(100, 1);
    let found: BTreeSet<Vec<u8>> = states.map(|state| first_bytes(&state, 2)).collect();
    let expected = [[9, 9], [9, 1], [9, 2], [1, 9], [1, 1], [1, 2]];
    assert_eq!(found, expected.into_iter().map(Vec::from).collect());

    disk.flush().unwrap();
    let found: Vec<Vec<u8>> = world
        .crash_states(9, 1)
        .map(|state| first_bytes(&state, 2))
        .collect();
    assert_eq!(found, [[1, 2]]);
}

#[test]
fn zeroes_are_pending_sector_by_sector() {
    let world = World::new(1);
    let disk = world.disk("disk", 4096);
    disk.write_at(0, &[9; 1536]).unwrap();
    disk.flush().unwrap();
    let before = world.operations();
    disk.zero_at(256, 3840).unwrap();
    assert_eq!(world.operations(), before + 1);
    // The rest of the disk was zero before, so nothing is pending there.
    assert_eq!(world.crash_states_count(), 8);
    let mut torn = [0; 512];
    disk.read_at(0, &mut torn).unwrap();
    assert_eq!(torn.iter().filter(|&&byte| byte == 9).count(), 256);

    let large = 1 << 45;
    let disk = world.disk("large", large);
    disk.zero_at(0, large).unwrap();
    disk.write_at(large - 512, &[3; 512]).unwrap();
    disk.zero_at(1, large - 2).unwrap();
    disk.read_at(large - 512, &mut torn).unwrap();
    assert_eq!((torn[0], torn[510], torn[511]), (0, 0, 3));
}

#[test]
fn a_power_cut_tears_a_write_between_sectors_and_ends_everything() {
    let world = World::new(1);
    let disk = world.disk("disk", 4096);
    let files = world.files();
    link(files.as_ref(), "/a", b"x");
    let mut draft = draft(files.as_ref(), b"y", false);
    world.cut_power_after(world.operations() + 2);
    assert!(!world.is_off());
    disk.write_at(0, &[1; 2048]).unwrap_err();
    assert!(world.is_off());

    disk.read_at(0, &mut [0; 512]).unwrap_err();
    disk.write_at(0, &[1]).unwrap_err();
    disk.zero_at(0, 1).unwrap_err();
    disk.flush().unwrap_err();
    draft.write(&[b"z"]).unwrap_err();
    draft.sync().unwrap_err();
    draft.link(path("/b")).unwrap_err();
    files.make_dir(path("/d")).unwrap_err();
    files.sync_dir(path("/")).unwrap_err();
    files.unlink(path("/a")).unwrap_err();
    files.size(path("/a")).unwrap_err();
    files.draft(path("/")).unwrap_err();
    files.list(path("/")).unwrap_err();
    let error = files.read(path("/a"), &Part::Whole).unwrap_err();
    assert_eq!(error.to_string(), "power is off");

    assert_eq!(first_bytes(&world.restart(), 4), [1, 1, 0, 0]);
    let states = world.crash_states(100, 1);
    let found: BTreeSet<Vec<u8>> = states.map(|state| first_bytes(&state, 4)).collect();
    let expected = [[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]];
    assert_eq!(found, expected.into_iter().map(Vec::from).collect());
}

#[test]
fn a_restart_keeps_what_is_visible_and_what_is_pending() {
    let world = World::new(1);
    link(world.files().as_ref(), "/a", b"x");
    world.disk("disk", 4096).write_at(0, &[1; 512]).unwrap();
    let again = world.restart();
    assert_eq!((again.operations(), names(&again)), (0, "a".to_owned()));
    assert_eq!(first_bytes(&again, 1), [1]);
    assert_eq!(again.crash_states_count(), 4);

    // The two are apart from now on.
    again.files().sync_dir(path("/")).unwrap();
    assert_eq!(again.crash_states_count(), 2);
    assert_eq!(world.crash_states_count(), 4);
}

#[test]
fn a_crashed_world_works_on_and_crashes_again() {
    let world = World::new(1);
    link(world.files().as_ref(), "/a", b"x");
    world.cut_power_after(0);
    for state in world.crash_states(10, 1) {
        assert_eq!(state.operations(), 0);
        assert_eq!(state.crash_states_count(), 1);
        let before = names(&state);
        link(state.files().as_ref(), "/b", b"y");
        let found: Vec<String> = state
            .crash_states(10, 1)
            .map(|state| names(&state))
            .collect();
        assert_eq!(found, [before.clone(), before + "b"]);
    }
}

#[test]
fn samples_hold_the_extremes_and_repeat_by_their_seed() {
    let world = World::new(1);
    let disk = world.disk("disk", 64 << 10);
    for sector in 0..100 {
        disk.write_at(sector * 512, &[1; 512]).unwrap();
    }
    let survivors = |state: &World| -> Vec<u8> {
        let mut content = vec![0; 51_200];
        state
            .disk("disk", 64 << 10)
            .read_at(0, &mut content)
            .unwrap();
        content.into_iter().step_by(512).collect()
    };
    let sample = |limit, seed| -> Vec<Vec<u8>> {
        let states = world.crash_states(limit, seed);
        assert!(!states.is_exhaustive());
        states.map(|state| survivors(&state)).collect()
    };
    assert_eq!(world.crash_states_count(), 1 << 100);
    let found = sample(1000, 7);
    assert_eq!(found.len(), 1000);
    assert_eq!(
        found.iter().collect::<BTreeSet<_>>().len(),
        1000,
        "none twice"
    );
    assert_eq!(found[0], [0; 100]);
    assert_eq!(found[1], [1; 100]);
    let count = |wanted: usize| {
        let of = |state: &&Vec<u8>| state.iter().filter(|&&byte| byte == 1).count() == wanted;
        found.iter().filter(of).count()
    };
    assert_eq!((count(1) >= 100, count(99) >= 100), (true, true));
    assert_eq!(found, sample(1000, 7));
    assert_ne!(found, sample(1000, 8));
    assert_eq!(sample(2, 7).len(), 2);
}

#[test]
#[should_panic(expected = "the size of disk disk")]
fn a_disk_keeps_its_size() {
    let world = World::new(1);
    let _disk = world.disk("disk", 4096);
    let _again = world.disk("disk", 8192);
}
