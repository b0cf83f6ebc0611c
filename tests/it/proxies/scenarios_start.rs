//! How proxies start, and come back.

use super::history::{Cause, Happening};
use super::stage::{CALM_MS, HEARTBEAT_MS, RETRY_MS, Stage};
use crate::world::{Cluster, FAILOVER, Group, World, now, wait_until};

/// Names as both kinds of proxy can have them; the second is cut at its first dash.
const NAMES: [&str; 2] = ["pool-one", "pool-a-b-c"];
const SHORT_HEARTBEAT_MS: u64 = 200;

#[test]
fn proxies_start_on_every_node_with_the_default_settings() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    let started = now();
    let settled = stage.connect_and_settle(HEARTBEAT_MS);
    // What is slow on a busy machine may be slow; what is sent may not be wrong.
    stage.judge(started, &[Cause::Late]);
    stage.switch_each(&NAMES);
    stage.wait_settled();
    stage.undisturbed(&stage.proxies, settled);
}

#[test]
fn proxies_that_meet_an_empty_cluster_serve_when_their_groups_are_monitored() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::around(Cluster::start(&world, 3));
    stage.groups = NAMES.iter().map(|name| Group::start(&world, name, 1)).collect();
    let started = now();
    stage.connect_all(SHORT_HEARTBEAT_MS);
    let unknown = |what: &Happening| {
        matches!(
            what,
            Happening::Closed {
                cause: Cause::Unknown,
                ..
            }
        )
    };
    for proxy in &stage.proxies {
        wait_until(&format!("{} has asked", proxy.name), FAILOVER, || {
            // BDRP is content with no group at all; NetEase asks again and again.
            (proxy.ready() && proxy.connected())
                || proxy.with_history(|history| history.count_since(started, unknown)) > 2
        });
    }
    for group in &stage.groups {
        stage.cluster.monitor(group, CALM_MS);
    }
    // BDRP's file names the replicas: it is told on the connection that it has.
    let settled = stage.wait_settled();
    for proxy in stage.proxies.iter().step_by(2) {
        assert_eq!(
            proxy.history().interruption_since(started).map(|entry| &entry.what),
            None
        );
    }
    stage.judge(started, &[Cause::Unknown, Cause::Late]);
    stage.switch_each(&NAMES);
    stage.wait_settled();
    stage.undisturbed(&stage.proxies, settled);
}

#[test]
fn a_proxy_that_was_cut_off_during_switches_comes_back_to_the_right_addresses() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    for node in 0..stage.cluster.nodes.len() {
        let port = stage.cluster.nodes[node].port;
        // Away for longer than a switch takes.
        stage.bdrp_at(port, 10 * RETRY_MS);
        stage.netease_at(&[port], 10 * RETRY_MS);
    }
    let settled = stage.wait_settled();
    for round in 0..3 {
        stage.proxies.iter().for_each(|proxy| proxy.cut());
        let name = NAMES[round % NAMES.len()];
        stage.switch(name);
        stage.wait_settled();
        stage.wait_healthy(name);
    }
    stage.judge(settled, &[Cause::Late]);
}
