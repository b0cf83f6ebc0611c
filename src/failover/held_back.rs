//! What holds an automatic failover of a group back, as far as every node knows it: without votes, sightings or the
//! leader's memory.

use std::fmt;

use crate::failover::brake;
use crate::model::{Age, Automatic, Fault, Group, Mode, Timestamp};

/// What holds an automatic failover back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// The group is only watched.
    Observing,
    /// An operator turned it off.
    Off(Automatic),
    /// No replica is known.
    NoReplica,
    /// The brake on flapping.
    Braked(Timestamp),
    /// The primary is down, and no replica may be promoted.
    NoGoodReplica,
}

/// What would hold an automatic failover back at `now`.
pub fn held_back(group: &Group, now: Timestamp) -> Option<HeldBack> {
    let automatic = group.config.automatic;
    if group.config.mode == Mode::Observe {
        Some(HeldBack::Observing)
    } else if automatic.is_off(now) {
        Some(HeldBack::Off(automatic))
    } else if group.replicas().next().is_none() {
        Some(HeldBack::NoReplica)
    } else if let Some(end) = brake::held_until(group, now) {
        Some(HeldBack::Braked(end))
    } else {
        let fault = group
            .outage
            .as_ref()
            .and(group.abort.as_ref())
            .map(|abort| &abort.fault);
        (group.failover.is_none() && fault == Some(&Fault::NoGoodReplica)).then_some(HeldBack::NoGoodReplica)
    }
}

impl HeldBack {
    /// How long it lasts, where that is known.
    pub fn left_ms(&self, now: Timestamp) -> Option<Age> {
        match self {
            Self::Off(automatic) => automatic.left_ms(now),
            Self::Braked(end) => Some(end.0.saturating_sub(now.0)),
            Self::Observing | Self::NoReplica | Self::NoGoodReplica => None,
        }
    }
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observing => "the group is in mode observe",
            Self::Off(_) => "automatic failover is off",
            Self::NoReplica => "no replica is known",
            Self::Braked(_) => "waiting after recent switches; SENTINEL FAILOVER does not wait",
            Self::NoGoodReplica => "no replica is good",
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::failover::testing::{ADDRESSES, group, member};
    use crate::model::{Abort, Outage, Switch};

    const NOW: Timestamp = Timestamp(100_000_000);

    fn held(change: impl FnOnce(&mut Group)) -> Option<(String, Option<Age>)> {
        let mut group = group();
        group.members.insert(ADDRESSES[1], member("b"));
        change(&mut group);
        held_back(&group, NOW).map(|held| (held.to_string(), held.left_ms(NOW)))
    }

    fn why(text: &str, left_ms: Option<Age>) -> Option<(String, Option<Age>)> {
        Some((text.to_owned(), left_ms))
    }

    #[test]
    fn the_reason_and_how_long_it_lasts() {
        assert_eq!(held(|_| {}), None);
        let observing = held(|group| group.config.mode = Mode::Observe);
        assert_eq!(observing, why("the group is in mode observe", None));
        let off = held(|group| group.config.automatic = Automatic::Off);
        assert_eq!(off, why("automatic failover is off", None));
        let until = held(|group| group.config.automatic = Automatic::OffUntil(Timestamp(NOW.0 + 7)));
        assert_eq!(until, why("automatic failover is off", Some(7)));
        assert_eq!(held(|group| group.config.automatic = Automatic::OffUntil(NOW)), None);
        let alone = held(|group| group.members.retain(|address, _| *address == ADDRESSES[0]));
        assert_eq!(alone, why("no replica is known", None));
        let switch = |at| Switch {
            revision: 1,
            from: ADDRESSES[0],
            from_host: None,
            to: ADDRESSES[1],
            epoch: 1,
            at: Timestamp(at),
            automatic: true,
        };
        let braked = held(|group| group.switches = vec![switch(NOW.0 - 20_000), switch(NOW.0 - 10_000)]);
        let text = "waiting after recent switches; SENTINEL FAILOVER does not wait";
        assert_eq!(braked, why(text, Some(20_000)));
    }

    #[test]
    fn an_abort_counts_as_long_as_the_outage_lasts() {
        let aborted = |group: &mut Group| {
            group.abort = Some(Abort {
                epoch: 1,
                at: NOW,
                fault: Fault::NoGoodReplica,
                replicas: BTreeMap::new(),
            });
        };
        assert_eq!(held(aborted), None);
        let down = held(|group| {
            aborted(group);
            group.outage = Some(Outage { since: NOW, votes: 2 });
        });
        assert_eq!(down, why("no replica is good", None));
    }
}
