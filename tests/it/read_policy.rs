//! What a node answers while no majority is known: what it has applied, or that it is loading, as the operator chose.

use crate::world::{Cluster, SOON, World, wait_until};

const LOOKUP: &[&str] = &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "alpha"];
/// Far beyond the lease of 550 ms.
const LONG_MS: u64 = 2_000;

/// A cluster that knows one group, at a port of loopback where nobody listens.
fn cluster(world: &World, words: &[&str]) -> Cluster {
    let mut cluster = Cluster::prepare(world, 3);
    for node in &mut cluster.nodes {
        node.add_words(words);
    }
    cluster.start_all();
    let leader = cluster.leader();
    let monitored = cluster.nodes[leader].call(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", "11", "2"]);
    assert!(monitored.is_ok(), "{monitored}");
    cluster.wait_primary("alpha", 11);
    cluster
}

fn kill_all_but(cluster: &mut Cluster, survivor: usize) {
    for (at, node) in cluster.nodes.iter_mut().enumerate() {
        if at != survivor {
            node.kill();
        }
    }
}

fn start_all_but(cluster: &mut Cluster, survivor: usize) {
    for (at, node) in cluster.nodes.iter_mut().enumerate() {
        if at != survivor {
            node.start();
        }
    }
}

#[test]
fn with_contact_a_node_without_a_majority_says_that_it_is_loading_and_heals() {
    let world = World::bare();
    let mut cluster = cluster(&world, &["--read-policy", "contact"]);
    for survivor_leads in [true, false] {
        let survivor = if survivor_leads {
            cluster.leader()
        } else {
            cluster.followers()[0]
        };
        let mut client = cluster.nodes[survivor].client();
        let mut subscriber = cluster.nodes[survivor].client();
        assert!(!subscriber.call(&["SUBSCRIBE", "+switch-master"]).is_error());
        kill_all_but(&mut cluster, survivor);
        wait_until("lookups are refused", SOON, || {
            client.call(LOOKUP).text().starts_with("LOADING ")
        });
        for refused in [LOOKUP, &["SENTINEL", "MASTERS"], &["INFO", "sentinel"]] {
            let answer = client.call(refused);
            assert!(
                answer.is_error() && answer.text().starts_with("LOADING "),
                "{refused:?}: {answer}"
            );
        }
        // Never a close, and what needs no majority goes on.
        assert_eq!(client.call(&["PING"]).text(), "PONG");
        assert!(client.call(&["INFO", "raft"]).text().contains("raft_ready:0"));
        assert!(!subscriber.call(&["PING"]).is_error());
        start_all_but(&mut cluster, survivor);
        wait_until("lookups are answered again, on the same connection", SOON, || {
            client
                .call(LOOKUP)
                .items()
                .get(1)
                .is_some_and(|port| port.text() == "11")
        });
        cluster.wait_primary("alpha", 11);
    }
}

#[test]
fn by_default_a_node_without_a_majority_answers_what_it_has_applied() {
    let world = World::bare();
    let mut cluster = cluster(&world, &[]);
    let survivor = cluster.followers()[0];
    kill_all_but(&mut cluster, survivor);
    let node = &cluster.nodes[survivor];
    wait_until("the leader has been silent for long", SOON, || {
        assert_eq!(node.primary_of("alpha"), 11);
        node.info("raft_contact_ms")
            .parse::<u64>()
            .is_ok_and(|silent_ms| silent_ms > LONG_MS)
    });
    assert!(!node.call(&["INFO", "sentinel"]).is_error());
}
