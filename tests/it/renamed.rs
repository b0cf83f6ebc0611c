//! Groups whose instances call commands something else.

use crate::world::{Cluster, FAILOVER, Group, SOON, Value, World, wait_for};

const RENAMED: [(&str, &str); 3] = [
    ("CONFIG", "own-config"),
    ("SLAVEOF", "own-slaveof"),
    ("CLIENT", "own-client"),
];

/// A monitored group whose members have these names for commands.
fn scene(world: &World) -> (Cluster, Group) {
    let lines: Vec<String> = RENAMED
        .iter()
        .map(|(usual, own)| format!("rename-command {usual} {own}"))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut cluster = Cluster::start(world, 3);
    let group = Group::start_with(world, "alpha", 1, &lines);
    cluster.monitor(&group, 1_000);
    (cluster, group)
}

fn rename(cluster: &Cluster) {
    for (usual, own) in RENAMED {
        let answer = cluster.nodes[0].call(&["SENTINEL", "SET", "alpha", "rename-command", usual, own]);
        assert!(answer.is_ok(), "{answer}");
    }
}

fn field(cluster: &Cluster, name: &str) -> String {
    let entry = cluster.nodes[0].call(&["SENTINEL", "MASTER", "alpha"]);
    entry.field(name).unwrap_or_default().to_owned()
}

#[test]
fn a_group_with_renamed_commands_fails_over_and_the_old_primary_is_turned() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    rename(&cluster);
    let (old, new) = (group.members[0].port, group.members[1].port);
    // A client of the old primary is disconnected, and the new role is in the configuration file: the whole order.
    let client = crate::world::Client::connect(old).unwrap();
    group.members[1].call(&["PING"]);
    let answer = cluster.nodes[0].call(&["SENTINEL", "FAILOVER", "alpha"]);
    assert!(answer.is_ok(), "{answer}");
    cluster.wait_primary("alpha", new);
    group.wait_all_follow(new);
    let mut client = client;
    client.read_to_close(SOON).unwrap();
    let file = std::fs::read_to_string(world.folder().join(format!("redis-{new}/redis.conf"))).unwrap();
    assert!(!file.contains(&format!("replicaof 127.0.0.1 {old}")), "{file}");
    // And back, without a hand.
    cluster.wait_healthy(&group);
    group.at(new).kill();
    cluster.wait_primary("alpha", old);
    group.at(new).restart();
    group.wait_all_follow(old);
}

#[test]
fn a_missing_name_is_the_reason_that_is_shown_and_the_name_mends_it() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let new = group.members[1].port;
    group.members[0].kill();
    let shown = wait_for("the reason", FAILOVER, || {
        let shown = field(&cluster, "last-abort");
        shown.contains("unknown command").then_some(shown)
    });
    assert!(shown.contains("rename-command"), "{shown}");
    assert_eq!(group.members[1].info("role"), "slave");
    rename(&cluster);
    cluster.wait_primary("alpha", new);
    assert_eq!(group.members[1].info("role"), "master");
}

#[test]
fn an_instance_that_does_not_know_ping_and_info_says_so_in_its_entry() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 1);
    let group = Group::start(&world, "alpha", 0);
    cluster.monitor(&group, 60_000);
    // The group is told names that the instance does not have.
    for (usual, own) in [("PING", "own-ping"), ("INFO", "own-info")] {
        let answer = cluster.nodes[0].call(&["SENTINEL", "SET", "alpha", "rename-command", usual, own]);
        assert_eq!(answer, Value::Simple("OK".to_owned()));
    }
    let shown = wait_for("the reason", SOON, || {
        let shown = field(&cluster, "last-error");
        shown.contains("unknown command").then_some(shown)
    });
    assert!(shown.contains("own-"), "{shown}");
}
