//! Groups in the same fleet that these proxies do not serve, and names that come back.

use super::driver::Proxy;
use super::history::{Cause, Happening};
use super::stage::{CALM_MS, Stage};
use crate::world::cluster::set;
use crate::world::{Group, Node, Redis, SOON, World, now, wait_until};

const NAMES: [&str; 2] = ["pool-shard1", "pool-a-b-c"];
const SHORT_HEARTBEAT_MS: u64 = 200;

/// A group of somebody else, by name and the address that its members are reached at.
pub(super) struct Foreign {
    pub(super) name: &'static str,
    host: &'static str,
    members: Vec<Redis>,
}

impl Foreign {
    pub(super) fn start(world: &World, name: &'static str, host: &'static str) -> Self {
        let bind = if host == "::1" {
            "bind 127.0.0.1 ::1"
        } else {
            "bind 127.0.0.1"
        };
        let primary = Redis::start(world, &[bind]);
        let follow = format!("replicaof {host} {}", primary.port);
        let replica = Redis::start(world, &[bind, &follow]);
        wait_until("the foreign replica is in sync", SOON, || replica.follows(primary.port));
        primary.call(&["SET", "born", name]);
        wait_until("it has the first key", SOON, || {
            replica.call(&["GET", "born"]).text() == name
        });
        Self {
            name,
            host,
            members: vec![primary, replica],
        }
    }

    pub(super) fn monitor(&self, node: &Node) {
        self.monitor_at(node, self.members[0].port);
    }

    fn monitor_at(&self, node: &Node, port: u16) {
        let answer = node.call(&["SENTINEL", "MONITOR", self.name, self.host, &port.to_string(), "2"]);
        assert!(answer.is_ok(), "{}: {answer}", self.name);
        set(&mut node.client(), self.name, "down-after-milliseconds", CALM_MS);
    }
}

/// A group on the IPv6 loopback; none, after saying so, where there is no such thing.
pub(super) fn on_ipv6(world: &World) -> Option<Foreign> {
    if std::net::TcpListener::bind(("::1", 0)).is_err() {
        eprintln!("without a group on IPv6: there is no ::1");
        return None;
    }
    Some(Foreign::start(world, "six-one", "::1"))
}

#[test]
fn foreign_groups_are_switched_monitored_and_removed_without_a_proxy_noticing() {
    let Some(world) = World::open() else { return };
    // No dash, names that begin like ours, and names of which a part is empty.
    let mut foreign = vec![
        Foreign::start(&world, "mymaster", "127.0.0.1"),
        Foreign::start(&world, "pool-shard10", "127.0.0.1"),
        Foreign::start(&world, "pool-a-b-c-d", "127.0.0.1"),
        Foreign::start(&world, "-", "127.0.0.1"),
        Foreign::start(&world, "other-", "127.0.0.1"),
    ];
    foreign.extend(on_ipv6(&world));
    let mut stage = Stage::open(&world, &NAMES);
    // Half of them are there before the proxies, half come later.
    let leader = stage.cluster.leader();
    for group in foreign.iter().step_by(2) {
        group.monitor(&stage.cluster.nodes[leader]);
    }
    let settled = stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    for group in foreign.iter().skip(1).step_by(2) {
        group.monitor(&stage.cluster.nodes[leader]);
    }
    // Proxies that come when all are there must read an INFO with all of them.
    stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    for _ in 0..2 {
        for group in &foreign {
            let switched = stage.switch(group.name);
            assert_eq!(switched.group, group.name);
        }
        for name in NAMES {
            let switched = stage.switch(name);
            stage.everyone_follows(&switched);
            stage.wait_healthy(name);
        }
    }
    // Elsewhere is where nobody listens.
    for (port, group) in (11..).zip(&foreign) {
        let node = &stage.cluster.nodes[(leader + 1) % 3];
        assert!(node.call(&["SENTINEL", "REMOVE", group.name]).is_ok());
        group.monitor_at(node, port);
    }
    stage.switch_each(&NAMES);
    stage.wait_settled();
    stage.judge(settled, &[Cause::Late]);
    stage.undisturbed(&stage.proxies, settled);
    // NetEase's proxy is told of no name but its own.
    for proxy in stage.proxies.iter().filter(|proxy| proxy.name.starts_with("NetEase")) {
        let warned = proxy.with_history(|history| history.count_since(settled, is_foreign_message));
        assert_eq!(warned, 0, "{}\n{}", proxy.name, proxy.history());
    }
}

pub(super) fn is_foreign_message(what: &Happening) -> bool {
    matches!(what, Happening::Warned(text) if text.contains("is not in this pool"))
}

#[test]
fn a_group_that_is_removed_and_monitored_elsewhere_is_followed() {
    let Some(world) = World::open() else { return };
    let mut stage = Stage::open(&world, &NAMES);
    let settled = stage.connect_and_settle(SHORT_HEARTBEAT_MS);
    let elsewhere = Group::start(&world, "pool-shard1", 1);
    let leader = stage.cluster.leader();
    assert!(
        stage.cluster.nodes[leader]
            .call(&["SENTINEL", "REMOVE", "pool-shard1"])
            .is_ok()
    );
    stage.cluster.monitor(&elsewhere, CALM_MS);
    stage.groups[0] = elsewhere;
    // NetEase's heartbeat asks for news; BDRP's proxy asks on its next connection.
    let (bdrp, netease): (Vec<Proxy>, Vec<Proxy>) = stage
        .proxies
        .iter()
        .cloned()
        .partition(|proxy| proxy.name.starts_with("BDRP"));
    let truth = stage.truth();
    for proxy in &netease {
        wait_until(&format!("{} is told", proxy.name), SOON, || proxy.addresses() == truth);
    }
    stage.undisturbed(&stage.proxies, settled);
    bdrp.iter().for_each(Proxy::cut);
    // They were settled before: only who has lost its connection is settled anew.
    for proxy in &bdrp {
        let lost = |what: &Happening| matches!(what, Happening::Lost);
        wait_until(&format!("{} is cut off", proxy.name), SOON, || {
            proxy.with_history(|history| history.count_since(settled, lost)) > 0
        });
    }
    stage.wait_settled();
    let again = now();
    stage.switch_each(&NAMES);
    stage.undisturbed(&netease, settled);
    stage.undisturbed(&bdrp, again);
}
