//! One group: plan it, and start what the plan says: `control::act`.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfgserver::failover::{Action, Memory, OrderFault, Scene};
use cfgserver::machine::{Command, Outcome, Rejection};
use cfgserver::model::{Group, GroupId, Instant};
use cfgserver::requests::{WriteError, WriteReply};

use super::{Ask, FAILED_PROPOSAL_MS, MOVED_PROPOSAL_MS, Proposal, rejection_name};
use crate::core::Core;
use crate::fact::Fact;
use crate::node::{Node, Waiter};

/// Planning, as `control::act` does it.
impl Node {
    pub(super) fn plan(&mut self, core: &mut Core, id: GroupId) -> Option<Instant> {
        let now = Instant(core.now);
        let state = self.state.clone();
        let Some(group) = state.group(id).cloned() else {
            self.forget(core, id);
            return None;
        };
        let wall = state.time(self.wall(core));
        let tally = self.tally(&group, now);
        let none = BTreeMap::new();
        let leader = self.leader.as_mut()?;
        if leader.proposing.contains_key(&id) || leader.awaited.contains_key(&id) {
            return None;
        }
        if let Some(held) = leader.held_until.get(&id).copied() {
            if now < held {
                return Some(held);
            }
            leader.held_until.remove(&id);
        }
        let scene = Scene {
            group: &group,
            sightings: self.seen.0.get(&id).unwrap_or(&none),
            tally: &tally,
            elsewhere: state.as_ref(),
            node: self.id,
            wall,
        };
        let mut memory = leader.memories.remove(&id).unwrap_or_else(|| Memory::new(leader.since));
        memory.observe(&scene, now);
        let (plan, ask, refused) = leader.decide(&scene, &memory, now);
        if core.settings.check_plans {
            assert_eq!(
                plan.actions,
                leader.replan(&scene, &memory, now, ask),
                "planned twice without news"
            );
        }
        for action in &plan.actions {
            memory.started(&scene, action, now);
        }
        let idle_at = leader.close_idle_links(core, id, &mut memory, now);
        leader.memories.insert(id, memory);
        for (ask, error) in refused {
            self.refuse(core, ask, error);
        }
        core.coverage.mark("plans");
        let wake_at = plan.wake_at;
        self.carry_out(core, &group, plan.actions, ask);
        wake_at.into_iter().chain(idle_at).min().map(|at| at.max(now.plus(1)))
    }

    /// Only who still leads knows that it is so.
    pub(super) fn refuse(&self, core: &mut Core, ask: Ask, why: WriteError) {
        let why = if self.holds_lease(core) {
            why
        } else {
            WriteError::NoLeader
        };
        self.answer_write(core, ask.request, ask.from, Err(why));
    }

    pub(super) fn forget(&mut self, core: &mut Core, id: GroupId) {
        let Some(leader) = &mut self.leader else { return };
        leader.memories.remove(&id);
        leader.awaited.remove(&id);
        leader.held_until.remove(&id);
        leader.links.retain(core, id, |_, _| false);
        for ask in leader.asks.remove(&id).unwrap_or_default() {
            self.refuse(core, ask, WriteError::NoSuchGroup);
        }
    }

    pub(super) fn carry_out(
        &mut self,
        core: &mut Core,
        group: &Arc<Group>,
        actions: Vec<Action>,
        mut ask: Option<Ask>,
    ) {
        for action in actions {
            match action {
                Action::Propose(command) => self.leader_proposes(core, group, command, ask.take()),
                Action::Order { address, run_id, order } => {
                    if !self.link_order(core, (group.id, address), run_id, order) {
                        let now = Instant(core.now);
                        if let Some(leader) = &mut self.leader {
                            if let Some(memory) = leader.memories.get_mut(&group.id) {
                                memory.answered(address, Err(OrderFault::Unknown), now);
                            }
                            leader.dirty.insert(group.id);
                        }
                        self.leader_wake_now(core);
                    }
                }
                Action::OpenLink(address) => self.link_open(core, (group.id, address)),
                Action::ReadInfo(address) => self.link_read(core, (group.id, address)),
                Action::Look { .. } => unreachable!("no host names here"),
                Action::RefreshInfo => self.hasten(core, group.id),
                Action::HandOver(node) => {
                    core.coverage.mark("plan: hand over");
                    core.tell_node(self.id, || {
                        format!("wants node {node} to lead: it reaches more of {}", group.name)
                    });
                    if let Some(leader) = &mut self.leader {
                        // Several groups may want it in the same turn.
                        if leader.handing_over.replace(node).is_none() {
                            core.fact(Fact::HandsOver {
                                node: self.id,
                                term: leader.term,
                                led_since: leader.since.0,
                            });
                        }
                    }
                }
            }
        }
    }

    pub(super) fn leader_proposes(&mut self, core: &mut Core, group: &Arc<Group>, command: Command, ask: Option<Ask>) {
        core.tell_node(self.id, || format!("proposes {command:?}"));
        if let Command::OpenFailover {
            group,
            kind,
            votes,
            candidate,
            ..
        } = &command
        {
            core.fact(Fact::Opening {
                node: self.id,
                group: *group,
                kind: *kind,
                votes: *votes,
                candidate: *candidate,
                applied: self.state.clone(),
            });
        }
        let Some(leader) = &mut self.leader else { return };
        let term = leader.term;
        leader.proposing.insert(
            group.id,
            Proposal {
                command: command.clone(),
                ask,
            },
        );
        self.propose(core, command, Waiter::Leader { term, group: group.id });
    }

    pub(in crate::node) fn leader_proposed(
        &mut self,
        core: &mut Core,
        id: GroupId,
        result: Result<WriteReply, WriteError>,
    ) {
        let revision_now = self.state.revision();
        let Some(leader) = &mut self.leader else { return };
        let Some(Proposal { command, ask }) = leader.proposing.remove(&id) else {
            return;
        };
        leader.dirty.insert(id);
        match &result {
            Ok(WriteReply::Outcome { outcome, revision }) => {
                if *revision > revision_now {
                    leader.awaited.insert(id, *revision);
                }
                if let Outcome::Rejected(rejection) = outcome {
                    core.coverage.mark(rejection_name(rejection));
                    let pause_ms = if *rejection == Rejection::Moved {
                        MOVED_PROPOSAL_MS
                    } else {
                        FAILED_PROPOSAL_MS
                    };
                    leader.proposal_failed(id, pause_ms, core.now);
                    assert!(
                        matches!(rejection, Rejection::Moved | Rejection::NoSuchGroup),
                        "the planner's own command was refused: {rejection}: {command:?}"
                    );
                }
            }
            Ok(WriteReply::Accepted | WriteReply::Told(_)) => {}
            Err(_) => leader.proposal_failed(id, FAILED_PROPOSAL_MS, core.now),
        }
        if let Some(ask) = ask {
            self.answer_ask(core, id, ask, result);
        }
        self.leader_wake_now(core);
    }

    pub(super) fn answer_ask(
        &mut self,
        core: &mut Core,
        id: GroupId,
        ask: Ask,
        result: Result<WriteReply, WriteError>,
    ) {
        let rejection = match &result {
            Ok(WriteReply::Outcome {
                outcome: Outcome::Rejected(rejection),
                ..
            }) => Some(rejection.clone()),
            _ => None,
        };
        let result = match rejection {
            None => result,
            Some(Rejection::Moved) => {
                if let Some(leader) = &mut self.leader {
                    leader.asks.entry(id).or_default().insert(0, ask);
                }
                return;
            }
            Some(Rejection::InProgress) => Err(WriteError::InProgress),
            Some(Rejection::NoSuchGroup) => Err(WriteError::NoSuchGroup),
            Some(other) => Err(WriteError::Refused(other.to_string())),
        };
        self.answer_write(core, ask.request, ask.from, result);
    }
}
