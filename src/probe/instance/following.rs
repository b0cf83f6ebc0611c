//! What the task of an instance goes by: settings and role, this node's duty, and what is going on in the group.

use std::sync::Arc;

use crate::detect::{Pace, WatchRules};
use crate::model::{Address, Group, Instant, Verdict};
use crate::probe::Shared;
use crate::probe::line::Slot;
use crate::redis::Target;
use crate::requests::{Dials, Period};

use super::{INFO_FAST_MS, Instance};

impl Instance {
    /// Settings, role and situation of the group.
    pub(super) fn follow_brief(&mut self, now: Instant) {
        let news = std::mem::take(&mut self.briefed).then(|| self.briefs.borrow_and_update().clone());
        let old = news.map(|new| std::mem::replace(&mut self.known, new));
        let dials = self.shared.board.dials();
        let turned = !Arc::ptr_eq(&dials, &self.dials);
        let before = *self.watch.rules();
        let pace = self.pace(now);
        if old.is_none() && !turned && pace == before.pace {
            return;
        }
        self.dials = dials;
        let rules = rules(&self.shared, &self.known.group, &self.dials, self.address, pace);
        self.watch.configure(rules, now);
        if rules.recorded != before.recorded || (rules.pace == Pace::Alert && before.pace != Pace::Alert) {
            self.ping_at = now;
            self.info_at = now;
        }
        if old
            .as_ref()
            .is_some_and(|old| old.info_wishes != self.known.info_wishes)
        {
            self.info_at = now;
        }
        self.ping_at = self.ping_at.min(self.phase.next(now, rules.period_ms()));
        if before.pace == Pace::Remote && !matches!(rules.pace, Pace::Remote | Pace::Alert) {
            // A new leader looks at thousands: not at all of them in the same moment.
            let soon = self.phase.next(now, INFO_FAST_MS);
            self.info_asked_at = Instant(soon.0.saturating_sub(self.info_period_ms()));
            self.info_at = self.info_at.min(soon);
        }
        if old.is_some_and(|old| !Arc::ptr_eq(&old.group, &self.known.group)) {
            self.follow_target(now);
        }
        if rules.recorded != before.recorded {
            // Who knew it under its former role is told that it is down under this one, too.
            self.announce_verdict(Verdict::Unknown);
        }
    }

    /// How closely to watch.
    fn pace(&self, now: Instant) -> Pace {
        if self.known.is_alert(now) {
            return Pace::Alert;
        }
        let recorded = self.known.group.recorded_role(self.address);
        self.known.duty.pace(recorded, &self.watch, self.main.is_open())
    }

    /// The instance wants another user or password now, or calls commands something else.
    fn follow_target(&mut self, now: Instant) {
        let target = Target::new(self.address, &self.known.group.config);
        let before = std::mem::replace(&mut self.target, target);
        if before == self.target {
            return;
        }
        if before.presents_as(&self.target) && self.main.is_open() && self.second.is_empty() {
            // Nothing that counts on the connection is lost for a name.
            if let Some(line) = self.main.line() {
                line.follow_names(&self.target);
            }
            self.ping_at = now;
            self.info_at = now;
            return;
        }
        self.main = Slot::Empty;
        self.second = Slot::Empty;
        self.pause.reset();
        self.connect_at = now;
    }
}

pub(super) fn rules(shared: &Shared, group: &Group, dials: &Dials, address: Address, pace: Pace) -> WatchRules {
    let config = &group.config;
    WatchRules {
        recorded: group.recorded_role(address),
        down_after_ms: config.down_after_ms,
        refused_after_ms: config.refused_after_ms,
        reboot_down_after_ms: config.reboot_down_after_ms,
        floor_ms: shared.settings.floor_ms,
        ceiling_ms: dials.period_ms(Period::Ping),
        pace,
    }
}
