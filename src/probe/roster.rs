//! Who is watched: one task per instance of the replicated state, no more and no less.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::detect::Duty;
use crate::machine::State;
use crate::model::{Address, Age, Group, GroupId, Instant, NodeId, Term};
use crate::task::Tasks;
use crate::watch;

use super::Shared;
use super::instance::Instance;
use super::schedule::Phase;

/// How long a group is watched closely after someone asked for its INFO.
const ALERT_MS: Age = 3_000;
/// Time over which the starts of that many instances are spread, each.
const START_EACH_MS: Age = 1;
/// Longest time over which starts are spread.
const START_MAX_MS: Age = 1_000;

/// What the tasks of a group go by.
#[derive(Clone)]
pub(super) struct Brief {
    /// The group as agreed.
    pub(super) group: Arc<Group>,
    /// This node's own look at the primary gives reason for concern.
    pub(super) suspect: bool,
    /// Watch closely until then.
    pub(super) alert_until: Instant,
    /// Counts the wishes for a fresh INFO.
    pub(super) info_wishes: u64,
    /// How closely this node watches while nothing is going on.
    pub(super) duty: Duty,
}

/// The tasks of a group.
struct Watched {
    brief: Arc<watch::Sender<Brief>>,
    members: BTreeMap<Address, CancellationToken>,
}

struct Roster {
    shared: Arc<Shared>,
    node: NodeId,
    leader: Option<NodeId>,
    tasks: Tasks,
    groups: BTreeMap<GroupId, Watched>,
}

/// Follows the board's state until the node stops.
pub(super) async fn run(
    shared: Arc<Shared>,
    node: NodeId,
    mut leadership: watch::Receiver<Option<(NodeId, Term)>>,
    tasks: Tasks,
) {
    let stop = tasks.stopping();
    let leader = |known: &Option<(NodeId, Term)>| known.map(|(leader, _)| leader);
    let mut revisions = shared.board.watch_revision();
    let mut wishes = shared.board.info_requests();
    let board = shared.board.clone();
    let mut roster = Roster {
        node,
        leader: leader(&leadership.borrow_and_update()),
        shared,
        tasks,
        groups: BTreeMap::new(),
    };
    roster.follow(&board.state());
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return roster.end(),
            changed = revisions.changed() => {
                if changed.is_err() {
                    return;
                }
                roster.follow(&board.state());
            }
            changed = leadership.changed() => {
                if changed.is_err() {
                    return;
                }
                roster.leader = leader(&leadership.borrow_and_update());
                roster.follow(&board.state());
            }
            wish = wishes.recv() => match wish {
                Ok(group) => roster.hasten(group),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

impl Roster {
    /// The tasks have been stopped: they look at that when they are briefed.
    fn end(&self) {
        self.groups
            .values()
            .for_each(|watched| watched.brief.send_modify(|_| {}));
    }

    /// Starts, briefs and stops tasks so that they fit the state.
    fn follow(&mut self, state: &State) {
        let gone: Vec<GroupId> = self
            .groups
            .keys()
            .filter(|id| state.group(**id).is_none())
            .copied()
            .collect();
        for id in gone {
            if let Some(watched) = self.groups.remove(&id) {
                watched.members.values().for_each(CancellationToken::cancel);
                watched.brief.send_modify(|_| {});
                self.shared.changes.mark(id);
            }
        }
        let electorate: Vec<NodeId> = state.electorate().collect();
        let mut new = Vec::new();
        for group in state.groups() {
            new.extend(
                self.brief(group, &electorate)
                    .into_iter()
                    .map(|address| (group.id, address)),
            );
        }
        let spread_ms = (new.len() as Age * START_EACH_MS).min(START_MAX_MS);
        for (group, address) in new {
            self.start(group, address, spread_ms);
        }
    }

    /// Tells the tasks of a group what it is like now, and stops those that do not belong to it any more. Returns
    /// the members that have no task yet.
    fn brief(&mut self, group: &Arc<Group>, electorate: &[NodeId]) -> BTreeSet<Address> {
        let duty = self.duty(group, electorate);
        let watched = self.groups.entry(group.id).or_insert_with(|| Watched::new(group, duty));
        let known = {
            let brief = watched.brief.borrow();
            Arc::ptr_eq(&brief.group, group) && brief.duty == duty
        };
        if known && !watched.members.is_empty() {
            return BTreeSet::new();
        }
        watched.members.retain(|address, stop| {
            let belongs = group.members.contains_key(address);
            if !belongs {
                stop.cancel();
            }
            belongs
        });
        watched.brief.send_modify(|brief| {
            brief.group = group.clone();
            brief.duty = duty;
        });
        self.shared.changes.mark(group.id);
        let members = group.members.keys();
        members
            .filter(|address| !watched.members.contains_key(address))
            .copied()
            .collect()
    }

    fn duty(&self, group: &Group, electorate: &[NodeId]) -> Duty {
        let about = (group.id, group.config.quorum);
        Duty::of(self.shared.settings.probing, self.node, self.leader, electorate, about)
    }

    fn start(&mut self, group: GroupId, address: Address, spread_ms: Age) {
        let Some(watched) = self.groups.get_mut(&group) else {
            return;
        };
        let stop = self.tasks.stopping().child_token();
        watched.members.insert(address, stop.clone());
        let phase = Phase::of(group, address);
        let begin = self.shared.clock.now().plus(phase.within(spread_ms));
        let (shared, brief) = (self.shared.clone(), watched.brief.clone());
        let on = self.shared.runtime.handle().clone();
        self.tasks.spawn_on("probe-instance", &on, async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = shared.clock.sleep_until(begin) => {}
            }
            Instance::new(shared, brief, address, phase).run(stop).await;
        });
    }

    /// Someone wants fresh INFO of a group.
    fn hasten(&mut self, group: GroupId) {
        let alert_until = self.shared.clock.now().plus(ALERT_MS);
        if let Some(watched) = self.groups.get(&group) {
            watched.brief.send_modify(|brief| {
                brief.info_wishes += 1;
                brief.alert_until = brief.alert_until.max(alert_until);
            });
        }
    }
}

impl Watched {
    fn new(group: &Arc<Group>, duty: Duty) -> Self {
        let brief = Brief {
            duty,
            group: group.clone(),
            suspect: false,
            alert_until: Instant::default(),
            info_wishes: 0,
        };
        Self {
            brief: Arc::new(watch::Sender::new(brief)),
            members: BTreeMap::new(),
        }
    }
}

impl Brief {
    /// Something is going on in the group: watch all of it closely.
    pub(super) fn is_alert(&self, now: Instant) -> bool {
        self.suspect || self.group.outage.is_some() || self.group.failover.is_some() || now < self.alert_until
    }
}
