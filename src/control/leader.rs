//! One leadership, from its first moment to its last: the loop, and how its inputs make groups dirty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;

use crate::control::Shared;
use crate::control::desk::{Ask, Asked};
use crate::control::links::{LinkDone, LinkNews, LinkWork, Links};
use crate::control::names::Looked;
use crate::failover::Memory;
use crate::machine::Command;
use crate::model::{Age, GroupId, Instant, NodeId, Revision, Term};
use crate::raft::Leadership;
use crate::requests::{WriteError, WriteReply};
use crate::watch;

/// How long leadership may take to leave after it was handed over.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// All groups are compared with the log at most this often. The leader's own proposals do not wait for that.
const SCAN_EVERY_MS: Age = 5;
/// The longest sleep: nothing is left to a wake that a bug forgot.
const SLEEP_MS_MAX: Age = 1_000;

/// A node's leadership of one term.
pub(super) struct Leader {
    pub(super) shared: Arc<Shared>,
    pub(super) term: Term,
    pub(super) since: Instant,
    pub(super) memories: BTreeMap<GroupId, Memory>,
    /// The version at which each group was seen last.
    versions: BTreeMap<GroupId, Revision>,
    electorate: Vec<NodeId>,
    /// When the groups were compared with the log last.
    scanned_at: Instant,
    /// The log has moved since.
    scan: bool,
    pub(super) dirty: BTreeSet<GroupId>,
    pub(super) proposing: BTreeMap<GroupId, Proposal>,
    /// What a group's proposal made must be on the board before the group is planned again.
    pub(super) awaited: BTreeMap<GroupId, Revision>,
    /// Not planned before this moment.
    pub(super) held_until: BTreeMap<GroupId, Instant>,
    pub(super) asks: BTreeMap<GroupId, Vec<Ask>>,
    pub(super) links: Links,
    pub(super) handing_over: Option<NodeId>,
    timers: Timers,
    pub(super) link_work: FuturesUnordered<LinkWork>,
    pub(super) proposals: FuturesUnordered<BoxFuture<'static, Proposed>>,
    /// Host names that are being resolved.
    pub(super) lookups: FuturesUnordered<BoxFuture<'static, Looked>>,
}

/// A proposal under way.
pub(super) struct Proposal {
    pub(super) command: Command,
    /// The operator who waits for it.
    pub(super) ask: Option<Ask>,
}

/// What came of a proposal.
pub(super) struct Proposed {
    pub(super) group: GroupId,
    pub(super) result: Result<WriteReply, WriteError>,
}

/// When each group asks to be planned again.
#[derive(Default)]
struct Timers {
    queue: BTreeSet<(Instant, GroupId)>,
    at: BTreeMap<GroupId, Instant>,
}

impl Timers {
    fn set(&mut self, group: GroupId, at: Option<Instant>) {
        if let Some(known) = self.at.remove(&group) {
            self.queue.remove(&(known, group));
        }
        if let Some(at) = at {
            self.at.insert(group, at);
            self.queue.insert((at, group));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    fn take_due(&mut self, now: Instant) -> Vec<GroupId> {
        let mut due = Vec::new();
        while let Some((at, group)) = self.queue.first().copied().filter(|(at, _)| *at <= now) {
            self.queue.remove(&(at, group));
            self.at.remove(&group);
            due.push(group);
        }
        due
    }
}

impl Leader {
    pub(super) fn new(shared: Arc<Shared>, term: Term) -> Self {
        let links = Links::new(shared.clone(), term);
        Self {
            since: shared.now(),
            term,
            memories: BTreeMap::new(),
            versions: BTreeMap::new(),
            electorate: Vec::new(),
            scanned_at: Instant::default(),
            scan: true,
            dirty: BTreeSet::new(),
            proposing: BTreeMap::new(),
            awaited: BTreeMap::new(),
            held_until: BTreeMap::new(),
            asks: BTreeMap::new(),
            links,
            handing_over: None,
            timers: Timers::default(),
            link_work: FuturesUnordered::new(),
            proposals: FuturesUnordered::new(),
            lookups: FuturesUnordered::new(),
            shared,
        }
    }

    /// Leads until leadership ends.
    pub(super) async fn lead(
        mut self,
        leadership: &mut watch::Receiver<Leadership>,
        asked: &mut mpsc::Receiver<Asked>,
    ) {
        tracing::info!(target: "cfgserver::control", term = self.term, "leading");
        let mut revision = self.shared.board.watch_revision();
        while self.still_leads(leadership) {
            let next_at = self.due();
            self.plan_dirty();
            if self.handing_over.is_some() && self.links.no_orders() {
                self.hand_over(leadership).await;
                continue;
            }
            let wake_at = self.timers.next().into_iter().chain(next_at).min();
            let latest = self.shared.now().plus(SLEEP_MS_MAX);
            let clock = self.shared.clock;
            let board = self.shared.board.clone();
            tokio::select! {
                biased;
                changed = leadership.changed() => if changed.is_err() { break },
                changed = revision.changed() => if changed.is_err() { break } else { self.log_moved() },
                ask = asked.recv() => match ask {
                    Some(ask) => self.ask(ask),
                    None => break,
                },
                Some(done) = self.link_work.next() => self.link_done(done),
                Some(proposed) = self.proposals.next() => self.proposed(proposed),
                Some(looked) = self.lookups.next() => self.looked(looked),
                () = board.dirty_notified() => {}
                () = clock.sleep_until(wake_at.map_or(latest, |at| at.min(latest))) => {}
            }
            self.drain();
        }
        self.leave();
    }

    fn still_leads(&self, leadership: &mut watch::Receiver<Leadership>) -> bool {
        let now = *leadership.borrow_and_update();
        now.me && now.term == self.term
    }

    /// Takes what has come meanwhile, so that a burst is planned as one.
    fn drain(&mut self) {
        while let Some(Some(done)) = self.link_work.next().now_or_never() {
            self.link_done(done);
        }
        while let Some(Some(proposed)) = self.proposals.next().now_or_never() {
            self.proposed(proposed);
        }
        while let Some(Some(looked)) = self.lookups.next().now_or_never() {
            self.looked(looked);
        }
    }

    /// Makes groups dirty whose news have come or whose time has; when to look again.
    fn due(&mut self) -> Option<Instant> {
        let now = self.shared.now();
        let scan_at = self.scanned_at.plus(SCAN_EVERY_MS);
        if self.scan && scan_at <= now {
            self.scan = false;
            self.scanned_at = now;
            self.look_for_changes();
        }
        self.dirty.extend(self.shared.board.take_dirty());
        self.dirty.extend(self.timers.take_due(now));
        let (changed, next_expiry) = self.shared.book.expire(self.term, now);
        self.dirty.extend(changed);
        next_expiry.into_iter().chain(self.scan.then_some(scan_at)).min()
    }

    /// Makes groups dirty that changed in the log.
    fn look_for_changes(&mut self) {
        let state = self.shared.board.state();
        let electorate: Vec<NodeId> = state.electorate().collect();
        let all = electorate != self.electorate;
        self.electorate = electorate;
        for group in state.groups() {
            let before = self.versions.insert(group.id, group.version);
            if all || before != Some(group.version) {
                self.dirty.insert(group.id);
            }
        }
        let gone: Vec<GroupId> = self
            .versions
            .keys()
            .filter(|id| state.group(**id).is_none())
            .copied()
            .collect();
        for id in gone {
            self.versions.remove(&id);
            self.dirty.insert(id);
        }
    }

    fn log_moved(&mut self) {
        self.scan = true;
        let revision = self.shared.board.state().revision();
        let arrived = self.awaited.iter().filter(|(_, awaited)| **awaited <= revision);
        let arrived: Vec<GroupId> = arrived.map(|(id, _)| *id).collect();
        for id in arrived {
            self.awaited.remove(&id);
            self.dirty.insert(id);
        }
    }

    fn plan_dirty(&mut self) {
        if self.handing_over.is_some() {
            return;
        }
        for id in std::mem::take(&mut self.dirty) {
            let wake_at = self.plan(id);
            self.timers.set(id, wake_at);
        }
    }

    fn ask(&mut self, asked: Asked) {
        let state = self.shared.board.state();
        match asked {
            Asked::Failover(ask) => match state.group_named(ask.name.as_str()) {
                Some(group) => {
                    self.asks.entry(group.id).or_default().push(ask);
                    self.dirty.insert(group.id);
                }
                None => self.refuse(ask, WriteError::NoSuchGroup),
            },
            Asked::Explain(ask) => match state.group_named(ask.name.as_str()) {
                Some(group) => self.explain(group, ask),
                None => self.refuse(ask, WriteError::NoSuchGroup),
            },
        }
    }

    fn link_done(&mut self, done: LinkDone) {
        let now = self.shared.now();
        let (news, work) = self.links.done(done);
        self.link_work.extend(work);
        for ((group, address), news) in news {
            let Some(memory) = self.memories.get_mut(&group) else {
                // The group was removed meanwhile.
                self.links.retain(group, |_, _| false);
                continue;
            };
            match news {
                LinkNews::Opened(result) => memory.link_opened(address, result, now),
                LinkNews::Read(result) => memory.info_read(address, result, now),
                LinkNews::Answered(result) => memory.answered(address, result, now),
            }
            self.dirty.insert(group);
        }
    }

    /// Rule 7. No order is on its way any more.
    async fn hand_over(&mut self, leadership: &mut watch::Receiver<Leadership>) {
        let Some(to) = self.handing_over else { return };
        self.links.close_all();
        self.link_work.clear();
        let now = self.shared.now();
        for memory in self.memories.values_mut() {
            memory.leadership_offered(now);
        }
        tracing::info!(target: "cfgserver::control", to, "handing leadership to a node that reaches more");
        match self.shared.proposals.hand_over(to).await {
            Ok(()) => {
                let left = leadership.wait_for(|now| !now.me);
                _ = tokio::time::timeout(LEAVE_LIMIT, left).await.is_ok();
            }
            Err(error) => {
                tracing::warn!(target: "cfgserver::control", to, %error, "leadership was not handed over");
            }
        }
        self.handing_over = None;
        self.dirty.extend(self.memories.keys());
    }

    fn leave(self) {
        tracing::info!(target: "cfgserver::control", term = self.term, "no longer leading");
        self.asks.into_values().flatten().for_each(Ask::refuse_not_leading);
    }
}
