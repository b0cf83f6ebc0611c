//! Instances that refuse the password of the nodes.

use std::time::Duration;

use crate::world::{Client, Cluster, FAILOVER, Group, SOON, World, holds_for, wait_until};

const RIGHT: &str = "swordfish-right";
const WRONG: &str = "swordfish-wrong";

/// A cluster and a healthy group, of which the nodes have the password of a user.
fn scene(world: &World) -> (Cluster, Group) {
    let mut cluster = Cluster::start(world, 3);
    // Replication and the test itself use the default user.
    let user = format!("user watcher on >{RIGHT} ~* &* +@all");
    let group = Group::start_with(world, "alpha", 1, &[&user]);
    cluster.monitor(&group, 1_000);
    set(&cluster, RIGHT);
    let answer = cluster.nodes[0].call(&["SENTINEL", "SET", "alpha", "auth-user", "watcher"]);
    assert!(answer.is_ok(), "{answer}");
    cluster.wait_healthy(&group);
    (cluster, group)
}

#[track_caller]
fn set(cluster: &Cluster, password: &str) {
    let answer = cluster.nodes[1].call(&["SENTINEL", "SET", "alpha", "auth-pass", password]);
    assert!(answer.is_ok(), "{answer}");
}

/// Waits until every node shows the primary as down and says why.
#[track_caller]
fn wait_locked_out(cluster: &Cluster) {
    for node in &cluster.nodes {
        wait_until(&format!("node {} says why", node.id), SOON, || {
            let entry = node.call(&["SENTINEL", "MASTER", "alpha"]);
            let error = entry.field("last-error").unwrap_or_default().to_owned();
            entry
                .field("flags")
                .is_some_and(|flags| flags.starts_with("s_down,master"))
                && error.starts_with("WRONGPASS")
        });
    }
}

#[test]
fn a_wrong_password_is_shown_and_replaces_no_primary() {
    let Some(world) = World::open() else { return };
    let (mut cluster, group) = scene(&world);
    let subscribers = cluster.subscribe();
    set(&cluster, WRONG);
    wait_locked_out(&cluster);
    holds_for("it is not taken for dead", Duration::from_secs(3), || {
        subscribers
            .iter()
            .all(|one| one.count("+odown", "") + one.count("+try-failover", "") == 0)
    });
    let at = cluster.leader();
    assert!(
        cluster.nodes[at].log_text().contains("WRONGPASS"),
        "the log does not say why"
    );
    set(&cluster, RIGHT);
    cluster.wait_healthy(&group);
    for one in &subscribers {
        one.wait("-sdown", "master alpha", SOON);
    }
    // No password is told to anybody.
    for (node, one) in cluster.nodes.iter().zip(&subscribers) {
        let mut told: String = one.heard().iter().map(|event| format!("{}\n", event.payload)).collect();
        for words in [
            &["SENTINEL", "MASTER", "alpha"][..],
            &["SENTINEL", "REPLICAS", "alpha"],
            &["CFG", "GROUPS"],
            &["CFG", "NODES"],
            &["CLIENT", "LIST"],
            &["INFO", "everything"],
        ] {
            told += &node.call(words).to_string();
        }
        assert!(
            told.contains("auth-pass ******"),
            "the event is there, without it: {told}"
        );
        for (what, text) in [("answers and events", &told), ("log", &node.log_text())] {
            assert!(
                !text.contains("swordfish"),
                "a password is in {what} of node {}",
                node.id
            );
        }
    }
}

#[test]
fn a_primary_that_refused_a_password_and_then_dies_is_taken_for_dead() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let subscribers = cluster.subscribe();
    set(&cluster, WRONG);
    wait_locked_out(&cluster);
    group.members[0].kill();
    // The replicas refuse it, too, so nobody is promoted before the password is right.
    for one in &subscribers {
        one.wait("+odown", "master alpha", FAILOVER);
    }
    set(&cluster, RIGHT);
    cluster.wait_primary("alpha", group.members[1].port);
}

#[test]
fn a_primary_that_wants_a_password_of_nodes_that_have_none_is_not_taken_for_dead() {
    let Some(world) = World::open() else { return };
    let (mut cluster, group) = scene(&world);
    let subscribers = cluster.subscribe();
    let primary = group.members[0].port;
    set(&cluster, "");
    let mut client = Client::connect(primary).unwrap();
    // Who has not said who they are may not even ask.
    assert!(client.call(&["CONFIG", "SET", "requirepass", RIGHT]).is_ok());
    assert!(
        client
            .call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
            .text()
            .is_empty()
    );
    for node in &cluster.nodes {
        wait_until("it says why", SOON, || {
            let entry = node.call(&["SENTINEL", "MASTER", "alpha"]);
            entry
                .field("last-error")
                .is_some_and(|error| error.starts_with("NOAUTH"))
                && entry
                    .field("flags")
                    .is_some_and(|flags| flags.starts_with("s_down,master"))
        });
    }
    holds_for("it is not taken for dead", Duration::from_secs(2), || {
        subscribers.iter().all(|one| one.count("+odown", "") == 0)
    });
}
