//! The port for old proxies, on nodes whose default port is a plain Sentinel's.

use super::history::{Cause, Happening};
use super::scenarios_foreign::{Foreign, is_foreign_message, on_ipv6};
use super::scenarios_nodes::kill_and_restart;
use super::stage::{CALM_MS, Stage};
use crate::world::{Cluster, SOON, World, now, wait_until};

const NAMES: [&str; 2] = ["pool-shard1", "pool-a-b-c"];
const SHORT_HEARTBEAT_MS: u64 = 200;

#[test]
fn the_port_for_old_proxies_serves_both_while_the_default_port_is_a_plain_sentinel() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::prepare(&world, 3);
    let ports: Vec<u16> = cluster.nodes.iter().map(|_| world.port()).collect();
    for (node, port) in cluster.nodes.iter_mut().zip(&ports) {
        node.add_words(&[
            "--proxy-listen",
            &format!("127.0.0.1:{port}"),
            "--strict-sentinel",
            "yes",
        ]);
    }
    cluster.start_all();
    let mut stage = Stage::around(cluster);
    stage.ports = ports;
    for name in NAMES {
        stage.add_group(&world, name, CALM_MS);
    }
    let mut foreign = vec![
        Foreign::start(&world, "mymaster", "127.0.0.1"),
        Foreign::start(&world, "pool-shard10", "127.0.0.1"),
    ];
    foreign.extend(on_ipv6(&world));
    for group in &foreign {
        group.monitor(&stage.cluster.nodes[0]);
    }
    let settled = stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    for name in foreign.iter().map(|group| group.name) {
        stage.switch(name);
    }
    stage.switch_each(&NAMES);
    for proxy in stage.proxies.iter().filter(|proxy| proxy.name.starts_with("NetEase")) {
        stage.wait_beats(proxy, settled, 5);
        let warned = proxy.with_history(|history| history.count_since(settled, is_foreign_message));
        assert_eq!(warned, 0, "{}\n{}", proxy.name, proxy.history());
    }
    stage.wait_settled();
    stage.undisturbed(&stage.proxies, settled);
    let leader = stage.cluster.leader();
    kill_and_restart(&mut stage, leader, NAMES[0]);

    // On the default port they fare as they do with Redis Sentinel 7.0.
    let asked = now();
    let plain = stage.cluster.nodes[0].port;
    let bdrp = stage.bdrp_at(plain, SHORT_HEARTBEAT_MS);
    let netease = stage.netease_at(&[plain], SHORT_HEARTBEAT_MS);
    let closed = |what: &Happening| matches!(what, Happening::Closed { cause: Cause::Sent, .. });
    wait_until("BDRP's proxy cannot read that INFO", SOON, || {
        bdrp.with_history(|history| history.count_since(asked, closed)) > 0
    });
    wait_until("NetEase's proxy serves", SOON, || netease.ready());
    stage.switch("pool-shard10");
    wait_until("NetEase's proxy takes pool-shard10 for its pool-shard1", SOON, || {
        netease.with_history(|history| history.count_since(asked, closed)) > 0
    });
}
