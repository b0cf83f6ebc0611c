//! Keeps the leader's picture of this node's votes complete.
//!
//! Reports go one after another: the whole set to each new leader and after anything that went wrong, changes at
//! once, and a refresh when there was nothing to say for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::board::Board;
use crate::detect::{Judgement, Vote, VoteAck, VoteReport};
use crate::model::{Age, Group, GroupId, Verdict};

use super::{Shared, Votes, lock};

/// Longest time without a report: several fit into the time after which votes expire.
const REFRESH_MS: Age = 100;
/// Longest wait for the answer to a report.
const REPORT_LIMIT: Duration = Duration::from_secs(1);

/// The groups about which this node may think something else than before. Bounded by the number of groups.
#[derive(Default)]
pub(super) struct Changes {
    groups: Mutex<BTreeSet<GroupId>>,
    notify: Notify,
}

/// The votes as they are, and as far as the leader knows them.
struct Voter {
    votes: BTreeMap<GroupId, Vote>,
    /// Changed since the last report that was taken.
    unsent: BTreeSet<GroupId>,
    sequence: u64,
    /// The leader knows nothing, or not what it should.
    whole: bool,
}

impl Changes {
    pub(super) fn mark(&self, group: GroupId) {
        if lock(&self.groups).insert(group) {
            self.notify.notify_one();
        }
    }

    fn take(&self) -> BTreeSet<GroupId> {
        std::mem::take(&mut *lock(&self.groups))
    }

    fn is_empty(&self) -> bool {
        lock(&self.groups).is_empty()
    }
}

/// Sends reports until the node stops.
pub(super) async fn run(shared: Arc<Shared>, votes: Arc<dyn Votes>, stop: CancellationToken) {
    let mut leadership = votes.leadership();
    let mut voter = Voter {
        votes: BTreeMap::new(),
        unsent: BTreeSet::new(),
        // Above everything that an earlier process of this node has sent.
        sequence: shared.clock.wall().0,
        whole: true,
    };
    loop {
        let led = leadership.borrow_and_update().is_some();
        let due = shared.clock.now().plus(REFRESH_MS);
        if led {
            let report = voter.next_report(&shared);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = leadership.changed() => {
                    voter.whole = true;
                    if changed.is_err() { return }
                    continue;
                }
                answer = tokio::time::timeout(REPORT_LIMIT, votes.report(report)) => {
                    let taken = matches!(answer, Ok(Ok(VoteAck::Taken)));
                    if !taken && !voter.whole {
                        debug!(target: "cfgserver::probe", ?answer, "votes not taken");
                    }
                    let want_whole = matches!(answer, Ok(Ok(VoteAck::WantWhole)));
                    let repeated = voter.whole;
                    voter.answered(taken);
                    if want_whole && !repeated {
                        continue;
                    }
                }
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = leadership.changed() => {
                voter.whole = true;
                if changed.is_err() { return }
            }
            () = shared.changes.wait(), if led && !voter.whole => {}
            () = shared.clock.sleep_until(due) => {}
        }
    }
}

impl Changes {
    /// Resolves when there is something to take.
    async fn wait(&self) {
        while self.is_empty() {
            self.notify.notified().await;
        }
    }
}

impl Voter {
    fn next_report(&mut self, shared: &Shared) -> VoteReport {
        self.look(shared);
        self.sequence += 1;
        let votes = if self.whole {
            self.votes.values().cloned().collect()
        } else {
            self.unsent
                .iter()
                .filter_map(|id| self.votes.get(id))
                .cloned()
                .collect()
        };
        VoteReport {
            sequence: self.sequence,
            whole: self.whole,
            votes,
        }
    }

    /// Thinks again about the groups that were marked.
    fn look(&mut self, shared: &Shared) {
        let state = shared.board.state();
        for id in shared.changes.take() {
            let vote = state.group(id).map(|group| vote(group, &shared.board));
            if vote.as_ref() == self.votes.get(&id) {
                continue;
            }
            match vote {
                Some(vote) => {
                    self.votes.insert(id, vote);
                    self.unsent.insert(id);
                }
                None => {
                    self.votes.remove(&id);
                    // Only a whole report can take a vote away.
                    self.whole = true;
                }
            }
        }
    }

    fn answered(&mut self, taken: bool) {
        self.whole = !taken;
        if taken {
            self.unsent.clear();
        }
    }
}

/// What this node thinks of a group's primary, and which of its replicas it reaches.
fn vote(group: &Group, board: &Board) -> Vote {
    let sightings = board.sightings(group.id);
    let primary = sightings.get(&group.primary);
    let is_up = |verdict| verdict == Verdict::Up;
    let reach = sightings
        .iter()
        .filter(|(address, sighting)| **address != group.primary && is_up(sighting.verdict));
    Vote {
        key: group.vote_key(),
        verdict: primary.map_or(Judgement::Unknown, |sighting| judgement(sighting.verdict)),
        reach: reach.map(|(address, _)| *address).collect(),
    }
}

fn judgement(verdict: Verdict) -> Judgement {
    match verdict {
        Verdict::Unknown => Judgement::Unknown,
        Verdict::Up => Judgement::Up,
        Verdict::Down { .. } => Judgement::Down,
    }
}
