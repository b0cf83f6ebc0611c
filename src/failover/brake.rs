//! Rule 15: a brake on flapping.
//!
//! The first and the second automatic switch of an hour happen at once; each further one waits, longer every time.
//! SENTINEL FAILOVER is not held: an operator knows better. Nor is a failover from an emptied primary: waiting would
//! cost the data.

use crate::model::{Age, Group, Switch, Timestamp};

/// Switches older than this are forgotten.
const WINDOW_MS: Age = 3_600_000;
/// Automatic switches within the window that are not held.
const FREE_SWITCHES: u32 = 2;
/// How long after the last switch the first held one waits; doubles.
const FIRST_WAIT_MS: Age = 30_000;
/// The longest wait.
const WAIT_MS_MAX: Age = 1_800_000;
/// The most doublings, so that the shift stays in range.
const DOUBLINGS_MAX: u32 = 10;

/// Until when the next automatic failover of the group is held back; `None` when it is not.
pub fn held_until(group: &Group, wall: Timestamp) -> Option<Timestamp> {
    let (last, wait_ms) = wait(group, wall)?;
    // A wall clock that went back must not hold the group for longer than the wait itself.
    let from = last.at.min(wall);
    let until = Timestamp(from.0.saturating_add(wait_ms));
    (until > wall).then_some(until)
}

/// For how much longer the next automatic failover is held back. `known_ms`: for how long this leader has known of the
/// last switch, by a clock that never jumps. While the wall clock is behind that switch only this ends the wait.
pub(super) fn held_ms(group: &Group, wall: Timestamp, known_ms: Age) -> Option<Age> {
    let left_ms = held_until(group, wall)?.0.saturating_sub(wall.0);
    let (_, wait_ms) = wait(group, wall)?;
    let held_ms = left_ms.min(wait_ms.saturating_sub(known_ms));
    (held_ms > 0).then_some(held_ms)
}

/// The last recent switch, and how long the next one waits after it.
fn wait(group: &Group, wall: Timestamp) -> Option<(&Switch, Age)> {
    let recent = |switch: &&Switch| switch.automatic && wall.0.saturating_sub(switch.at.0) < WINDOW_MS;
    let count = group.switches.iter().filter(recent).count();
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let last = group.switches.iter().rfind(recent)?;
    let doublings = count.checked_sub(FREE_SWITCHES)?;
    let wait_ms = (FIRST_WAIT_MS << doublings.min(DOUBLINGS_MAX)).min(WAIT_MS_MAX);
    Some((last, wait_ms))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::failover::testing::group;

    fn switched(at: &[u64], automatic: bool) -> Group {
        let mut group = group();
        for (epoch, at) in (1..).zip(at) {
            group.switches.push(Switch {
                revision: epoch,
                from: group.primary,
                from_host: None,
                to: group.primary,
                epoch,
                at: Timestamp(*at),
                automatic,
            });
        }
        group
    }

    #[test]
    fn the_second_automatic_switch_is_immediate_and_further_ones_back_off() {
        let base = 10_000_000;
        assert_eq!(held_until(&switched(&[], true), Timestamp(base)), None);
        assert_eq!(held_until(&switched(&[base], true), Timestamp(base + 1)), None);
        let third = held_until(&switched(&[base, base + 10], true), Timestamp(base + 20));
        assert_eq!(third, Some(Timestamp(base + 10 + FIRST_WAIT_MS)));
        let fourth = held_until(&switched(&[base, base + 10, base + 20], true), Timestamp(base + 30));
        assert_eq!(fourth, Some(Timestamp(base + 20 + 2 * FIRST_WAIT_MS)));
    }

    #[test]
    fn old_switches_and_those_of_operators_do_not_count() {
        let base = 10_000_000;
        let old = switched(&[base, base + 1, base + 2], true);
        assert_eq!(held_until(&old, Timestamp(base + 2 + WINDOW_MS)), None);
        let planned = switched(&[base, base + 1, base + 2], false);
        assert_eq!(held_until(&planned, Timestamp(base + 3)), None);
    }

    #[test]
    fn a_wall_clock_that_went_back_does_not_lengthen_the_wait() {
        let group = switched(&[10_000_000, 10_000_000], true);
        assert_eq!(
            held_until(&group, Timestamp(5_000_000)),
            Some(Timestamp(5_000_000 + FIRST_WAIT_MS))
        );
    }

    /// Found by the simulator, seed 6834: the end of the wait moved on with the clock that was behind.
    #[test]
    fn a_wall_clock_that_went_back_and_stays_behind_holds_no_longer_than_the_wait() {
        let group = switched(&[10_000_000, 10_000_000], true);
        let behind = |known_ms| held_ms(&group, Timestamp(5_000_000 + known_ms), known_ms);
        assert_eq!(behind(0), Some(FIRST_WAIT_MS));
        assert_eq!(behind(FIRST_WAIT_MS - 1), Some(1));
        assert_eq!(behind(FIRST_WAIT_MS), None);
        let new_leader = held_ms(&group, Timestamp(10_000_000 + 20_000), 0);
        assert_eq!(
            new_leader,
            Some(FIRST_WAIT_MS - 20_000),
            "a successor does not begin anew"
        );
    }
}
