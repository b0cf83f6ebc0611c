//! Keeps the leader's picture of this node's votes complete: when `probe::voter` reports, and the leader's
//! `control::book`. What is reported is the real `detect::Voter`'s.

use std::collections::{BTreeMap, BTreeSet};

use cfgserver::detect::{self, Tally, Vote, VoteAck, VoteReport};
use cfgserver::failover::{self, Scene};
use cfgserver::model::{Group, GroupId, Instant, NodeId};

use crate::core::Core;
use crate::event::Event;

use super::Node;

const REFRESH_MS: u64 = 100;
/// A report that is not answered within this failed.
const REPORT_LIMIT_MS: u64 = 500;

pub(super) struct Voter {
    real: detect::Voter,
    changes: BTreeSet<GroupId>,
    /// Groups that look for a candidate: they are thought about with every report.
    seekers: BTreeSet<GroupId>,
    /// The answer to a report is awaited; which.
    awaiting: Option<u64>,
    /// When the next report goes out.
    due: u64,
    serial: u64,
    /// When it is its turn, and when it is woken first.
    wake_at: u64,
    woken_at: Option<u64>,
}

impl Node {
    pub(super) fn voter_start(&mut self, core: &mut Core) {
        self.voter = Voter::new(self.wall(core).0);
        self.voter_again(core, 0);
    }

    fn voter_again(&mut self, core: &mut Core, ms: u64) {
        self.voter.wake_at = core.now + ms;
        // An answer will come long before the limit, and then the next report is due no sooner.
        self.voter_wake(core, self.voter.wake_at.min(core.now + REFRESH_MS));
    }

    fn voter_wake(&mut self, core: &mut Core, at: u64) {
        if self.voter.woken_at.is_none_or(|known| at < known) {
            self.voter.woken_at = Some(at);
            let (node, life) = (self.id, self.life);
            core.push(at, Event::VoterDue { node, life });
        }
    }

    pub(super) fn voter_mark(&mut self, core: &mut Core, group: GroupId) {
        if self.voter.changes.insert(group) && self.voter.awaiting.is_none() && !self.voter.real.is_whole() {
            self.voter_again(core, 0);
        }
    }

    pub(super) fn voter_leadership_changed(&mut self, core: &mut Core) {
        self.voter.real.leadership_changed();
        self.voter.awaiting = None;
        self.voter_again(core, 0);
    }

    /// A report is due, or the answer to one did not come.
    pub(crate) fn voter_due(&mut self, core: &mut Core) {
        if self.voter.woken_at.is_none_or(|at| at > core.now) {
            return;
        }
        self.voter.woken_at = None;
        if self.voter.wake_at > core.now {
            return self.voter_wake(core, self.voter.wake_at);
        }
        if self.voter.awaiting.take().is_some() {
            return self.voter_answered(core, None);
        }
        let Some(leader) = self.view.leader else {
            return self.voter_again(core, REFRESH_MS);
        };
        let report = self.next_report(core);
        self.voter.due = core.now + REFRESH_MS;
        if leader == self.id {
            let ack = self.receive(core, self.id, &report);
            return self.voter_answered(core, Some(ack));
        }
        self.voter_again(core, REPORT_LIMIT_MS);
        self.voter.serial = core.serial();
        let serial = self.voter.serial;
        self.voter.awaiting = Some(serial);
        if core.net.goes(self.id, leader) && !core.chance.permille(core.settings.loss_permille) {
            let ms = core.delay();
            let report = Box::new(report);
            core.after(
                ms,
                Event::Report {
                    to: leader,
                    from: self.id,
                    life: self.life,
                    serial,
                    report,
                },
            );
        }
    }

    /// A report of another node arrives.
    pub(crate) fn report(&mut self, core: &mut Core, from: NodeId, life: u32, serial: u64, report: &VoteReport) {
        let ack = self.receive(core, from, report);
        if core.net.goes(self.id, from) && !core.chance.permille(core.settings.loss_permille) {
            let ms = core.delay();
            core.after(
                ms,
                Event::Acked {
                    node: from,
                    life,
                    serial,
                    ack: Some(ack),
                },
            );
        }
    }

    /// As the leader's desk.
    fn receive(&mut self, core: &mut Core, from: NodeId, report: &VoteReport) -> VoteAck {
        if !self.view.me {
            return VoteAck::NotLeader;
        }
        self.turn_page();
        let (ack, changed) = self.page.ballot.receive(from, report, Instant(core.now));
        for group in changed {
            self.leader_dirty(core, group);
        }
        ack
    }

    fn turn_page(&mut self) {
        if self.page.term != self.view.term {
            self.page.term = self.view.term;
            self.page.ballot.clear();
        }
    }

    pub(crate) fn tally(&mut self, group: &Group, now: Instant) -> Tally {
        self.turn_page();
        let state = self.state.clone();
        self.page.ballot.tally(&group.vote_key(), state.electorate(), now)
    }

    pub(super) fn expire_votes(&mut self, now: Instant) -> (BTreeSet<GroupId>, Option<Instant>) {
        self.turn_page();
        let changed = self.page.ballot.expire(now);
        (changed, self.page.ballot.next_expiry(now))
    }

    pub(crate) fn voter_acked(&mut self, core: &mut Core, serial: u64, ack: Option<VoteAck>) {
        if self.voter.awaiting == Some(serial) {
            self.voter.awaiting = None;
            self.voter_answered(core, ack);
        }
    }

    fn voter_answered(&mut self, core: &mut Core, ack: Option<VoteAck>) {
        let taken = ack == Some(VoteAck::Taken);
        let wanted_at_once = self.voter.real.answered(ack.as_ref());
        if !taken {
            core.coverage.mark("votes: a report was not taken");
        }
        let at_once = wanted_at_once || (taken && !self.voter.changes.is_empty());
        let ms = if at_once {
            0
        } else {
            self.voter.due.saturating_sub(core.now)
        };
        self.voter_again(core, ms);
    }

    fn next_report(&mut self, core: &Core) -> VoteReport {
        let state = self.state.clone();
        let mut marked = std::mem::take(&mut self.voter.changes);
        marked.append(&mut self.voter.seekers);
        for id in marked {
            let vote = state.group(id).map(|group| self.cast(core, group));
            self.voter.real.think(id, vote);
        }
        self.voter.real.report()
    }

    fn cast(&mut self, core: &Core, group: &Group) -> Vote {
        let none = BTreeMap::new();
        let wall = self.wall(core);
        let sightings = self.seen.0.get(&group.id).unwrap_or(&none);
        let mut vote = Vote::cast(group, sightings.iter());
        if failover::lacks_candidate(group) {
            self.voter.seekers.insert(group.id);
            let scene = Scene {
                group,
                sightings,
                tally: &Tally::default(),
                elsewhere: self.state.as_ref(),
                node: self.id,
                wall,
            };
            vote.fit = Some(failover::fit_replicas(&scene, Instant(core.now)));
        }
        vote
    }
}

impl Voter {
    pub(super) fn new(sequence: u64) -> Self {
        Self {
            real: detect::Voter::new(sequence),
            changes: BTreeSet::new(),
            seekers: BTreeSet::new(),
            awaiting: None,
            due: 0,
            serial: 0,
            wake_at: 0,
            woken_at: None,
        }
    }
}
