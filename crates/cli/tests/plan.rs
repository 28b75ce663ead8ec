//! `afterimage plan` as a user meets it.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests write tables and look at pages from outside"
)]
#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

const GROUP: [&str; 5] = ["plan", "--churn", "20MB/s", "--disks", "40"];

fn docs(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(page)
}

fn run(more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_afterimage"))
        .args(GROUP)
        .args(more)
        .output()
        .unwrap()
}

fn ok(more: &[&str]) -> String {
    let output = run(more);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{more:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(more: &[&str]) -> Value {
    let printed = ok(&[more, &["--json"]].concat());
    assert_eq!(printed.lines().count(), 1, "{printed}");
    serde_json::from_str(&printed).unwrap()
}

/// Runs and expects a wrong call; gives the one error that was printed.
fn fails(more: &[&str]) -> String {
    let output = run(more);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{more:?}: {complaint}");
    let errors = complaint.lines().filter(|line| line.starts_with("error:"));
    assert_eq!(errors.count(), 1, "{more:?}: {complaint}");
    complaint
}

/// All fields of a value are in the section of the page on JSON.
fn assert_in_page(value: &Value, section: &str) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                assert!(section.contains(&format!("`{field}`")), "{field}");
                assert_in_page(value, section);
            }
        }
        Value::Array(values) => {
            for value in values {
                assert_in_page(value, section);
            }
        }
        _ => {}
    }
}

#[test]
fn without_prices_there_are_amounts_only() {
    let printed = ok(&[]);
    for part in ["cache, a segment", "target, a month", "asr:1d keeps 47"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(!printed.contains("PRICE"), "{printed}");
    let plan = json(&["--keep", "journal:1h"]);
    assert_eq!(plan["prices"], Value::Null);
    assert_eq!(plan["provider"], "s3");
    assert_eq!(plan["keep"], "journal:1h");
    assert_eq!(plan["kept_points"], 13);
    assert_eq!(plan["points"], 30 * 24 * 12);
    assert_eq!(plan["target"]["in_bytes"], 10_000_000u64 * 30 * 86_400);
    // A rate may be given without its second.
    let same = [
        "--churn",
        "20MB",
        "--disks",
        "40",
        "--keep",
        "journal:1h",
        "--json",
    ];
    let same = Command::new(env!("CARGO_BIN_EXE_afterimage"))
        .arg("plan")
        .args(same)
        .output()
        .unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&same.stdout).unwrap(), plan);
}

#[test]
fn each_example_of_prices_gives_a_price_for_each_line_and_their_sum() {
    let page = fs::read_to_string(docs("json.md")).unwrap();
    let section = page.split("\n## ").find(|part| part.starts_with("`plan`"));
    for (file, provider) in [("s3", "s3"), ("azure", "azure"), ("google", "google")] {
        let file = docs(&format!("prices/{file}.toml"));
        let table = ["--price-table", file.to_str().unwrap()];
        let plan = json(&table);
        assert_in_page(&plan, section.unwrap());
        assert_eq!(plan["provider"], provider);
        let prices = &plan["prices"];
        let lines = prices["lines"].as_array().unwrap();
        let sum: f64 = lines
            .iter()
            .map(|line| line["price"].as_f64().unwrap())
            .sum();
        let total = prices["total"].as_f64().unwrap();
        assert!((sum - total).abs() < 1e-6 && total > 0.0);
        assert!((prices["per_disk"].as_f64().unwrap() * 40.0 - total).abs() < 1e-6);
        let printed = ok(&table);
        assert!(
            printed.contains(&format!("{total:.2} USD a month")),
            "{printed}"
        );
        assert!(printed.contains("prices of 2025-06-01"), "{printed}");
    }
}

#[test]
fn a_bad_table_is_one_error_with_its_file_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let good = fs::read_to_string(docs("prices/s3.toml")).unwrap();
    let path = dir.path().join("mine.toml");
    let path = path.to_str().unwrap();
    for (from, to, expected) in [
        (
            "gets = ",
            "# gets = ",
            "mine.toml: prices.gets: it is missing",
        ),
        (
            "lists = 0.005",
            "lists = 'cheap'",
            "mine.toml: prices.lists: ",
        ),
        (
            "currency = ",
            "coin = ",
            "mine.toml: currency: it is missing",
        ),
        ("[prices]", "[prices", "mine.toml: line "),
        ("[prices]", "[prices]\nputs = 1", "mine.toml: line "),
    ] {
        fs::write(path, good.replacen(from, to, 1)).unwrap();
        let complaint = fails(&["--price-table", path]);
        assert!(complaint.contains(expected), "{expected}: {complaint}");
    }
    let complaint = fails(&["--price-table", "nowhere.toml"]);
    assert!(
        complaint.contains("nowhere.toml: it cannot be read"),
        "{complaint}"
    );
    fs::write(path, "#".repeat(100_000)).unwrap();
    let complaint = fails(&["--price-table", path]);
    assert!(complaint.contains("too large"), "{complaint}");
    fs::write(path, b"name = \"\xff\"").unwrap();
    let complaint = fails(&["--price-table", path]);
    assert!(
        complaint.contains("mine.toml: it cannot be read"),
        "{complaint}"
    );
}

#[test]
fn numbers_that_mean_nothing_are_wrong_calls() {
    for more in [
        ["--ratio", "2"],
        ["--ratio", "nan"],
        ["--live", "0"],
        ["--seal", "0s"],
        ["--poll", "999999h"],
        ["--points=-5m", "--ratio=0.5"],
        ["--keep", "asr:99d"],
        ["--seal", "often"],
    ] {
        fails(&more);
    }
    assert_eq!(
        run(&["--disks", "0"]).status.code(),
        Some(2),
        "given twice and out of range"
    );
}
