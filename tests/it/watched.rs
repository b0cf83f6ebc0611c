//! What nodes say of instances and of each other, by real nodes of real Redis.

use std::time::Duration;

use crate::world::{Cluster, FAILOVER, Group, SOON, Subscriber, Value, World, wait_until};

fn scene(world: &World, replicas: usize) -> (Cluster, Group, Vec<Subscriber>) {
    let mut cluster = Cluster::start(world, 3);
    let group = Group::start(world, "alpha", replicas);
    cluster.monitor(&group, 1_000);
    let subscribers = cluster.subscribe();
    (cluster, group, subscribers)
}

/// The entry of a list whose port is this one.
fn entry(list: &Value, port: u16) -> Option<Value> {
    let port = port.to_string();
    list.items()
        .iter()
        .find(|one| one.field("port") == Some(&port))
        .cloned()
}

fn flags(list: &Value, port: u16) -> String {
    let found = entry(list, port);
    found
        .and_then(|one| one.field("flags").map(str::to_owned))
        .unwrap_or_default()
}

#[test]
fn a_replica_that_dies_is_down_on_every_node_and_up_when_it_is_back() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group, subscribers) = scene(&world, 1);
    let (primary, replica) = (group.members[0].port, group.members[1].port);
    let payload = format!("slave 127.0.0.1:{replica} 127.0.0.1 {replica} @ alpha 127.0.0.1 {primary}");
    group.members[1].kill();
    for (node, one) in cluster.nodes.iter().zip(&subscribers) {
        one.wait("+sdown", &payload, SOON);
        let listed = node.call(&["SENTINEL", "REPLICAS", "alpha"]);
        assert_eq!(flags(&listed, replica), "s_down,slave,disconnected");
        let down_ms = entry(&listed, replica).unwrap().field("s-down-time").map(str::to_owned);
        assert!(down_ms.is_some_and(|ms| ms.parse::<u64>().is_ok()), "{listed}");
    }
    group.members[1].restart();
    for one in &subscribers {
        one.wait("-sdown", &payload, SOON);
        assert_eq!(one.count("+odown", ""), 0, "only primaries have outages");
    }
    cluster.wait_healthy(&group);
}

#[test]
fn a_node_that_dies_is_down_for_the_others_and_up_when_it_is_back() {
    let Some(world) = World::open() else { return };
    let (mut cluster, group, subscribers) = scene(&world, 0);
    let primary = group.members[0].port;
    let at = cluster.followers()[0];
    let (port, id) = (
        cluster.nodes[at].port,
        cluster.nodes[at].call(&["SENTINEL", "MYID"]).text().to_owned(),
    );
    let payload = format!("sentinel {id} 127.0.0.1 {port} @ alpha 127.0.0.1 {primary}");
    let others: Vec<usize> = (0..3).filter(|other| *other != at).collect();
    for other in &others {
        // Who was never heard is down from the start, and that is no news.
        wait_until("it is heard", SOON, || {
            let listed = cluster.nodes[*other].call(&["SENTINEL", "SENTINELS", "alpha"]);
            flags(&listed, port) == "sentinel"
        });
    }
    cluster.nodes[at].kill();
    for other in &others {
        let heard = subscribers[*other].wait("+sdown", "sentinel ", SOON);
        assert_eq!(heard.payload, payload);
        let listed = cluster.nodes[*other].call(&["SENTINEL", "SENTINELS", "alpha"]);
        assert_eq!(flags(&listed, port), "s_down,sentinel,disconnected");
    }
    cluster.nodes[at].start();
    cluster.nodes[at].wait_ready();
    for other in &others {
        subscribers[*other].wait("-sdown", &payload, SOON);
        wait_until("it is as before", SOON, || {
            let listed = cluster.nodes[*other].call(&["SENTINEL", "SENTINELS", "alpha"]);
            flags(&listed, port) == "sentinel"
        });
    }
}

#[test]
fn a_replica_that_is_made_master_by_hand_is_told_and_turned_back() {
    let Some(world) = World::open() else { return };
    let (_cluster, mut group, subscribers) = scene(&world, 1);
    let (primary, replica) = (group.members[0].port, group.members[1].port);
    let payload = format!("slave 127.0.0.1:{replica} 127.0.0.1 {replica} @ alpha 127.0.0.1 {primary}");
    assert!(group.members[1].call(&["REPLICAOF", "NO", "ONE"]).is_ok());
    for one in &subscribers {
        one.wait(
            "-role-change",
            &format!("{payload} new reported role is master"),
            FAILOVER,
        );
        one.wait("+convert-to-slave", &payload, FAILOVER);
        one.wait(
            "+role-change",
            &format!("{payload} new reported role is slave"),
            FAILOVER,
        );
    }
    group.wait_all_follow(primary);
}

#[test]
fn a_replica_of_a_replica_is_turned_to_the_primary() {
    let Some(world) = World::open() else { return };
    let (cluster, mut group, subscribers) = scene(&world, 2);
    let ports: Vec<u16> = group.members.iter().map(|one| one.port).collect();
    let answer = cluster.nodes[0].call(&["SENTINEL", "SET", "alpha", "failover-timeout", "1000"]);
    assert!(answer.is_ok(), "{answer}");
    let wrong = ports[1].to_string();
    assert!(group.members[2].call(&["REPLICAOF", "127.0.0.1", &wrong]).is_ok());
    let payload = format!(
        "slave 127.0.0.1:{0} 127.0.0.1 {0} @ alpha 127.0.0.1 {1}",
        ports[2], ports[0]
    );
    for one in &subscribers {
        one.wait("+fix-slave-config", &payload, Duration::from_secs(40));
    }
    group.wait_all_follow(ports[0]);
}

#[test]
fn what_does_not_want_to_be_shown_is_counted_and_can_be_promoted() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 1);
    let group = Group::start(&world, "alpha", 1);
    cluster.monitor(&group, 1_000);
    let replica = group.members[1].port;
    assert!(
        group.members[1]
            .call(&["CONFIG", "SET", "replica-announced", "no"])
            .is_ok()
    );
    wait_until("it is not shown", FAILOVER, || {
        cluster.nodes[0]
            .call(&["SENTINEL", "REPLICAS", "alpha"])
            .items()
            .is_empty()
    });
    let master = cluster.nodes[0].call(&["SENTINEL", "MASTER", "alpha"]);
    assert_eq!(master.field("num-slaves"), Some("1"));
    assert!(cluster.nodes[0].call(&["SENTINEL", "FAILOVER", "alpha"]).is_ok());
    cluster.wait_primary("alpha", replica);
}

#[test]
fn the_lower_priority_is_promoted_and_zero_never() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 1);
    let mut group = Group::start(&world, "alpha", 3);
    for (member, priority) in group.members[1..].iter().zip(["0", "20", "10"]) {
        assert!(member.call(&["CONFIG", "SET", "replica-priority", priority]).is_ok());
    }
    cluster.monitor(&group, 1_000);
    let ports: Vec<u16> = group.members.iter().map(|one| one.port).collect();
    let listed = cluster.nodes[0].call(&["SENTINEL", "REPLICAS", "alpha"]);
    for (port, priority) in ports[1..].iter().zip(["0", "20", "10"]) {
        assert_eq!(entry(&listed, *port).unwrap().field("slave-priority"), Some(priority));
    }
    group.members[0].kill();
    cluster.wait_primary("alpha", ports[3]);
    // The next one is immediate, too; a third would have to wait.
    assert!(
        group
            .at(ports[2])
            .call(&["CONFIG", "SET", "replica-priority", "0"])
            .is_ok()
    );
    wait_until("that is seen", FAILOVER, || {
        let listed = cluster.nodes[0].call(&["SENTINEL", "REPLICAS", "alpha"]);
        entry(&listed, ports[2]).unwrap().field("slave-priority") == Some("0")
    });
    group.at(ports[3]).kill();
    wait_until("nobody is left that may be promoted", FAILOVER, || {
        let master = cluster.nodes[0].call(&["SENTINEL", "MASTER", "alpha"]);
        let why = master.field("last-abort").unwrap_or_default();
        why.starts_with("no-good-replica") && why.contains(&format!("127.0.0.1:{} ", ports[2]))
    });
    assert_eq!(cluster.nodes[0].primary_of("alpha"), ports[3]);
}
