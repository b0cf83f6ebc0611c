//! Scenario files for the planner: `plan`, `machine::apply` and a small model of Redis instances, run together.
//!
//! A file under `tests/it/scenarios` is a list of steps, each a line `> command`, followed by what it made happen:
//! orders, commits and events with their times. `CFGSERVER_UPDATE=1` rewrites the expectations; review them as a diff.

mod render;
mod server;
mod steps;
mod watching;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use world::World;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scenarios")
}

/// Runs the steps of a file and writes the outcome of each under it.
fn replay(text: &str) -> String {
    let mut world = World::new();
    let mut out = String::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            steps::run(&mut world, command);
            out.push_str(line);
            out.push('\n');
            for said in world.take_output() {
                out.push_str(&said);
                out.push('\n');
            }
        } else if line.starts_with('#') || line.is_empty() {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[test]
fn scenarios_go_as_written() {
    let update = std::env::var_os("CFGSERVER_UPDATE").is_some();
    let mut files: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no scenario files");
    let mut wrong = Vec::new();
    for path in files {
        let expected = fs::read_to_string(&path).unwrap();
        let actual = replay(&expected);
        if actual == expected {
            continue;
        }
        if update {
            fs::write(&path, actual).unwrap();
        } else {
            wrong.push(format!("{}:\n{}", path.display(), first_difference(&expected, &actual)));
        }
    }
    assert!(
        wrong.is_empty(),
        "scenarios differ (CFGSERVER_UPDATE=1 rewrites them):\n{}",
        wrong.join("\n")
    );
}

fn first_difference(expected: &str, actual: &str) -> String {
    let mut lines = expected.lines().zip(actual.lines()).enumerate();
    let found = lines.find(|(_, (expected, actual))| expected != actual);
    found.map_or_else(
        || "  one is longer than the other".to_owned(),
        |(number, (expected, actual))| format!("  line {}\n  - {expected}\n  + {actual}", number + 1),
    )
}
