//! When what is known is passed on. Pure: every method takes `now`.
//!
//! Two rules in a row: [`Settling`] holds back what may yet change again by itself (replicas), [`Pacer`] makes one
//! restart out of a burst of changes and keeps restarts apart.
//! What does not live here: the carrying out.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::{Pace, Route, Table};
use crate::model::Instant;

/// First pause after a refusal; it doubles with each one.
const BACKOFF_MS: u64 = 1_000;
/// Longest pause after a refusal.
const BACKOFF_MAX_MS: u64 = 60_000;

/// Which changes must be old before they are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Those of replicas alone: a moved primary is urgent.
    Replicas,
    /// All: the proxy follows its primaries by itself.
    All,
}

/// Holds each group's facts back until they have been the same for a while, each group for itself: one replica that
/// comes and goes must not hold up the others.
#[derive(Debug)]
pub struct Settling {
    what: Settle,
    settle_ms: u64,
    passed: Table,
    held: BTreeMap<String, Held>,
}

#[derive(Clone, Debug)]
struct Held {
    route: Route,
    since: Instant,
}

impl Settling {
    /// Nothing held; `passed` counts as passed on.
    pub fn new(what: Settle, pace: &Pace, passed: Table) -> Self {
        Self {
            what,
            settle_ms: ms(pace.settle),
            passed,
            held: BTreeMap::new(),
        }
    }

    /// What is to be carried out now: what has settled, and each primary that has moved meanwhile. A proxy that has
    /// followed it by itself must not be taken back, only because something else is due.
    pub fn take(&mut self) -> &Table {
        let passed = &mut self.passed.routes;
        self.held.retain(|group, held| {
            let known = passed.get_mut(group);
            let Some(known) = known.filter(|known| known.primary != held.route.primary) else {
                return true;
            };
            known.clone_from(&held.route);
            false
        });
        &self.passed
    }

    /// Takes what is known now. Says whether that changed what is passed on.
    pub fn learned(&mut self, table: &Table, now: Instant) -> bool {
        self.passed.cluster.clone_from(&table.cluster);
        for (group, route) in &table.routes {
            let held = self.held.get(group).filter(|held| same_facts(&held.route, route));
            let since = held.map_or(now, |held| held.since);
            self.held.insert(
                group.clone(),
                Held {
                    route: route.clone(),
                    since,
                },
            );
        }
        self.held.retain(|group, _| table.routes.contains_key(group));
        self.pass(now)
    }

    /// Passes on what has settled. Says whether there was anything.
    pub fn pass(&mut self, now: Instant) -> bool {
        let mut changed = false;
        let (what, settle_ms) = (self.what, self.settle_ms);
        let passed = &mut self.passed.routes;
        self.held.retain(|group, held| {
            let before = passed.get(group);
            let wait_ms = before.map_or(0, |before| match what {
                _ if same_facts(before, &held.route) => 0,
                Settle::Replicas if before.primary != held.route.primary => 0,
                Settle::Replicas | Settle::All => settle_ms,
            });
            if now.since(held.since) < wait_ms {
                return true;
            }
            changed |= before.is_none_or(|before| !same_facts(before, &held.route));
            passed.insert(group.clone(), held.route.clone());
            false
        });
        changed
    }

    /// Whether anything is held back.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// When the next held facts have settled.
    pub fn next(&self) -> Option<Instant> {
        self.held.values().map(|held| held.since.plus(self.settle_ms)).min()
    }
}

/// The version of a group also rises when nothing that anybody reads has changed.
fn same_facts(one: &Route, other: &Route) -> bool {
    one.primary == other.primary && one.replicas == other.replicas
}

/// When to carry out what has changed.
#[derive(Debug)]
pub struct Pacer {
    pace: Pace,
    /// First and last change that was not carried out.
    changes: Option<(Instant, Instant)>,
    tried: Option<Instant>,
    applied: Option<Instant>,
    refusals: u32,
}

impl Pacer {
    /// Nothing to do.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            changes: None,
            tried: None,
            applied: None,
            refusals: 0,
        }
    }

    /// There is something new to carry out; after a refusal it may be what mends it.
    pub fn changed(&mut self, now: Instant) {
        let waiting = self.changes.filter(|_| self.refusals == 0);
        let first = waiting.map_or(now, |(first, _)| first);
        self.changes = Some((first, now));
        self.refusals = self.refusals.min(1);
    }

    /// It was carried out: the proxy was restarted.
    pub fn applied(&mut self, now: Instant) {
        self.rested();
        self.applied = Some(now);
    }

    /// It turned out that nothing had to be done.
    pub fn rested(&mut self) {
        self.changes = None;
        self.refusals = 0;
    }

    /// It could not be carried out: later again.
    pub fn refused(&mut self, now: Instant) {
        self.tried = Some(now);
        self.refusals = self.refusals.saturating_add(1);
    }

    /// Whether something is yet to be carried out.
    pub fn waits(&self) -> bool {
        self.changes.is_some()
    }

    /// When to carry it out; `None`: there is nothing.
    pub fn due(&self) -> Option<Instant> {
        let (first, last) = self.changes?;
        let quiet = last
            .plus(ms(self.pace.debounce))
            .min(first.plus(ms(self.pace.debounce_max)));
        let rested = self
            .applied
            .map_or(quiet, |applied| applied.plus(ms(self.pace.restart_pause)));
        let forgiven = match (self.tried, self.refusals) {
            (None, _) | (_, 0) => quiet,
            (Some(tried), refusals) => tried.plus(backoff_ms(refusals)),
        };
        Some(quiet.max(rested).max(forgiven))
    }
}

fn backoff_ms(refusals: u32) -> u64 {
    let doublings = refusals.saturating_sub(1).min(16);
    (BACKOFF_MS << doublings).min(BACKOFF_MAX_MS)
}

fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        debounce: Duration::from_millis(30),
        debounce_max: Duration::from_millis(200),
        restart_pause: Duration::from_millis(1_000),
        settle: Duration::from_millis(5_000),
        refresh: Duration::from_millis(10_000),
    };

    fn table(routes: &[(&str, u16, u64, &[u16])]) -> Table {
        let at = |port: &u16| crate::model::Address::parse("10.0.0.1", &port.to_string()).unwrap();
        let route = |(group, primary, version, replicas): &(&str, u16, u64, &[u16])| {
            let route = Route {
                primary: at(primary),
                version: *version,
                replicas: replicas.iter().map(at).collect(),
            };
            ((*group).to_owned(), route)
        };
        Table {
            cluster: Some("c".to_owned()),
            routes: routes.iter().map(route).collect(),
        }
    }

    #[test]
    fn one_change_waits_for_a_little_quiet() {
        let mut pacer = Pacer::new(PACE);
        assert_eq!(pacer.due(), None);
        pacer.changed(Instant(1_000));
        assert_eq!(pacer.due(), Some(Instant(1_030)));
        pacer.changed(Instant(1_020));
        assert_eq!(pacer.due(), Some(Instant(1_050)));
    }

    #[test]
    fn a_burst_without_quiet_is_carried_out_at_the_longest_debounce() {
        let mut pacer = Pacer::new(PACE);
        for at in (1_000..1_200).step_by(20) {
            pacer.changed(Instant(at));
        }
        assert_eq!(pacer.due(), Some(Instant(1_200)));
    }

    #[test]
    fn restarts_are_kept_apart() {
        let mut pacer = Pacer::new(PACE);
        pacer.changed(Instant(1_000));
        pacer.applied(Instant(1_040));
        assert_eq!(pacer.due(), None);
        pacer.changed(Instant(1_100));
        assert_eq!(pacer.due(), Some(Instant(2_040)));
        pacer.changed(Instant(9_000));
        pacer.applied(Instant(9_000));
        assert_eq!(pacer.due(), None);
    }

    #[test]
    fn what_turned_out_to_be_nothing_does_not_hold_up_the_next_restart() {
        let mut pacer = Pacer::new(PACE);
        pacer.changed(Instant(1_000));
        pacer.rested();
        pacer.changed(Instant(1_100));
        assert_eq!(pacer.due(), Some(Instant(1_130)));
    }

    #[test]
    fn a_refusal_is_tried_again_later_and_later() {
        let mut pacer = Pacer::new(PACE);
        pacer.changed(Instant(0));
        let mut now = pacer.due().unwrap();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pacer.refused(now);
            let next = pacer.due().unwrap();
            pauses.push(next.since(now) / 1_000);
            now = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn news_after_refusals_are_tried_soon() {
        let mut pacer = Pacer::new(PACE);
        pacer.changed(Instant(0));
        for _ in 0..9 {
            pacer.refused(Instant(100_000));
        }
        pacer.changed(Instant(110_000));
        assert_eq!(pacer.due(), Some(Instant(110_030)));
        pacer.refused(Instant(110_030));
        pacer.changed(Instant(110_040));
        assert_eq!(pacer.due(), Some(Instant(111_030)), "never a storm");
    }

    #[test]
    fn a_moved_primary_does_not_wait_where_only_replicas_settle() {
        let mut settling = Settling::new(Settle::Replicas, &PACE, Table::default());
        assert!(settling.learned(&table(&[("g", 1, 1, &[2])]), Instant(0)), "new");
        assert!(!settling.learned(&table(&[("g", 1, 1, &[])]), Instant(10)), "replicas");
        assert_eq!((settling.holds(), settling.next()), (true, Some(Instant(5_010))));
        assert!(settling.learned(&table(&[("g", 2, 2, &[])]), Instant(20)), "primary");
        assert_eq!(settling.take(), &table(&[("g", 2, 2, &[])]));
        assert_eq!((settling.holds(), settling.next()), (false, None));
    }

    #[test]
    fn where_all_settles_the_last_facts_are_passed_on_once_they_are_old() {
        let mut settling = Settling::new(Settle::All, &PACE, table(&[("g", 1, 1, &[2])]));
        assert!(!settling.learned(&table(&[("g", 2, 2, &[])]), Instant(1_000)));
        assert!(
            !settling.learned(&table(&[("g", 2, 3, &[])]), Instant(3_000)),
            "the same facts"
        );
        assert_eq!(settling.next(), Some(Instant(6_000)));
        assert!(
            !settling.learned(&table(&[("g", 2, 3, &[1])]), Instant(5_000)),
            "others"
        );
        assert!(!settling.pass(Instant(9_999)));
        assert!(settling.pass(Instant(10_000)));
        assert_eq!(settling.take(), &table(&[("g", 2, 3, &[1])]));
    }

    #[test]
    fn a_primary_that_has_not_settled_goes_with_whatever_else_is_carried_out() {
        let start = table(&[("a", 1, 1, &[2]), ("b", 5, 1, &[6]), ("c", 7, 1, &[8])]);
        let mut settling = Settling::new(Settle::All, &PACE, start);
        assert!(!settling.learned(
            &table(&[("a", 1, 1, &[]), ("b", 5, 1, &[6]), ("c", 7, 1, &[8])]),
            Instant(0)
        ));
        let now = table(&[("a", 1, 1, &[]), ("b", 6, 2, &[]), ("c", 7, 1, &[])]);
        assert!(!settling.learned(&now, Instant(4_000)));
        assert!(settling.pass(Instant(5_000)), "a has settled");
        let taken = table(&[("a", 1, 1, &[]), ("b", 6, 2, &[]), ("c", 7, 1, &[8])]);
        assert_eq!(settling.take(), &taken, "replicas wait for themselves");
        assert_eq!(settling.next(), Some(Instant(9_000)));
        assert!(settling.pass(Instant(9_000)));
        assert_eq!(settling.take(), &now);
    }

    #[test]
    fn facts_that_come_back_to_what_was_passed_on_are_no_change() {
        let mut settling = Settling::new(Settle::All, &PACE, table(&[("g", 1, 1, &[2])]));
        assert!(!settling.learned(&table(&[("g", 1, 1, &[])]), Instant(0)));
        assert!(!settling.learned(&table(&[("g", 1, 1, &[2])]), Instant(100)));
        assert_eq!(settling.next(), None);
        assert!(!settling.pass(Instant(99_000)));
    }

    #[test]
    fn a_group_that_does_not_settle_holds_up_no_other() {
        let start = table(&[("a", 1, 1, &[2]), ("b", 5, 1, &[6])]);
        let mut settling = Settling::new(Settle::All, &PACE, start);
        settling.learned(&table(&[("a", 2, 2, &[]), ("b", 5, 1, &[])]), Instant(0));
        let mut flips = (500..5_000).step_by(500).enumerate();
        assert!(flips.all(|(at, ms)| {
            let b: &[u16] = if at % 2 == 0 { &[7] } else { &[] };
            !settling.learned(&table(&[("a", 2, 2, &[]), ("b", 5, 1, b)]), Instant(ms as u64))
        }));
        assert!(settling.pass(Instant(5_000)));
        assert_eq!(settling.take(), &table(&[("a", 2, 2, &[]), ("b", 5, 1, &[6])]));
    }
}
