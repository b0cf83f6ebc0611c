//! Host names with real nodes and real Redis. `localhost` is the only name that every machine has, so here names never
//! move; where they do, `control` and the scenarios show it.

use crate::world::{Cluster, FAILOVER, Group, Redis, SOON, World, wait_until};

const DOWN_AFTER_MS: &str = "1000";

/// A primary and two replicas that know each other, and are known, as `localhost`.
fn named_group(world: &World) -> Group {
    let primary = Redis::start(world, &["replica-announce-ip localhost"]);
    let follow = format!("replicaof localhost {}", primary.port);
    let replica = || Redis::start(world, &[&follow, "replica-announce-ip localhost"]);
    let (first, second) = (replica(), replica());
    let group = Group {
        name: "alpha".to_owned(),
        members: vec![primary, first, second],
    };
    let port = group.members[0].port;
    wait_until("the replicas are in sync", SOON, || {
        group.members[1..].iter().all(|one| one.follows(port))
    });
    group.members[0].call(&["SET", "born", "alpha"]);
    wait_until("the replicas have the first key", SOON, || {
        group.members[1..]
            .iter()
            .all(|one| one.call(&["GET", "born"]).text() == "alpha")
    });
    group
}

fn set(cluster: &Cluster, words: &[&str]) {
    let answer = cluster.nodes[0].call(&[&["SENTINEL", "CONFIG", "SET"], words].concat());
    assert!(answer.is_ok(), "{answer}");
}

#[test]
fn a_group_of_names_fails_over_and_every_node_tells_names() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 3);
    let mut group = named_group(&world);
    let old = group.members[0].port;
    let port = old.to_string();
    let monitor = ["SENTINEL", "MONITOR", "alpha", "localhost", &port, "2"];
    let at = cluster.followers()[0];
    let refused = cluster.nodes[at].call(&monitor);
    assert_eq!(refused.text(), "ERR Invalid IP address or hostname specified");
    set(&cluster, &["resolve-hostnames", "yes", "announce-hostnames", "yes"]);
    wait_until("the follower takes names", SOON, || {
        let shown = cluster.nodes[at].call(&["SENTINEL", "CONFIG", "GET", "resolve-hostnames"]);
        shown.field("resolve-hostnames") == Some("yes")
    });
    let unknown = cluster.nodes[at].call(&["SENTINEL", "MONITOR", "beta", "redis.invalid", "1", "2"]);
    assert_eq!(unknown.text(), "ERR Invalid IP address or hostname specified");
    assert!(cluster.nodes[at].call(&monitor).is_ok());
    let set_down_after = ["SENTINEL", "SET", "alpha", "down-after-milliseconds", DOWN_AFTER_MS];
    assert!(cluster.nodes[at].call(&set_down_after).is_ok());
    cluster.wait_healthy(&group);
    for node in &cluster.nodes {
        let told = node.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "alpha"]);
        let told: Vec<&str> = told.items().iter().map(|item| item.text()).collect();
        assert_eq!(told, ["localhost", &port]);
        let primary = node.call(&["SENTINEL", "MASTER", "alpha"]);
        assert_eq!(
            (primary.field("ip"), primary.field("address")),
            (Some("localhost"), Some("127.0.0.1"))
        );
        for replica in node.call(&["SENTINEL", "REPLICAS", "alpha"]).items() {
            let name = format!("localhost:{}", replica.field("port").unwrap());
            assert_eq!(
                (replica.field("name"), replica.field("ip")),
                (Some(name.as_str()), Some("localhost"))
            );
        }
        assert!(node.info("master0").contains(&format!("address=localhost:{old},")));
    }
    let subscribers = cluster.subscribe();
    group.members[0].kill();
    let start = format!("alpha localhost {old} localhost ");
    let switches: Vec<String> = subscribers
        .iter()
        .map(|one| one.wait("+switch-master", &start, FAILOVER).payload)
        .collect();
    let new: u16 = switches[0].rsplit(' ').next().unwrap().parse().unwrap();
    cluster.wait_primary("alpha", new);
    group.at(old).restart();
    group.wait_all_follow(new);
    for member in group.members.iter().filter(|member| member.port != new) {
        assert_eq!(member.info("master_host"), "localhost", "it was ordered by name");
    }
    cluster.wait_healthy(&group);
    let events = subscribers[0].heard();
    let by_address = events
        .iter()
        .find(|event| event.payload.contains("127.0.0.1 ") && !event.channel.contains("sentinel"));
    assert!(by_address.is_none(), "{by_address:?}");
    // From now on by addresses, also in orders.
    set(&cluster, &["announce-hostnames", "no"]);
    let answer = cluster.nodes[0].call(&["SENTINEL", "FAILOVER", "alpha"]);
    assert!(answer.is_ok(), "{answer}");
    // What this connection was told last was a name: its addresses stay one chain.
    let start = format!("alpha localhost {new} 127.0.0.1 ");
    let second = subscribers[0].wait("+switch-master", &start, FAILOVER).payload;
    let last: u16 = second.rsplit(' ').next().unwrap().parse().unwrap();
    group.wait_all_follow(last);
    for member in group.members.iter().filter(|member| member.port != last) {
        assert_eq!(member.info("master_host"), "127.0.0.1");
    }
}
