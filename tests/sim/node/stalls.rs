//! This node's own stalls: `probe::stalls`. The ticker is not played: what it would have done is made up for.

use cfgserver::detect::{Stall, StallDetector};
use cfgserver::model::Instant;

use crate::core::Core;

use super::Node;

const TICK_MS: u64 = 50;
const STALL_MS: u64 = 500;

pub(super) struct Stalls {
    detector: StallDetector,
    ticked_at: u64,
    /// What really happened: from, to.
    stood: Vec<(u64, u64)>,
}

impl Stalls {
    pub(super) fn new(now: u64) -> Self {
        Self {
            detector: StallDetector::new(TICK_MS, STALL_MS, Instant(now)),
            ticked_at: now,
            stood: Vec::new(),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.detector.count()
    }

    /// How long the node has really stood still since that moment.
    pub(super) fn since(&self, at: u64) -> u64 {
        let parts = self.stood.iter().filter(|(_, to)| *to > at);
        parts.map(|(from, to)| to - at.max(*from)).sum()
    }

    /// The ticker ran up to this moment.
    pub(super) fn ran_until(&mut self, now: u64) {
        while self.ticked_at + STALL_MS <= now {
            self.ticked_at += STALL_MS;
            self.detector.tick(Instant(self.ticked_at));
        }
    }

    pub(super) fn observe(&mut self, seen: &mut u64, now: u64) -> Vec<Stall> {
        self.ran_until(now);
        if self.detector.count() == *seen {
            return Vec::new();
        }
        let stalls = self.detector.after(*seen).collect();
        *seen = self.detector.count();
        stalls
    }
}

impl Node {
    /// For how long it has stood still in its life.
    pub(crate) fn paused_ms(&self, now: u64) -> u64 {
        self.stalls.since(now.saturating_sub(60_000))
    }

    /// How long the stalls were that ended within the last three seconds.
    pub(crate) fn just_paused_ms(&self, now: u64) -> u64 {
        let ended = self.stalls.stood.iter().filter(|(_, to)| *to + 3_000 > now);
        ended.map(|(from, to)| to - from).sum()
    }

    /// The node stands still until then.
    pub(crate) fn pause(&mut self, core: &mut Core, until: u64) {
        let ms = until - core.now;
        core.tell_node(self.id, || format!("stands still for {ms} ms"));
        self.stalls.ran_until(core.now);
        self.paused_until = until;
        self.stalls.stood.push((core.now, until));
        core.net.paused.insert(self.id);
        core.topology_changed();
    }

    pub(crate) fn resume(&mut self, core: &mut Core) {
        if self.paused_until == 0 || self.paused_until > core.now {
            return;
        }
        core.tell_node(self.id, || "goes on".to_owned());
        if let Some(last) = self.stalls.stood.last_mut() {
            last.1 = core.now;
        }
        self.paused_until = 0;
        core.net.paused.remove(&self.id);
        self.stalls.detector.tick(Instant(core.now));
        self.stalls.ticked_at = core.now;
        for event in std::mem::take(&mut self.missed) {
            core.push(core.now, event);
        }
        core.topology_changed();
    }
}
