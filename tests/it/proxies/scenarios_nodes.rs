//! Nodes that die, start, lead and lose their majority under connected proxies.

use std::time::Duration;

use super::driver::Proxy;
use super::history::{Cause, Happening};
use super::stage::Stage;
use crate::world::{FAILOVER, World, holds_for, now, wait_for, wait_until};

const NAMES: [&str; 2] = ["pool-one", "pool-two"];
const SHORT_HEARTBEAT_MS: u64 = 200;
/// What a node that starts may cause: it says that it is not ready, or a busy machine takes its time.
const STARTING: [Cause; 2] = [Cause::Loading, Cause::Late];

/// Kills the node, switches a group meanwhile, and starts the node again while its proxies knock at its door.
pub(super) fn kill_and_restart(stage: &mut Stage, at: usize, group: &str) {
    let (on_it, elsewhere) = stage.on_node(at);
    // BDRP's is always there; NetEase's goes to another node when the machine was too busy for its first try.
    assert!(!on_it.is_empty() && !elsewhere.is_empty());
    let since = now();
    stage.cluster.nodes[at].kill();
    stage.cluster.leader();
    let switched = stage.switch(group);
    stage.follow(&elsewhere, &switched);
    stage.undisturbed(&elsewhere, since);
    for proxy in &on_it {
        let lost = proxy.with_history(|history| history.interruption_since(since).map(|entry| entry.what.clone()));
        assert_eq!(lost, Some(Happening::Lost), "{}", proxy.name);
    }
    stage.cluster.nodes[at].start();
    stage.wait_nodes();
    stage.wait_settled();
    stage.undisturbed(&elsewhere, since);
    stage.judge(since, &STARTING);
    stage.wait_healthy(group);
}

#[test]
fn the_leader_is_killed_and_restarted_under_its_proxies() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    let leader = stage.cluster.leader();
    kill_and_restart(&mut stage, leader, "pool-one");
    let settled = now();
    let switched = stage.switch("pool-two");
    stage.everyone_follows(&switched);
    stage.undisturbed(&stage.proxies, settled);
}

#[test]
fn a_follower_is_killed_and_restarted_under_its_proxies() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    let follower = stage.cluster.followers()[0];
    kill_and_restart(&mut stage, follower, "pool-one");
    let settled = now();
    let switched = stage.switch("pool-two");
    stage.everyone_follows(&switched);
    stage.undisturbed(&stage.proxies, settled);
}

#[test]
fn a_node_that_is_stopped_in_order_closes_no_connection_at_once() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    let settled = stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    for at in 0..stage.cluster.nodes.len() {
        stage.cluster.nodes[at].terminate();
        stage.cluster.nodes[at].start();
        stage.wait_nodes();
        stage.wait_settled();
    }
    // An accept that is followed by a close would have ended BDRP's process.
    stage.judge(settled, &STARTING);
}

#[test]
fn another_leader_closes_nothing() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    let settled = stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    for round in 0..4 {
        let leader = stage.cluster.leader();
        let answer = stage.cluster.nodes[leader].call(&["CFG", "LEADER", "TRANSFER"]);
        assert!(!answer.is_error(), "{answer}");
        wait_until("another node leads", FAILOVER, || stage.cluster.leader() != leader);
        let switched = stage.switch(NAMES[round % NAMES.len()]);
        stage.everyone_follows(&switched);
        stage.wait_healthy(&switched.group);
    }
    stage.wait_settled();
    stage.undisturbed(&stage.proxies, settled);
}

#[test]
fn subscriptions_and_heartbeats_go_on_without_a_majority() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    let settled = stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    let survivor = stage.cluster.followers()[0];
    let others: Vec<usize> = (0..3).filter(|at| *at != survivor).collect();
    let (on_it, _) = stage.on_node(survivor);
    for at in &others {
        stage.cluster.nodes[*at].kill();
    }
    let node = &stage.cluster.nodes[survivor];
    wait_until("the survivor has no leader", FAILOVER, || {
        node.info("raft_leader").parse::<u64>().unwrap_or(0) == 0
    });
    let alone = now();
    for proxy in &on_it {
        wait_many_beats(&stage, proxy, alone);
    }
    stage.undisturbed(&on_it, settled);
    // NetEase's others have come here; they serve what was agreed last.
    let truth = stage.truth();
    let gathered = |proxy: &&Proxy| proxy.name.starts_with("NetEase");
    for proxy in stage.proxies.iter().filter(gathered) {
        wait_until(&format!("{} serves through the survivor", proxy.name), FAILOVER, || {
            proxy.ready() && proxy.addresses() == truth
        });
    }
    for at in others {
        stage.cluster.nodes[at].start();
    }
    stage.wait_nodes();
    stage.wait_settled();
    let switched = stage.switch("pool-one");
    stage.everyone_follows(&switched);
    stage.undisturbed(&on_it, settled);
    stage.judge(settled, &STARTING);
}

fn wait_many_beats(stage: &Stage, proxy: &Proxy, since: std::time::Instant) {
    // BDRP has no heartbeat.
    if proxy.name.starts_with("NetEase") {
        stage.wait_beats(proxy, since, 10);
    }
}

#[test]
fn a_whole_cluster_that_starts_again_finds_its_proxies_where_it_left_them() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    let settled = stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    for node in &mut stage.cluster.nodes {
        node.kill();
    }
    let before = stage.proxies[0].addresses();
    // The first is alone for a while, and not ready: proxies are answered, and none is told anything old or wrong.
    stage.cluster.nodes[0].start();
    let refused = |what: &Happening| {
        matches!(
            what,
            Happening::Closed {
                cause: Cause::Loading,
                ..
            }
        )
    };
    wait_for("a proxy is told that the node is not ready", FAILOVER, || {
        let told = |proxy: &Proxy| proxy.with_history(|history| history.count_since(settled, refused)) > 0;
        stage.proxies.iter().any(told).then_some(())
    });
    holds_for(
        "no proxy is moved",
        Duration::from_millis(2 * SHORT_HEARTBEAT_MS),
        || stage.proxies.iter().all(|proxy| proxy.addresses() == before),
    );
    stage.judge(settled, &STARTING);
    for node in &mut stage.cluster.nodes[1..] {
        node.start();
    }
    stage.wait_nodes();
    stage.wait_settled();
    stage.judge(settled, &STARTING);
    let again = now();
    stage.switch_each(&NAMES);
    stage.undisturbed(&stage.proxies, again);
}
