//! Changes of the membership on the leader: `raft::admin`, and the keeper that tells the state of them.

use cfgserver::machine::{Command, Outcome};
use cfgserver::model::{NodeId, NodeRole, Term};
use cfgserver::requests::{AdminRequest, WriteError, WriteReply};

use crate::core::Core;
use crate::event::Event;
use crate::log::{Members, Origin};
use crate::node::{Node, Waiter, peer};

const CATCH_UP_MS: u64 = 60_000;
const CHANGE_MS: u64 = 10_000;
const TOLD_MS: u64 = 5_000;
const LOOK_AGAIN_MS: u64 = 5;

/// A change that is under way.
pub(in crate::node) struct Change {
    request: u64,
    from: NodeId,
    id: NodeId,
    step: Step,
    until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Learner,
    CatchUp {
        goal: usize,
    },
    Voter,
    ToldOfVoter,
    /// The state must know the node before it can remember that it was removed.
    Known,
    Removing,
    ToldOfRemoval,
}

impl Step {
    fn limit_ms(self) -> u64 {
        match self {
            Self::Learner | Self::Voter | Self::Removing => CHANGE_MS,
            Self::CatchUp { .. } => CATCH_UP_MS,
            Self::ToldOfVoter | Self::Known | Self::ToldOfRemoval => TOLD_MS,
        }
    }
}

fn refused(text: impl Into<String>) -> Result<WriteReply, WriteError> {
    Err(WriteError::Refused(text.into()))
}

impl Node {
    pub(in crate::node) fn admin(&mut self, core: &mut Core, request: u64, from: NodeId, what: &AdminRequest) {
        let begun = match what {
            AdminRequest::TransferLeader { to } => {
                let to = to.or_else(|| self.successor(core));
                Err(to.map_or_else(|| refused("no other voter"), |to| self.give_away(core, to)))
            }
            AdminRequest::AddNode { id, address } => self.begin_addition(core, *id, address),
            AdminRequest::RemoveNode { id } => self.begin_removal(core, *id),
        };
        match begun {
            Err(result) => self.answer_write(core, request, from, result),
            Ok((id, step)) => {
                let until = core.now + step.limit_ms();
                let Some(leader) = &mut self.leader else { return };
                leader.change = Some(Change {
                    request,
                    from,
                    id,
                    step,
                    until,
                });
                self.change_begins_step(core);
            }
        }
    }

    /// The voter that is there and has most of the log.
    fn successor(&self, core: &Core) -> Option<NodeId> {
        let others = core.log.voters().filter(|voter| *voter != self.id);
        others.max_by_key(|voter| {
            (
                core.net.in_contact(self.id, *voter),
                core.log.applied.get(voter).copied(),
            )
        })
    }

    fn begin_addition(
        &self,
        core: &Core,
        id: NodeId,
        address: &str,
    ) -> Result<(NodeId, Step), Result<WriteReply, WriteError>> {
        if self.leader.as_ref().is_some_and(|leader| leader.change.is_some()) {
            return Err(refused("another change of the cluster is in progress"));
        }
        if self.state.header().removed.contains(&id) {
            return Err(refused("node ids are never used again"));
        }
        match core.log.members.get(&id) {
            Some(node) if node.address != address => Err(refused("already a member")),
            // The answer to an earlier request was lost.
            Some(node) if node.role == NodeRole::Voter && !core.log.is_reshaping() => Ok((id, Step::ToldOfVoter)),
            // An earlier one was given up half way.
            Some(_) => {
                let goal = core.log.entries.len();
                Ok((id, Step::CatchUp { goal }))
            }
            None if !core.net.waiting.contains(&id) || !core.net.in_contact(self.id, id) => {
                Err(refused("does not wait to be added"))
            }
            None => Ok((id, Step::Learner)),
        }
    }

    fn begin_removal(&mut self, core: &mut Core, id: NodeId) -> Result<(NodeId, Step), Result<WriteReply, WriteError>> {
        if !core.log.is_member(id) {
            return Err(refused("no such node"));
        }
        if core.log.voters().eq([id]) {
            return Err(refused("the last voter cannot be removed"));
        }
        let rest: Vec<NodeId> = core.log.voters().filter(|voter| *voter != id).collect();
        let there = rest
            .iter()
            .filter(|voter| core.net.in_contact(self.id, **voter))
            .count();
        if core.log.voters().any(|voter| voter == id) && there * 2 <= rest.len() {
            core.coverage.mark("operator: a removal would leave no majority");
            return Err(refused("too few of the voters that would stay can be reached"));
        }
        if id == self.id {
            // Nothing is done yet: whoever asked asks the successor.
            core.coverage.mark("operator: the leader is to be removed");
            let given = match self.successor(core) {
                Some(to) => self.give_away(core, to),
                None => refused("no other voter can take over"),
            };
            return Err(given.and(Err(WriteError::NoLeader)));
        }
        if self.leader.as_ref().is_some_and(|leader| leader.change.is_some()) {
            return Err(refused("another change of the cluster is in progress"));
        }
        Ok((id, Step::Known))
    }

    /// Proposes what the step needs, and looks at it from time to time.
    fn change_begins_step(&mut self, core: &mut Core) {
        let term = self.view.term;
        let Some(change) = self.leader.as_ref().and_then(|leader| leader.change.as_ref()) else {
            return;
        };
        let (id, step) = (change.id, change.step);
        let mut members: Members = core.log.members.clone();
        match step {
            Step::Learner => _ = members.insert(id, peer(id, NodeRole::Learner)),
            Step::Voter => _ = members.insert(id, peer(id, NodeRole::Voter)),
            Step::Removing => _ = members.remove(&id),
            _ => {}
        }
        if members != core.log.members {
            let origin = Origin {
                node: self.id,
                life: self.life,
                proposal: 0,
            };
            core.reshape(term, origin, members);
        }
        let (node, life) = (self.id, self.life);
        core.after(LOOK_AGAIN_MS, Event::ChangeLook { node, life, term });
    }

    /// Is the step done?
    pub(crate) fn change_look(&mut self, core: &mut Core, term: Term) {
        if !self.leads(term) {
            return;
        }
        let state = self.state.clone();
        let Some(change) = self.leader.as_mut().and_then(|leader| leader.change.as_mut()) else {
            return;
        };
        let id = change.id;
        let role = core.log.members.get(&id).map(|node| node.role);
        let told = state.nodes().get(&id).map(|node| node.role);
        let behind = core.log.applied.get(&id).copied().unwrap_or_default();
        let next = match change.step {
            Step::Learner if role.is_some() => {
                let goal = core.log.entries.len();
                Some(Step::CatchUp { goal })
            }
            Step::CatchUp { goal } if behind >= goal => Some(Step::Voter),
            Step::Voter if role == Some(NodeRole::Voter) => Some(Step::ToldOfVoter),
            Step::Known if told.is_some() => Some(Step::Removing),
            Step::Removing if role.is_none() => Some(Step::ToldOfRemoval),
            Step::ToldOfVoter if told == Some(NodeRole::Voter) => None,
            Step::ToldOfRemoval if told.is_none() => None,
            _ if core.now >= change.until => {
                let result = match change.step {
                    Step::CatchUp { .. } => refused("has not caught up in time"),
                    _ => Err(WriteError::Unknown),
                };
                return self.change_ends(core, result);
            }
            _ => {
                let (node, life) = (self.id, self.life);
                return core.after(LOOK_AGAIN_MS, Event::ChangeLook { node, life, term });
            }
        };
        match next {
            Some(step) => {
                change.step = step;
                change.until = core.now + step.limit_ms();
                self.change_begins_step(core);
            }
            None => {
                core.coverage.mark(if told.is_some() {
                    "operator: node added"
                } else {
                    "operator: node removed"
                });
                let revision = state.revision();
                let outcome = Outcome::Done { revision };
                self.change_ends(core, Ok(WriteReply::Outcome { outcome, revision }));
            }
        }
    }

    fn change_ends(&mut self, core: &mut Core, result: Result<WriteReply, WriteError>) {
        if let Some(change) = self.leader.as_mut().and_then(|leader| leader.change.take()) {
            self.answer_write(core, change.request, change.from, result);
        }
    }

    /// The leadership ends under it.
    pub(super) fn change_is_dropped(&self, core: &mut Core, change: &Change) {
        self.answer_write(core, change.request, change.from, Err(WriteError::Unknown));
    }

    /// Tells the state what Raft's membership is.
    pub(super) fn keep_members(&mut self, core: &mut Core) {
        let term = self.view.term;
        if !core.log.reshaped || core.log.is_reshaping() || *self.state.nodes() == core.log.members {
            return;
        }
        let Some(leader) = &mut self.leader else { return };
        if !leader.keeping {
            leader.keeping = true;
            let nodes = core.log.members.clone();
            core.tell_node(self.id, || "tells the state of the members".to_owned());
            self.propose(core, Command::Nodes { nodes }, Waiter::Keeper { term });
        }
    }

    pub(in crate::node) fn kept_members(&mut self, core: &mut Core) {
        if let Some(leader) = &mut self.leader {
            leader.keeping = false;
        }
        self.leader_wake_now(core);
    }
}
