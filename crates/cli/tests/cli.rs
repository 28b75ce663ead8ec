//! The command as a user meets it: what it prints, what it leaves behind, how it ends.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests look at files from outside"
)]
#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

const GROUP: &str = "shop";
const DISK: &str = "orders";

/// A folder with a cache, a target and the command.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, part: &str) -> PathBuf {
        self.dir.path().join(part)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_afterimage"))
            .args(arguments)
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    /// Runs and expects success; gives what was printed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let printed = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        printed
    }

    /// Runs and expects that exit code; gives the one error that was printed.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {complaint}"
        );
        let errors = complaint.lines().filter(|line| line.starts_with("error:"));
        assert_eq!(errors.count(), 1, "{arguments:?}: {complaint}");
        complaint
    }

    fn import(&self, every: &str) -> String {
        let log = demo_log();
        self.ok(&import(&log, every))
    }

    fn replicate(&self) -> String {
        self.ok(&REPLICATE)
    }

    fn points(&self) -> Vec<Value> {
        let printed = self.ok(&["points", "--group", GROUP, "--target", "points", "--json"]);
        serde_json::from_str(&printed).unwrap()
    }

    fn restore(&self, point: &str, to: &str) -> Output {
        self.run(&restore(point, to))
    }

    /// The files below a folder, in order of name.
    fn files(&self, below: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path(below)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

const REPLICATE: [&str; 8] = [
    "replicate",
    "--group",
    GROUP,
    "--cache",
    "cache",
    "--target",
    "points",
    "--once",
];

fn demo_log() -> String {
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/orders-ext4-64m.log.zst");
    log.to_str().unwrap().to_owned()
}

fn import<'a>(log: &'a str, every: &'a str) -> Vec<&'a str> {
    vec![
        "import",
        "log-writes",
        log,
        "--disk",
        DISK,
        "--size",
        "64MiB",
        "--group",
        GROUP,
        "--cache",
        "cache",
        "--segment-size",
        "1MiB",
        "--marker-every",
        every,
    ]
}

fn restore<'a>(point: &'a str, to: &'a str) -> Vec<&'a str> {
    vec![
        "restore", "--group", GROUP, "--target", "points", "--point", point, "--disk", DISK,
        "--to", to,
    ]
}

#[test]
fn the_demo_checks_itself_and_leaves_nothing() {
    let place = Place::new();
    let printed = place.ok(&["demo", "--json", "--dir", "here"]);
    let report: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(report["equal"], true);
    assert_eq!(report["checks"].as_array().unwrap().len(), 4);
    assert!(place.path("here/newest.raw").exists());
    let printed = place.ok(&["demo"]);
    assert!(
        printed.contains("every disk is equal to a plain replay"),
        "{printed}"
    );
    assert_eq!(fs::read_dir(place.path(".")).unwrap().count(), 1);
}

#[test]
fn points_keep_the_json_contract() {
    let place = Place::new();
    place.import("5000");
    place.replicate();
    let points = place.points();
    let names: Vec<&str> = points
        .iter()
        .map(|point| point["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["entry-5000", "entry-10000", "entry-12657"]);
    for (point, id) in points.iter().zip(1u64..) {
        assert_eq!(point["id"], id);
        assert_eq!(point["kind"], "crash");
        let time = point["time"].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        assert!(point["changed_bytes"].as_u64().unwrap() > 0);
        assert!(point["stored_bytes"].as_u64().unwrap() > 0);
        assert_eq!(point["disks"][0]["name"], DISK);
        assert_eq!(point["disks"][0]["size"], 64 << 20);
    }
}

#[test]
fn any_bytes_of_any_point_can_be_read_without_restoring_it() {
    let place = Place::new();
    place.import("5000");
    place.replicate();
    for point in ["1", "entry-10000", "latest"] {
        assert!(place.restore(point, "whole.raw").status.success());
        let whole = fs::read(place.path("whole.raw")).unwrap();
        for (offset, length) in [(0usize, 512usize), (1023, 70_001), (60 << 20, 4 << 20)] {
            let (from, bytes) = (offset.to_string(), length.to_string());
            let read = place.run(&[
                "read", "--group", GROUP, "--target", "points", "--point", point, "--disk", DISK,
                "--offset", &from, "--length", &bytes,
            ]);
            assert_eq!(
                read.stdout,
                whole[offset..offset + length],
                "{point} at {offset}"
            );
        }
        fs::remove_file(place.path("whole.raw")).unwrap();
    }
}

#[test]
fn a_second_run_goes_on_where_the_first_ended() {
    let place = Place::new();
    place.import("5000");
    place.replicate();
    let before = place.points();
    assert!(place.replicate().contains("0 points made"));
    let same = |after: &[Value]| {
        // Compaction gives their layers back bytes.
        for (before, after) in before.iter().zip(after) {
            for field in ["id", "name", "time", "position", "changed_bytes", "disks"] {
                assert_eq!(before[field], after[field]);
            }
        }
    };
    same(&place.points());
    // The same log once more is refused, and then, asked for, goes on behind the last segment.
    let log = demo_log();
    let mut again = import(&log, "5000");
    let complaint = place.fails(2, &again);
    assert!(complaint.contains("--append"), "{complaint}");
    again.push("--append");
    place.ok(&again);
    place.replicate();
    let after = place.points();
    same(&after);
    assert_eq!((before.len(), after.len()), (3, 6));
    assert!(place.restore("3", "one.raw").status.success());
    assert!(place.restore("6", "two.raw").status.success());
    let (one, two) = (
        fs::read(place.path("one.raw")),
        fs::read(place.path("two.raw")),
    );
    assert!(
        one.unwrap() == two.unwrap(),
        "the same log ends in the same disk"
    );
}

#[test]
fn a_restore_never_replaces_what_is_there_unasked() {
    let place = Place::new();
    place.import("5000");
    place.replicate();
    fs::write(place.path("mine"), "precious").unwrap();
    place.fails(2, &restore("latest", "mine"));
    assert_eq!(fs::read(place.path("mine")).unwrap(), b"precious");
    // What was refused holds no point.
    let holds = place.path("points").join(GROUP).join("holds");
    assert!(!holds.exists() || place.files(&format!("points/{GROUP}/holds")).is_empty());
    let mut over = restore("latest", "mine");
    over.push("--overwrite");
    place.ok(&over);
    assert_eq!(fs::read(place.path("mine")).unwrap().len(), 64 << 20);
}

#[test]
fn in_place_a_disk_becomes_another_point() {
    let place = Place::new();
    place.import("2000");
    place.replicate();
    for (point, to) in [("2", "two.raw"), ("5", "five.raw"), ("5", "disk.raw")] {
        assert!(place.restore(point, to).status.success());
    }
    let (two, five) = (
        fs::read(place.path("two.raw")).unwrap(),
        fs::read(place.path("five.raw")).unwrap(),
    );
    assert!(two != five);
    let in_place = |point, more: &[&str]| {
        let mut arguments = restore(point, "disk.raw");
        arguments.extend(["--in-place", "--json"]);
        arguments.extend(more);
        let printed = place.ok(&arguments);
        serde_json::from_str::<Value>(&printed).unwrap()
    };
    let back = in_place("2", &["--from", "5"]);
    assert!(fs::read(place.path("disk.raw")).unwrap() == two);
    assert_eq!(back["equal_bytes"], 0, "nothing was read that need not be");
    let forth = in_place("5", &[]);
    assert!(fs::read(place.path("disk.raw")).unwrap() == five);
    assert!(forth["written_bytes"].as_u64() < forth["disk_bytes"].as_u64());
    assert!(!place.path("disk.raw.progress").exists());
}

#[test]
fn a_replica_follows_and_foreign_files_are_left_alone() {
    let place = Place::new();
    place.import("5000");
    let mut follow = REPLICATE.to_vec();
    follow.extend(["--replica", "orders=replica.raw"]);
    place.ok(&follow);
    assert!(place.restore("latest", "newest.raw").status.success());
    let newest = fs::read(place.path("newest.raw")).unwrap();
    assert!(fs::read(place.path("replica.raw")).unwrap() == newest);
    fs::write(place.path("mine"), "precious").unwrap();
    let mut foreign = REPLICATE.to_vec();
    foreign.extend(["--replica", "orders=mine"]);
    let complaint = place.fails(2, &foreign);
    assert!(complaint.contains("mine"), "{complaint}");
    assert_eq!(fs::read(place.path("mine")).unwrap(), b"precious");
}

#[test]
fn a_truncated_log_leaves_what_was_complete() {
    let place = Place::new();
    let whole = fs::read(demo_log()).unwrap();
    fs::write(place.path("cut.log.zst"), &whole[..whole.len() / 2]).unwrap();
    let complaint = place.fails(5, &import("cut.log.zst", "500"));
    assert!(complaint.contains("entry"), "{complaint}");
    place.replicate();
    let points = place.points();
    assert!(
        !points.is_empty() && points.len() < 26,
        "{} points",
        points.len()
    );
    let last = points.last().unwrap()["name"].as_str().unwrap().to_owned();
    assert!(place.restore(&last, "cut.raw").status.success());
    let full = Place::new();
    full.import("500");
    full.replicate();
    assert!(full.restore(&last, "full.raw").status.success());
    let (cut, full) = (
        fs::read(place.path("cut.raw")),
        fs::read(full.path("full.raw")),
    );
    assert!(cut.unwrap() == full.unwrap());
}

/// Group and target of what only looks at points.
const AT: [&str; 4] = ["--group", GROUP, "--target", "points"];

/// A pin with a line end was stored once and could not be read again, which stopped all pruning.
#[test]
fn a_pin_keeps_its_point_and_one_that_could_not_be_read_again_is_refused() {
    let place = Place::new();
    place.import("1000");
    place.replicate();
    let pin = |point: &'static str, reason: &'static str| {
        let options = ["--point", point, "--until", "30d", "--reason", reason];
        [&["pin"], &AT[..], &options[..]].concat()
    };
    place.fails(2, &pin("1", "two\nlines"));
    place.ok(&pin("1", "before the upgrade"));
    let holds = place.ok(&[&["holds"], &AT[..]].concat());
    assert!(holds.contains("before the upgrade"), "{holds}");
    let prune = [&["prune"], &AT[..], &["--keep", "1s:1s"]].concat();
    let dry = place.ok(&[&prune[..], &["--dry-run"]].concat());
    assert!(dry.contains("before the upgrade"), "{dry}");
    // As after a worker that was killed; one that has ended is not waited for.
    fs::remove_dir_all(place.path("points/shop/ended")).unwrap();
    let complaint = place.fails(2, &prune);
    assert!(complaint.contains("may be at work"), "{complaint}");
    place.ok(&[&prune[..], &["--take-over"]].concat());
    place.replicate();
    place.ok(&prune);
    let points = place.points();
    assert!(points.len() < 13, "{}", points.len());
    assert!(points.iter().any(|point| point["id"] == 1));
    assert!(place.restore("1", "pinned.raw").status.success());
    place.ok(&[&["verify"], &AT[..]].concat());
    place.ok(&[&["unpin"], &AT[..], &["--point", "1"]].concat());
    assert!(
        place
            .ok(&[&["holds"], &AT[..]].concat())
            .contains("no point is held")
    );
}

/// A section of the page on JSON.
fn page_section(title: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md");
    let page = fs::read_to_string(page).unwrap();
    let begin = page.find(&format!("\n## {title}")).unwrap() + 1;
    let section = &page[begin..];
    let end = section[1..]
        .find("\n## ")
        .map_or(section.len(), |end| end + 1);
    section[..end].to_owned()
}

/// All fields of a value are in a section of the page.
fn assert_in_page(value: &Value, title: &str) {
    let section = page_section(title);
    for field in value.as_object().unwrap().keys() {
        assert!(
            section.contains(&format!("`{field}`")),
            "{field} of {title}"
        );
    }
}

#[test]
fn what_is_printed_as_json_is_in_the_page() {
    let place = Place::new();
    place.import("1000");
    let replicate = [&REPLICATE[..], &["--json", "--keep", "1s:all"]].concat();
    let replicate = [
        &replicate[..],
        &["--rewind", "1h", "--replica", "orders=replica.raw"],
    ]
    .concat();
    let mut events = Vec::new();
    for line in place.ok(&replicate).lines() {
        let mut value: Value = serde_json::from_str(line).unwrap();
        let event = value.as_object_mut().unwrap().remove("event").unwrap();
        let section = if event == "upkeep" {
            "`prune`"
        } else {
            "`replicate`"
        };
        assert_in_page(&value, section);
        events.push(event.as_str().unwrap().to_owned());
    }
    for event in ["point", "replica", "upkeep", "done"] {
        assert!(
            events.iter().any(|known| known == event),
            "{event}: {events:?}"
        );
        assert!(page_section("`replicate`").contains(&format!("| `{event}` |")));
    }
    let value = |command: &str, more: &[&str]| -> Value {
        let printed = place.ok(&[&[command], &AT[..], &["--json"], more].concat());
        assert_eq!(printed.lines().count(), 1, "{printed}");
        serde_json::from_str(&printed).unwrap()
    };
    let pins = "`pin`, `unpin`, `holds`";
    let until = ["--point", "latest", "--until", "30d", "--reason", "why"];
    assert_in_page(&value("pin", &until), pins);
    for hold in value("holds", &[]).as_array().unwrap() {
        assert_in_page(hold, pins);
    }
    assert_in_page(&value("unpin", &["--point", "latest"]), pins);
    for decision in value("prune", &["--dry-run"]).as_array().unwrap() {
        assert_in_page(decision, "`prune`");
    }
    let pruned = value("prune", &[]);
    assert_in_page(&pruned, "`prune`");
    assert_eq!(pruned.as_object().unwrap().len(), 7);
    let record = place.points().last().unwrap()["position"]["main"].to_string();
    let at = ["--at", &record, "--disk", DISK, "--to", "at.raw"];
    assert_in_page(&value("restore", &at), "`restore`");
    let to = ["--point", "latest", "--disk", DISK, "--to", "point.raw"];
    assert_in_page(&value("restore", &to), "`restore`");
    for point in place.points() {
        assert_in_page(&point, "`points`");
    }
}

#[test]
fn upkeep_that_fails_is_told_and_the_points_are_made() {
    let place = Place::new();
    fs::create_dir_all(place.path("points/shop/holds")).unwrap();
    let hold = "points/shop/holds/00000000000000000000000000000001.hold";
    fs::write(place.path(hold), "this is no hold").unwrap();
    place.import("5000");
    let printed = place.ok(&[&REPLICATE[..], &["--json"]].concat());
    let lines = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let failures = lines.filter(|value: &Value| value["event"] == "upkeep_failed");
    let failures: Vec<Value> = failures.collect();
    assert!(!failures.is_empty(), "{printed}");
    assert!(page_section("`replicate`").contains("| `upkeep_failed` |"));
    for failure in &failures {
        assert_eq!(failure["kind"], "corrupt");
        assert!(failure["message"].as_str().unwrap().contains(".hold"));
    }
    assert_eq!(place.points().len(), 3);
    let printed = place.replicate();
    assert!(printed.contains("points go on"), "{printed}");
}

#[test]
fn compaction_can_be_bounded_and_turned_off() {
    for rate in ["off", "0", "1GiB/s"] {
        let place = Place::new();
        place.import("5000");
        place.ok(&[&REPLICATE[..], &["--compact-rate", rate]].concat());
        assert!(place.restore("latest", "there.raw").status.success());
        // What a run leaves is for this one.
        place.ok(&[&["prune"], &AT[..], &["--keep", "forever"]].concat());
        let compacted = place.files("points/shop/layers");
        place.ok(&[&["prune"], &AT[..]].concat());
        assert_eq!(
            place.files("points/shop/layers"),
            compacted,
            "nothing is left to be done"
        );
        assert!(place.restore("latest", "again.raw").status.success());
        let bytes = |name| fs::read(place.path(name)).unwrap();
        assert!(bytes("there.raw") == bytes("again.raw"));
    }
    let place = Place::new();
    place.import("5000");
    place.fails(2, &[&REPLICATE[..], &["--compact-rate", "fast"]].concat());
}

#[test]
fn a_missing_segment_is_a_gap_and_older_points_stay() {
    let place = Place::new();
    place.import("1000");
    let segments = place.files("cache");
    assert!(segments.len() > 4, "{} segments", segments.len());
    fs::remove_file(&segments[3]).unwrap();
    let complaint = place.fails(4, &REPLICATE);
    assert!(complaint.contains("00000000000000000003"), "{complaint}");
    assert!(!place.points().is_empty());
    assert!(place.restore("latest", "there.raw").status.success());
}

#[test]
fn a_damaged_layer_is_refused_and_no_disk_appears() {
    let place = Place::new();
    place.import("5000");
    place.replicate();
    // A byte in every few kilobytes of all of them: whichever frame is read first is damaged.
    for layer in place.files("points/shop/layers") {
        let mut bytes = fs::read(&layer).unwrap();
        let frames = 200..bytes.len() * 3 / 4;
        bytes[frames]
            .iter_mut()
            .step_by(512)
            .for_each(|byte| *byte ^= 4);
        fs::write(&layer, bytes).unwrap();
    }
    let complaint = place.fails(5, &restore("latest", "wrong.raw"));
    assert!(complaint.contains(".layer"), "{complaint}");
    assert!(!place.path("wrong.raw").exists());
    place.fails(5, &["verify", "--group", GROUP, "--target", "points"]);
    let names = fs::read_dir(place.path(".")).unwrap().count();
    assert_eq!(names, 2, "only cache and points are there");
}

#[test]
fn a_wrong_call_says_what_is_wrong() {
    let place = Place::new();
    place.import("5000");
    place.replicate();
    let calls: [(&str, &[&str]); 9] = [
        (
            "no group",
            &["points", "--group", "none", "--target", "points"],
        ),
        (
            "no such folder",
            &["points", "--group", GROUP, "--target", "nowhere"],
        ),
        ("no point 99", &restore("99", "x.raw")),
        ("no point named", &restore("yesterday", "x.raw")),
        (
            "not a name",
            &["points", "--group", "../etc", "--target", "points"],
        ),
        (
            "not supported",
            &["points", "--group", GROUP, "--target", "ftp://points"],
        ),
        (
            "64MiB",
            &[
                "replicate",
                "--group",
                GROUP,
                "--cache",
                "cache",
                "--target",
                "points",
                "--once",
                "--memory",
                "1KiB",
            ],
        ),
        (
            "reach beyond disk",
            &[
                "import",
                "log-writes",
                &demo_log(),
                "--disk",
                "small",
                "--size",
                "1MiB",
                "--group",
                "other",
                "--cache",
                "cache2",
            ],
        ),
        (
            "cannot be read",
            &[
                "import",
                "log-writes",
                "none.log",
                "--disk",
                "d",
                "--size",
                "1MiB",
                "--group",
                "other",
                "--cache",
                "cache2",
            ],
        ),
    ];
    for (expected, call) in calls {
        let complaint = place.fails(2, call);
        assert!(complaint.contains(expected), "{expected}: {complaint}");
    }
    assert!(
        !place.path("nowhere").exists(),
        "a mistyped path is not made"
    );
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let place = Place::new();
    let output = place.run(&["points", "--group", GROUP, "--target", "none", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "invalid");
    assert_eq!(error["error"]["exit_code"], 2);
}

#[test]
fn every_command_shows_examples() {
    let place = Place::new();
    for command in [
        "replicate",
        "points",
        "restore",
        "verify",
        "read",
        "inspect",
        "plan",
        "demo",
        "completions",
        "man",
    ] {
        assert!(
            place.ok(&[command, "--help"]).contains("Examples:"),
            "{command}"
        );
    }
    assert!(
        place
            .ok(&["import", "log-writes", "--help"])
            .contains("Examples:")
    );
    assert!(place.ok(&["--help"]).contains("Exit codes:"));
    assert!(place.ok(&["completions", "bash"]).contains("afterimage"));
    place.ok(&["man", "pages"]);
    assert!(place.path("pages/afterimage-restore.1").exists());
}

/// Somebody restores over a replica, or lets a test boot write it: its record is not believed then.
#[test]
fn a_replica_that_somebody_else_wrote_is_compared_and_mended() {
    let place = Place::new();
    place.import("3000");
    let mut follow = REPLICATE.to_vec();
    follow.extend(["--replica", "orders=replica.raw"]);
    place.ok(&follow);
    assert!(place.restore("latest", "newest.raw").status.success());
    let newest = fs::read(place.path("newest.raw")).unwrap();
    let replica = || fs::read(place.path("replica.raw")).unwrap();
    let overwrite = |point| {
        let mut over = restore(point, "replica.raw");
        over.push("--overwrite");
        place.ok(&over);
    };
    overwrite("1");
    assert!(replica() != newest);
    place.ok(&follow);
    assert!(replica() == newest, "after an overwrite");
    let mut written = replica();
    written[30 << 20..31 << 20].fill(7);
    fs::write(place.path("replica.raw"), &written).unwrap();
    place.ok(&follow);
    assert!(replica() == newest, "after a foreign write");
    fs::write(place.path("replica.raw"), &newest[..32 << 20]).unwrap();
    place.ok(&follow);
    assert!(replica() == newest, "after it was cut");
    let mut back = restore("1", "replica.raw");
    back.push("--in-place");
    place.ok(&back);
    assert!(replica() != newest);
    place.ok(&follow);
    assert!(replica() == newest, "after it was turned back in place");
}

#[test]
fn in_place_takes_only_what_can_be_that_disk() {
    let place = Place::new();
    place.import("5000");
    place.replicate();
    fs::write(place.path("notes.txt"), "precious").unwrap();
    let mut notes = restore("1", "notes.txt");
    notes.push("--in-place");
    place.fails(2, &notes);
    notes.extend(["--from", "2"]);
    place.fails(2, &notes);
    assert_eq!(fs::read(place.path("notes.txt")).unwrap(), b"precious");
    // A wrong claim leaves no record behind that a later call would believe.
    assert!(place.restore("3", "disk.raw").status.success());
    let mut wrong = restore("1", "disk.raw");
    wrong.extend(["--in-place", "--from", "nosuch"]);
    place.fails(2, &wrong);
    let names = |dir: &Path| fs::read_dir(dir).unwrap().count();
    assert_eq!(
        names(&place.path(".")),
        4,
        "cache, points, notes.txt and disk.raw"
    );
    // A replica knows where it stands; whoever says otherwise is wrong.
    let mut follow = REPLICATE.to_vec();
    follow.extend(["--replica", "orders=replica.raw"]);
    place.ok(&follow);
    let mut claim = restore("2", "replica.raw");
    claim.extend(["--in-place", "--from", "1"]);
    let complaint = place.fails(2, &claim);
    assert!(complaint.contains("point 3"), "{complaint}");
}

#[test]
fn only_files_and_block_devices_are_overwritten_and_links_are_followed() {
    let place = Place::new();
    place.import("5000");
    place.replicate();
    let over = |to| {
        let mut arguments = restore("latest", to);
        arguments.push("--overwrite");
        arguments
    };
    fs::create_dir(place.path("folder")).unwrap();
    place.fails(2, &over("folder"));
    place.fails(2, &over("/dev/null"));
    fs::write(place.path("old.raw"), "old").unwrap();
    std::os::unix::fs::symlink("old.raw", place.path("link.raw")).unwrap();
    place.ok(&over("link.raw"));
    assert!(place.path("link.raw").is_symlink());
    assert_eq!(fs::read(place.path("old.raw")).unwrap().len(), 64 << 20);
}

/// The segment in which the newest point ends stays in the cache; where it is gone this is another
/// cache, and nothing in it may be taken for covered and deleted.
#[test]
fn another_cache_is_a_gap_and_nothing_of_it_is_deleted() {
    let place = Place::new();
    place.import("3000");
    place.replicate();
    fs::remove_dir_all(place.path("cache")).unwrap();
    fs::create_dir(place.path("cache")).unwrap();
    place.fails(4, &REPLICATE);
    place.import("3000");
    let segments = place.files("cache");
    place.fails(4, &REPLICATE);
    assert_eq!(place.files("cache"), segments);
    assert!(place.restore("latest", "there.raw").status.success());
}

#[test]
fn a_group_that_is_nowhere_is_a_wrong_call() {
    let place = Place::new();
    place.import("5000");
    let mut typo = REPLICATE.to_vec();
    typo[2] = "shopp";
    place.fails(2, &typo);
    fs::write(
        place.path("noise"),
        "no log at all, but long enough to be one",
    )
    .unwrap();
    let complaint = place.fails(2, &import("noise", "1"));
    assert!(complaint.contains("noise"), "{complaint}");
}
