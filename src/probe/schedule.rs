//! When the next thing is due: phases and pauses.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::{Address, Age, GroupId, Instant};

/// First pause between attempts to connect, after one that is made at once.
const PAUSE_FIRST_MS: Age = 10;
/// Turns come together at most so often in a period, and at least this long apart: what is due at the same moment costs
/// one awakening, and its answers come together too.
const TURNS: Age = 25;
const TOGETHER_MS: Age = 20;

/// Where an instance stands in every period, so that thousands of them are spread evenly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase(u64);

/// Growing pauses between attempts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pause(Age);

impl Phase {
    pub(super) fn of(group: GroupId, address: Address) -> Self {
        let mut hasher = DefaultHasher::new();
        (group, address).hash(&mut hasher);
        Self(hasher.finish() >> 1)
    }

    /// Its share of a span of time.
    pub(super) fn within(self, span_ms: Age) -> Age {
        self.0 % span_ms.max(1)
    }

    /// The first moment after `now` that is its turn in a period. It has it together with its neighbours.
    pub(super) fn next(self, now: Instant, period_ms: Age) -> Instant {
        let period_ms = period_ms.max(1);
        let within = self.within(period_ms);
        let turn = within - within % apart_ms(period_ms);
        let since_turn = (now.0 + period_ms - turn) % period_ms;
        now.plus(period_ms - since_turn)
    }
}

/// The turn of a period that something due at `due` shares with others; never one that is over.
pub(super) fn together(due: Instant, period_ms: Age, now: Instant) -> Instant {
    let turn = Instant(due.0 - due.0 % apart_ms(period_ms));
    if turn > now { turn } else { due }
}

/// How long the turns of a period are apart.
fn apart_ms(period_ms: Age) -> Age {
    (period_ms / TURNS).clamp(1, TOGETHER_MS)
}

impl Pause {
    /// The next pause: none the first time, then a short one that doubles up to `max_ms`.
    pub(super) fn take(&mut self, max_ms: Age) -> Age {
        let pause = self.0;
        self.0 = (pause * 2).max(PAUSE_FIRST_MS).min(max_ms);
        pause.min(max_ms)
    }

    /// The next attempt is made at once.
    pub(super) fn reset(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_turn_comes_once_in_each_period_and_always_later() {
        for phase in [0, 1, 37, 99, 100, 12_345] {
            let first = Phase(phase).next(Instant(5_000), 100);
            assert!(first > Instant(5_000) && first <= Instant(5_100), "{first:?}");
            assert_eq!(Phase(phase).next(first, 100), first.plus(100));
            assert_eq!(first.0 % 100, phase % 100 / 4 * 4, "with others, up to 4 ms early");
        }
    }

    #[test]
    fn what_is_due_within_a_few_milliseconds_takes_the_same_turn() {
        let now = Instant(5_000);
        let turns = |due| together(Instant(due), 1_000, now);
        assert_eq!(
            [turns(5_779), turns(5_780), turns(5_799)],
            [Instant(5_760), Instant(5_780), Instant(5_780)]
        );
        assert_eq!(
            together(Instant(5_019), 1_000, now),
            Instant(5_019),
            "its turn is over: not before now"
        );
        assert_eq!(
            together(Instant(5_049), 50, now),
            Instant(5_048),
            "short periods keep their length"
        );
    }

    #[test]
    fn a_thousand_instances_are_spread_over_the_period() {
        let mut tenths = [0; 10];
        for port in 1..=1000 {
            let address = format!("10.0.0.1:{port}").parse().unwrap();
            tenths[Phase::of(GroupId(1), address).within(1000) as usize / 100] += 1;
        }
        assert!(tenths.iter().all(|count| (50..150).contains(count)), "{tenths:?}");
    }

    #[test]
    fn the_first_attempt_is_made_at_once_and_pauses_grow_up_to_the_limit() {
        let mut pause = Pause::default();
        let pauses: Vec<Age> = (0..6).map(|_| pause.take(50)).collect();
        assert_eq!(pauses, [0, 10, 20, 40, 50, 50]);
        pause.reset();
        assert_eq!(pause.take(50), 0);
    }
}
