//! The hosts of a run and the hands that make faults on them. Every fault ends with the one `heal`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::chance::Chance;
use crate::enclosure::FOLDER;
use crate::moment::{ms, wait_for};
use crate::network::{self, Host};
use crate::node::{Node, PORT as NODE_PORT};
use crate::reach::Reach;
use crate::redis::{Group, PORT as REDIS_PORT};

/// A primary is Down after this silence.
pub(crate) const DOWN_AFTER_MS: u64 = 2_000;
const FORMED: Duration = Duration::from_secs(60);

/// An instance: group and member.
pub(crate) type Place = (usize, usize);

pub(crate) struct Scene {
    pub(crate) nodes: Vec<Node>,
    pub(crate) groups: Vec<Group>,
    pub(crate) reach: Reach,
    pub(crate) chance: Chance,
    narrowed: Vec<usize>,
    /// Hosts that do not hear everything.
    deafened: BTreeSet<Ipv4Addr>,
    /// Hosts to which something was done since somebody looked.
    pub(crate) hit: BTreeSet<Ipv4Addr>,
    /// A node may end itself during this fault: its disk is taken away.
    pub(crate) may_end: bool,
    /// Nodes that ended themselves and were not expected to.
    pub(crate) ended: Vec<u64>,
}

impl Scene {
    /// Founds the cluster and starts the groups; monitors them.
    pub(crate) fn open(nodes: u8, groups: u8, seed: u64) -> Self {
        network::open();
        let secret = PathBuf::from(FOLDER).join("secret");
        fs::write(&secret, "a secret of the hosts in this run\n").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let ip = |id: u8| Ipv4Addr::new(10, 77, 1, id);
        let peers: Vec<String> = (1..=nodes).map(|id| format!("{id}={}:{NODE_PORT}", ip(id))).collect();
        let peers = peers.join(",");
        let mut scene = Self {
            nodes: (1..=nodes)
                .map(|id| Node::new(u64::from(id), ip(id), &peers, &secret))
                .collect(),
            groups: (1..=groups).map(|number| Group::start(number, 3)).collect(),
            reach: Reach::default(),
            chance: Chance::new(seed),
            narrowed: Vec::new(),
            deafened: BTreeSet::new(),
            hit: BTreeSet::new(),
            may_end: false,
            ended: Vec::new(),
        };
        for node in &mut scene.nodes {
            node.start();
            scene.reach.add_node(node.host.ip);
        }
        for node in &mut scene.nodes {
            node.wait_ready();
        }
        for member in scene.groups.iter().flat_map(|group| &group.members) {
            scene.reach.add_instance(member.host.ip, ms());
        }
        scene.monitor();
        scene
    }

    fn monitor(&self) {
        for group in &self.groups {
            self.monitor_at(group, group.members[0].host.ip);
        }
    }

    fn monitor_at(&self, group: &Group, ip: Ipv4Addr) {
        let (ip, port) = (ip.to_string(), REDIS_PORT.to_string());
        let quorum = (self.nodes.len() / 2 + 1).to_string();
        let down_after = DOWN_AFTER_MS.to_string();
        self.insist(&["SENTINEL", "MONITOR", &group.name, &ip, &port, &quorum]);
        self.insist(&["SENTINEL", "SET", &group.name, "down-after-milliseconds", &down_after]);
    }

    /// Removes a group and monitors it again where it is: what it knows of recent switches, which would hold back the
    /// next, is forgotten with it.
    pub(crate) fn monitor_again(&self, group: usize) {
        let ip = self.ip(self.primary(group));
        self.insist(&["SENTINEL", "REMOVE", &self.groups[group].name]);
        self.monitor_at(&self.groups[group], ip);
    }

    /// Asks until it is done.
    fn insist(&self, words: &[&str]) {
        wait_for(&format!("{words:?} is acknowledged"), FORMED, || {
            self.nodes.iter().find_map(|node| {
                let answer = node.call(words)?;
                let text = answer.text();
                let was_done = text.contains("Duplicate master") || text.contains("No such master");
                (answer.is_ok() || was_done).then_some(())
            })
        });
    }

    pub(crate) fn group_names(&self) -> Vec<String> {
        self.groups.iter().map(|group| group.name.clone()).collect()
    }

    // ---- who is who

    /// The place of the leader, by the word of the nodes; any when nobody knows one.
    pub(crate) fn leader(&mut self) -> usize {
        let known = crate::moment::within(Duration::from_secs(10), || {
            self.nodes.iter().find_map(|node| {
                let answer = node.call(&["INFO", "raft"])?;
                let line = answer
                    .text()
                    .lines()
                    .find_map(|line| line.strip_prefix("raft_leader:"))?;
                let id = line.parse::<u64>().ok()?;
                self.nodes.iter().position(|node| node.id == id)
            })
        });
        known.unwrap_or_else(|| self.chance.index(self.nodes.len()))
    }

    pub(crate) fn follower(&mut self) -> usize {
        let leader = self.leader();
        self.other_node(leader)
    }

    pub(crate) fn other_node(&mut self, than: usize) -> usize {
        (than + 1 + self.chance.index(self.nodes.len() - 1)) % self.nodes.len()
    }

    pub(crate) fn any_group(&mut self) -> usize {
        self.chance.index(self.groups.len())
    }

    /// The primary of a group as the nodes tell it.
    pub(crate) fn primary(&self, group: usize) -> Place {
        let group_of = &self.groups[group];
        let told = self.nodes.iter().find_map(|node| {
            let mut client = node.connect()?;
            let address = crate::writer::primary_of(&mut client, &group_of.name)?;
            let std::net::IpAddr::V4(ip) = address.ip() else {
                return None;
            };
            group_of.place_of(ip)
        });
        (group, told.unwrap_or(0))
    }

    pub(crate) fn replica(&mut self, group: usize) -> Place {
        let (_, primary) = self.primary(group);
        let size = self.groups[group].members.len();
        (group, (primary + 1 + self.chance.index(size - 1)) % size)
    }

    pub(crate) fn node_ip(&self, node: usize) -> Ipv4Addr {
        self.nodes[node].host.ip
    }

    pub(crate) fn ip(&self, (group, member): Place) -> Ipv4Addr {
        self.groups[group].members[member].host.ip
    }

    pub(crate) fn name(&self, (group, member): Place) -> String {
        self.groups[group].members[member].host.name.clone()
    }

    fn hosts(&self) -> impl Iterator<Item = &Host> {
        let nodes = self.nodes.iter().map(|node| &node.host);
        let members = self.groups.iter().flat_map(|group| &group.members);
        nodes.chain(members.map(|member| &member.host))
    }

    // ---- the network

    /// Nothing goes from the first to the second of each pair; the way back is open.
    pub(crate) fn lose(&mut self, pairs: &[(Ipv4Addr, Ipv4Addr)]) {
        let mut deaf: BTreeMap<Ipv4Addr, Vec<Ipv4Addr>> = BTreeMap::new();
        for (from, to) in pairs {
            deaf.entry(*to).or_default().push(*from);
            self.hit.extend([from, to]);
        }
        // Host after host takes its time on a busy machine: what is half cut counts as cut.
        for (from, to) in pairs {
            self.reach.lose(*from, *to, ms());
        }
        for host in self.hosts() {
            if let Some(from) = deaf.get(&host.ip) {
                host.deafen(from);
            }
        }
        self.deafened.extend(deaf.keys());
    }

    /// Nothing goes between any of these and any of those.
    pub(crate) fn part(&mut self, these: &[Ipv4Addr], those: &[Ipv4Addr]) {
        let there = these.iter().flat_map(|one| those.iter().map(|other| (*one, *other)));
        let back = these.iter().flat_map(|one| those.iter().map(|other| (*other, *one)));
        self.lose(&there.chain(back).collect::<Vec<_>>());
    }

    /// Those hosts on one side, all others on the other.
    pub(crate) fn part_from_rest(&mut self, side: &[Ipv4Addr]) {
        let every = self.hosts().map(|host| host.ip);
        let rest: Vec<Ipv4Addr> = every.filter(|ip| !side.contains(ip)).collect();
        self.part(side, &rest);
    }

    pub(crate) fn lose_some_everywhere(&mut self, permille: u64) {
        for host in self.hosts() {
            host.lose(permille);
        }
        self.deafened = self.hosts().map(|host| host.ip).collect();
        self.hit.extend(&self.deafened);
    }

    pub(crate) fn narrow(&mut self, node: usize, kbit: u64, queue_ms: u64) {
        self.nodes[node].host.narrow(kbit, queue_ms);
        self.narrowed.push(node);
    }

    // ---- processes

    pub(crate) fn kill_node(&mut self, node: usize) {
        self.nodes[node].kill();
        self.silence(self.nodes[node].host.ip);
    }

    pub(crate) fn freeze_node(&mut self, node: usize) {
        self.nodes[node].freeze();
        self.silence(self.nodes[node].host.ip);
    }

    pub(crate) fn kill_redis(&mut self, place: Place) {
        self.groups[place.0].members[place.1].kill();
        self.silence(self.ip(place));
    }

    pub(crate) fn freeze_redis(&mut self, place: Place) {
        self.groups[place.0].members[place.1].freeze();
        self.silence(self.ip(place));
    }

    fn silence(&mut self, ip: Ipv4Addr) {
        self.hit.insert(ip);
        self.reach.silent(ip, ms());
    }

    /// Starts a node that does not run, and says that it is there again.
    pub(crate) fn restart_node(&mut self, node: usize) {
        if !self.nodes[node].is_running() {
            self.nodes[node].start();
        }
        self.reach.speaks(self.nodes[node].host.ip, ms());
    }

    // ---- the end of every fault

    /// Ends whatever is wrong on any host. Answers when the last of it ended.
    pub(crate) fn heal(&mut self) -> u64 {
        for node in &mut self.nodes {
            if node.has_ended() && !self.may_end {
                self.ended.push(node.id);
            }
        }
        for node in self.narrowed.drain(..) {
            self.nodes[node].host.widen();
        }
        for host in self.hosts().filter(|host| self.deafened.contains(&host.ip)) {
            host.mend();
        }
        self.deafened.clear();
        self.reach.lose_nothing(ms());
        for node in &mut self.nodes {
            node.thaw();
            node.empty_disk();
            node.write_protect(false);
            node.restore_descriptors();
            if node.has_own_clock() {
                node.kill();
                node.give_clock_back();
            }
        }
        for member in self.groups.iter_mut().flat_map(|group| &mut group.members) {
            member.thaw();
            if !member.is_running() {
                member.start();
            }
            self.reach.speaks(member.host.ip, ms());
        }
        for node in 0..self.nodes.len() {
            self.restart_node(node);
        }
        self.may_end = false;
        ms()
    }
}
