//! The board: what a node knows, shared between its services.
//!
//! ```text
//! pubsub publishes the applied state --> | state     | --> requests, probe, control read it
//! probe puts what it sees            --> | sightings | --> requests, control read it; news mark groups dirty
//! raft's status is put by app        --> | status    | --> requests read it
//! operators turn dials by requests   --> | dials     | --> probe, control, telemetry go by it
//! runner puts what runs and waits    --> | scripts   | --> requests read it
//! ```
//!
//! Read-mostly and never awaited on: readers take a pointer. What does not live here: decisions, and queues of
//! anything that must not be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, broadcast};

use crate::machine::State;
use crate::model::{Address, GroupId, Instant, Revision, Role, Sighting, Verdict};
use crate::requests::{Dial, Dials, Foreigners, Hello, Lists, NodeStatus, Sightings};
use crate::script::Pending;
use crate::watch;

/// Requests for INFO that a slow reader may miss; a missed one costs freshness only.
const INFO_REQUESTS_MAX: usize = 4096;

/// Whether a sighting tells the control something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only times moved on.
    Ages,
    /// Verdict, role, facts or link changed: the group is planned again.
    News,
}

/// What a node knows, shared between its services.
pub struct Board {
    state: ArcSwap<State>,
    status: ArcSwap<NodeStatus>,
    dials: ArcSwap<Dials>,
    scripts: ArcSwap<Vec<Pending>>,
    foreigners: Mutex<Foreigners>,
    lists: Lists,
    revision: watch::Sender<Revision>,
    sightings: Mutex<BTreeMap<GroupId, BTreeMap<Address, Sighting>>>,
    dirty: Mutex<BTreeSet<GroupId>>,
    dirty_notify: Notify,
    info_requests: broadcast::Sender<GroupId>,
}

impl Board {
    /// An empty board.
    pub fn new(status: NodeStatus) -> Self {
        Self {
            state: ArcSwap::default(),
            status: ArcSwap::from_pointee(status),
            dials: ArcSwap::default(),
            scripts: ArcSwap::default(),
            foreigners: Mutex::default(),
            lists: Lists::default(),
            revision: watch::Sender::new(0),
            sightings: Mutex::default(),
            dirty: Mutex::default(),
            dirty_notify: Notify::new(),
            info_requests: broadcast::Sender::new(INFO_REQUESTS_MAX),
        }
    }

    /// The replicated state that this node has applied.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Replaces the state; everything that watches the revision wakes.
    pub fn publish_state(&self, state: Arc<State>) {
        let revision = state.revision();
        self.state.store(state);
        self.revision.send_replace(revision);
    }

    /// Changes after each published state.
    pub fn watch_revision(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// This node and its place in the cluster.
    pub fn status(&self) -> Arc<NodeStatus> {
        self.status.load_full()
    }

    /// Replaces the status.
    pub fn set_status(&self, status: NodeStatus) {
        self.status.store(Arc::new(status));
    }

    /// How the dials of this node stand.
    pub fn dials(&self) -> Arc<Dials> {
        self.dials.load_full()
    }

    /// Has the dials stand as they were configured.
    pub fn set_dials(&self, dials: Dials) {
        self.dials.store(Arc::new(dials));
    }

    /// Turns dials.
    pub fn turn(&self, turns: &[Dial]) {
        self.dials.rcu(|dials| {
            let mut dials = dials.as_ref().clone();
            turns.iter().for_each(|dial| dials.turn(*dial));
            dials
        });
    }

    /// The scripts that run or wait on this node.
    pub fn scripts(&self) -> Arc<Vec<Pending>> {
        self.scripts.load_full()
    }

    /// Replaces them.
    pub fn set_scripts(&self, scripts: Vec<Pending>) {
        self.scripts.store(Arc::new(scripts));
    }

    /// Remembers the hello of a Sentinel that is not ours. Says whether it was not known.
    pub fn note_hello(&self, hello: Hello, now: Instant) -> bool {
        let (state, dials) = (self.state(), self.dials());
        let is_new = lock(&self.foreigners).note(hello, &state, &dials, now);
        if is_new {
            self.lists.verdict_changed();
        }
        is_new
    }

    /// What this node sees of the members of a group.
    pub fn sightings(&self, group: GroupId) -> BTreeMap<Address, Sighting> {
        lock(&self.sightings).get(&group).cloned().unwrap_or_default()
    }

    /// Puts a sighting. News make the group dirty.
    pub fn put_sighting(&self, group: GroupId, address: Address, sighting: Sighting, change: Change) {
        let judged = judgement(&sighting);
        let mut sightings = lock(&self.sightings);
        let before = sightings.entry(group).or_default().insert(address, sighting);
        drop(sightings);
        if before.as_ref().map(judgement) != Some(judged) {
            self.lists.verdict_changed();
        }
        if change == Change::News {
            self.mark_dirty(group);
        }
    }

    /// Forgets an instance that is no longer watched.
    pub fn drop_sighting(&self, group: GroupId, address: Address) {
        let mut sightings = lock(&self.sightings);
        if let Some(members) = sightings.get_mut(&group) {
            members.remove(&address);
            if members.is_empty() {
                sightings.remove(&group);
            }
        }
        drop(sightings);
        self.lists.verdict_changed();
    }

    /// The group has news for the control.
    pub fn mark_dirty(&self, group: GroupId) {
        if lock(&self.dirty).insert(group) {
            self.dirty_notify.notify_one();
        }
    }

    /// Takes the groups that have news.
    pub fn take_dirty(&self) -> BTreeSet<GroupId> {
        std::mem::take(&mut *lock(&self.dirty))
    }

    /// Resolves when a group has become dirty since the last call. One waiter: the control.
    pub async fn dirty_notified(&self) {
        self.dirty_notify.notified().await;
    }

    /// Asks the probe for INFO of a group's instances at once.
    pub fn request_info(&self, group: GroupId) {
        // No receiver: nothing is probed here, so there is nothing to hasten.
        let _ = self.info_requests.send(group);
    }

    /// The probe's end of [`Board::request_info`].
    pub fn info_requests(&self) -> broadcast::Receiver<GroupId> {
        self.info_requests.subscribe()
    }
}

/// What lists must never be late with: the verdict, and the role that decides about flags.
fn judgement(sighting: &Sighting) -> (Verdict, Option<Role>) {
    (sighting.verdict, sighting.facts.as_ref().map(|facts| facts.role))
}

impl Sightings for Board {
    fn lists(&self) -> Option<&Lists> {
        Some(&self.lists)
    }

    fn sighting(&self, group: GroupId, address: Address) -> Option<Sighting> {
        lock(&self.sightings).get(&group)?.get(&address).cloned()
    }

    fn foreign_sentinels(&self, group: GroupId, now: Instant) -> Vec<Address> {
        lock(&self.foreigners).of(group, &self.dials(), now)
    }
}

/// No code panics while it holds one of these locks, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
