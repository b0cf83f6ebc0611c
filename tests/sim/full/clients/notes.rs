//! What clients write down.

use crate::core::START;
use crate::fact::Fact;
use crate::invariants::{Listener, ProxyScene};
use crate::linear::Histories;
use crate::record::Coverage;

use super::Plan;

pub(super) struct Notes {
    pub(super) plan: Plan,
    pub(super) setup_done: bool,
    pub(super) quiet: bool,
    /// Operators that wait for an answer.
    pub(super) busy: usize,
    pub(super) histories: Histories,
    pub(super) facts: Vec<Fact>,
    pub(super) story: Vec<(u64, String, String)>,
    pub(super) coverage: Coverage,
    pub(super) listeners: Vec<Listener>,
    pub(super) proxies: Vec<ProxyScene>,
    connections: u64,
}

impl Notes {
    pub(super) fn new(plan: Plan) -> Self {
        let listener = |client| Listener {
            client,
            connection: 0,
            listens: false,
        };
        Self {
            setup_done: plan.operators == 0,
            quiet: false,
            busy: 0,
            histories: Histories::default(),
            facts: Vec::new(),
            story: Vec::new(),
            coverage: Coverage::default(),
            listeners: (0..plan.subscribers as usize).map(listener).collect(),
            proxies: Vec::new(),
            connections: 0,
            plan,
        }
    }

    /// A number that no other connection has.
    pub(super) fn connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    pub(super) fn tell(&mut self, who: &str, what: impl Into<String>) {
        self.story.push((now(), who.to_owned(), what.into()));
    }
}

/// Now; only for tasks of the simulation.
pub(super) fn now() -> u64 {
    START + turmoil::sim_elapsed().unwrap_or_default().as_millis() as u64
}
