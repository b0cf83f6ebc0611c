//! Programs that were written for Sentinel use a cluster without a change.
//! Ports 11 and 12 of loopback stand for instances that do not exist: nobody listens there.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{Cluster, Group, SOON, Value, World, skip};

/// A Python that has the `redis` package, made once under `target`; `None` after saying why there is none.
fn python() -> Option<PathBuf> {
    static PYTHON: std::sync::OnceLock<Result<PathBuf, String>> = std::sync::OnceLock::new();
    match PYTHON.get_or_init(make_python) {
        Ok(python) => Some(python.clone()),
        Err(reason) => {
            skip(reason);
            None
        }
    }
}

fn make_python() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("redis-py");
    let python = folder.join("bin/python");
    let has_package = |python: &Path| run(Command::new(python).args(["-c", "import redis"])).is_ok();
    if !has_package(&python) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "redis"]))?;
    }
    Ok(python)
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{command:?} failed: {said}"))
}

const FIND_AND_WRITE: &str = r#"
import sys
from redis.sentinel import Sentinel

nodes = [("127.0.0.1", int(port)) for port in sys.argv[2:]]
sentinel = Sentinel(nodes, socket_timeout=2)
master = sentinel.discover_master("alpha")
replicas = sorted(port for _, port in sentinel.discover_slaves("alpha"))
writer = sentinel.master_for("alpha", socket_timeout=2)
writer.set("redis-py", sys.argv[1])
assert writer.get("redis-py") == sys.argv[1].encode()
reader = sentinel.slave_for("alpha", socket_timeout=2)
assert reader.ping()
shown = sentinel.sentinels[0].sentinel_masters()["alpha"]
assert shown["is_master"] and not shown["is_sdown"], shown
print(master[1], *replicas)
"#;

#[test]
fn redis_py_finds_the_primary_before_and_after_a_failover() {
    let Some(world) = World::open() else { return };
    let Some(python) = python() else { return };
    let mut cluster = Cluster::start(&world, 3);
    let mut group = Group::start(&world, "alpha", 2);
    cluster.monitor(&group, 1_000);
    let ports: Vec<String> = cluster.nodes.iter().map(|node| node.port.to_string()).collect();
    let find = |word: &str| {
        let mut command = Command::new(&python);
        let found = run(command.args(["-c", FIND_AND_WRITE, word]).args(&ports)).unwrap();
        let ports: Vec<u16> = found.split_whitespace().map(|port| port.parse().unwrap()).collect();
        (ports[0], ports[1..].to_vec())
    };
    let old = group.members[0].port;
    let (master, replicas) = find("before");
    assert_eq!(master, old);
    assert_eq!(replicas.len(), 2);

    group.members[0].kill();
    let new = crate::world::wait_for("a new primary", crate::world::FAILOVER, || {
        Some(cluster.nodes[0].primary_of("alpha")).filter(|port| *port != old && *port != 0)
    });
    cluster.wait_primary("alpha", new);
    let (master, replicas) = find("after");
    assert_eq!(master, new);
    assert!(!replicas.contains(&new) && !replicas.contains(&old), "{replicas:?}");
}

#[test]
fn redis_cli_shows_masters_and_hears_events() {
    let Some(world) = World::open() else { return };
    let cluster = Cluster::start(&world, 1);
    let port = cluster.nodes[0].port.to_string();
    let cli = |words: &[&str]| run(Command::new("redis-cli").args(["-p", &port]).args(words)).unwrap();
    assert_eq!(cli(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", "11", "1"]), "OK\n");
    let shown = cli(&["SENTINEL", "MASTERS"]);
    assert!(shown.starts_with("name\nalpha\nip\n127.0.0.1\nport\n11\n"), "{shown}");
    assert_eq!(
        cli(&["-3", "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "alpha"]),
        "127.0.0.1\n11\n"
    );
    assert!(cli(&["CFG", "NODES"]).contains("voter"));
}

#[test]
fn both_protocols_say_the_same() {
    let world = World::bare();
    let cluster = Cluster::start(&world, 1);
    let node = &cluster.nodes[0];
    let answer = node.call(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", "11", "1"]);
    assert!(answer.is_ok(), "{answer}");
    let mut second = node.client();
    let mut third = node.client();
    let hello = third.call(&["HELLO", "3"]);
    assert_eq!(hello.field("server"), Some("redis"));
    assert_eq!(hello.field("mode"), Some("sentinel"));
    let flat = second.call(&["SENTINEL", "MASTER", "alpha"]);
    let map = third.call(&["SENTINEL", "MASTER", "alpha"]);
    let Value::Map(pairs) = &map else { panic!("{map}") };
    let names: Vec<&str> = pairs.iter().map(|(name, _)| name.text()).collect();
    let flat_names: Vec<&str> = flat.items().chunks(2).map(|pair| pair[0].text()).collect();
    assert_eq!(names, flat_names);
    // Under RESP3 an event comes as a push, between replies.
    third.call(&["SUBSCRIBE", "+set"]);
    assert!(second.call(&["SENTINEL", "SET", "alpha", "quorum", "2"]).is_ok());
    third.patience(SOON);
    let Value::Push(event) = third.read().unwrap() else {
        panic!("no push")
    };
    assert_eq!(event[0].text(), "message");
    assert_eq!(event[2].text(), "master alpha 127.0.0.1 11 quorum 2");
    assert_eq!(third.call(&["PING"]).text(), "PONG");
}
