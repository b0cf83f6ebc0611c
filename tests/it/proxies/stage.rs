//! A scene for proxies: a cluster of real nodes, groups of real Redis, driven doubles of both kinds on every node,
//! and plain subscribers as witnesses of what was announced when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::bdrp::Bdrp;
use super::driver::{Driver, Plan, Proxy};
use super::history::{Cause, Happening};
use super::netease::Netease;
use crate::world::{Cluster, FAILOVER, Group, Node, SOON, Subscriber, World, now, wait_for, wait_until};

/// From the event at the first plain subscriber to the move of the last proxy, at most.
const MOVE: Duration = Duration::from_secs(5);
/// How long a switch that was told may have been on its way to the witness.
const WITNESS: Duration = Duration::from_secs(1);
/// Between two rounds of the oracle's questions.
const ORACLE_PAUSE: Duration = Duration::from_millis(50);
/// Long enough that a busy machine is not taken for a dead primary.
pub(crate) const CALM_MS: u64 = 5_000;
/// BDRP's interval between two connections; 10 s where nobody waits for it.
pub(crate) const RETRY_MS: u64 = 200;
/// NetEase's heartbeat by default.
pub(crate) const HEARTBEAT_MS: u64 = 1_000;

/// A switch as the first witness heard it.
#[derive(Clone, Debug)]
pub(crate) struct Switched {
    /// Right before it was asked for.
    pub(crate) since: Instant,
    /// When the first witness heard it.
    pub(crate) at: Instant,
    pub(crate) group: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// The port of `ip:port`.
pub(crate) fn port_of(address: &str) -> u16 {
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// A node that runs.
fn running(nodes: &mut [Node]) -> &Node {
    let at = nodes.iter_mut().position(Node::is_running);
    &nodes[at.expect("a node runs")]
}

/// The scene of one test.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) groups: Vec<Group>,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) witnesses: Vec<Subscriber>,
    /// Where proxies find the nodes.
    pub(crate) ports: Vec<u16>,
    driver: Driver,
    verify: bool,
}

impl Stage {
    /// A cluster of three and these groups of a primary and a replica, monitored.
    pub(crate) fn open(world: &World, names: &[&str]) -> Self {
        Self::with_down_after(world, names, CALM_MS)
    }

    pub(crate) fn with_down_after(world: &World, names: &[&str], down_after_ms: u64) -> Self {
        let mut stage = Self::around(Cluster::start(world, 3));
        for name in names {
            stage.add_group(world, name, down_after_ms);
        }
        stage
    }

    /// A group of a primary and a replica, monitored.
    pub(crate) fn add_group(&mut self, world: &World, name: &str, down_after_ms: u64) {
        let group = Group::start(world, name, 1);
        self.cluster.monitor(&group, down_after_ms);
        self.groups.push(group);
    }

    /// A running cluster without groups.
    pub(crate) fn around(mut cluster: Cluster) -> Self {
        Self {
            witnesses: cluster.subscribe(),
            ports: cluster.nodes.iter().map(|node| node.port).collect(),
            cluster,
            groups: Vec::new(),
            proxies: Vec::new(),
            driver: Driver::new(),
            verify: true,
        }
    }

    /// From now on for thousands of proxies, which would drown the instances with their questions.
    pub(crate) fn expect_a_crowd(&mut self) {
        let members = self.groups.iter().flat_map(|group| &group.members);
        let instances = members.map(|member| format!("127.0.0.1:{}", member.port)).collect();
        self.driver.ask_an_oracle(instances, ORACLE_PAUSE);
        self.verify = false;
    }

    fn names(&self) -> Vec<&str> {
        self.groups.iter().map(|group| group.name.as_str()).collect()
    }

    /// The ports of all nodes, that of `first` first.
    pub(crate) fn ports_from(&self, first: usize) -> Vec<u16> {
        let mut ports = self.ports.clone();
        ports.rotate_left(first);
        ports
    }

    /// BDRP's proxy on one port. Its file says of each group what the last member's address is.
    pub(crate) fn bdrp_at(&mut self, port: u16, retry_ms: u64) -> Proxy {
        let address = |group: &Group| format!("127.0.0.1:{}", group.members.last().unwrap().port);
        let servers: Vec<(&str, String)> = self
            .groups
            .iter()
            .map(|one| (one.name.as_str(), address(one)))
            .collect();
        self.drive(Plan {
            name: format!("BDRP on {port}"),
            double: Box::new(Bdrp::new(&servers, retry_ms)),
            sentinels: vec![port],
            gate: None,
            verify: self.verify,
        })
    }

    /// NetEase's proxy with these sentinels, in its order.
    pub(crate) fn netease_at(&mut self, ports: &[u16], heartbeat_ms: u64) -> Proxy {
        self.netease(ports, heartbeat_ms, None)
    }

    /// The same, held between its lookups and its subscription until the gate opens.
    pub(crate) fn netease_held(&mut self, ports: &[u16], heartbeat_ms: u64, gate: watch::Receiver<bool>) -> Proxy {
        self.netease(ports, heartbeat_ms, Some(gate))
    }

    fn netease(&mut self, ports: &[u16], heartbeat_ms: u64, gate: Option<watch::Receiver<bool>>) -> Proxy {
        self.drive(Plan {
            name: format!("NetEase on {ports:?}"),
            double: Box::new(Netease::new(&self.names(), ports.len(), heartbeat_ms)),
            sentinels: ports.to_vec(),
            gate,
            verify: self.verify,
        })
    }

    fn drive(&mut self, plan: Plan) -> Proxy {
        let proxy = self.driver.drive(plan);
        self.proxies.push(proxy.clone());
        proxy
    }

    /// A proxy of each kind on every node, for all groups; NetEase's knows the other nodes too.
    pub(crate) fn connect_all(&mut self, heartbeat_ms: u64) {
        for at in 0..self.cluster.nodes.len() {
            let ports = self.ports_from(at);
            self.bdrp_at(ports[0], RETRY_MS);
            self.netease_at(&ports, heartbeat_ms);
        }
    }

    /// The same, and waits until all are settled; answers from when on they were.
    #[track_caller]
    pub(crate) fn connect_and_settle(&mut self, heartbeat_ms: u64) -> Instant {
        self.connect_all(heartbeat_ms);
        self.wait_settled()
    }

    /// Where the groups are, as a running node tells; each primary says that it is one.
    #[track_caller]
    pub(crate) fn truth(&mut self) -> BTreeMap<String, String> {
        let node = running(&mut self.cluster.nodes);
        let mut truth = BTreeMap::new();
        for group in &mut self.groups {
            let port = node.primary_of(&group.name);
            assert_eq!(group.at(port).info("role"), "master", "{} at {port}", group.name);
            truth.insert(group.name.clone(), format!("127.0.0.1:{port}"));
        }
        truth
    }

    /// Waits until every proxy is connected, serves, and has every group where it is.
    #[track_caller]
    pub(crate) fn wait_settled(&mut self) -> Instant {
        let truth = self.truth();
        for proxy in &self.proxies {
            let settled = || proxy.connected() && proxy.ready() && proxy.addresses() == truth;
            let deadline = now() + FAILOVER;
            while !settled() {
                assert!(
                    now() < deadline,
                    "{} is not settled at {truth:?}: ready {}, at {:?}\n{}",
                    proxy.name,
                    proxy.ready(),
                    proxy.addresses(),
                    proxy.history()
                );
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        now()
    }

    /// SENTINEL FAILOVER, asked of the leader until it is accepted, and the switch as it was announced.
    #[track_caller]
    pub(crate) fn switch(&mut self, group: &str) -> Switched {
        let since = now();
        let leader = self.cluster.leader();
        let node = &self.cluster.nodes[leader];
        wait_until(&format!("SENTINEL FAILOVER {group} is accepted"), FAILOVER, || {
            node.try_call(&["SENTINEL", "FAILOVER", group])
                .is_some_and(|answer| answer.is_ok())
        });
        self.wait_switch(group, since)
    }

    /// `kill -9` of the group's primary, and the switch as it was announced.
    #[track_caller]
    pub(crate) fn kill_primary(&mut self, group: &str) -> Switched {
        let since = now();
        let at = self.groups.iter().position(|one| one.name == group).unwrap();
        let node = running(&mut self.cluster.nodes);
        let port = node.primary_of(group);
        self.groups[at].at(port).kill();
        self.wait_switch(group, since)
    }

    /// The first switch of the group that a witness heard since then.
    #[track_caller]
    pub(crate) fn wait_switch(&self, group: &str, since: Instant) -> Switched {
        wait_for(&format!("a switch of {group}"), FAILOVER, || {
            let heard = self.switches().into_iter();
            let of_group = heard.filter(|one| one.group == group && one.at >= since);
            of_group.min_by_key(|one| one.at).map(|one| Switched { since, ..one })
        })
    }

    /// Every switch that any witness heard.
    pub(crate) fn switches(&self) -> Vec<Switched> {
        let heard = self.witnesses.iter().flat_map(Subscriber::heard);
        heard
            .filter(|one| one.channel == "+switch-master")
            .map(|one| {
                let words: Vec<&str> = one.payload.split(' ').collect();
                Switched {
                    since: one.at,
                    at: one.at,
                    group: words[0].to_owned(),
                    from: format!("{}:{}", words[1], words[2]),
                    to: format!("{}:{}", words[3], words[4]),
                }
            })
            .collect()
    }

    /// A planned switch of each group, one after the other; everyone follows each.
    #[track_caller]
    pub(crate) fn switch_each(&mut self, names: &[&str]) {
        for name in names {
            let switched = self.switch(name);
            self.everyone_follows(&switched);
        }
    }

    /// Waits until every proxy has followed that switch; answers how long after the witness the last one did.
    #[track_caller]
    pub(crate) fn everyone_follows(&self, switched: &Switched) -> Duration {
        self.follow(&self.proxies, switched)
    }

    /// The same for some of the proxies.
    #[track_caller]
    pub(crate) fn follow(&self, proxies: &[Proxy], switched: &Switched) -> Duration {
        let deadline = switched.at + MOVE;
        let mut last = Duration::ZERO;
        for proxy in proxies {
            let moved_at =
                || proxy.with_history(|history| history.moved_at(switched.since, &switched.group, &switched.to));
            while moved_at().is_none() {
                assert!(
                    now() < deadline,
                    "{} did not follow {switched:?}\n{}",
                    proxy.name,
                    proxy.history()
                );
                std::thread::sleep(Duration::from_millis(2));
            }
            last = last.max(moved_at().unwrap().saturating_duration_since(switched.at));
        }
        last
    }

    /// From that moment on: no abort, no close but for the tolerated causes, and no address before its time.
    #[track_caller]
    pub(crate) fn judge(&self, since: Instant, tolerated: &[Cause]) {
        for proxy in &self.proxies {
            let history = proxy.history();
            if let Some(fault) = history.fault_since(since, tolerated) {
                panic!("{}: {:?}\n{history}", proxy.name, fault.what);
            }
        }
        self.never_too_early(since);
    }

    /// From that moment on, nothing that the proxies of these names would notice: connections stay, clients are
    /// served, and all of [`Stage::judge`].
    #[track_caller]
    pub(crate) fn undisturbed(&self, proxies: &[Proxy], since: Instant) {
        for proxy in proxies {
            let history = proxy.history();
            if let Some(fault) = history.interruption_since(since) {
                panic!("{}: {:?}\n{history}", proxy.name, fault.what);
            }
        }
        self.never_too_early(since);
    }

    /// Who is asked for its role right after a move to it says master, unless it was replaced since.
    #[track_caller]
    fn never_too_early(&self, since: Instant) {
        let switches = self.switches();
        for proxy in &self.proxies {
            for entry in proxy.history().since(since) {
                let Happening::Role {
                    group,
                    address,
                    asked,
                    master,
                } = &entry.what
                else {
                    continue;
                };
                let meanwhile = *asked - WITNESS..=entry.at + WITNESS;
                let replaced = switches
                    .iter()
                    .any(|one| one.group == *group && one.from == *address && meanwhile.contains(&one.at));
                assert!(
                    *master || replaced,
                    "{}: {group} was moved to {address}, which is no primary\n{}",
                    proxy.name,
                    proxy.history()
                );
            }
        }
    }

    /// The proxies that are connected to that node now.
    pub(crate) fn on_node(&self, at: usize) -> (Vec<Proxy>, Vec<Proxy>) {
        let port = self.ports[at];
        self.proxies
            .iter()
            .cloned()
            .partition(|proxy| proxy.port() == Some(port))
    }

    /// Hears the nodes that run now, also those that were started again.
    pub(crate) fn renew_witnesses(&mut self) {
        self.witnesses.extend(self.cluster.subscribe());
    }

    /// Waits until all nodes answer again after some were started.
    #[track_caller]
    pub(crate) fn wait_nodes(&mut self) {
        for node in &mut self.cluster.nodes {
            node.wait_ready();
        }
        self.cluster.leader();
        self.renew_witnesses();
    }

    /// Waits until no switch of the group is under way, its members follow the primary and every node sees that.
    #[track_caller]
    pub(crate) fn wait_healthy(&mut self, group: &str) {
        let at = self.groups.iter().position(|one| one.name == group).unwrap();
        let node = running(&mut self.cluster.nodes);
        let members = &self.groups[at].members;
        wait_until(&format!("{group} is at rest"), FAILOVER, || {
            let Some(answer) = node.try_call(&["SENTINEL", "MASTER", group]) else {
                return false;
            };
            let port = node.primary_of(group);
            answer.field("flags") == Some("master")
                && members
                    .iter()
                    .all(|one| one.follows(port) || (one.port == port && one.info("role") == "master"))
        });
        self.cluster.wait_healthy(&self.groups[at]);
    }

    /// Waits until the proxy has had so many timers since then.
    #[track_caller]
    pub(crate) fn wait_beats(&self, proxy: &Proxy, since: Instant, count: usize) {
        let beats = || proxy.with_history(|history| history.count_since(since, |what| *what == Happening::Beat));
        wait_until(&format!("{count} heartbeats of {}", proxy.name), SOON, || {
            beats() >= count
        });
    }
}
