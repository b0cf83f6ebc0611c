//! One leadership: `control::leader`, `control::act` and `control::desk`. The decisions are the real planner's.

mod act;
mod desk;
mod members;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cfgserver::failover::{self, Action, Memory, Plan, Refusal, Scene, Wish};
use cfgserver::machine::{Command, Rejection};
use cfgserver::model::{Address, GroupId, Instant, NodeId, Revision, Term};
use cfgserver::requests::WriteError;

use crate::core::Core;
use crate::event::Event;

use super::Node;
use super::links::Links;

const SCAN_EVERY_MS: u64 = 5;
const SLEEP_MS_MAX: u64 = 1_000;
const FAILED_PROPOSAL_MS: u64 = 100;
const MOVED_PROPOSAL_MS: u64 = 5;
const LINK_IDLE_MS: u64 = 10_000;
const LEAVE_MS: u64 = 2_000;
const RESET_ATTEMPTS: u32 = 5;

/// SENTINEL FAILOVER, waiting for its first commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    request: u64,
    from: NodeId,
    wish: Wish,
}

struct Proposal {
    command: Command,
    ask: Option<Ask>,
}

/// A node's leadership of one term.
pub(crate) struct Leader {
    pub(super) term: Term,
    since: Instant,
    pub(crate) memories: BTreeMap<GroupId, Memory>,
    versions: BTreeMap<GroupId, Revision>,
    electorate: Vec<NodeId>,
    scanned_at: Instant,
    scan: bool,
    pub(super) dirty: BTreeSet<GroupId>,
    proposing: BTreeMap<GroupId, Proposal>,
    awaited: BTreeMap<GroupId, Revision>,
    held_until: BTreeMap<GroupId, Instant>,
    asks: BTreeMap<GroupId, Vec<Ask>>,
    pub(super) links: Links,
    handing_over: Option<NodeId>,
    /// Leadership was offered: nothing is planned until that is settled.
    leaving: bool,
    timers: BTreeMap<GroupId, Instant>,
    scheduled: Option<u64>,
    resets: BTreeMap<u64, (Vec<u8>, u32)>,
    /// The membership is being changed.
    change: Option<members::Change>,
    /// The state is being told of the membership.
    keeping: bool,
}

impl Leader {
    pub(super) fn new(term: Term, since: Instant) -> Self {
        Self {
            term,
            since,
            memories: BTreeMap::new(),
            versions: BTreeMap::new(),
            electorate: Vec::new(),
            scanned_at: Instant::default(),
            scan: true,
            dirty: BTreeSet::new(),
            proposing: BTreeMap::new(),
            awaited: BTreeMap::new(),
            held_until: BTreeMap::new(),
            asks: BTreeMap::new(),
            links: Links::default(),
            handing_over: None,
            leaving: false,
            timers: BTreeMap::new(),
            scheduled: None,
            resets: BTreeMap::new(),
            change: None,
            keeping: false,
        }
    }
}

/// When it wakes, and what for.
impl Node {
    pub(super) fn leader_wake_now(&mut self, core: &mut Core) {
        self.leader_wake_at(core, core.now);
    }

    fn leader_wake_at(&mut self, core: &mut Core, at: u64) {
        let (node, life) = (self.id, self.life);
        let Some(leader) = &mut self.leader else { return };
        if leader.scheduled.is_none_or(|known| at < known) {
            leader.scheduled = Some(at);
            core.push(
                at,
                Event::LeaderWake {
                    node,
                    life,
                    term: leader.term,
                },
            );
        }
    }

    pub(super) fn leader_dirty(&mut self, core: &mut Core, group: GroupId) {
        if let Some(leader) = &mut self.leader {
            leader.dirty.insert(group);
            self.leader_wake_now(core);
        }
    }

    pub(super) fn leader_log_moved(&mut self, core: &mut Core) {
        let revision = self.state.revision();
        let Some(leader) = &mut self.leader else { return };
        leader.scan = true;
        let arrived = leader.awaited.iter().filter(|(_, awaited)| **awaited <= revision);
        let arrived: Vec<GroupId> = arrived.map(|(id, _)| *id).collect();
        for id in arrived {
            leader.awaited.remove(&id);
            leader.dirty.insert(id);
        }
        self.leader_wake_now(core);
    }

    /// One turn of the leader's loop.
    pub(crate) fn leader_turn(&mut self, core: &mut Core, term: Term) {
        if !self.leads(term) {
            return;
        }
        let Some(leader) = &mut self.leader else { return };
        if leader.scheduled.is_none_or(|at| at > core.now) {
            return;
        }
        leader.scheduled = None;
        self.keep_members(core);
        let next_at = self.due(core);
        self.plan_dirty(core);
        let Some(leader) = &self.leader else { return };
        if leader.handing_over.is_some() && !leader.leaving && leader.links.no_orders() {
            self.hand_over_now(core);
        }
        let Some(leader) = &self.leader else { return };
        let wake = leader.timers.values().copied().chain(next_at).min();
        let latest = core.now + SLEEP_MS_MAX;
        self.leader_wake_at(core, wake.map_or(latest, |at| at.0.min(latest)).max(core.now + 1));
    }

    fn due(&mut self, core: &Core) -> Option<Instant> {
        let now = Instant(core.now);
        let (changed, next_expiry) = self.expire_votes(now);
        let state = self.state.clone();
        let leader = self.leader.as_mut()?;
        let scan_at = leader.scanned_at.plus(SCAN_EVERY_MS);
        if leader.scan && scan_at <= now {
            leader.scan = false;
            leader.scanned_at = now;
            leader.look_for_changes(&state);
        }
        let due = leader.timers.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id);
        let due: Vec<GroupId> = due.collect();
        for id in due {
            leader.timers.remove(&id);
            leader.dirty.insert(id);
        }
        leader.dirty.extend(changed);
        next_expiry.into_iter().chain(leader.scan.then_some(scan_at)).min()
    }

    fn plan_dirty(&mut self, core: &mut Core) {
        let Some(leader) = &mut self.leader else { return };
        if leader.handing_over.is_some() {
            return;
        }
        for id in std::mem::take(&mut leader.dirty) {
            let wake_at = self.plan(core, id);
            let Some(leader) = &mut self.leader else { return };
            match wake_at {
                Some(at) => _ = leader.timers.insert(id, at),
                None => _ = leader.timers.remove(&id),
            }
        }
    }

    pub(super) fn leader_leaves(&mut self, core: &mut Core) {
        let Some(leader) = self.leader.take() else { return };
        for ask in leader.asks.into_values().flatten() {
            self.answer_write(core, ask.request, ask.from, Err(WriteError::NoLeader));
        }
        for proposal in leader.proposing.into_values() {
            if let Some(ask) = proposal.ask {
                self.answer_write(core, ask.request, ask.from, Err(WriteError::Unknown));
            }
        }
        if let Some(change) = leader.change {
            self.change_is_dropped(core, &change);
        }
        // Dropped with what was on its way.
        leader.links.close_all(core);
    }
}

impl Leader {
    fn look_for_changes(&mut self, state: &cfgserver::machine::State) {
        let electorate: Vec<NodeId> = state.electorate().collect();
        let all = electorate != self.electorate;
        self.electorate = electorate;
        for group in state.groups() {
            let before = self.versions.insert(group.id, group.version);
            if all || before != Some(group.version) {
                self.dirty.insert(group.id);
            }
        }
        let gone: Vec<GroupId> = self
            .versions
            .keys()
            .filter(|id| state.group(**id).is_none())
            .copied()
            .collect();
        for id in gone {
            self.versions.remove(&id);
            self.dirty.insert(id);
        }
    }

    /// An operator's wish first, if it can be granted; also the wishes that were refused.
    fn decide(
        &mut self,
        scene: &Scene<'_>,
        memory: &Memory,
        now: Instant,
    ) -> (Plan, Option<Ask>, Vec<(Ask, WriteError)>) {
        let mut refused = Vec::new();
        while let Some(ask) = self.next_ask(scene.group.id) {
            match failover::operator(scene, memory, ask.wish, now) {
                Ok(actions) => return (Plan { actions, wake_at: None }, Some(ask), refused),
                Err(refusal) => refused.push((ask, refused_as(refusal))),
            }
        }
        (failover::plan(scene, memory, now), None, refused)
    }

    fn replan(&self, scene: &Scene<'_>, memory: &Memory, now: Instant, ask: Option<Ask>) -> Vec<Action> {
        match ask {
            Some(ask) => failover::operator(scene, memory, ask.wish, now).unwrap_or_default(),
            None => failover::plan(scene, memory, now).actions,
        }
    }

    fn next_ask(&mut self, id: GroupId) -> Option<Ask> {
        let asks = self.asks.get_mut(&id)?;
        let ask = (!asks.is_empty()).then(|| asks.remove(0));
        if asks.is_empty() {
            self.asks.remove(&id);
        }
        ask
    }

    fn close_idle_links(&mut self, core: &mut Core, id: GroupId, memory: &mut Memory, now: Instant) -> Option<Instant> {
        let at_rest = memory.at_rest();
        let keep = |address: Address, used_at: Instant| {
            memory.has_link(address) && (!at_rest || now < used_at.plus(LINK_IDLE_MS))
        };
        let closed = self.links.retain(core, id, keep);
        let oldest = if at_rest { self.links.oldest_use(id) } else { None };
        for address in closed {
            memory.link_closed(address);
        }
        oldest.map(|used_at| used_at.plus(LINK_IDLE_MS))
    }

    fn proposal_failed(&mut self, id: GroupId, pause_ms: u64, now: u64) {
        if let Some(memory) = self.memories.get_mut(&id) {
            memory.proposal_failed();
        }
        self.held_until.insert(id, Instant(now + pause_ms));
    }
}

fn refused_as(refusal: Refusal) -> WriteError {
    match refusal {
        Refusal::InProgress => WriteError::InProgress,
        Refusal::Observing => WriteError::Refused("the group is in mode observe".to_owned()),
        Refusal::NoGoodReplica(reasons) => {
            let text = |(address, why): (Address, Arc<str>)| (address.to_string(), why.to_string());
            WriteError::NoGoodReplica(reasons.into_iter().map(text).collect())
        }
        Refusal::OldPrimary => WriteError::NoGoodPrimary(String::new()),
        Refusal::NoGoodPrimary(why) => WriteError::NoGoodPrimary(why.to_owned()),
        Refusal::NoSuchReplica | Refusal::IsPrimary => WriteError::Refused("not that one".to_owned()),
    }
}

fn rejection_name(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::Moved => "rejected: moved",
        Rejection::NoSuchGroup => "rejected: no such group",
        Rejection::NotACandidate => "rejected: not a candidate",
        Rejection::InProgress => "rejected: in progress",
        Rejection::NoSuchFailover => "rejected: no such failover",
        _ => "rejected: other",
    }
}
