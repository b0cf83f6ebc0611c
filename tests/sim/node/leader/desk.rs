//! Handing over, and what operators ask for: `control::desk`.

use std::collections::BTreeMap;

use cfgserver::failover::{Scene, Wish, unreachable};
use cfgserver::machine::{Command, Outcome, Rejection, ResetGroup};
use cfgserver::model::{Failover, Group, GroupName, Instant, NodeId, Term};
use cfgserver::requests::{Write, WriteError, WriteReply};
use cfgserver::resp::glob_matches;

use super::{Ask, LEAVE_MS, RESET_ATTEMPTS};
use crate::core::Core;
use crate::event::Event;
use crate::node::{Node, Waiter};

/// Handing over, and what operators ask for.
impl Node {
    pub(super) fn hand_over_now(&mut self, core: &mut Core) {
        let Some(leader) = &mut self.leader else { return };
        let Some(to) = leader.handing_over else { return };
        leader.leaving = true;
        leader.links.close_everything(core);
        for memory in leader.memories.values_mut() {
            memory.leadership_offered(Instant(core.now));
        }
        let term = leader.term;
        self.gives_away = term;
        let (node, life) = (self.id, self.life);
        core.after(LEAVE_MS, Event::HandedOver { node, life, term });
        core.transfer(node, to);
    }

    /// Leadership was offered long enough ago.
    pub(crate) fn handed_over(&mut self, core: &mut Core, term: Term) {
        if !self.leads(term) {
            return;
        }
        if let Some(leader) = &mut self.leader {
            leader.handing_over = None;
            leader.leaving = false;
            leader.dirty.extend(leader.memories.keys());
        }
        self.leader_wake_now(core);
    }

    /// A write arrives at the node that is thought to lead.
    pub(crate) fn write_here(&mut self, core: &mut Core, request: u64, from: NodeId, write: Write) {
        let leads = self.view.leader == Some(self.id);
        match write {
            Write::Command(command) if leads => self.propose(core, command, Waiter::Request { request, from }),
            Write::Failover { name } if self.view.me => {
                let wish = Wish::default();
                self.ask(core, &name, Ask { request, from, wish });
            }
            Write::FailoverWith { name, coordinated, to } if self.view.me => {
                let wish = Wish { coordinated, to };
                self.ask(core, &name, Ask { request, from, wish });
            }
            Write::Reset { pattern } if self.view.me => {
                if let Some(leader) = &mut self.leader {
                    leader.resets.insert(request, (pattern, RESET_ATTEMPTS));
                }
                self.reset_attempt(core, request, from);
            }
            Write::Admin(what) if self.view.me => self.admin(core, request, from, &what),
            _ => self.answer_write(core, request, from, Err(WriteError::NoLeader)),
        }
    }

    /// `CFG LEADER TRANSFER`. The model does not wait for orders: with one on its way it refuses.
    pub(super) fn give_away(&mut self, core: &mut Core, to: NodeId) -> Result<WriteReply, WriteError> {
        if to == self.id {
            return Ok(WriteReply::Accepted);
        }
        if self.leader.as_ref().is_some_and(|leader| !leader.links.no_orders()) {
            return Err(WriteError::Refused("orders are on their way".to_owned()));
        }
        self.gives_away = self.view.term;
        core.coverage.mark("operator: leader transfer");
        if core.transfer(self.id, to) {
            Ok(WriteReply::Accepted)
        } else {
            Err(WriteError::Refused("not taken over".to_owned()))
        }
    }

    pub(super) fn ask(&mut self, core: &mut Core, name: &GroupName, ask: Ask) {
        let Some(group) = self.state.group_named(name.as_str()).cloned() else {
            return self.refuse(core, ask, WriteError::NoSuchGroup);
        };
        if let Some(leader) = &mut self.leader {
            leader.asks.entry(group.id).or_default().push(ask);
            leader.dirty.insert(group.id);
        }
        self.leader_wake_now(core);
    }

    pub(super) fn reset_attempt(&mut self, core: &mut Core, request: u64, from: NodeId) {
        let Some((pattern, left)) = self.leader.as_mut().and_then(|leader| leader.resets.get_mut(&request)) else {
            return self.answer_write(core, request, from, Err(WriteError::NoLeader));
        };
        if *left == 0 {
            let error = WriteError::Refused("the groups keep changing, try again".to_owned());
            return self.answer_write(core, request, from, Err(error));
        }
        *left -= 1;
        let pattern = pattern.clone();
        let state = self.state.clone();
        let mut groups = Vec::new();
        for group in state.groups_by_name() {
            if !glob_matches(&pattern, group.name.as_str().as_bytes()) {
                continue;
            }
            if group.failover.as_ref().is_some_and(Failover::is_undecided) {
                return self.answer_write(core, request, from, Err(WriteError::InProgress));
            }
            groups.push(self.reset_group(core, group));
        }
        self.propose(core, Command::Reset { groups }, Waiter::Reset { request, from });
    }

    pub(super) fn reset_group(&self, core: &Core, group: &Group) -> ResetGroup {
        let none = BTreeMap::new();
        let scene = Scene {
            group,
            sightings: self.seen.0.get(&group.id).unwrap_or(&none),
            tally: &cfgserver::detect::Tally::default(),
            elsewhere: self.state.as_ref(),
            node: self.id,
            wall: self.state.time(self.wall(core)),
        };
        ResetGroup {
            group: group.id,
            on: group.version,
            forget: unreachable(&scene),
        }
    }

    pub(in crate::node) fn reset_proposed(
        &mut self,
        core: &mut Core,
        request: u64,
        from: NodeId,
        result: Result<WriteReply, WriteError>,
    ) {
        match result {
            Ok(WriteReply::Outcome {
                outcome: Outcome::Rejected(Rejection::Moved | Rejection::NoSuchGroup),
                ..
            }) => self.reset_attempt(core, request, from),
            Ok(WriteReply::Outcome {
                outcome: Outcome::Rejected(Rejection::InProgress),
                ..
            }) => self.answer_write(core, request, from, Err(WriteError::InProgress)),
            result => self.answer_write(core, request, from, result),
        }
    }
}
