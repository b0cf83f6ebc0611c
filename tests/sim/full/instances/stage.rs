//! What all instances share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use cfgserver::failover::Order;
use cfgserver::machine::State;
use cfgserver::model::{Address, FailoverKind, GroupId, Stage as Step};
use cfgserver::net::weather;
use tokio::sync::Notify;

use crate::core::START;
use crate::fact::Fact;
use crate::record::Coverage;
use crate::redis::{Fleet, Index};
use crate::world::group_name;

/// Which bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Requests: the process reads them.
    In,
    /// Answers: the network takes them.
    Out,
}

/// A connection, as the instance knows it.
pub(super) struct Wire {
    pub(super) who: Index,
    /// Which of its processes took it.
    pub(super) starts: u32,
    pub(super) peer: SocketAddr,
    /// CLIENT SETNAME
    pub(super) name: String,
    pub(super) subscriptions: BTreeSet<String>,
    pub(super) since: u64,
    /// It was closed from this side: nothing more that came over it is done.
    pub(super) closed: bool,
    pub(super) close: Arc<Notify>,
}

/// How often it is looked whether the network is whole again.
const CUT_MS: u64 = 3;

/// Whether a connection may go on.
pub(super) enum Gate {
    Open,
    /// Look again after this many milliseconds.
    Waits(u64),
    Closed,
}

pub(crate) struct Stage {
    pub(crate) fleet: Fleet,
    now: u64,
    /// What begins later: when, in which order, who, and for which generation.
    planned: BTreeSet<(u64, u64, Index, u32)>,
    sequence: u64,
    pub(super) wires: BTreeMap<u64, Wire>,
    next_wire: u64,
    /// Per instance: its process or its host begins or ends.
    pub(super) changed: Vec<Arc<Notify>>,
    members: BTreeMap<Address, Vec<(GroupId, String)>>,
    /// Primaries that are being relieved with care: of whom, and whether that is taken back.
    relieved: BTreeMap<Address, (Address, bool)>,
    pub(super) facts: Vec<Fact>,
    pub(super) story: Vec<(u64, Index, String)>,
    pub(super) coverage: Coverage,
}

impl Stage {
    pub(super) fn new(fleet: Fleet) -> Self {
        Self {
            changed: fleet.servers.iter().map(|_| Arc::default()).collect(),
            fleet,
            now: START,
            planned: BTreeSet::new(),
            sequence: 0,
            wires: BTreeMap::new(),
            next_wire: 0,
            members: BTreeMap::new(),
            relieved: BTreeMap::new(),
            facts: Vec::new(),
            story: Vec::new(),
            coverage: Coverage::default(),
        }
    }

    /// Now. Hosts run one after another through the same millisecond: it never goes back.
    pub(crate) fn clock(&mut self) -> u64 {
        if let Some(elapsed) = turmoil::sim_elapsed() {
            self.now = self.now.max(START + elapsed.as_millis() as u64);
        }
        self.now
    }

    /// What was planned until then happens.
    pub(super) fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
        self.fleet.look_at_streams(self.now);
        self.drain();
        while let Some(first) = self.planned.first().copied().filter(|first| first.0 <= self.now) {
            self.planned.remove(&first);
            let (_, _, who, generation) = first;
            self.fleet.replicate(who, generation, self.now);
            self.drain();
        }
    }

    /// Takes over what the fleet has planned and what became of data.
    pub(super) fn drain(&mut self) {
        for (at, who, generation) in std::mem::take(&mut self.fleet.later) {
            self.sequence += 1;
            self.planned.insert((at, self.sequence, who, generation));
        }
        for overwritten in std::mem::take(&mut self.fleet.overwritten) {
            self.facts.push(Fact::Overwritten(overwritten));
        }
        self.fleet.ended.clear();
    }

    pub(super) fn tell(&mut self, who: Index, what: impl Into<String>) {
        self.story.push((self.now, who, what.into()));
    }
}

/// Groups and their orders.
impl Stage {
    pub(super) fn know(&mut self, state: &State) {
        self.members.clear();
        self.relieved.clear();
        for group in state.groups() {
            if let Some(open) = &group.failover
                && open.kind == FailoverKind::Coordinated
            {
                let undone = matches!(open.stage, Step::Undo { .. });
                self.relieved.insert(open.old_primary, (open.candidate, undone));
            }
            for address in group.members.keys() {
                let owners = self.members.entry(*address).or_default();
                owners.push((group.id, group.name.to_string()));
            }
        }
    }

    /// The group in whose name an instance is ordered: its own, if several have its address.
    fn group_of(&self, who: Index) -> Option<GroupId> {
        let server = &self.fleet.servers[who];
        let owners = self.members.get(&server.address)?;
        let home = server.home.map(|home| group_name(home).to_string());
        let own = owners.iter().find(|(_, name)| Some(name) == home.as_ref());
        own.or(owners.first()).map(|(id, _)| *id)
    }

    /// What an order is meant as: orders of a coordinated failover to its old primary have the words of others.
    pub(super) fn meant(&self, who: Index, order: Order) -> Order {
        match (self.relieved.get(&self.fleet.servers[who].address), &order) {
            (Some((_, true)), Order::Promote) => Order::TakeBack,
            (Some((to, _)), Order::Follow { primary, .. }) if primary == to => Order::StepDown { to: *to },
            _ => order,
        }
    }

    /// An order was carried out. `keys`, `was_primary`: before it.
    pub(super) fn ordered(&mut self, wire: u64, order: Order, was_primary: bool, keys: u64) {
        let Wire { who, name, .. } = &self.wires[&wire];
        let term = name
            .rsplit('-')
            .next()
            .and_then(|term| term.parse().ok())
            .unwrap_or_default();
        let (who, text) = (*who, format!("is ordered by {name}: {order}"));
        self.tell(who, text);
        let Some(group) = self.group_of(who) else {
            self.coverage.mark("instance: ordered for a group that is gone");
            return;
        };
        self.facts.push(Fact::OrderDone {
            group,
            server: who,
            term,
            // It was read on the connection that carried the order.
            run_id: self.fleet.servers[who].run_id(),
            order,
            was_primary,
            keys,
        });
    }
}

/// Connections.
impl Stage {
    /// A connection was taken; `None` when the process is gone.
    pub(super) fn connected(&mut self, who: Index, starts: u32, peer: SocketAddr) -> Option<(u64, Arc<Notify>)> {
        let since = self.clock();
        let server = &self.fleet.servers[who];
        if !server.running || server.starts != starts {
            return None;
        }
        self.next_wire += 1;
        let close: Arc<Notify> = Arc::default();
        let wire = Wire {
            who,
            starts,
            peer,
            name: String::new(),
            subscriptions: BTreeSet::new(),
            since,
            closed: false,
            close: close.clone(),
        };
        self.wires.insert(self.next_wire, wire);
        Some((self.next_wire, close))
    }

    /// How long the other side cannot learn yet that a connection has ended.
    pub(super) fn held_ms(&self, wire: u64) -> Option<u64> {
        let wire = self.wires.get(&wire)?;
        let server = &self.fleet.servers[wire.who];
        let open = server.host_up && weather::is_open((server.address.ip, wire.peer.ip()));
        (!open).then_some(CUT_MS)
    }

    pub(super) fn disconnected(&mut self, wire: u64) {
        self.wires.remove(&wire);
    }

    /// Closes a connection from this side; false when it is closed already.
    pub(super) fn close(&mut self, wire: u64) -> bool {
        match self.wires.get_mut(&wire).filter(|wire| !wire.closed) {
            Some(wire) => {
                wire.closed = true;
                wire.close.notify_one();
                true
            }
            None => false,
        }
    }

    /// The process, or a whole host, ends or begins.
    pub(super) fn turned(&mut self, who: Index) {
        let (running, starts) = (self.fleet.servers[who].running, self.fleet.servers[who].starts);
        let gone = |wire: &Wire| wire.who == who && (!running || wire.starts != starts);
        let ended: Vec<u64> = self
            .wires
            .iter()
            .filter(|(_, wire)| gone(wire))
            .map(|(id, _)| *id)
            .collect();
        for wire in ended {
            self.close(wire);
        }
        self.changed[who].notify_one();
        self.drain();
    }

    /// Whether what came over a connection is read now, or what was answered is sent.
    pub(super) fn gate(&mut self, wire: u64, way: Way) -> Gate {
        let now = self.clock();
        let Some(wire) = self.wires.get(&wire).filter(|wire| !wire.closed) else {
            return Gate::Closed;
        };
        let server = &self.fleet.servers[wire.who];
        match way {
            _ if !server.host_up => Gate::Waits(CUT_MS),
            Way::In if server.hung(now) => Gate::Waits(server.hung_until - now),
            Way::Out if !weather::is_open((server.address.ip, wire.peer.ip())) => Gate::Waits(CUT_MS),
            _ => Gate::Open,
        }
    }
}
