//! redis-cli and both protocols. Client libraries have a target of their own, `tests/clients`.
//! Ports 11 and 12 of loopback stand for instances that do not exist: nobody listens there.

use std::process::Command;

use crate::world::{Cluster, SOON, Value, World};

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{command:?} failed: {said}"))
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
