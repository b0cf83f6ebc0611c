//! Maintenance: whether failovers and repairs happen by themselves.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Age, Timestamp};

/// Whether cfgserver fails a group over and repairs it by itself. Off, it goes on watching, voting and telling, and does
/// what an operator asks for; a failover whose candidate is committed is finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Automatic {
    /// It does.
    #[default]
    On,
    /// It does not, until an operator says so.
    Off,
    /// It does not before that moment.
    OffUntil(Timestamp),
}

impl Automatic {
    /// `failover on`, the form of records without the setting.
    pub fn is_on_for_ever(&self) -> bool {
        *self == Self::On
    }

    /// Whether it is off at `now`: the time of the state machine, which never goes back.
    pub fn is_off(self, now: Timestamp) -> bool {
        match self {
            Self::On => false,
            Self::Off => true,
            Self::OffUntil(end) => now < end,
        }
    }

    /// For how much longer it is off; `None` when it is on, or off without an end.
    pub fn left_ms(self, now: Timestamp) -> Option<Age> {
        match self {
            Self::OffUntil(end) if now < end => Some(end.0 - now.0),
            _ => None,
        }
    }

    /// What holds at `now`: an end that has passed is none.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        if self.is_off(now) { self } else { Self::On }
    }
}

/// As `SENTINEL SET name failover` takes it: `on`, `off`, `until` and a Unix time in seconds.
impl fmt::Display for Automatic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On => f.write_str("on"),
            Self::Off => f.write_str("off"),
            Self::OffUntil(end) => write!(f, "until {}", end.0.div_ceil(1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_has_passed_is_none() {
        let until = Automatic::OffUntil(Timestamp(5_000));
        assert!(until.is_off(Timestamp(4_999)) && !until.is_off(Timestamp(5_000)));
        assert_eq!(until.left_ms(Timestamp(4_000)), Some(1_000));
        assert_eq!(until.left_ms(Timestamp(5_000)), None);
        assert_eq!(until.at(Timestamp(4_999)), until);
        assert_eq!(until.at(Timestamp(5_000)), Automatic::On);
        assert!(Automatic::Off.is_off(Timestamp(u64::MAX)) && !Automatic::On.is_off(Timestamp(0)));
        assert_eq!(until.to_string(), "until 5");
    }
}
