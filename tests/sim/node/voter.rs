//! Keeps the leader's picture of this node's votes complete: `probe::voter`, and the leader's `control::book`.

use std::collections::{BTreeMap, BTreeSet};

use cfgserver::detect::{Judgement, Tally, Vote, VoteAck, VoteReport};
use cfgserver::model::{Group, GroupId, Instant, NodeId, Verdict};

use crate::core::Core;
use crate::event::Event;

use super::{Node, Seen};

const REFRESH_MS: u64 = 100;
/// A report that is not answered within this failed.
const REPORT_LIMIT_MS: u64 = 500;

#[derive(Default)]
pub(super) struct Voter {
    votes: BTreeMap<GroupId, Vote>,
    unsent: BTreeSet<GroupId>,
    changes: BTreeSet<GroupId>,
    sequence: u64,
    whole: bool,
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
        self.voter = Voter {
            sequence: self.wall(core).0,
            whole: true,
            ..Voter::default()
        };
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
        if self.voter.changes.insert(group) && self.voter.awaiting.is_none() && !self.voter.whole {
            self.voter_again(core, 0);
        }
    }

    pub(super) fn voter_leadership_changed(&mut self, core: &mut Core) {
        self.voter.whole = true;
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
        let report = self.next_report();
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
        let repeated = self.voter.whole;
        self.voter.whole = !taken;
        if taken {
            self.voter.unsent.clear();
        } else {
            core.coverage.mark("votes: a report was not taken");
        }
        let at_once = ack == Some(VoteAck::WantWhole) && !repeated || (taken && !self.voter.changes.is_empty());
        let ms = if at_once {
            0
        } else {
            self.voter.due.saturating_sub(core.now)
        };
        self.voter_again(core, ms);
    }

    fn next_report(&mut self) -> VoteReport {
        self.look();
        let voter = &mut self.voter;
        voter.sequence += 1;
        let votes = if voter.whole {
            voter.votes.values().cloned().collect()
        } else {
            voter
                .unsent
                .iter()
                .filter_map(|id| voter.votes.get(id))
                .cloned()
                .collect()
        };
        VoteReport {
            sequence: voter.sequence,
            whole: voter.whole,
            votes,
        }
    }

    fn look(&mut self) {
        for id in std::mem::take(&mut self.voter.changes) {
            let vote = self.state.group(id).map(|group| vote(group, &self.seen));
            if vote.as_ref() == self.voter.votes.get(&id) {
                continue;
            }
            match vote {
                Some(vote) => {
                    self.voter.votes.insert(id, vote);
                    self.voter.unsent.insert(id);
                }
                None => {
                    self.voter.votes.remove(&id);
                    self.voter.whole = true;
                }
            }
        }
    }
}

fn vote(group: &Group, seen: &Seen) -> Vote {
    let sightings = seen.0.get(&group.id);
    let verdict = sightings
        .and_then(|seen| seen.get(&group.primary))
        .map(|sighting| sighting.verdict);
    let reach = sightings.into_iter().flatten();
    Vote {
        key: group.vote_key(),
        verdict: match verdict {
            None | Some(Verdict::Unknown) => Judgement::Unknown,
            Some(Verdict::Up) => Judgement::Up,
            Some(Verdict::Down { .. }) => Judgement::Down,
        },
        reach: reach
            .filter(|(address, sighting)| **address != group.primary && sighting.verdict == Verdict::Up)
            .map(|(address, _)| *address)
            .collect(),
    }
}
