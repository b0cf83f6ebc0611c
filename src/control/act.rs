//! One group: plan it, and start what the plan says.

use std::sync::Arc;

use crate::control::desk::Ask;
use crate::control::leader::{Leader, Proposal, Proposed};
use crate::control::{names, tell};
use crate::failover::{self, Action, Memory, Plan, Refusal, Scene};
use crate::machine::{Command, Outcome, Rejection};
use crate::model::{Address, Age, Group, GroupId, Instant};
use crate::requests::{WriteError, WriteReply};
use crate::stop::{self, Point};

/// How long a group rests after a proposal that nobody carried out.
const FAILED_PROPOSAL_MS: Age = 100;
/// The same after one that came too late.
const MOVED_PROPOSAL_MS: Age = 5;
/// Links that nothing needs are closed after this long.
const LINK_IDLE_MS: Age = 10_000;

impl Leader {
    /// Plans a group and starts the actions; when to plan it again.
    pub(super) fn plan(&mut self, id: GroupId) -> Option<Instant> {
        let now = self.shared.now();
        let state = self.shared.board.state();
        let Some(group) = state.group(id).cloned() else {
            self.forget(id);
            return None;
        };
        if self.proposing.contains_key(&id) || self.awaited.contains_key(&id) {
            // Planned again when that is done.
            return None;
        }
        if let Some(held) = self.held_until.get(&id).copied() {
            if now < held {
                return Some(held);
            }
            self.held_until.remove(&id);
        }
        let sightings = self.shared.board.sightings(id);
        let tally = self
            .shared
            .book
            .tally(self.term, &group.vote_key(), state.electorate(), now);
        let scene = Scene {
            group: &group,
            sightings: &sightings,
            tally: &tally,
            elsewhere: state.as_ref(),
            node: self.shared.node,
            wall: state.time(self.shared.clock.wall()),
        };
        let mut memory = self.memories.remove(&id).unwrap_or_else(|| Memory::new(self.since));
        for address in self.links.close_outdated(id, &group.config) {
            memory.link_closed(address);
        }
        let held_back = memory.held_back_since();
        memory.observe(&scene, now);
        tell::maintenance(&scene, held_back, &memory);
        let (plan, ask) = self.decide(&scene, &memory, now);
        tell::passed_over(&scene, &memory, &plan.actions, now);
        for action in &plan.actions {
            memory.started(&scene, action, now);
        }
        let idle_at = self.close_idle_links(id, &mut memory, now);
        self.memories.insert(id, memory);
        self.start(&group, plan.actions, ask);
        let wake_at = plan.wake_at.into_iter().chain(idle_at).min();
        wake_at.map(|at| at.max(now.plus(1)))
    }

    /// An operator's wish first, if it can be granted.
    fn decide(&mut self, scene: &Scene<'_>, memory: &Memory, now: Instant) -> (Plan, Option<Ask>) {
        while let Some(ask) = self.next_ask(scene.group.id) {
            match failover::operator(scene, memory, ask.wish, now) {
                Ok(actions) => {
                    let plan = Plan { actions, wake_at: None };
                    return (plan, Some(ask));
                }
                Err(refusal) => self.refuse(ask, refused(refusal)),
            }
        }
        (failover::plan(scene, memory, now), None)
    }

    /// Says no to an operator. Only who still leads knows that: without the lease another node may know better.
    pub(super) fn refuse<W>(&self, ask: Ask<W>, why: WriteError) {
        let holds = self.shared.proposals.holds_lease();
        ask.answer(Err(if holds { why } else { WriteError::NoLeader }));
    }

    fn next_ask(&mut self, id: GroupId) -> Option<Ask> {
        let asks = self.asks.get_mut(&id)?;
        let ask = (!asks.is_empty()).then(|| asks.remove(0));
        if asks.is_empty() {
            self.asks.remove(&id);
        }
        ask
    }

    fn forget(&mut self, id: GroupId) {
        self.memories.remove(&id);
        self.awaited.remove(&id);
        self.held_until.remove(&id);
        self.links.retain(id, |_, _| false);
        let asks = self.asks.remove(&id).unwrap_or_default();
        for ask in asks {
            self.refuse(ask, WriteError::NoSuchGroup);
        }
    }

    fn close_idle_links(&mut self, id: GroupId, memory: &mut Memory, now: Instant) -> Option<Instant> {
        let at_rest = memory.at_rest();
        let mut idle_at: Option<Instant> = None;
        let keep = |address: Address, used_at: Instant| {
            let due = used_at.plus(LINK_IDLE_MS);
            memory.has_link(address) && (!at_rest || now < due)
        };
        let closed = self.links.retain(id, keep);
        if at_rest {
            idle_at = self.links.oldest_use(id).map(|used_at| used_at.plus(LINK_IDLE_MS));
        }
        for address in closed {
            memory.link_closed(address);
        }
        idle_at
    }

    fn start(&mut self, group: &Arc<Group>, actions: Vec<Action>, mut ask: Option<Ask>) {
        for action in actions {
            match action {
                Action::Propose(command) => self.propose(group, command, ask.take()),
                Action::Order { address, run_id, order } => {
                    match self.links.order((group.id, address), run_id, order) {
                        Ok(work) => self.link_work.extend(work),
                        Err(fault) => self.answered_at_once(group.id, address, fault),
                    }
                }
                Action::OpenLink(address) => {
                    let (orders_dropped, work) = self.links.open((group.id, address), &group.config);
                    self.link_work.push(work);
                    if orders_dropped > 0 {
                        self.answered_at_once(group.id, address, failover::OrderFault::Unknown);
                    }
                }
                Action::ReadInfo(address) => {
                    let work = self.links.read((group.id, address));
                    self.link_work.extend(work);
                }
                Action::Look { host, port, known } => {
                    let looking = names::look(self.shared.clone(), self.term, group, (host, port), known);
                    self.lookups.push(looking);
                }
                Action::RefreshInfo => self.shared.board.request_info(group.id),
                Action::HandOver(node) => self.handing_over = Some(node),
            }
        }
    }

    /// The link that the order was planned on is gone.
    fn answered_at_once(&mut self, id: GroupId, address: Address, fault: failover::OrderFault) {
        let now = self.shared.now();
        if let Some(memory) = self.memories.get_mut(&id) {
            memory.answered(address, Err(fault), now);
        }
        self.dirty.insert(id);
    }

    fn propose(&mut self, group: &Group, command: Command, ask: Option<Ask>) {
        if let Some((before, _)) = points(&command) {
            stop::here(before);
        }
        let state = self.shared.board.state();
        tell::proposal(group, &command, state.time(self.shared.clock.wall()));
        let proposing = self.shared.proposals.propose(command.clone());
        self.proposing.insert(group.id, Proposal { command, ask });
        let id = group.id;
        self.proposals.push(Box::pin(async move {
            Proposed {
                group: id,
                result: proposing.await,
            }
        }));
    }

    /// A proposal came back.
    pub(super) fn proposed(&mut self, proposed: Proposed) {
        let id = proposed.group;
        let Some(Proposal { command, ask }) = self.proposing.remove(&id) else {
            return;
        };
        self.dirty.insert(id);
        match &proposed.result {
            Ok(WriteReply::Outcome { outcome, revision }) => {
                if *revision > self.shared.board.state().revision() {
                    self.awaited.insert(id, *revision);
                }
                match outcome {
                    Outcome::Rejected(rejection) => self.rejected(id, &command, rejection),
                    Outcome::Done { .. } | Outcome::Count(_) => {
                        if let Some((_, after)) = points(&command) {
                            after.into_iter().for_each(|point| self.shared.stop_at(point));
                        }
                    }
                }
            }
            Ok(WriteReply::Accepted | WriteReply::Told(_)) => {}
            Err(error) => {
                if *error == WriteError::NoLeader {
                    // Without a majority that is so for every group, ten times a second; the silent nodes are logged.
                    tracing::debug!(target: "cfgserver::control", group = %id, %error, ?command, "proposal failed");
                } else {
                    tracing::warn!(target: "cfgserver::control", group = %id, %error, ?command, "proposal failed");
                }
                self.proposal_failed(id, FAILED_PROPOSAL_MS);
            }
        }
        if let Some(ask) = ask {
            self.answer(id, ask, proposed.result);
        }
    }

    fn rejected(&mut self, id: GroupId, command: &Command, rejection: &Rejection) {
        let pause_ms = if *rejection == Rejection::Moved {
            tracing::debug!(target: "cfgserver::control", group = %id, ?command, "the group moved on");
            MOVED_PROPOSAL_MS
        } else {
            tracing::warn!(target: "cfgserver::control", group = %id, %rejection, ?command, "proposal rejected");
            FAILED_PROPOSAL_MS
        };
        self.proposal_failed(id, pause_ms);
    }

    fn proposal_failed(&mut self, id: GroupId, pause_ms: Age) {
        if let Some(memory) = self.memories.get_mut(&id) {
            memory.proposal_failed();
        }
        self.held_until.insert(id, self.shared.now().plus(pause_ms));
    }

    /// Tells an operator what became of the first commit.
    fn answer(&mut self, id: GroupId, ask: Ask, result: Result<WriteReply, WriteError>) {
        let rejection = match &result {
            Ok(WriteReply::Outcome {
                outcome: Outcome::Rejected(rejection),
                ..
            }) => Some(rejection.clone()),
            _ => None,
        };
        match rejection {
            None => ask.answer(result),
            Some(Rejection::Moved) => self.asks.entry(id).or_default().insert(0, ask),
            Some(Rejection::InProgress) => ask.answer(Err(WriteError::InProgress)),
            Some(Rejection::NoSuchGroup) => ask.answer(Err(WriteError::NoSuchGroup)),
            Some(other) => ask.answer(Err(WriteError::Refused(other.to_string()))),
        }
    }
}

fn refused(refusal: Refusal) -> WriteError {
    match refusal {
        Refusal::InProgress => WriteError::InProgress,
        Refusal::Observing => WriteError::Refused("the group is in mode observe".to_owned()),
        Refusal::NoGoodReplica(reasons) => {
            let text = |(address, why): (Address, Arc<str>)| (address.to_string(), why.to_string());
            WriteError::NoGoodReplica(reasons.into_iter().map(text).collect())
        }
        Refusal::OldPrimary => WriteError::NoGoodPrimary(String::new()),
        Refusal::NoGoodPrimary(why) => WriteError::NoGoodPrimary(why.to_owned()),
        Refusal::NoSuchReplica => WriteError::Refused("No such replica with that address".to_owned()),
        Refusal::IsPrimary => WriteError::Refused("That instance is the primary already".to_owned()),
    }
}

/// The stop points before and after a commit.
fn points(command: &Command) -> Option<(Point, Option<Point>)> {
    match command {
        Command::OpenFailover { .. } => Some((Point::BeforeOpen, Some(Point::AfterOpen))),
        Command::CompletePromotion { .. } => Some((Point::BeforeComplete, Some(Point::AfterComplete))),
        Command::UndoFailover { .. } => Some((Point::BeforeUndo, Some(Point::AfterUndo))),
        Command::EndFailover { .. } => Some((Point::BeforeEnd, Some(Point::AfterEnd))),
        _ => None,
    }
}
