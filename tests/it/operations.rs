//! What operators and automation do to a running cluster.
//! Ports 11 and 12 of loopback stand for instances that do not exist: nobody listens there.

use crate::world::cluster::set;
use crate::world::{Client, Cluster, FAILOVER, Group, Node, SOON, Subscriber, Value, World, wait_until};

fn monitor(node: &Node, name: &str, port: u16, quorum: &str) -> Value {
    node.call(&["SENTINEL", "MONITOR", name, "127.0.0.1", &port.to_string(), quorum])
}

#[test]
fn the_same_monitor_on_every_node_is_fine_and_another_one_is_a_duplicate() {
    let world = World::bare();
    let cluster = Cluster::start(&world, 3);
    for node in &cluster.nodes {
        assert!(monitor(node, "alpha", 11, "2").is_ok());
    }
    for node in &cluster.nodes {
        let answer = monitor(node, "alpha", 12, "2");
        assert_eq!(answer, Value::Error("ERR Duplicate master name.".to_owned()));
        assert_eq!(node.primary_of("alpha"), 11);
    }
}

#[test]
fn a_monitor_with_the_first_arguments_is_fine_after_a_switch_too() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 1);
    let mut group = Group::start(&world, "alpha", 1);
    cluster.monitor(&group, 1_000);
    let (old, new) = (group.members[0].port, group.members[1].port);
    let answer = cluster.nodes[0].call(&["SENTINEL", "FAILOVER", "alpha"]);
    assert!(answer.is_ok(), "{answer}");
    cluster.wait_primary("alpha", new);
    group.wait_all_follow(new);
    let node = &cluster.nodes[0];
    assert!(
        monitor(node, "alpha", old, "1").is_ok(),
        "the arguments of the first MONITOR"
    );
    assert!(monitor(node, "alpha", new, "1").is_ok(), "the current address");
    assert_eq!(node.primary_of("alpha"), new);
}

#[test]
fn a_group_that_is_removed_is_gone_everywhere() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    assert!(monitor(&cluster.nodes[0], "alpha", 11, "2").is_ok());
    cluster.wait_primary("alpha", 11);
    let subscribers = cluster.subscribe();
    assert!(cluster.nodes[1].call(&["SENTINEL", "REMOVE", "alpha"]).is_ok());
    cluster.wait_primary("alpha", 0);
    for one in &subscribers {
        one.wait("-monitor", "master alpha 127.0.0.1 11", SOON);
    }
    let gone = cluster.nodes[2].call(&["SENTINEL", "REMOVE", "alpha"]);
    assert_eq!(gone, Value::Error("ERR No such master with that name".to_owned()));
}

#[test]
fn sentinels_lists_the_other_nodes_of_the_cluster() {
    let world = World::bare();
    let cluster = Cluster::start(&world, 3);
    assert!(monitor(&cluster.nodes[0], "alpha", 11, "2").is_ok());
    for node in &cluster.nodes {
        wait_until("the others are listed, healthy", SOON, || {
            let listed = node.call(&["SENTINEL", "SENTINELS", "alpha"]);
            let mut ports: Vec<String> = listed
                .items()
                .iter()
                .filter(|one| one.field("flags") == Some("sentinel"))
                .map(|one| one.field("port").unwrap_or_default().to_owned())
                .collect();
            let others = cluster.nodes.iter().filter(|other| other.id != node.id);
            let mut expected: Vec<String> = others.map(|other| other.port.to_string()).collect();
            ports.sort();
            expected.sort();
            ports == expected
        });
    }
}

#[test]
fn ckquorum_tells_whether_a_failover_could_be_decided() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    assert!(monitor(&cluster.nodes[0], "alpha", 11, "2").is_ok());
    let check = |node: &Node| node.call(&["SENTINEL", "CKQUORUM", "alpha"]);
    cluster.wait_primary("alpha", 11);
    wait_until("three nodes are enough", SOON, || {
        check(&cluster.nodes[0]).text().starts_with("OK 3 usable")
    });
    set(&mut cluster.nodes[0].client(), "alpha", "quorum", 4);
    wait_until("a quorum above the electorate cannot be reached", SOON, || {
        check(&cluster.nodes[0]).text().starts_with("NOQUORUM 3 usable")
    });
    set(&mut cluster.nodes[0].client(), "alpha", "quorum", 2);
    let leader = cluster.leader();
    cluster.nodes[leader].kill();
    let next = cluster.leader();
    wait_until("two are still enough", SOON, || {
        check(&cluster.nodes[next]).text().starts_with("OK 2 usable")
    });
    cluster.nodes[next].kill();
    let last = (0..3).find(|at| *at != leader && *at != next).unwrap();
    wait_until("one is not", SOON, || {
        check(&cluster.nodes[last]).text().starts_with("NOQUORUM 1 usable")
    });
}

#[test]
fn a_planned_switch_without_a_good_replica_is_refused() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 1);
    let group = Group::start(&world, "alpha", 0);
    cluster.monitor(&group, 1_000);
    let answer = cluster.nodes[0].call(&["SENTINEL", "FAILOVER", "alpha"]);
    assert!(answer.text().starts_with("NOGOODSLAVE"), "{answer}");
    assert_eq!(cluster.nodes[0].primary_of("alpha"), group.members[0].port);
}

#[test]
fn reset_drops_replicas_that_are_gone_and_keeps_those_that_are_there() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 3);
    let mut group = Group::start(&world, "alpha", 2);
    cluster.monitor(&group, 1_000);
    let subscribers = cluster.subscribe();
    group.members[2].kill();
    wait_until("the dead replica is marked", FAILOVER, || {
        let listed = cluster.nodes[0].call(&["SENTINEL", "REPLICAS", "alpha"]);
        listed
            .items()
            .iter()
            .any(|one| one.field("flags").is_some_and(|flags| flags.contains("s_down")))
    });
    let answer = cluster.nodes[1].call(&["SENTINEL", "RESET", "al*"]);
    assert_eq!(answer, Value::Integer(1));
    for one in &subscribers {
        one.wait("+reset-master", "master alpha", SOON);
    }
    for node in &cluster.nodes {
        wait_until("only the living replica is listed", SOON, || {
            let listed = node.call(&["SENTINEL", "REPLICAS", "alpha"]);
            let ports: Vec<&str> = listed.items().iter().filter_map(|one| one.field("port")).collect();
            ports == [group.members[1].port.to_string().as_str()]
        });
    }
}

#[test]
fn a_dead_replica_is_told_and_so_is_its_return() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 3);
    let mut group = Group::start(&world, "alpha", 1);
    cluster.monitor(&group, 1_000);
    let subscribers = cluster.subscribe();
    let replica = format!("slave 127.0.0.1:{0} 127.0.0.1 {0} @ alpha", group.members[1].port);
    group.members[1].kill();
    for one in &subscribers {
        one.wait("+sdown", &replica, FAILOVER);
    }
    group.members[1].restart();
    for one in &subscribers {
        one.wait("-sdown", &replica, FAILOVER);
    }
    cluster.wait_healthy(&group);
}

#[test]
fn a_new_replica_is_found_and_listed_by_every_node() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 3);
    let mut group = Group::start(&world, "alpha", 1);
    cluster.monitor(&group, 1_000);
    let follow = format!("replicaof 127.0.0.1 {}", group.members[0].port);
    let new = crate::world::Redis::start(&world, &[&follow]);
    group.members.push(new);
    // Replicas are read from the primary's INFO, which is asked every ten seconds.
    wait_until("every node lists it", FAILOVER, || {
        cluster
            .nodes
            .iter()
            .all(|node| node.call(&["SENTINEL", "REPLICAS", "alpha"]).items().len() == 2)
    });
    cluster.wait_healthy(&group);
}

#[test]
fn settings_hold_on_every_node_and_are_told() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    assert!(monitor(&cluster.nodes[0], "alpha", 11, "2").is_ok());
    cluster.wait_primary("alpha", 11);
    let subscribers = cluster.subscribe();
    let words = [
        "SENTINEL",
        "SET",
        "alpha",
        "down-after-milliseconds",
        "5000",
        "parallel-syncs",
        "3",
    ];
    assert!(cluster.nodes[2].call(&words).is_ok());
    for (node, one) in cluster.nodes.iter().zip(&subscribers) {
        one.wait("+set", "master alpha 127.0.0.1 11 down-after-milliseconds 5000", SOON);
        one.wait("+set", "master alpha 127.0.0.1 11 parallel-syncs 3", SOON);
        let shown = node.call(&["SENTINEL", "MASTER", "alpha"]);
        assert_eq!(shown.field("down-after-milliseconds"), Some("5000"));
        assert_eq!(shown.field("parallel-syncs"), Some("3"));
    }
}

#[test]
fn info_has_the_layout_that_old_proxies_read_by_position() {
    let world = World::bare();
    let node = Node::alone(&world);
    assert!(monitor(&node, "shard-1", 11, "1").is_ok());
    let text = node.call(&["INFO", "sentinel"]).text().to_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "# Sentinel");
    assert_eq!(lines[1], "sentinel_masters:1");
    assert!(lines[2].starts_with("sentinel_tilt:"));
    assert!(lines[3].starts_with("sentinel_running_scripts:"));
    assert!(lines[4].starts_with("sentinel_scripts_queue_length:"));
    assert!(lines[5].starts_with("master0:name=shard-1,status="), "{text}");
    assert!(
        lines[5].contains(",address=127.0.0.1:11,slaves=0,sentinels=1"),
        "{text}"
    );
    assert!(text.contains("cfgserver_groups:1"), "{text}");
}

#[test]
fn an_established_connection_outlives_the_leader() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    assert!(monitor(&cluster.nodes[0], "alpha", 11, "2").is_ok());
    let follower = cluster.followers()[0];
    let mut client = Client::connect(cluster.nodes[follower].port).unwrap();
    let subscriber = Subscriber::everything(cluster.nodes[follower].port);
    assert_eq!(client.call(&["PING"]).text(), "PONG");
    let leader = cluster.leader();
    cluster.nodes[leader].kill();
    cluster.leader();
    assert_eq!(client.call(&["PING"]).text(), "PONG");
    let answer = client.call(&["SENTINEL", "SET", "alpha", "quorum", "1"]);
    assert!(answer.is_ok(), "{answer}");
    subscriber.wait("+set", "master alpha 127.0.0.1 11 quorum 1", SOON);
}
