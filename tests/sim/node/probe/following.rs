//! What a probe goes by: `probe::instance::following`.

use std::sync::Arc;

use cfgserver::detect::{Duty, Pace, WatchRules};
use cfgserver::model::{Address, Instant};

use super::{Brief, Probe};
use crate::core::Core;

const FLOOR_MS: u64 = 50;

impl Probe {
    pub(super) fn rules(brief: &Brief, address: Address, pace: Pace) -> WatchRules {
        let config = &brief.group.config;
        WatchRules {
            recorded: brief.group.recorded_role(address),
            down_after_ms: config.down_after_ms,
            refused_after_ms: config.refused_after_ms,
            reboot_down_after_ms: config.reboot_down_after_ms,
            floor_ms: FLOOR_MS,
            ceiling_ms: 1_000,
            pace,
        }
    }

    /// Settings, role, duty and situation.
    pub(super) fn follow_brief(&mut self, core: &mut Core, brief: &Brief, duty: Duty) {
        let now = core.now;
        let before = *self.watch.rules();
        let pace = if brief.is_alert(Instant(now)) {
            Pace::Alert
        } else {
            let recorded = brief.group.recorded_role(self.address);
            duty.pace(recorded, &self.watch, self.main.line().is_some())
        };
        let rules = Self::rules(brief, self.address, pace);
        match pace {
            Pace::Distant if before.pace != pace => core.coverage.mark("probe: watched from a distance"),
            Pace::Remote if before.pace != pace => core.coverage.mark("probe: watched by others"),
            _ => {}
        }
        self.watch.configure(rules, Instant(now));
        if rules.recorded != before.recorded || (rules.pace == Pace::Alert && before.pace != Pace::Alert) {
            self.ping_at = now;
            self.info_at = now;
        }
        if brief.info_wishes != self.info_wishes {
            self.info_wishes = brief.info_wishes;
            self.info_at = now;
        }
        self.ping_at = self.ping_at.min(self.next_turn(now, rules.period_ms()));
        self.info_at = self.info_at.min(self.info_asked_at + self.info_period_ms());
        if !Arc::ptr_eq(&brief.group, &self.group) {
            self.group = brief.group.clone();
        }
    }
}
