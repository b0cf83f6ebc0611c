//! Notices that this node itself stood still: a node that was not running did not hear the answers.

use std::collections::VecDeque;

use crate::model::{Age, Instant};

/// Stalls that are remembered. Everyone who judges looks at them several times a second, so a handful is plenty.
const REMEMBERED: usize = 32;

/// A time during which this node did nothing. Silence in it is nobody's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// When a tick was due that did not come.
    pub from: Instant,
    /// When the node ran again.
    pub to: Instant,
}

/// Finds stalls by ticks that come late.
///
/// Someone ticks it at least every `tick_ms`, and everyone who is about to judge ticks it first: whoever wakes up
/// first after a stall finds it.
#[derive(Clone, Debug)]
pub struct StallDetector {
    tick_ms: Age,
    stall_ms: Age,
    ticked_at: Instant,
    /// How many stalls there were.
    count: u64,
    recent: VecDeque<Stall>,
}

impl StallDetector {
    /// A detector that is ticked every `tick_ms` and takes a delay of more than `stall_ms` for a stall.
    pub fn new(tick_ms: Age, stall_ms: Age, now: Instant) -> Self {
        Self {
            tick_ms,
            stall_ms,
            ticked_at: now,
            count: 0,
            recent: VecDeque::with_capacity(REMEMBERED),
        }
    }

    /// Takes another delay for a stall from now on.
    pub fn configure(&mut self, stall_ms: Age) {
        self.stall_ms = stall_ms;
    }

    /// The node runs. Returns the stall that ends now, if one does.
    pub fn tick(&mut self, now: Instant) -> Option<Stall> {
        let due = self.ticked_at.plus(self.tick_ms);
        self.ticked_at = self.ticked_at.max(now);
        if now.since(due) <= self.stall_ms {
            return None;
        }
        let stall = Stall { from: due, to: now };
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(stall);
        self.count += 1;
        Some(stall)
    }

    /// How many stalls there were; pass it to [`StallDetector::after`] later to learn of the new ones.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The stalls after the first `seen` ones, oldest first.
    pub fn after(&self, seen: u64) -> impl Iterator<Item = Stall> + '_ {
        let fresh = usize::try_from(self.count.saturating_sub(seen)).unwrap_or(usize::MAX);
        self.recent
            .iter()
            .skip(self.recent.len().saturating_sub(fresh))
            .copied()
    }

    /// The last stall.
    pub fn last(&self) -> Option<Stall> {
        self.recent.back().copied()
    }
}

impl Stall {
    /// Moves the start of a silence so that the stall does not count towards it.
    pub fn excuse(self, silent_from: Instant) -> Instant {
        if silent_from >= self.to {
            return silent_from;
        }
        silent_from.plus(self.to.since(self.from.max(silent_from)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_late_tick_is_a_stall_from_when_it_was_due() {
        let mut detector = StallDetector::new(50, 500, Instant(1_000));
        assert_eq!(detector.tick(Instant(1_050)), None);
        assert_eq!(detector.tick(Instant(1_600)), None, "500 ms late is not yet a stall");
        let stall = detector.tick(Instant(2_151));
        let expected = Stall {
            from: Instant(1_650),
            to: Instant(2_151),
        };
        assert_eq!(stall, Some(expected));
        assert_eq!(detector.tick(Instant(2_152)), None, "found once");
        assert_eq!(detector.last(), Some(expected));
    }

    #[test]
    fn a_tick_from_before_changes_nothing() {
        let mut detector = StallDetector::new(50, 500, Instant(1_000));
        detector.tick(Instant(2_000));
        assert_eq!(detector.tick(Instant(1_500)), None);
        assert_eq!(detector.tick(Instant(2_100)), None);
    }

    #[test]
    fn everyone_learns_of_every_stall_once() {
        let mut detector = StallDetector::new(50, 500, Instant(0));
        let seen = detector.count();
        detector.tick(Instant(1_000));
        detector.tick(Instant(3_000));
        assert_eq!(detector.after(seen).count(), 2);
        assert_eq!(
            detector.after(1).map(|stall| stall.to).collect::<Vec<_>>(),
            [Instant(3_000)]
        );
        assert_eq!(detector.after(detector.count()).count(), 0);
    }

    #[test]
    fn only_the_newest_stalls_are_remembered() {
        let mut detector = StallDetector::new(50, 500, Instant(0));
        for second in 1..=100 {
            detector.tick(Instant(second * 1_000));
        }
        assert_eq!(detector.count(), 100);
        assert_eq!(detector.after(0).count(), REMEMBERED);
        assert_eq!(detector.last().unwrap().to, Instant(100_000));
    }

    #[test]
    fn a_silence_is_moved_by_the_part_that_fell_into_the_stall() {
        let stall = Stall {
            from: Instant(1_000),
            to: Instant(3_000),
        };
        assert_eq!(stall.excuse(Instant(400)), Instant(2_400));
        assert_eq!(stall.excuse(Instant(2_500)), Instant(3_000));
        assert_eq!(stall.excuse(Instant(3_000)), Instant(3_000));
        assert_eq!(stall.excuse(Instant(4_000)), Instant(4_000));
    }
}
