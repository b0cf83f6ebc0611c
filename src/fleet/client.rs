//! The connections of the pretend instances, and what they sent.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::fleet::instance::Life;
use crate::fleet::world::{Deed, Whom, World};
use crate::model::Instant;

/// Hellos that may wait for one connection; a slower one is closed, as Redis does.
pub(super) const OUTBOX_MESSAGES: usize = 64;

/// One connection. Whoever is dropped from the list is closed.
pub(super) struct Client {
    pub(super) name: String,
    pub(super) peer: String,
    pub(super) since: Instant,
    pub(super) channels: BTreeSet<Bytes>,
    pub(super) outbox: mpsc::Sender<Bytes>,
}

/// The world and everybody who looks at it.
pub(super) struct Floor {
    pub(super) world: World,
    /// Connections of each instance, by their ids.
    pub(super) clients: Vec<BTreeMap<u64, Client>>,
    /// What each instance's listener and connections watch.
    pub(super) lives: Vec<watch::Sender<Life>>,
    pub(super) counters: Counters,
}

/// What the fleet was asked since it began, or since the numbers were reset.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: u64,
    pub(super) commands: BTreeMap<&'static str, u64>,
    next_id: u64,
}

impl Counters {
    pub(super) fn reset(&mut self) {
        self.connections = 0;
        self.commands.clear();
    }
}

impl Floor {
    pub(super) fn new(world: World) -> Self {
        let count = world.instances.len();
        Self {
            world,
            clients: std::iter::repeat_with(BTreeMap::new).take(count).collect(),
            lives: std::iter::repeat_with(|| watch::Sender::new(Life::Up))
                .take(count)
                .collect(),
            counters: Counters::default(),
        }
    }

    /// Takes a connection in; its id, and what it is to be sent.
    pub(super) fn enter(&mut self, place: usize, peer: String, now: Instant) -> (u64, mpsc::Receiver<Bytes>) {
        let (outbox, messages) = mpsc::channel(OUTBOX_MESSAGES);
        self.counters.connections += 1;
        self.counters.next_id += 1;
        let id = self.counters.next_id;
        let client = Client {
            name: String::new(),
            peer,
            since: now,
            channels: BTreeSet::new(),
            outbox,
        };
        self.clients[place].insert(id, client);
        (id, messages)
    }

    pub(super) fn leave(&mut self, place: usize, id: u64) {
        self.clients[place].remove(&id);
    }

    /// How many connections there are.
    pub(super) fn connected(&self) -> usize {
        self.clients.iter().map(BTreeMap::len).sum()
    }

    /// Does `deed` to those that are meant; how many it changed.
    pub(super) fn act(
        &mut self,
        deed: Deed,
        whom: Whom,
        numbers: std::ops::RangeInclusive<u32>,
        now: Instant,
    ) -> usize {
        let places = self.world.places(whom, numbers);
        places
            .into_iter()
            .filter(|place| self.act_on(*place, deed, now))
            .count()
    }

    fn act_on(&mut self, place: usize, deed: Deed, now: Instant) -> bool {
        if !self.world.act(place, deed, now) {
            return false;
        }
        let life = self.world.instances[place].life;
        if life == Life::Killed {
            self.clients[place].clear();
        }
        self.lives[place].send_replace(life);
        true
    }
}
