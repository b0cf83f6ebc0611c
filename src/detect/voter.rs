//! A node's own votes, and what of them goes into the next report to the leader.

use std::collections::{BTreeMap, BTreeSet};

use super::{Judgement, Vote, VoteAck, VoteReport};
use crate::model::{Address, Group, GroupId, Sighting, Verdict};

/// The votes as they are, and as far as the leader knows them.
#[derive(Debug)]
pub struct Voter {
    votes: BTreeMap<GroupId, Vote>,
    /// Changed since the last report that was taken.
    unsent: BTreeSet<GroupId>,
    sequence: u64,
    /// The leader knows nothing, or not what it should.
    whole: bool,
}

impl Voter {
    /// No vote yet. `sequence`: above everything that an earlier process of this node has sent.
    pub fn new(sequence: u64) -> Self {
        Self {
            votes: BTreeMap::new(),
            unsent: BTreeSet::new(),
            sequence,
            whole: true,
        }
    }

    /// What the node thinks about a group now; `None`: there is no such group.
    pub fn think(&mut self, group: GroupId, vote: Option<Vote>) {
        if vote.as_ref() == self.votes.get(&group) {
            return;
        }
        match vote {
            Some(vote) => {
                self.votes.insert(group, vote);
                self.unsent.insert(group);
            }
            None => {
                self.votes.remove(&group);
                // Only a whole report can take a vote away.
                self.whole = true;
            }
        }
    }

    /// The next report: everything, or what the leader has not taken yet.
    pub fn report(&mut self) -> VoteReport {
        self.sequence += 1;
        let votes = if self.whole {
            self.votes.values().cloned().collect()
        } else {
            let unsent = self.unsent.iter().filter_map(|id| self.votes.get(id));
            unsent.cloned().collect()
        };
        VoteReport {
            sequence: self.sequence,
            whole: self.whole,
            votes,
        }
    }

    /// A report was answered, or not (`None`). Whether the next one must follow at once: the leader wants everything,
    /// and was not sent that just now.
    pub fn answered(&mut self, ack: Option<&VoteAck>) -> bool {
        let taken = ack == Some(&VoteAck::Taken);
        let at_once = ack == Some(&VoteAck::WantWhole) && !self.whole;
        self.whole = !taken;
        if taken {
            self.unsent.clear();
        }
        at_once
    }

    /// Somebody else leads.
    pub fn leadership_changed(&mut self) {
        self.whole = true;
    }

    /// The next report will be everything: what changes meanwhile need not hasten it.
    pub fn is_whole(&self) -> bool {
        self.whole
    }
}

impl Vote {
    /// What a node thinks of a group's primary, and which of its replicas it reaches.
    pub fn cast<'a>(group: &Group, sightings: impl Iterator<Item = (&'a Address, &'a Sighting)>) -> Self {
        let mut vote = Self {
            key: group.vote_key(),
            verdict: Judgement::Unknown,
            reach: BTreeSet::new(),
            fit: Some(BTreeSet::new()),
        };
        for (address, sighting) in sightings {
            if *address == group.primary {
                vote.verdict = judgement(sighting);
            } else if sighting.verdict == Verdict::Up {
                vote.reach.insert(*address);
            }
        }
        vote
    }
}

/// Who is refused a password knows that somebody serves, and not how: that is no vote.
fn judgement(sighting: &Sighting) -> Judgement {
    match sighting.verdict {
        Verdict::Unknown => Judgement::Unknown,
        Verdict::Up => Judgement::Up,
        Verdict::Down { .. } if sighting.locked => Judgement::Unknown,
        Verdict::Down { .. } => Judgement::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::VoteKey;

    const GROUP: GroupId = GroupId(1);

    fn vote(verdict: Judgement) -> Option<Vote> {
        let address = "10.0.0.1:6379".parse().ok()?;
        Some(Vote {
            key: VoteKey {
                group: GROUP,
                epoch: 0,
                address,
                run_id: None,
            },
            verdict,
            reach: BTreeSet::new(),
            fit: None,
        })
    }

    #[test]
    fn who_is_refused_a_password_does_not_judge() {
        let down = Sighting {
            verdict: Verdict::Down {
                since: crate::model::Instant(1),
            },
            ..Sighting::default()
        };
        assert_eq!(judgement(&down), Judgement::Down);
        assert_eq!(judgement(&Sighting { locked: true, ..down }), Judgement::Unknown);
    }

    #[test]
    fn a_change_is_repeated_until_it_is_taken_and_then_only_refreshed() {
        let mut voter = Voter::new(7);
        voter.think(GROUP, vote(Judgement::Up));
        let first = voter.report();
        assert_eq!((first.sequence, first.whole, first.votes.len()), (8, true, 1));
        assert!(!voter.answered(Some(&VoteAck::Taken)));
        assert_eq!(voter.report().votes.len(), 0);
        voter.answered(Some(&VoteAck::Taken));
        voter.think(GROUP, vote(Judgement::Down));
        assert_eq!(voter.report().votes.len(), 1);
        voter.answered(None);
        let again = voter.report();
        assert_eq!(
            (again.whole, again.votes.len()),
            (true, 1),
            "what became of it is unknown"
        );
    }

    #[test]
    fn who_is_asked_for_everything_sends_it_at_once_but_not_twice() {
        let mut voter = Voter::new(0);
        voter.report();
        voter.answered(Some(&VoteAck::Taken));
        assert!(voter.answered(Some(&VoteAck::WantWhole)));
        assert!(voter.report().whole);
        assert!(!voter.answered(Some(&VoteAck::WantWhole)));
    }

    #[test]
    fn a_vote_about_a_group_that_is_gone_is_taken_away_by_a_whole_report() {
        let mut voter = Voter::new(0);
        voter.think(GROUP, vote(Judgement::Up));
        voter.report();
        voter.answered(Some(&VoteAck::Taken));
        voter.think(GROUP, None);
        let report = voter.report();
        assert_eq!((report.whole, report.votes.len()), (true, 0));
    }
}
