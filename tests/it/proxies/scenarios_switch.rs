//! Switches of all kinds under connected proxies.

use std::time::Duration;

use tokio::sync::watch;

use super::history::{Cause, Happening};
use super::stage::{CALM_MS, HEARTBEAT_MS, Stage, port_of};
use crate::world::cluster::set;
use crate::world::{SOON, World, now, wait_until};

const NAMES: [&str; 2] = ["pool-one", "pool-two"];
const DOWN_AFTER_MS: u64 = 1_000;
const SHORT_HEARTBEAT_MS: u64 = 200;
const BURST: Duration = Duration::from_secs(4);

#[test]
fn a_killed_primary_is_replaced_under_connected_proxies() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::with_down_after(&world, &NAMES, DOWN_AFTER_MS);
    let settled = stage.connect_and_settle(HEARTBEAT_MS);
    let switched = stage.kill_primary("pool-one");
    let lag = stage.everyone_follows(&switched);
    eprintln!(
        "the last of {} proxies followed {lag:?} after the first event",
        stage.proxies.len()
    );
    stage.wait_settled();
    // The old primary comes back and is turned: no proxy notices.
    stage.groups[0].members[0].restart();
    stage.wait_healthy("pool-one");
    stage.wait_settled();
    stage.undisturbed(&stage.proxies, settled);
    let moves = |what: &Happening| matches!(what, Happening::Moved { .. });
    for proxy in &stage.proxies {
        assert_eq!(
            proxy.history().count_since(settled, moves),
            1,
            "{}\n{}",
            proxy.name,
            proxy.history()
        );
    }
}

#[test]
fn bursts_of_switches_reach_every_proxy_and_close_none() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    let settled = stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    let leader = stage.cluster.leader();
    let mut client = stage.cluster.nodes[leader].client();
    let mut accepted = 0;
    while now() < settled + BURST {
        for name in NAMES {
            if client.call(&["SENTINEL", "FAILOVER", name]).is_ok() {
                accepted += 1;
            }
        }
        // As fast as they are accepted, but without drowning the machine in refusals.
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(accepted >= 2 * NAMES.len(), "only {accepted} switches were accepted");
    for name in NAMES {
        stage.wait_healthy(name);
    }
    stage.wait_settled();
    stage.undisturbed(&stage.proxies, settled);
    eprintln!("{accepted} switches were accepted within {BURST:?}");
}

#[test]
fn heartbeats_are_confirmed_while_switches_happen() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    for node in 0..stage.cluster.nodes.len() {
        let port = stage.cluster.nodes[node].port;
        stage.netease_at(&[port], SHORT_HEARTBEAT_MS);
    }
    let settled = stage.wait_settled();
    for name in NAMES {
        let switched = stage.switch(name);
        stage.everyone_follows(&switched);
        for proxy in &stage.proxies {
            stage.wait_beats(proxy, switched.at, 10);
        }
        stage.wait_healthy(name);
    }
    stage.wait_settled();
    stage.undisturbed(&stage.proxies, settled);
}

#[test]
fn a_switch_between_lookup_and_subscription_is_told_right_after_the_confirmation() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    // Longer than the test: no heartbeat tells what the confirmation has to.
    let heartbeat_ms = 60_000;
    let (open, gate) = watch::channel(false);
    for node in 0..stage.cluster.nodes.len() {
        let port = stage.cluster.nodes[node].port;
        stage.netease_held(&[port], heartbeat_ms, gate.clone());
    }
    let before = stage.truth();
    let asked = |what: &Happening| *what == Happening::Asked(true);
    for proxy in &stage.proxies {
        wait_until("everything is looked up and said master", SOON, || {
            proxy.addresses() == before
                && proxy.with_history(|history| history.count_since(history.started, asked)) == 1
        });
    }
    let switched = stage.switch("pool-two");
    stage.cluster.wait_primary("pool-two", port_of(&switched.to));
    for proxy in &stage.proxies {
        assert!(!proxy.ready());
        assert_eq!(proxy.addresses(), before, "nobody told {} yet", proxy.name);
    }
    let released = now();
    open.send(true).unwrap();
    stage.wait_settled();
    for proxy in &stage.proxies {
        let moved = proxy.with_history(|history| history.moved_at(released, "pool-two", &switched.to));
        assert!(moved.is_some(), "{}\n{}", proxy.name, proxy.history());
    }
    stage.undisturbed(&stage.proxies, released);
    stage.judge(switched.since, &[]);
}

#[test]
fn proxies_that_come_and_go_during_a_burst_end_at_the_right_addresses() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    let settled = stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    let mut turn = 0;
    while now() < settled + BURST {
        let leader = stage.cluster.leader();
        for name in NAMES {
            stage.cluster.nodes[leader].call(&["SENTINEL", "FAILOVER", name]);
        }
        stage.proxies[turn % stage.proxies.len()].cut();
        turn += 1;
    }
    for name in NAMES {
        stage.wait_healthy(name);
    }
    stage.wait_settled();
    // A primary that is replaced between lookup and ROLE makes NetEase's proxy start once more.
    stage.judge(settled, &[Cause::Late]);
}

#[test]
fn settings_and_resets_close_nothing() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    let settled = stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    for round in 0..3 {
        for node in &stage.cluster.nodes {
            let settings = [
                ("down-after-milliseconds", CALM_MS + round),
                ("failover-timeout", 60_000 + round),
                ("parallel-syncs", 1 + round),
                ("quorum", 1 + round % 2),
            ];
            for name in NAMES {
                let mut client = node.client();
                for (option, value) in settings {
                    set(&mut client, name, option, value);
                }
            }
            assert!(!node.call(&["SENTINEL", "RESET", "pool-*"]).is_error());
        }
        for proxy in stage.proxies.iter().skip(1).step_by(2) {
            stage.wait_beats(proxy, now(), 2);
        }
    }
    for name in NAMES {
        stage.wait_healthy(name);
        let switched = stage.switch(name);
        stage.everyone_follows(&switched);
    }
    stage.wait_settled();
    stage.undisturbed(&stage.proxies, settled);
}

#[test]
fn a_second_failure_of_the_same_group_is_followed_too() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::with_down_after(&world, &NAMES[..1], DOWN_AFTER_MS);
    let settled = stage.connect_and_settle(HEARTBEAT_MS);
    for _ in 0..2 {
        let switched = stage.kill_primary("pool-one");
        stage.everyone_follows(&switched);
        stage.groups[0].at(port_of(&switched.from)).restart();
        stage.wait_healthy("pool-one");
    }
    stage.wait_settled();
    stage.undisturbed(&stage.proxies, settled);
}
