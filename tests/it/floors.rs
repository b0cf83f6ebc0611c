//! Holds the floors of the architecture: imports go down only, and the world stays above the line.
//!
//! The order below is the order of the table in `src/lib.rs`. The checker is tested on literal bad
//! snippets: a net that cannot fail holds nothing.

mod source;

use std::fs;
use std::path::{Path, PathBuf};

use source::paths;

/// Top-level modules from the top floor down; a module may import what stands after it.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["app", "cli"],
    &["server", "control", "probe", "runner", "agent", "fleet"],
    &[
        "raft",
        "pubsub",
        "board",
        "store",
        "peer",
        "redis",
        "net",
        "runtime",
        "task",
        "clock",
        "telemetry",
        "chance",
        "stop",
        "watch",
        "host",
    ],
    // ---- the line ----
    &["requests"],
    &["import", "failover", "script", "sentinel"],
    &["machine", "detect", "resp", "template"],
    // Tests of every floor read golden files.
    &["model", "mutation", "golden"],
];
/// Services meet through the floor below and never import each other.
const SERVICES: usize = 2;
/// The first floor below the line.
const PURE: usize = 4;
/// Order and rounding that differ between runs or machines.
const UNORDERED: &[&str] = &["HashMap", "HashSet", "f32", "f64"];
const LINES_MAX: usize = 500;
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "manager", "misc"];

/// Where a module stands: floor, and place within the floor.
fn place(module: &str) -> Option<(usize, usize)> {
    FLOORS.iter().enumerate().find_map(|(floor, modules)| {
        let within = modules.iter().position(|name| *name == module)?;
        Some((floor, within))
    })
}

/// What breaks the rules in one file. `path` is relative to `src`.
fn violations(path: &str, source: &str) -> Vec<String> {
    let top = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let mut found = name_and_size(path, source);
    if top == "lib" {
        return found;
    }
    let Some(own) = place(top) else {
        found.push(format!("{path}: module {top} has no floor"));
        return found;
    };
    let depth = path.split('/').filter(|part| *part != "mod.rs").count();
    for (line, path_parts) in paths(source) {
        let parts: Vec<&str> = path_parts.iter().map(String::as_str).collect();
        let mut tell = |what: String| found.push(format!("{path}:{line}: {what}"));
        match parts.as_slice() {
            ["crate", module, ..] => upward(own, top, module).into_iter().for_each(&mut tell),
            ["super", ..] => {
                // Enough steps up reach the crate root, at least outside of an inner module.
                let steps = parts.iter().take_while(|part| **part == "super").count();
                let root_module = parts
                    .get(steps)
                    .filter(|module| steps >= depth && place(module).is_some());
                root_module
                    .and_then(|module| upward(own, top, module))
                    .into_iter()
                    .for_each(&mut tell);
            }
            _ => {}
        }
        let spawns_in_tests = path.ends_with("/tests.rs") && parts.ends_with(&["thread", "spawn"]);
        if !spawns_in_tests {
            world(top, own.0, &parts).into_iter().for_each(&mut tell);
        }
    }
    found
}

fn name_and_size(path: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = source.lines().count();
    if lines > LINES_MAX {
        found.push(format!(
            "{path}: {lines} lines, look for the second idea (limit {LINES_MAX})"
        ));
    }
    for part in path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            found.push(format!("{path}: the name '{part}' says nothing"));
        }
    }
    found
}

fn upward(own: (usize, usize), top: &str, module: &str) -> Option<String> {
    // What is not a module is an item of the crate root; there is none but main's.
    let Some(target) = place(module) else {
        return (module != "*").then(|| format!("crate::{module} has no floor"));
    };
    let sideways = own.0 == SERVICES && target.0 == SERVICES && module != top;
    (target < own || sideways).then(|| format!("{top} imports {module}, which stands above or beside it"))
}

/// The world has one door each: time, tasks, sockets, the disk, consensus.
fn world(top: &str, floor: usize, parts: &[&str]) -> Option<String> {
    let refuse = |what: &str, door: &str| Some(format!("{what} belongs to {door} only ({})", parts.join("::")));
    match parts {
        // Facts about the build, not the environment.
        ["std", "env", "consts", ..] => None,
        [.., "Instant" | "SystemTime", "now"] if top != "clock" => refuse("reading time", "clock"),
        ["tokio", "spawn"] | [.., "task" | "thread", "spawn" | "spawn_local"] | [.., "JoinSet"] if top != "task" => {
            refuse("spawning", "task")
        }
        ["tokio" | "mio", "net", ..] | ["socket2", ..] if top != "net" => refuse("opening sockets", "net"),
        ["std", "net", "TcpStream" | "TcpListener" | "UdpSocket" | "*", ..] if top != "net" => {
            refuse("opening sockets", "net")
        }
        ["turmoil", ..] if !["net", "host"].contains(&top) => refuse("the simulated network", "net and host"),
        ["rocksdb", ..] if top != "store" => refuse("rocksdb", "store"),
        ["openraft", ..] if top != "raft" => refuse("openraft", "raft"),
        ["getrandom", ..] if top != "chance" => refuse("drawing random numbers", "chance"),
        ["tokio" | "tokio_util" | "rand" | "fastrand", ..] | ["std", "fs" | "env" | "thread" | "process", ..]
            if floor >= PURE =>
        {
            Some(format!("{} below the line", parts.join("::")))
        }
        _ if floor >= PURE && parts.iter().any(|part| UNORDERED.contains(part)) => {
            Some(format!("{} below the line", parts.join("::")))
        }
        _ => None,
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read_all(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = rust_files(&root);
    assert!(!files.is_empty(), "no files in {folder}");
    files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&file).unwrap())
        })
        .collect()
}

#[test]
fn imports_go_down_only_and_the_world_stays_above_the_line() {
    let found: Vec<String> = read_all("src")
        .iter()
        .flat_map(|(path, source)| violations(path, source))
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn test_files_are_one_idea_each_too() {
    let found: Vec<String> = read_all("tests")
        .iter()
        .flat_map(|(path, source)| name_and_size(path, source))
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[track_caller]
fn caught(path: &str, source: &str) {
    assert!(!violations(path, source).is_empty(), "{path} passes with: {source}");
}

#[track_caller]
fn passes(path: &str, source: &str) {
    assert_eq!(violations(path, source), Vec::<String>::new(), "{path} with: {source}");
}

#[test]
fn an_import_that_goes_up_is_caught() {
    caught("model/time.rs", "use crate::machine::State;");
    caught(
        "machine/apply.rs",
        "use crate::{\n    model::Group,\n    failover::{plan, Action},\n};",
    );
    caught("requests/mod.rs", "fn f() { crate::server::start(); }");
    caught("detect/watch.rs", "type A = crate::machine::State;");
    caught("clock.rs", "use super::raft::Handle;");
    caught("resp/mod.rs", "pub(crate) use crate::requests as above;");
    caught("store/rocks.rs", "use super::super::raft::Handle;");
    caught(
        "machine/apply.rs",
        "#[cfg(test)]\nmod tests { use crate::failover::plan; }",
    );
    passes(
        "machine/apply.rs",
        "use crate::{detect::Watch, model::{Group, Address}};",
    );
    passes("clock.rs", "use crate::model::Instant;");
    passes(
        "raft/mod.rs",
        "use crate::store::Store;\nuse crate::requests::WriteReply;",
    );
    passes("store/rocks.rs", "use super::Store;\nmod tests { use super::*; }");
    passes("raft/records.rs", "mod tests { use super::super::types::LogId; }");
}

#[test]
fn services_do_not_import_each_other() {
    caught("server/mod.rs", "use crate::probe::Probe;");
    caught("probe/mod.rs", "use crate::server::Server;");
    passes(
        "control/act.rs",
        "use crate::control::queue::Queue;\nuse crate::redis::OrderLink;",
    );
}

#[test]
fn a_module_without_a_floor_is_caught() {
    caught("metrics/mod.rs", "");
    caught("server/mod.rs", "use crate::metrics::Counter;");
}

#[test]
fn the_world_has_one_door_each() {
    caught("server/mod.rs", "let now = std::time::Instant::now();");
    caught("server/mod.rs", "use tokio::time::Instant;\nfn f() { Instant::now(); }");
    caught("store/mod.rs", "let wall = SystemTime::now();");
    caught("server/mod.rs", "tokio::spawn(async {});");
    caught(
        "server/mod.rs",
        "use tokio::{sync::mpsc, task};\nfn f() { task::spawn(async {}); }",
    );
    caught("raft/mod.rs", "std::thread::spawn(|| {});");
    caught("probe/mod.rs", "use tokio::task::JoinSet;");
    caught("redis/link.rs", "use tokio::{io, net::TcpStream};");
    caught("redis/link.rs", "use std::net::{SocketAddr, TcpStream};");
    caught("raft/mod.rs", "use rocksdb::DB;");
    caught("app/mod.rs", "fn f() -> rocksdb::Options { todo!() }");
    caught("store/mod.rs", "use openraft::LogId;");
    caught("redis/link.rs", "use turmoil::net::TcpStream;");
    passes("net/simulated/mod.rs", "use turmoil::net::TcpStream;");
    passes("clock.rs", "fn now() { tokio::time::Instant::now(); }");
    passes("net.rs", "pub use tokio::net::{TcpListener, TcpStream};");
    passes("pubsub/tests.rs", "std::thread::spawn(|| {});");
    caught("pubsub/tests.rs", "tokio::spawn(async {});");
    passes("task.rs", "fn f() { tokio::spawn(async {}); }");
    passes("store/rocks.rs", "use rocksdb::DB;");
    passes("raft/mod.rs", "use openraft::LogId;\nuse std::net::SocketAddr;");
}

#[test]
fn below_the_line_there_is_no_world_no_hash_order_and_no_float() {
    for bad in [
        "use std::collections::HashMap;",
        "use std::collections::{BTreeMap, HashSet};",
        "fn f(share: f64) {}",
        "let x = 3 as f32;",
        "let m = f64::MAX;",
        "use tokio::sync::mpsc;",
        "use std::fs;",
        "std::env::var(\"HOME\");",
    ] {
        caught("model/group.rs", bad);
        caught("requests/mod.rs", bad);
        passes("raft/mod.rs", bad);
    }
}

#[test]
fn random_numbers_are_drawn_in_one_place() {
    let draw = "getrandom::fill(&mut bytes);";
    for elsewhere in ["model/group.rs", "requests/mod.rs", "raft/mod.rs", "app/node.rs"] {
        caught(elsewhere, draw);
    }
    passes("chance.rs", draw);
}

#[test]
fn words_in_comments_and_texts_are_no_imports() {
    let harmless = "//! See [`crate::server::Server`].\n/* use tokio::net::TcpStream; /* f64 */ */\n\
                    const A: &str = \"crate::server::x \\\" f64\";\nconst B: &str = r#\"use crate::app::\"y\"; f64\"#;\n\
                    const C: char = '\"';\nfn f<'a>(x: &'a str) {}\nconst D: &[u8] = b\"tokio::net::x\";";
    passes("model/group.rs", harmless);
    caught("model/group.rs", &format!("{harmless}\nuse crate::server::Server;"));
}

#[test]
fn a_file_that_is_too_long_or_has_an_empty_name_is_caught() {
    caught("model/group.rs", &"// line\n".repeat(LINES_MAX + 1));
    passes("model/group.rs", &"// line\n".repeat(LINES_MAX));
    caught("server/utils.rs", "");
    caught("server/helpers/a.rs", "");
    caught("common.rs", "");
    caught("control/manager.rs", "");
}
