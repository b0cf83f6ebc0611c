//! A node, as the tokio services around the pure parts behave: each file here mirrors one of them.
//!
//! ```text
//! log.rs's entries -> Feed -> roster -> probes -> detect::Watch -> sightings -> voter -> leader's Ballot
//!                                                                       \-> leader: failover::plan -> links, proposals
//! ```

mod feed;
mod leader;
mod links;
mod probe;
mod roster;
mod stalls;
mod voter;

pub(crate) use links::requests;

use std::collections::BTreeMap;
use std::sync::Arc;

use cfgserver::detect::Ballot;
use cfgserver::machine::{Entry, State};
use cfgserver::model::{self, Address, GroupId, Instant, MyId, NodeId, NodeRole, Sighting, Term, Timestamp};
use cfgserver::mutation::{self, Mutation};
use cfgserver::raft::Leadership;
use cfgserver::requests::{NodeStatus, Sightings, WriteError, WriteReply};

use crate::core::Core;
use crate::event::Event;
use crate::log::Origin;

use feed::Feed;
use leader::Leader;
use roster::Watched;
use stalls::Stalls;
use voter::Voter;

/// Wall-clock time at the beginning.
pub(crate) const WALL: u64 = 1_700_000_000_000;
/// How long a write may take.
const WRITE_MS: u64 = 5_000;

/// What waits for a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// The leader, about a group.
    Leader { term: Term, group: GroupId },
    /// A client's write that came from a node.
    Request { request: u64, from: NodeId },
    /// The leader, about the membership.
    Keeper { term: Term },
    /// A RESET that is planned again when groups moved on.
    Reset { request: u64, from: NodeId },
}

/// The leader's book of votes, of one term.
pub(crate) struct Page {
    term: Term,
    ballot: Ballot,
}

/// What a node sees.
#[derive(Default)]
pub(crate) struct Seen(pub(crate) BTreeMap<GroupId, BTreeMap<Address, Sighting>>);

impl Sightings for Seen {
    fn sighting(&self, group: GroupId, address: Address) -> Option<Sighting> {
        self.0.get(&group)?.get(&address).cloned()
    }
}

/// A node.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) life: u32,
    pub(crate) running: bool,
    /// It will never run again, or never as this node.
    pub(crate) gone: bool,
    pub(crate) started_at: u64,
    pub(crate) paused_until: u64,
    /// What came while it stood still: it finds all of that when it goes on, whenever that is.
    pub(crate) missed: Vec<Event>,
    /// The wall clock is ahead by this.
    pub(crate) skew_ms: i64,
    /// What was published: on the board.
    pub(crate) state: Arc<State>,
    pub(crate) applied: usize,
    feed: Feed,
    pub(crate) view: Leadership,
    /// The term in which it gives leadership away.
    gives_away: Term,
    stalls: Stalls,
    roster: BTreeMap<GroupId, Watched>,
    pub(crate) seen: Seen,
    voter: Voter,
    page: Page,
    pub(crate) leader: Option<Leader>,
    waiting: BTreeMap<u64, Waiter>,
    pub(crate) status: NodeStatus,
    /// When it last thought that an instance is down: the truth, for invariants.
    pub(crate) judged_down: BTreeMap<(GroupId, Address), u64>,
    /// Events that subscribers of this node are to be told.
    pub(crate) published: Vec<model::Event>,
}

impl Node {
    pub(crate) fn new(id: NodeId) -> Self {
        Self {
            id,
            life: 0,
            running: false,
            gone: false,
            started_at: 0,
            paused_until: 0,
            missed: Vec::new(),
            skew_ms: 0,
            state: Arc::default(),
            applied: 0,
            feed: Feed::default(),
            view: Leadership::default(),
            gives_away: 0,
            stalls: Stalls::new(0),
            roster: BTreeMap::new(),
            seen: Seen::default(),
            voter: Voter::new(0),
            page: Page {
                term: 0,
                ballot: Ballot::new(0),
            },
            leader: None,
            waiting: BTreeMap::new(),
            status: NodeStatus {
                id,
                my_id: my_id(id),
                ..NodeStatus::default()
            },
            judged_down: BTreeMap::new(),
            published: Vec::new(),
        }
    }

    /// A new process: everything volatile is gone, the log is there.
    pub(crate) fn start(&mut self, core: &mut Core) {
        let (id, skew_ms) = (self.id, self.skew_ms);
        let (life, applied, term, gone) = (self.life + 1, self.applied, self.view.term, self.gone);
        assert!(!gone, "it is gone for good");
        *self = Self::new(id);
        self.life = life;
        self.running = true;
        self.started_at = core.now;
        self.skew_ms = skew_ms;
        self.applied = applied;
        self.view.term = term;
        self.stalls = Stalls::new(core.now);
        self.page.ballot = Ballot::new(1_500);
        core.net.down.remove(&id);
        core.log.lives.insert(id, life);
        core.log.applied.insert(id, applied);
        core.log.applying.insert(id, false);
        core.tell_node(id, || format!("starts, has applied {applied}"));
        self.feed_start(core);
        self.voter_start(core);
        core.topology_changed();
    }

    pub(crate) fn stop(&mut self, core: &mut Core) {
        core.tell_node(self.id, || "ends".to_owned());
        self.running = false;
        self.paused_until = 0;
        self.missed.clear();
        core.net.paused.remove(&self.id);
        core.net.down.insert(self.id);
        for server in &mut core.fleet.servers {
            let (id, life) = (self.id, self.life);
            server
                .conns
                .retain(|_, conn| (conn.owner.node, conn.owner.life) != (id, life));
        }
        self.leader = None;
        core.node_gone(self.id);
    }

    pub(crate) fn wall(&self, core: &Core) -> Timestamp {
        Timestamp((WALL + core.now).saturating_add_signed(self.skew_ms))
    }

    /// Puts a command into the log, as the leader that it believes to be.
    pub(crate) fn propose(&mut self, core: &mut Core, command: cfgserver::machine::Command, waiter: Waiter) {
        let proposal = core.serial();
        self.waiting.insert(proposal, waiter);
        let origin = Origin {
            node: self.id,
            life: self.life,
            proposal,
        };
        let at = self.wall(core);
        if mutation::is_on(Mutation::EventBeforeCommit) {
            let mut state = self.state.as_ref().clone();
            let entry = Entry {
                command: command.clone(),
                at,
            };
            core.publishing = true;
            self.published
                .extend(cfgserver::machine::apply(&mut state, &entry).events);
        }
        if !core.append(self.view.term, origin, Entry { command, at }) {
            core.coverage.mark("log: proposals of a stale leader");
        }
        let (node, life) = (self.id, self.life);
        core.after(WRITE_MS, Event::ProposalLimit { node, life, proposal });
    }

    /// What became of a proposal.
    pub(crate) fn proposed(&mut self, core: &mut Core, proposal: u64, result: Result<WriteReply, WriteError>) {
        let Some(waiter) = self.waiting.remove(&proposal) else {
            return;
        };
        if result.is_err() {
            core.coverage.mark("log: proposals of unknown outcome");
        }
        match waiter {
            Waiter::Leader { term, group } => {
                if self.leads(term) {
                    self.leader_proposed(core, group, result);
                }
            }
            Waiter::Keeper { term } => {
                if self.leads(term) {
                    self.kept_members(core);
                }
            }
            Waiter::Request { request, from } => self.answer_write(core, request, from, result),
            Waiter::Reset { request, from } => self.reset_proposed(core, request, from, result),
        }
    }

    /// Sends the result of a write back to the node that its client is connected to.
    pub(crate) fn answer_write(
        &self,
        core: &mut Core,
        request: u64,
        from: NodeId,
        result: Result<WriteReply, WriteError>,
    ) {
        let result = Box::new(result.map(|reply| (reply, self.applied)));
        let ms = if from == self.id { 0 } else { core.delay() };
        if core.net.goes(self.id, from) {
            core.after(ms, Event::WriteDone { request, result });
        }
    }

    /// Whether its service leads in that term.
    pub(crate) fn leads(&self, term: Term) -> bool {
        self.leader.is_some() && self.view.me && self.view.term == term
    }

    /// The majority lease holds, right now.
    pub(crate) fn holds_lease(&self, core: &Core) -> bool {
        let holds = self.gives_away != self.view.term && core.holds_lease(self.id);
        self.view.me && (holds || mutation::is_on(Mutation::OrderAfterLease))
    }

    /// Somebody leads in a newer term, or in a term that it knows.
    pub(crate) fn learn_leader(&mut self, core: &mut Core, term: Term, leader: NodeId) {
        let newer = term > self.view.term || (term == self.view.term && self.view.leader.is_none());
        if !newer {
            return;
        }
        self.set_view(
            core,
            Leadership {
                leader: Some(leader),
                term,
                me: false,
            },
        );
        self.note_leadership(core);
    }

    /// Leads once everything of before its term is applied and published.
    pub(crate) fn note_leadership(&mut self, core: &mut Core) {
        let elected = core.log.leader == Some(self.id) && core.log.term == self.view.term && core.log.led;
        let knows = self.feed.ready()
            && core
                .log
                .entries
                .get(self.applied.wrapping_sub(1))
                .is_some_and(|last| last.term == self.view.term);
        if elected && knows && !self.view.me {
            let view = Leadership { me: true, ..self.view };
            self.set_view(core, view);
        }
    }

    fn set_view(&mut self, core: &mut Core, view: Leadership) {
        let led = self.view.me;
        self.view = view;
        self.status.leader = view.leader;
        self.status.term = view.term;
        if led && !view.me {
            core.tell_node(self.id, || {
                format!("leads no more; {:?} does in term {}", view.leader, view.term)
            });
            self.leader_leaves(core);
        }
        if view.me {
            core.tell_node(self.id, || format!("leads in term {}", view.term));
            self.leader = Some(Leader::new(view.term, Instant(core.now)));
            self.leader_wake_now(core);
        }
        self.voter_leadership_changed(core);
    }
}

/// A node as the others know it.
pub(crate) fn peer(id: NodeId, role: NodeRole) -> model::Node {
    model::Node {
        address: format!("10.9.9.{id}:26379"),
        my_id: my_id(id),
        role,
        ..model::Node::default()
    }
}

pub(crate) fn my_id(id: NodeId) -> MyId {
    MyId(format!("{id:08}{id:032}").into())
}
