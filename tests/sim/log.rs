//! The ordered log, and who leads: Raft from the outside.
//!
//! Committed entries are one sequence, for ever. What a leader has proposed and a majority has not yet, may be lost with
//! the leader, or be committed by the next one although its proposer does not know. A leader that lost its majority
//! believes that it leads until it hears of another; its lease has ended before that other one exists.
//! What does not live here: votes, heartbeats and disks of Raft itself (the full simulator has them).

mod members;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cfgserver::machine::{self, Command, Entry, Outcome, State};
use cfgserver::model::{self, NodeId, Term, Timestamp};

use crate::core::Core;
use crate::event::Event;
use crate::fact::Fact;

pub(crate) use members::Members;

/// How long a majority's answer keeps the lease.
const LEASE_MS: u64 = 550;
/// Heartbeats: the lease counts from the last one that a majority answered.
const HEARTBEAT_MS: u64 = 100;

/// Who proposed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) node: NodeId,
    pub(crate) life: u32,
    pub(crate) proposal: u64,
}

/// A committed entry, and the state after it.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) term: Term,
    pub(crate) origin: Option<Origin>,
    pub(crate) entry: Option<Arc<Entry>>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) events: Arc<Vec<model::Event>>,
    pub(crate) state: Arc<State>,
}

/// Proposed, not committed.
#[derive(Debug)]
struct Pending {
    term: Term,
    origin: Option<Origin>,
    entry: Option<Entry>,
    /// Another membership.
    members: Option<Members>,
    ready_at: u64,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Committed>,
    pub(crate) term: Term,
    pub(crate) leader: Option<NodeId>,
    /// The leader has committed in its own term.
    pub(crate) led: bool,
    tail: VecDeque<Pending>,
    lost_at: Option<u64>,
    elections: u64,
    /// Gives its leadership away, and commits nothing any more.
    resigned: Option<NodeId>,
    lease_until: BTreeMap<NodeId, u64>,
    /// So many entries there were when the world began.
    pub(crate) founded: usize,
    /// How far each node has applied.
    pub(crate) applied: BTreeMap<NodeId, usize>,
    pub(crate) applying: BTreeMap<NodeId, bool>,
    pub(crate) lives: BTreeMap<NodeId, u32>,
    /// Who belongs to the cluster, as Raft has it.
    pub(crate) members: Members,
    /// Removed nodes may have heard of it.
    pub(crate) retiring: bool,
    /// The membership has changed in this run.
    pub(crate) reshaped: bool,
    /// Disks that take so much longer.
    slow_disks: BTreeMap<NodeId, u64>,
}

impl Log {
    pub(crate) fn state(&self) -> Arc<State> {
        self.entries.last().map(|last| last.state.clone()).unwrap_or_default()
    }

    /// The state after so many entries.
    pub(crate) fn state_at(&self, applied: usize) -> Arc<State> {
        let last = applied.checked_sub(1).map(|last| self.entries[last].state.clone());
        last.unwrap_or_default()
    }

    fn lives(&self, node: NodeId) -> u32 {
        self.lives.get(&node).copied().unwrap_or_default()
    }
}

impl Core {
    /// The node may order: its majority answered it lately.
    pub(crate) fn holds_lease(&self, node: NodeId) -> bool {
        let leads = self.log.leader == Some(node) && self.log.lost_at.is_none();
        leads || self.log.lease_until.get(&node).is_some_and(|until| self.now < *until)
    }

    /// Commits at once: how a world begins.
    pub(crate) fn found(&mut self, command: Command, wall: u64) {
        self.log.tail.push_back(Pending {
            term: 0,
            origin: None,
            entry: Some(Entry {
                command,
                at: Timestamp(wall),
            }),
            members: None,
            ready_at: 0,
        });
        self.commit_first();
    }

    /// A node that believes that it leads proposes something. False: it will never be heard of.
    pub(crate) fn append(&mut self, term: Term, origin: Origin, entry: Entry) -> bool {
        if self.log.leader != Some(origin.node) || self.log.term != term {
            return false;
        }
        self.put_in_tail(Pending {
            term,
            origin: Some(origin),
            entry: Some(entry),
            members: None,
            ready_at: 0,
        });
        true
    }

    pub(crate) fn try_commit(&mut self, term: Term) {
        let Some(leader) = self.log.leader.filter(|_| self.log.term == term) else {
            return;
        };
        if self.log.tail.is_empty() || !self.has_majority(leader) {
            return;
        }
        let mut reshaped = false;
        while let Some(first) = self.log.tail.front().filter(|first| first.ready_at <= self.now) {
            if let Some(members) = &first.members {
                if !self.has_majority_of(leader, members) {
                    break;
                }
                reshaped = true;
            }
            self.commit_first();
        }
        self.spread_entries();
        if reshaped {
            self.reshaped();
        }
    }

    fn commit_first(&mut self) {
        let Some(mut pending) = self.log.tail.pop_front() else {
            return;
        };
        if let Some(members) = pending.members.take() {
            self.log.members = members;
            let members = self.log.members.keys();
            self.net
                .waiting
                .retain(|id| !members.clone().any(|member| member == id));
        }
        let before = self.log.state();
        let mut state = before.as_ref().clone();
        let applied = pending.entry.as_ref().map(|entry| machine::apply(&mut state, entry));
        let after = Arc::new(state);
        let index = self.log.entries.len();
        let (outcome, events) = match applied {
            Some(applied) => (Some(applied.outcome), Arc::new(applied.events)),
            None => (None, Arc::default()),
        };
        if pending.entry.is_none() && pending.term == self.log.term {
            self.log.led = true;
        }
        if let (Some(entry), Some(outcome)) = (&pending.entry, &outcome) {
            crate::reached::mark(&mut self.coverage, &entry.command, outcome);
            self.tell_commit(index, entry, outcome, &events);
            self.fact(Fact::Committed {
                command: Arc::new(entry.command.clone()),
                outcome: outcome.clone(),
                before,
                after: after.clone(),
                events: events.clone(),
            });
        }
        self.log.entries.push(Committed {
            term: pending.term,
            origin: pending.origin,
            entry: pending.entry.map(Arc::new),
            outcome,
            events,
            state: after,
        });
    }

    fn tell_commit(&mut self, index: usize, entry: &Entry, outcome: &Outcome, events: &[model::Event]) {
        if !self.story.is_kept() {
            return;
        }
        let outcome = match outcome {
            Outcome::Rejected(rejection) => format!("rejected: {rejection}"),
            _ => String::new(),
        };
        let text = self.named(&format!("{index}: {:?} {outcome}", entry.command));
        self.tell("log", || text);
        for event in events {
            let published = cfgserver::sentinel::publish(event);
            let payload = String::from_utf8_lossy(&published.payload).into_owned();
            let text = self.named(&format!("    {} {payload}", published.channel));
            self.tell("log", || text);
        }
    }

    /// Committed entries travel to whoever hears the leader.
    pub(crate) fn spread_entries(&mut self) {
        let Some(leader) = self.log.leader else { return };
        let goal = self.log.entries.len();
        for node in 1..=self.net.nodes {
            let behind = self.log.applied.get(&node).copied().unwrap_or_default() < goal;
            let applying = self.log.applying.get(&node).copied().unwrap_or_default();
            if !behind
                || applying
                || !self.log.is_member(node)
                || !(node == leader || self.net.in_contact(leader, node))
            {
                continue;
            }
            let mut ms = if node == leader { 0 } else { self.delay() };
            ms += self.log.slow_disks.get(&node).copied().unwrap_or_default();
            if node != leader && !self.quiet && self.chance.permille(self.settings.slow_apply_permille) {
                ms += self.chance.within(50, 3_000);
                self.coverage.mark("log: slow apply");
            }
            self.log.applying.insert(node, true);
            let life = self.log.lives(node);
            self.after(ms, Event::Apply { node, life });
        }
    }

    /// The network, or a node, changed: does the leader still lead?
    pub(crate) fn topology_changed(&mut self) {
        self.changed_at = self.now;
        self.net.changed(self.now);
        self.log.retiring |= self.log.reshaped;
        let leads = self.log.leader.filter(|leader| self.has_majority(*leader));
        match (leads, self.log.lost_at) {
            (Some(_), Some(_)) => {
                self.log.lost_at = None;
                self.log.elections += 1;
            }
            (None, None) => {
                self.log.lost_at = Some(self.now);
                if let Some(leader) = self.log.leader {
                    let back = self.chance.within(0, HEARTBEAT_MS);
                    self.log.lease_until.insert(leader, self.now + LEASE_MS - back);
                }
                self.await_election(LEASE_MS + 1, LEASE_MS * 2);
            }
            _ => {}
        }
        if leads.is_some() {
            let term = self.log.term;
            self.try_commit(term);
            self.spread_entries();
            self.spread_leadership();
        }
    }

    fn await_election(&mut self, low: u64, high: u64) {
        self.log.elections += 1;
        let number = self.log.elections;
        let ms = self.chance.within(low, high);
        self.after(ms, Event::Election { number });
    }

    pub(crate) fn election(&mut self, number: u64) {
        if number != self.log.elections {
            return;
        }
        let resigned = self.log.resigned.take();
        let able: Vec<NodeId> = self.log.voters().filter(|node| self.has_majority(*node)).collect();
        if able.is_empty() {
            self.log.resigned = resigned;
            return self.await_election(200, 600);
        }
        let winner = *self.chance.pick(&able);
        // What the loser had proposed reached whoever it reached.
        let kept = self.chance.within(0, self.log.tail.len() as u64) as usize;
        self.elect(winner, kept);
    }

    /// The old leader names its successor.
    pub(crate) fn transfer(&mut self, from: NodeId, to: NodeId) -> bool {
        let possible = self.log.leader == Some(from)
            && self.log.voters().any(|voter| voter == to)
            && self.net.in_contact(from, to)
            && self.has_majority(to);
        if possible {
            let kept = self.log.tail.len();
            self.coverage.mark("raft: leadership handed over");
            self.elect(to, kept);
        }
        if !possible && self.log.leader == Some(from) {
            // It sends no heartbeats any more: somebody will be elected.
            self.coverage.mark("raft: leadership not taken over");
            self.log.resigned = Some(from);
            self.topology_changed();
        }
        possible
    }

    fn elect(&mut self, winner: NodeId, kept: usize) {
        if self.log.tail.len() > kept {
            self.coverage.mark("log: proposals lost");
        }
        if kept > 0 {
            self.coverage.mark("log: proposals kept by a successor");
        }
        self.log.tail.truncate(kept);
        for pending in &mut self.log.tail {
            pending.ready_at = self.now;
        }
        if let Some(old) = self.log.leader.filter(|old| *old != winner) {
            self.log
                .lease_until
                .entry(old)
                .and_modify(|until| *until = (*until).min(self.now))
                .or_insert(0);
        }
        self.log.lease_until.remove(&winner);
        self.log.term += 1;
        self.log.leader = Some(winner);
        self.log.led = false;
        self.log.lost_at = None;
        self.log.resigned = None;
        self.log.elections += 1;
        let term = self.log.term;
        self.coverage.mark("raft: elections");
        self.tell_node(winner, || format!("is elected in term {term}"));
        self.put_in_tail(Pending {
            term,
            origin: None,
            entry: None,
            members: None,
            ready_at: 0,
        });
        let life = self.log.lives(winner);
        self.after(
            0,
            Event::LearnLeader {
                node: winner,
                life,
                term,
                leader: winner,
            },
        );
        self.spread_leadership();
        // It may have lost its majority in this very moment.
        self.topology_changed();
    }

    /// Who hears the leader learns of it.
    fn spread_leadership(&mut self) {
        let (Some(leader), term) = (self.log.leader, self.log.term) else {
            return;
        };
        for node in 1..=self.net.nodes {
            if node != leader && self.log.is_member(node) && self.net.in_contact(leader, node) {
                let (life, ms) = (self.log.lives(node), self.delay());
                self.after(
                    ms,
                    Event::LearnLeader {
                        node,
                        life,
                        term,
                        leader,
                    },
                );
            }
        }
    }

    /// The process of a node ended: it leads no more.
    pub(crate) fn node_gone(&mut self, node: NodeId) {
        self.log.lease_until.remove(&node);
        self.log.applying.insert(node, false);
        if self.log.resigned == Some(node) {
            self.log.resigned = None;
        }
        if self.log.leader == Some(node) {
            self.log.lost_at = None;
            self.log.leader = None;
            self.log.led = false;
        }
        self.topology_changed();
    }
}
