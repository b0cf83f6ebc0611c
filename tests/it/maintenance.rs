//! `SENTINEL SET name failover off`: real nodes leave real Redis alone.

use std::time::Duration;

use crate::world::{Client, Cluster, FAILOVER, Group, Node, SOON, Subscriber, World, holds_for, wait_until};

const DOWN_AFTER_MS: u64 = 500;
/// Long enough for whatever must not happen.
const WHILE: Duration = Duration::from_secs(3);

fn scene(world: &World) -> (Cluster, Group, Vec<Subscriber>) {
    let mut cluster = Cluster::start(world, 3);
    let group = Group::start(world, "alpha", 2);
    cluster.monitor(&group, DOWN_AFTER_MS);
    let subscribers = cluster.subscribe();
    (cluster, group, subscribers)
}

#[track_caller]
fn turn(node: &Node, words: &[&str]) {
    let words = [&["SENTINEL", "SET", "alpha", "failover"], words].concat();
    let answer = node.call(&words);
    assert!(answer.is_ok(), "{words:?}: {answer}");
}

fn field(node: &Node, name: &str) -> String {
    let entry = node.call(&["SENTINEL", "MASTER", "alpha"]);
    entry.field(name).unwrap_or_default().to_owned()
}

/// The line of `CFG EXPLAIN` that begins so.
fn explained(node: &Node, start: &str) -> String {
    let answer = node.call(&["CFG", "EXPLAIN", "alpha"]);
    let lines = answer.items().iter().map(|line| line.text().to_owned());
    lines
        .into_iter()
        .find(|line| line.starts_with(start))
        .unwrap_or_default()
}

fn switches(subscribers: &[Subscriber]) -> usize {
    subscribers.iter().map(|one| one.count("+switch-master", "alpha")).sum()
}

#[test]
fn off_holds_a_failover_on_every_node_and_leader_until_it_is_on_again() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group, subscribers) = scene(&world);
    let old = group.members[0].port;
    let followers = cluster.followers();
    turn(&cluster.nodes[followers[0]], &["off"]);
    for one in &subscribers {
        one.wait("+set", &format!("master alpha 127.0.0.1 {old} failover off"), SOON);
    }
    group.members[0].kill();
    for one in &subscribers {
        one.wait("+odown", "master alpha", FAILOVER);
    }
    holds_for("nothing is promoted", WHILE, || switches(&subscribers) == 0);
    for node in &cluster.nodes {
        assert_eq!(field(node, "automatic-failover"), "off");
        assert_eq!(field(node, "failover-held"), "automatic failover is off");
        assert_eq!(field(node, "failover-held-ms"), "-1");
        assert_eq!(explained(node, "held back: "), "held back: automatic failover is off");
    }
    let leader = cluster.leader();
    let held = "automatic failover is off, nothing promoted";
    let logged = cluster.nodes[leader].log_text().matches(held).count();
    assert_eq!(logged, 1, "said once");
    // A new leader, and nodes that were restarted, know it too.
    cluster.nodes[leader].kill();
    cluster.leader();
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_ready();
    let all = cluster.subscribe();
    holds_for("nothing is promoted", WHILE, || switches(&all) == 0);
    turn(&cluster.nodes[leader], &["on"]);
    for one in &all {
        one.wait("+switch-master", &format!("alpha 127.0.0.1 {old} "), FAILOVER);
    }
}

#[test]
fn it_is_on_again_at_its_end_with_the_outage_as_it_stands() {
    let Some(world) = World::open() else { return };
    let (cluster, mut group, subscribers) = scene(&world);
    let old = group.members[0].port;
    turn(&cluster.nodes[0], &["until", "+6s"]);
    // The others have it a moment later.
    for one in &subscribers {
        one.wait("+set", "master alpha", SOON);
    }
    let until = field(&cluster.nodes[1], "automatic-failover");
    let end: u64 = until
        .strip_prefix("until ")
        .and_then(|end| end.parse().ok())
        .expect("an end");
    let listed = cluster.nodes[2].call(&["CFG", "GROUPS"]);
    assert_eq!(
        listed.items()[0].field("failover"),
        Some(until.as_str()),
        "as SET takes it"
    );
    group.members[0].kill();
    for one in &subscribers {
        one.wait("+odown", "master alpha", FAILOVER);
    }
    let left: u64 = field(&cluster.nodes[1], "failover-held-ms").parse().unwrap();
    assert!((1..=7_000).contains(&left), "{left}");
    assert!(explained(&cluster.nodes[2], "next attempt: ").starts_with("next attempt: not for another "));
    let before_end = |ms: u64| unix_ms() + ms < end * 1000;
    while before_end(200) {
        assert_eq!(switches(&subscribers), 0, "not before its end");
        std::thread::sleep(Duration::from_millis(20));
    }
    for one in &subscribers {
        one.wait("+switch-master", &format!("alpha 127.0.0.1 {old} "), SOON);
    }
    // Not after another down-after, nor after a failover-timeout: a bound for a busy machine.
    let late_ms = unix_ms().saturating_sub(end * 1000);
    assert!(late_ms < 5_000, "{late_ms} ms after its end");
    assert_eq!(field(&cluster.nodes[0], "automatic-failover"), "on");
}

fn unix_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[test]
fn off_leaves_failover_to_operators_and_repairs_nobody() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group, subscribers) = scene(&world);
    let old = group.members[0].port;
    turn(&cluster.nodes[0], &["off"]);
    group.members[0].kill();
    for one in &subscribers {
        one.wait("+odown", "master alpha", FAILOVER);
    }
    let answer = cluster.nodes[1].call(&["SENTINEL", "FAILOVER", "alpha"]);
    assert!(answer.is_ok(), "{answer}");
    for one in &subscribers {
        one.wait("+switch-master", &format!("alpha 127.0.0.1 {old} "), FAILOVER);
        one.wait("+failover-end", "master alpha", FAILOVER);
    }
    let new = cluster.nodes[0].primary_of("alpha");
    group.wait_all_follow(new);
    // Back as the master that it was: nobody turns it.
    group.at(old).restart();
    wait_until("the nodes see it as a master", FAILOVER, || {
        let listed = cluster.nodes[0].call(&["SENTINEL", "REPLICAS", "alpha"]);
        let is_it = |one: &&crate::world::Value| one.field("port") == Some(old.to_string().as_str());
        listed
            .items()
            .iter()
            .find(is_it)
            .and_then(|one| one.field("role-reported"))
            == Some("master")
    });
    holds_for("it is left alone", WHILE, || group.at(old).info("role") == "master");
    turn(&cluster.nodes[2], &["on"]);
    group.wait_all_follow(new);
    cluster.wait_primary("alpha", new);
}

#[test]
fn an_end_in_the_past_or_far_away_is_refused_and_nothing_changes() {
    let world = World::bare();
    let node = Node::alone(&world);
    let mut client = Client::connect(node.port).unwrap();
    assert!(
        client
            .call(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", "11", "1"])
            .is_ok()
    );
    for (words, refusal) in [
        (
            &["until", "1"][..],
            "ERR Invalid argument '1' for SENTINEL SET 'failover'",
        ),
        (
            &["until", "+9999d"][..],
            "ERR Invalid argument '+9999d' for SENTINEL SET 'failover'",
        ),
        (
            &["maybe"][..],
            "ERR Invalid argument 'maybe' for SENTINEL SET 'failover'",
        ),
        (
            &["until"][..],
            "ERR Unknown option or number of arguments for SENTINEL SET 'failover'",
        ),
    ] {
        let words = [&["SENTINEL", "SET", "alpha", "quorum", "1", "failover"], words].concat();
        assert_eq!(client.call(&words).text(), refusal);
    }
    assert_eq!(field(&node, "automatic-failover"), "on");
}
