//! What reaches what, as the runner made it, with its history: the measure for two primaries at once. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Which nodes exchange packets with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReachedBy {
    /// A node that is together with a majority.
    Majority,
    /// Only nodes that are cut off from the majority: they may look, but nobody decides there.
    Minority,
    Nobody,
}

/// Since when an instance is reached how.
pub(crate) type Timeline = Vec<(u64, ReachedBy)>;

#[derive(Default)]
pub(crate) struct Reach {
    nodes: BTreeSet<Ipv4Addr>,
    instances: BTreeMap<Ipv4Addr, Timeline>,
    /// From, to.
    lost: BTreeSet<(Ipv4Addr, Ipv4Addr)>,
    /// Hosts whose process is dead or hangs.
    silent: BTreeSet<Ipv4Addr>,
}

impl Reach {
    pub(crate) fn add_node(&mut self, ip: Ipv4Addr) {
        self.nodes.insert(ip);
    }

    pub(crate) fn add_instance(&mut self, ip: Ipv4Addr, at: u64) {
        self.instances.insert(ip, vec![(at, ReachedBy::Majority)]);
    }

    pub(crate) fn lose(&mut self, from: Ipv4Addr, to: Ipv4Addr, at: u64) {
        self.lost.insert((from, to));
        self.note(at);
    }

    pub(crate) fn lose_nothing(&mut self, at: u64) {
        self.lost.clear();
        self.note(at);
    }

    pub(crate) fn silent(&mut self, ip: Ipv4Addr, at: u64) {
        self.silent.insert(ip);
        self.note(at);
    }

    pub(crate) fn speaks(&mut self, ip: Ipv4Addr, at: u64) {
        self.silent.remove(&ip);
        self.note(at);
    }

    pub(crate) fn timeline(&self, instance: Ipv4Addr) -> &[(u64, ReachedBy)] {
        self.instances.get(&instance).map_or(&[], Vec::as_slice)
    }

    fn together(&self, one: Ipv4Addr, other: Ipv4Addr) -> bool {
        let lost = |pair| self.lost.contains(&pair);
        let silent = self.silent.contains(&one) || self.silent.contains(&other);
        !silent && !lost((one, other)) && !lost((other, one))
    }

    fn has_majority(&self, node: Ipv4Addr) -> bool {
        let others = self.nodes.iter().filter(|other| self.together(node, **other));
        others.count() * 2 > self.nodes.len()
    }

    fn reached(&self, instance: Ipv4Addr) -> ReachedBy {
        let mut found = ReachedBy::Nobody;
        for node in self.nodes.iter().filter(|node| self.together(**node, instance)) {
            if self.has_majority(*node) {
                return ReachedBy::Majority;
            }
            found = ReachedBy::Minority;
        }
        found
    }

    fn note(&mut self, at: u64) {
        let all: Vec<Ipv4Addr> = self.instances.keys().copied().collect();
        for instance in all {
            let reached = self.reached(instance);
            let timeline = self.instances.entry(instance).or_default();
            if timeline.last().is_none_or(|(_, last)| *last != reached) {
                timeline.push((at, reached));
            }
        }
    }
}
