//! The fast simulator's world, as invariants look at it.

use std::sync::Arc;

use cfgserver::machine::{Entry, State};
use cfgserver::model::{Address, GroupId, NodeId, Sighting, Term};

use crate::clients::Clients;
use crate::core::Core;
use crate::invariants::{Listener, NodeScene, ProxyScene, Scene};
use crate::node::Node;
use crate::redis::Fleet;

use super::group_name;

/// The parts of the world that a rule looks at.
pub(super) struct Stage<'a> {
    pub(super) core: &'a Core,
    pub(super) nodes: &'a [Node],
    pub(super) clients: &'a Clients,
}

impl Stage<'_> {
    fn at(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize - 1]
    }
}

impl Scene for Stage<'_> {
    fn now(&self) -> u64 {
        self.core.now
    }

    fn fleet(&self) -> &Fleet {
        &self.core.fleet
    }

    fn state(&self) -> Arc<State> {
        self.core.log.state()
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        let entries = self.core.log.entries.iter();
        entries.filter_map(|committed| committed.entry.clone()).collect()
    }

    fn led_term(&self) -> Option<Term> {
        self.core.log.led.then_some(self.core.log.term)
    }

    fn nodes(&self) -> NodeId {
        self.nodes.len() as NodeId
    }

    fn node(&self, id: NodeId) -> NodeScene {
        let node = self.at(id);
        NodeScene {
            id,
            running: node.running,
            member: self.core.log.is_member(id),
            started_at: node.started_at,
            paused_ms: node.paused_ms(self.core.now),
            just_paused_ms: node.just_paused_ms(self.core.now),
            skewed: node.skew_ms != 0,
            leads: (node.running && node.view.me).then_some(node.view.term),
            state: node.state.clone(),
            applying: self.core.log.applying.get(&id) == Some(&true),
            caught_up: node.applied >= self.core.log.entries.len(),
        }
    }

    fn sighting(&self, node: NodeId, group: GroupId, address: Address) -> Option<Sighting> {
        self.at(node).seen.0.get(&group)?.get(&address).cloned()
    }

    fn judged_down_at(&self, node: NodeId, group: GroupId, address: Address) -> Option<u64> {
        self.at(node).judged_down.get(&(group, address)).copied()
    }

    fn mute_ms(&self, from: NodeId, to: NodeId) -> u64 {
        let since = self.core.net.mute_since(from, to);
        since.map_or(0, |since| self.core.now - since)
    }

    fn in_contact(&self, one: NodeId, other: NodeId) -> bool {
        self.core.net.in_contact(one, other)
    }

    fn settled_ms(&self) -> u64 {
        self.core.settled_ms()
    }

    fn judges(&self, rule: &'static str) {
        *self.core.judged.borrow_mut().entry(rule).or_default() += 1;
    }

    fn proxies(&self) -> Vec<ProxyScene> {
        let groups = 0..self.core.settings.groups.len();
        let groups: Vec<String> = groups.map(|group| group_name(group).to_string()).collect();
        let proxies = self.clients.proxies.iter();
        proxies
            .map(|proxy| ProxyScene {
                name: proxy.name,
                ready: proxy.ready(),
                groups: groups.clone(),
                addresses: proxy.addresses(),
            })
            .collect()
    }

    fn listeners(&self) -> Vec<Listener> {
        let clients = self.clients.subscribers.iter().enumerate();
        clients
            .map(|(client, subscriber)| Listener {
                client,
                connection: subscriber.connection,
                listens: subscriber.subscribed && subscriber.node.is_some(),
            })
            .collect()
    }
}
