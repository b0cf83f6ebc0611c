//! The last copy of the data: a primary that comes back empty, and a replica that has none yet.

use std::time::Duration;

use super::{explained, replica, scene, switches};
use crate::world::{Cluster, FAILOVER, Group, Redis, SOON, World, holds_for, wait_until};

/// The replicas are asked to wait before they copy, so that the outcome is certain; `scripts/compare --emptied` measures
/// how it goes without that.
#[test]
fn an_empty_primary_loses_its_role_before_its_replicas_lose_the_data() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 3);
    let mut group = Group::start(&world, "alpha", 2);
    // Nobody is down: what is acted upon is the emptiness.
    cluster.monitor(&group, 30_000);
    for member in &group.members {
        assert!(member.call(&["CONFIG", "SET", "repl-diskless-sync-delay", "5"]).is_ok());
        assert!(member.call(&["CONFIG", "REWRITE"]).is_ok());
    }
    let subscribers = cluster.subscribe();
    let old = group.members[0].port;
    group.members[0].kill();
    group.members[0].restart_empty();
    for one in &subscribers {
        one.wait(
            "+switch-master",
            &format!("alpha 127.0.0.1 {old} "),
            Duration::from_secs(4),
        );
    }
    let new = cluster.nodes[0].primary_of("alpha");
    assert_eq!(group.at(new).call(&["GET", "born"]).text(), "alpha");
    group.wait_all_follow(new);
    for member in &group.members {
        assert_eq!(member.call(&["GET", "born"]).text(), "alpha", "on {}", member.port);
    }
}

#[test]
fn a_replica_that_was_never_in_sync_is_not_promoted_and_every_face_says_why() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 3);
    let primary = Redis::start(&world, &["repl-diskless-sync-delay 3600"]);
    primary.call(&["SET", "born", "alpha"]);
    let follow = format!("replicaof 127.0.0.1 {}", primary.port);
    let unsynced = Redis::start(&world, &[&follow]);
    let mut group = Group {
        name: "alpha".to_owned(),
        members: vec![primary, unsynced],
    };
    let (old, unsynced) = (group.members[0].port, group.members[1].port);
    let port = old.to_string();
    let node = &cluster.nodes[0];
    assert!(
        node.call(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", &port, "2"])
            .is_ok()
    );
    assert!(
        node.call(&["SENTINEL", "SET", "alpha", "down-after-milliseconds", "500"])
            .is_ok()
    );
    // It waits for its first copy: not even its primary counts it as one.
    wait_until("the primary is watched", FAILOVER, || {
        node.call(&["SENTINEL", "MASTER", "alpha"]).field("flags") == Some("master")
    });
    let subscribers = cluster.subscribe();
    group.members[0].kill();
    for one in &subscribers {
        one.wait("+odown", "master alpha", FAILOVER);
    }
    holds_for("it is not promoted", Duration::from_secs(3), || {
        switches(&subscribers) == 0 && group.at(unsynced).info("role") == "slave"
    });
    let told = explained(&cluster, "alpha");
    assert!(told.contains(&"held back: no replica is known".to_owned()), "{told:#?}");
    assert!(
        told.contains(&"next attempt: when a replica is known".to_owned()),
        "{told:#?}"
    );
    let refused = cluster.nodes[2].call(&["SENTINEL", "FAILOVER", "alpha"]);
    assert!(
        refused.text().starts_with("NOGOODSLAVE No suitable replica to promote"),
        "{refused}"
    );
    // The last copy comes back: nobody was promoted, so nothing is lost.
    group.at(old).restart();
    cluster.wait_primary("alpha", old);
    assert_eq!(group.at(old).call(&["GET", "born"]).text(), "alpha");
}

/// Retry is by cause: the failover is opened when a replica becomes good, not after twice failover-timeout.
#[test]
fn a_failover_is_tried_again_as_soon_as_a_replica_is_good() {
    let Some(world) = World::open() else { return };
    let (cluster, mut group, subscribers) = scene(&world, 1, 500);
    let (old, new) = (group.members[0].port, group.members[1].port);
    assert!(
        cluster.nodes[0]
            .call(&["SENTINEL", "SET", "alpha", "failover-timeout", "180000"])
            .is_ok()
    );
    group.at(new).freeze();
    wait_until("the nodes know that it is down", FAILOVER, || {
        replica(&cluster, "alpha", new)
            .field("flags")
            .is_some_and(|flags| flags.contains("s_down"))
    });
    group.at(old).kill();
    for one in &subscribers {
        one.wait("-failover-abort-no-good-slave", "master alpha", FAILOVER);
    }
    group.at(new).thaw();
    for one in &subscribers {
        one.wait(
            "+switch-master",
            &format!("alpha 127.0.0.1 {old} 127.0.0.1 {new}"),
            SOON,
        );
    }
}
