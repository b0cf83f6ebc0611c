//! Three nodes.

use std::time::{Duration, Instant};

use super::cluster::{leader, three, until, until_true};

#[tokio::test]
async fn three_nodes_form_and_a_follower_takes_writes() {
    let nodes = three(|_| {}).await;
    let lead = leader(&nodes).await;
    let follower = (lead + 1) % 3;
    nodes[follower].monitor("orders", 6379).await;
    assert!(
        nodes[follower].knows("orders"),
        "a forwarded write is answered after it is applied here"
    );
    for node in &nodes {
        until_true("all know it", || node.knows("orders")).await;
    }
    assert_eq!(nodes.iter().filter(|node| node.handle.holds_lease()).count(), 1);
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn followers_apply_within_milliseconds_of_the_leader() {
    let nodes = three(|_| {}).await;
    let lead = leader(&nodes).await;
    let mut delays = Vec::new();
    for round in 0..50_u16 {
        let revision = nodes[lead].monitor(&format!("group-{round}"), 7000 + round).await;
        let first = nodes[lead].sink.arrival(revision).unwrap();
        let arrivals = until("all have it", || {
            nodes
                .iter()
                .map(|node| node.sink.arrival(revision))
                .collect::<Option<Vec<_>>>()
        })
        .await;
        delays.extend(arrivals.into_iter().map(|at| at.saturating_duration_since(first)));
    }
    delays.sort();
    let median = delays[delays.len() / 2];
    let p99 = delays[delays.len() * 99 / 100];
    println!(
        "delay after the leader: median {median:?}, p99 {p99:?}, max {:?}",
        delays[delays.len() - 1]
    );
    assert!(
        median < Duration::from_millis(20),
        "a commit must not wait for a heartbeat: {median:?}"
    );
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn a_dead_leader_is_replaced_and_writes_go_on() {
    let mut nodes = three(|_| {}).await;
    let lead = leader(&nodes).await;
    nodes[lead].monitor("orders", 6379).await;
    nodes.remove(lead).kill().await;
    let killed = Instant::now();
    nodes[0].monitor("users", 6380).await;
    println!("next write {:?} after the leader was killed", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(20));
    for node in nodes {
        assert!(node.knows("orders"));
        node.kill().await;
    }
}
