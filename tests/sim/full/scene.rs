//! The full simulator's world, as invariants look at it.

use std::sync::Arc;

use cfgserver::machine::{Entry, State};
use cfgserver::model::{Address, GroupId, NodeId, Sighting, Term};
use cfgserver::net::weather;

use super::clients::Clients;
use super::ledger::Ledger;
use super::node::{self, Machine};
use crate::invariants::{Listener, NodeScene, ProxyScene, Scene};
use crate::redis::Fleet;

/// What a rule looks at, at one moment.
pub(super) struct Moment<'a> {
    pub(super) now: u64,
    pub(super) changed_at: u64,
    pub(super) fleet: &'a Fleet,
    pub(super) machines: &'a [Machine],
    pub(super) ledger: &'a Ledger,
    pub(super) clients: &'a Clients,
}

impl Moment<'_> {
    fn machine(&self, id: NodeId) -> &Machine {
        &self.machines[id as usize - 1]
    }

    fn goes(&self, from: NodeId, to: NodeId) -> bool {
        weather::is_open((node::address(from), node::address(to)))
    }
}

impl Scene for Moment<'_> {
    fn now(&self) -> u64 {
        self.now
    }

    fn fleet(&self) -> &Fleet {
        self.fleet
    }

    fn state(&self) -> Arc<State> {
        self.ledger.state()
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        self.ledger.entries()
    }

    fn led_term(&self) -> Option<Term> {
        let committed = self.ledger.last_term()?;
        let led = |id| self.node(id).leads == Some(committed);
        (1..=self.nodes()).any(led).then_some(committed)
    }

    fn nodes(&self) -> NodeId {
        self.machines.len() as NodeId
    }

    fn node(&self, id: NodeId) -> NodeScene {
        let machine = self.machine(id);
        let process = machine.running();
        let leadership = process.as_ref().map(|process| *process.handle.leadership().borrow());
        let state = process.as_ref().map(|process| process.board.state());
        let applied = process.as_ref().map(|process| process.applied());
        NodeScene {
            id,
            running: process.is_some(),
            member: self.ledger.state().nodes().contains_key(&id),
            started_at: machine.started_at(),
            paused_ms: machine.paused_ms(self.now),
            just_paused_ms: machine.just_paused_ms(self.now),
            skewed: machine.is_skewed(),
            leads: leadership
                .filter(|now| now.me && !machine.host.is_stopped())
                .map(|now| now.term),
            state: state.unwrap_or_default(),
            // Not known here: the rules that ask are as strict as they can be.
            applying: false,
            caught_up: applied.is_some() && applied >= self.ledger.last(),
        }
    }

    fn sighting(&self, node: NodeId, group: GroupId, address: Address) -> Option<Sighting> {
        let process = self.machine(node).running()?;
        process.board.sightings(group).get(&address).cloned()
    }

    fn judged_down_at(&self, _: NodeId, _: GroupId, _: Address) -> Option<u64> {
        None
    }

    fn in_contact(&self, one: NodeId, other: NodeId) -> bool {
        let runs = |id| self.machine(id).running().is_some() && !self.machine(id).host.is_stopped();
        one == other || (runs(one) && runs(other) && self.goes(one, other) && self.goes(other, one))
    }

    fn settled_ms(&self) -> u64 {
        self.now - self.changed_at
    }

    fn listeners(&self) -> Vec<Listener> {
        self.clients.listeners()
    }

    fn proxies(&self) -> Vec<ProxyScene> {
        self.clients.proxies()
    }
}
