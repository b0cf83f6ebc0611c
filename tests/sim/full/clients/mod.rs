//! Clients of the nodes on one machine of the simulated network: each a task with chance of its own.
//!
//! ```text
//! subscribers  Sentinel clients: look addresses up, listen for switches, go to another node when a connection ends
//! proxies      the doubles of both forks
//! operators    MONITOR, SET, REMOVE, FAILOVER, reads; what they ask and hear is a history
//! line         a RESP connection to a node or an instance
//! notes        what all of them write down: facts, histories, a story
//! ```

pub(crate) mod check;
mod line;
mod notes;
mod operators;
mod proxies;
mod subscribers;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use cfgserver::host::Host;
use cfgserver::machine::{Command, State};
use turmoil::Sim;

use super::instances::Instances;
use crate::chance::Chance;
use crate::fact::Fact;
use crate::invariants::{Listener, ProxyScene};
use crate::record::Coverage;

use notes::Notes;

/// The machine of all clients.
pub(crate) const MACHINE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 8, 8, 8));

/// Who there is.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where the nodes listen.
    pub(crate) nodes: Vec<SocketAddr>,
    /// The requests by which operators set the groups up, in this order.
    pub(crate) setup: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) subscribers: u64,
    pub(crate) proxies: u64,
    pub(crate) operators: u64,
    /// Operators ask this often, about.
    pub(crate) operator_every_ms: u64,
    pub(crate) seed: u64,
}

/// All clients. Cheap to clone; every clone is the same crowd.
#[derive(Clone)]
pub(crate) struct Clients {
    notes: Arc<Mutex<Notes>>,
    instances: Instances,
}

impl Clients {
    pub(crate) fn new(plan: Plan, instances: Instances) -> Self {
        Self {
            notes: Arc::new(Mutex::new(Notes::new(plan))),
            instances,
        }
    }

    /// Makes their machine, and starts them.
    pub(crate) fn join(&self, sim: &mut Sim<'_>) {
        let clients = self.clone();
        sim.host(MACHINE, move || clients.clone().run());
    }

    async fn run(self) -> turmoil::Result {
        let plan = self.notes().plan.clone();
        let mut chance = Chance::new(plan.seed);
        let mut tasks = tokio::task::JoinSet::new();
        let host = |name: String, chance: &mut Chance| Host::new(name, MACHINE, chance.next());
        for number in 0..plan.subscribers as usize {
            let task = subscribers::live(self.clone(), number, Chance::new(chance.next()));
            tasks.spawn_local(host(format!("client {number}"), &mut chance).run(task));
        }
        for number in 0..plan.proxies as usize {
            let task = proxies::live(self.clone(), number, Chance::new(chance.next()));
            tasks.spawn_local(host(format!("proxy {number}"), &mut chance).run(task));
        }
        for number in 0..plan.operators as usize {
            let task = operators::live(self.clone(), number, Chance::new(chance.next()));
            tasks.spawn_local(host(format!("operator {number}"), &mut chance).run(task));
        }
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        // A machine without a task is a machine all the same.
        std::future::pending().await
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().expect("nobody panics while it is locked")
    }
}

/// What the world may tell and ask them.
impl Clients {
    /// The nodes are others now.
    pub(crate) fn set_nodes(&self, nodes: Vec<SocketAddr>) {
        self.notes().plan.nodes = nodes;
    }

    /// The groups are set up.
    pub(crate) fn are_set_up(&self) -> bool {
        self.notes().setup_done
    }

    /// Operators ask nothing more. True when none waits for an answer.
    pub(crate) fn be_quiet(&self) -> bool {
        let mut notes = self.notes();
        notes.quiet = true;
        notes.busy == 0
    }

    /// An entry was committed, at some time in between.
    pub(crate) fn committed(&self, command: &Command, before: &State, after: &State, between: (u64, u64)) {
        self.notes().histories.committed(command, before, after, between);
    }

    /// Whether what operators asked and heard has an order, which ends with this state.
    pub(crate) fn check_histories(&self, state: &State, now: u64) -> Result<(), String> {
        let notes = &mut *self.notes();
        let histories = &mut notes.histories;
        for name in histories.names() {
            histories.ends_as(&name, state.group_named(&name).map(AsRef::as_ref), now);
        }
        notes
            .coverage
            .add("operator: operations in an order", histories.length() as u64);
        let checked = histories.check();
        checked.map_err(|why| format!("what operators heard has no order: {why}"))
    }

    pub(crate) fn take_facts(&self) -> Vec<Fact> {
        std::mem::take(&mut self.notes().facts)
    }

    /// When, who, what.
    pub(crate) fn take_story(&self) -> Vec<(u64, String, String)> {
        std::mem::take(&mut self.notes().story)
    }

    pub(crate) fn take_coverage(&self) -> Coverage {
        std::mem::take(&mut self.notes().coverage)
    }

    pub(crate) fn listeners(&self) -> Vec<Listener> {
        self.notes().listeners.clone()
    }

    pub(crate) fn proxies(&self) -> Vec<ProxyScene> {
        self.notes().proxies.clone()
    }
}
