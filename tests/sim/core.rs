//! What all parts of the world share: time, the queue, chance, the network, the instances, the log, and the facts
//! that invariants look at.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use cfgserver::model::{Address, Facts, NodeId};

use crate::chance::Chance;
use crate::event::Event;
use crate::fact::Fact;
use crate::log::Log;
use crate::net::Net;
use crate::queue::Queue;
use crate::record::{Coverage, Story};
use crate::redis::{Fleet, Index, Owner};
use crate::settings::Settings;

/// Monotonic time begins here, so that nothing is near zero.
pub(crate) const START: u64 = 3_600_000;

/// What all parts share.
pub(crate) struct Core {
    pub(crate) now: u64,
    queue: Queue,
    pub(crate) chance: Chance,
    pub(crate) settings: Settings,
    pub(crate) net: Net,
    pub(crate) fleet: Fleet,
    pub(crate) log: Log,
    pub(crate) coverage: Coverage,
    pub(crate) story: Story,
    /// What happened since the invariants looked last.
    pub(crate) facts: Vec<Fact>,
    next_serial: u64,
    /// When the network, or a node, changed last.
    pub(crate) changed_at: u64,
    /// Orders that wait for the network to be whole again.
    pub(crate) held: Vec<Event>,
    /// A node has something to tell its subscribers.
    pub(crate) publishing: bool,
    /// How often each rule had something to judge.
    pub(crate) judged: RefCell<BTreeMap<&'static str, u64>>,
    /// Faults are over.
    pub(crate) quiet: bool,
}

impl Core {
    pub(crate) fn new(settings: Settings, chance: Chance, story: Story) -> Self {
        Self {
            now: START,
            queue: Queue::new(START),
            chance,
            net: Net::new(settings.nodes),
            fleet: Fleet::default(),
            log: Log::default(),
            coverage: Coverage::default(),
            story,
            facts: Vec::new(),
            next_serial: 0,
            changed_at: START,
            held: Vec::new(),
            publishing: false,
            judged: RefCell::default(),
            quiet: false,
            settings,
        }
    }

    pub(crate) fn push(&mut self, at: u64, event: Event) {
        self.queue.push(at, event);
    }

    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.push(self.now + ms, event);
    }

    /// The next event; time goes there.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let (at, event) = self.queue.pop()?;
        self.now = at;
        self.fleet.now = at;
        Some(event)
    }

    /// How long nothing has changed between the nodes.
    pub(crate) fn settled_ms(&self) -> u64 {
        self.now - self.changed_at
    }

    pub(crate) fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    /// How long a message takes.
    pub(crate) fn delay(&mut self) -> u64 {
        let (low, high) = self.settings.delay_ms;
        if self.settings.spikes_permille > 0 && !self.quiet && self.chance.permille(self.settings.spikes_permille) {
            return self.chance.within(high, high * 10 + 50);
        }
        self.chance.within(low, high)
    }

    pub(crate) fn fact(&mut self, fact: Fact) {
        self.facts.push(fact);
    }

    pub(crate) fn tell(&mut self, who: &str, what: impl FnOnce() -> String) {
        if self.story.is_kept() {
            self.story.tell(self.now - START, who, what());
        }
    }

    pub(crate) fn tell_node(&mut self, node: NodeId, what: impl FnOnce() -> String) {
        if self.story.is_kept() {
            let text = self.named(&what());
            self.story.tell(self.now - START, &format!("node {node}"), text);
        }
    }

    /// Addresses as names of instances.
    pub(crate) fn named(&self, text: &str) -> String {
        crate::names::in_words(&self.fleet, text)
    }

    /// Bytes from a node get to an instance.
    pub(crate) fn goes_to(&self, node: NodeId, server: Index) -> bool {
        self.net.reaches_server(node, server) && self.fleet.servers[server].host_up
    }

    /// Bytes from an instance get to a node.
    pub(crate) fn comes_from(&self, node: NodeId, server: Index) -> bool {
        self.net.server_reaches(node, server) && self.fleet.servers[server].host_up
    }

    /// Bytes of a connection got lost: what comes after them is not read any more.
    pub(crate) fn lose(&mut self, server: Index, conn: u64) {
        if let Some(conn) = self.fleet.servers[server].conns.get_mut(&conn) {
            conn.dead = true;
        }
    }

    /// The connection is there, and nothing on it was lost.
    pub(crate) fn is_live(&self, server: Index, conn: u64) -> bool {
        self.fleet.servers[server]
            .conns
            .get(&conn)
            .is_some_and(|conn| !conn.dead)
    }

    pub(crate) fn server_at(&self, address: Address) -> Option<Index> {
        self.fleet.at(address)
    }

    /// What a node reads of an instance.
    pub(crate) fn facts_of(&mut self, server: Index) -> Arc<Facts> {
        let facts = self.fleet.facts(server, self.now);
        if self.settings.check_plans {
            assert_eq!(
                *facts,
                self.fleet.read(server, self.now),
                "what is parsed anew is the same"
            );
        }
        facts
    }

    /// Registers a connection with an instance; its number.
    pub(crate) fn connect(&mut self, server: Index, owner: Owner, leader: Option<u64>) -> u64 {
        self.fleet.next_conn += 1;
        let id = self.fleet.next_conn;
        let conn = crate::redis::Conn {
            owner,
            leader: leader.map(|term| (owner.node, term)),
            dead: false,
        };
        self.fleet.servers[server].conns.insert(id, conn);
        id
    }

    /// Passes on what the instances have planned and ended.
    pub(crate) fn drain_fleet(&mut self) {
        let fleet = &self.fleet;
        if fleet.later.is_empty() && fleet.ended.is_empty() && fleet.overwritten.is_empty() {
            return;
        }
        for (at, who, generation) in std::mem::take(&mut self.fleet.later) {
            self.push(at, Event::Replicate { who, generation });
        }
        for (server, conn, owner) in std::mem::take(&mut self.fleet.ended) {
            if self.comes_from(owner.node, server) {
                let ms = self.delay();
                self.after(
                    ms,
                    Event::ConnEnded {
                        node: owner.node,
                        life: owner.life,
                        server,
                        conn,
                    },
                );
            }
        }
        for overwritten in std::mem::take(&mut self.fleet.overwritten) {
            self.fact(Fact::Overwritten(overwritten));
        }
    }
}
