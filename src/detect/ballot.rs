//! The leader's book of votes.
//!
//! Votes are state, not edges: each node repeats its set of verdicts until it is known to have arrived, refreshes
//! it, and a set that is not refreshed no longer counts. A report that does not continue the one before it is
//! answered with [`VoteAck::WantWhole`] and changes nothing, so no change of a verdict can be lost unnoticed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{Address, Age, GroupId, Instant, NodeId, VoteKey};
use crate::mutation::{self, Mutation};

/// What a node thinks of a primary, as a vote carries it: the moment of the verdict stays on the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// Not judged yet.
    #[default]
    Unknown,
    /// Answers acceptably.
    Up,
    /// Silent or unacceptable for too long.
    Down,
}

/// One node's opinion about the primary of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// What it is about.
    pub key: VoteKey,
    /// The opinion.
    pub verdict: Judgement,
    /// The replicas of the group that the node sees Up now.
    pub reach: BTreeSet<Address>,
    /// The replicas that the node would promote if it led; none while no candidate is looked for. `None` from a node
    /// that cannot tell.
    #[serde(default)]
    pub fit: Option<BTreeSet<Address>>,
}

/// What a node sends to the leader. Without votes and not `whole` it is a pure refresh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteReport {
    /// Grows by one with every report of a node; starts anew, but higher, with its process.
    pub sequence: u64,
    /// These are all its votes: groups that are missing here have none.
    pub whole: bool,
    /// New or changed votes, one per group.
    pub votes: Vec<Vote>,
}

/// What the leader says to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoteAck {
    /// Taken.
    Taken,
    /// Not taken: something before it is missing. Send a whole report.
    WantWhole,
    /// Not taken: this node does not lead.
    NotLeader,
}

/// The count for one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Nodes of the electorate with a fresh Down vote.
    pub down: u32,
    /// Nodes of the electorate with a fresh Up vote.
    pub up: u32,
    /// Size of the electorate.
    pub electorate: u32,
    /// The replicas that each node of the electorate with a fresh vote sees Up.
    pub reach: BTreeMap<NodeId, BTreeSet<Address>>,
    /// The replicas that each of them would promote if it led; of one that cannot tell, those that it reaches.
    pub fit: BTreeMap<NodeId, BTreeSet<Address>>,
}

/// The votes of all nodes, as the leader knows them. Bounded by nodes x groups.
#[derive(Clone, Debug)]
pub struct Ballot {
    expiry_ms: Age,
    sheets: BTreeMap<NodeId, Sheet>,
}

/// The votes of one node.
#[derive(Clone, Debug)]
struct Sheet {
    sequence: u64,
    refreshed_at: Instant,
    votes: BTreeMap<GroupId, Vote>,
}

impl Ballot {
    /// An empty book. A node's votes stop counting when it has not refreshed them for `expiry_ms`.
    pub fn new(expiry_ms: Age) -> Self {
        Self {
            expiry_ms,
            sheets: BTreeMap::new(),
        }
    }

    /// Takes a report. Also says of which groups the votes changed.
    ///
    /// A report that is not newer than what is known of its node is not taken, unless that has expired: a late
    /// duplicate must not bring back an old opinion.
    pub fn receive(&mut self, from: NodeId, report: &VoteReport, now: Instant) -> (VoteAck, BTreeSet<GroupId>) {
        let mut changed = self.expire(now);
        let ack = match self.sheets.get_mut(&from) {
            Some(sheet) if report.sequence <= sheet.sequence => VoteAck::WantWhole,
            Some(sheet) if report.whole => {
                changed.extend(sheet.replace(report, now));
                VoteAck::Taken
            }
            Some(sheet) if report.sequence == sheet.sequence + 1 => {
                changed.extend(sheet.amend(report, now));
                VoteAck::Taken
            }
            None if report.whole => {
                let mut sheet = Sheet::empty(now);
                changed.extend(sheet.replace(report, now));
                self.sheets.insert(from, sheet);
                VoteAck::Taken
            }
            Some(_) | None => VoteAck::WantWhole,
        };
        (ack, changed)
    }

    /// Forgets everything: a new leadership starts with what the nodes say to it.
    pub fn clear(&mut self) {
        self.sheets.clear();
    }

    /// Drops the votes that have expired, and says of which groups.
    pub fn expire(&mut self, now: Instant) -> BTreeSet<GroupId> {
        let expiry_ms = self.expiry_ms;
        let mut changed = BTreeSet::new();
        if self.sheets.values().all(|sheet| sheet.fresh(expiry_ms, now)) {
            return changed;
        }
        self.sheets.retain(|_, sheet| {
            let keep = sheet.fresh(expiry_ms, now);
            if !keep {
                changed.extend(sheet.votes.keys());
            }
            keep
        });
        changed
    }

    /// When the next votes expire if nothing refreshes them; `None` when none are left to expire.
    pub fn next_expiry(&self, now: Instant) -> Option<Instant> {
        self.sheets
            .values()
            .filter(|sheet| sheet.fresh(self.expiry_ms, now))
            .map(|sheet| sheet.refreshed_at.plus(self.expiry_ms))
            .min()
    }

    /// Counts the fresh votes of the electorate for a key. Votes of others, learners for example, do not count.
    ///
    /// A vote counts when its key is the same, or says nothing yet about the run id.
    pub fn tally(&self, key: &VoteKey, electorate: impl Iterator<Item = NodeId>, now: Instant) -> Tally {
        let mut tally = Tally::default();
        for node in electorate {
            tally.electorate += 1;
            let Some(vote) = self.vote(node, key, now) else {
                continue;
            };
            match vote.verdict {
                Judgement::Down => tally.down += 1,
                Judgement::Up => tally.up += 1,
                Judgement::Unknown => {}
            }
            tally.reach.insert(node, vote.reach.clone());
            let fit = vote.fit.as_ref().unwrap_or(&vote.reach);
            tally.fit.insert(node, fit.clone());
        }
        tally
    }

    /// What a node says for a key; `None` when it is not heard.
    pub fn judgement(&self, node: NodeId, key: &VoteKey, now: Instant) -> Option<Judgement> {
        self.vote(node, key, now).map(|vote| vote.verdict)
    }

    fn vote(&self, node: NodeId, key: &VoteKey, now: Instant) -> Option<&Vote> {
        let sheet = self
            .sheets
            .get(&node)
            .filter(|sheet| sheet.fresh(self.expiry_ms, now))?;
        sheet.votes.get(&key.group).filter(|vote| answers(&vote.key, key))
    }
}

impl Sheet {
    fn empty(now: Instant) -> Self {
        Self {
            sequence: 0,
            refreshed_at: now,
            votes: BTreeMap::new(),
        }
    }

    fn fresh(&self, expiry_ms: Age, now: Instant) -> bool {
        now.since(self.refreshed_at) < expiry_ms || mutation::is_on(Mutation::VotesForEver)
    }

    /// Takes all votes of a report in place of the old ones; the groups that differ.
    fn replace(&mut self, report: &VoteReport, now: Instant) -> BTreeSet<GroupId> {
        let named: BTreeSet<GroupId> = report.votes.iter().map(|vote| vote.key.group).collect();
        let mut changed: BTreeSet<GroupId> = self.votes.keys().filter(|id| !named.contains(id)).copied().collect();
        self.votes.retain(|id, _| named.contains(id));
        changed.extend(self.amend(report, now));
        changed
    }

    /// Takes the votes of a report beside the old ones; the groups that differ.
    fn amend(&mut self, report: &VoteReport, now: Instant) -> BTreeSet<GroupId> {
        self.sequence = report.sequence;
        self.refreshed_at = now;
        let mut changed = BTreeSet::new();
        for vote in &report.votes {
            let before = self.votes.insert(vote.key.group, vote.clone());
            if before.as_ref() != Some(vote) {
                changed.insert(vote.key.group);
            }
        }
        changed
    }
}

/// Whether a vote with key `cast` says something about `asked`.
fn answers(cast: &VoteKey, asked: &VoteKey) -> bool {
    if mutation::is_on(Mutation::VotesWithoutKey) {
        return cast.group == asked.group;
    }
    let same_process = cast.run_id.is_none() || cast.run_id == asked.run_id;
    cast.group == asked.group && cast.epoch == asked.epoch && cast.address == asked.address && same_process
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
