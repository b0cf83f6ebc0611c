//! Keeps the leader's picture of this node's votes complete.
//!
//! Reports go one after another: the whole set to each new leader and after anything that went wrong, changes at
//! once, and a refresh when there was nothing to say for a while.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::detect::{Tally, Vote, VoteAck, Voter};
use crate::failover::{self, Scene};
use crate::machine::State;
use crate::model::{Age, Group, GroupId, NodeId};

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
    let mut voter = Voter::new(shared.clock.wall().0);
    let mut seekers = BTreeSet::new();
    loop {
        let led = leadership.borrow_and_update().is_some();
        let due = shared.clock.now().plus(REFRESH_MS);
        if led {
            look(&mut voter, &mut seekers, &shared);
            let report = voter.report();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = leadership.changed() => {
                    voter.leadership_changed();
                    if changed.is_err() { return }
                    continue;
                }
                answer = tokio::time::timeout(REPORT_LIMIT, votes.report(report)) => {
                    let ack = answer.as_ref().ok().and_then(|answer| answer.as_ref().ok());
                    if ack != Some(&VoteAck::Taken) && !voter.is_whole() {
                        debug!(target: "cfgserver::probe", ?answer, "votes not taken");
                    }
                    if voter.answered(ack) {
                        continue;
                    }
                }
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = leadership.changed() => {
                voter.leadership_changed();
                if changed.is_err() { return }
            }
            () = shared.changes.wait(), if led && !voter.is_whole() => {}
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

/// Thinks again about the groups that were marked, and about those that look for a candidate: what this node knows of
/// their replicas changes with every INFO.
fn look(voter: &mut Voter, seekers: &mut BTreeSet<GroupId>, shared: &Shared) {
    let state = shared.board.state();
    let again = std::mem::take(seekers);
    for id in shared.changes.take().union(&again).copied() {
        let vote = state.group(id).map(|group| {
            if failover::lacks_candidate(group) {
                seekers.insert(id);
            }
            cast(group, &state, shared)
        });
        voter.think(id, vote);
    }
}

fn cast(group: &Group, state: &State, shared: &Shared) -> Vote {
    let sightings = shared.board.sightings(group.id);
    let mut vote = Vote::cast(group, sightings.iter());
    if failover::lacks_candidate(group) {
        let scene = Scene {
            group,
            sightings: &sightings,
            tally: &Tally::default(),
            elsewhere: state,
            node: NodeId::default(),
            wall: shared.clock.wall(),
        };
        vote.fit = Some(failover::fit_replicas(&scene, shared.clock.now()));
    }
    vote
}
