//! Time as data. Nothing below the line reads a clock; these values come in as arguments.

use serde::{Deserialize, Serialize};

/// A length of time in milliseconds.
pub type Age = u64;

/// Wall-clock time in milliseconds since 1970, as carried in log entries. Never used to measure silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// Monotonic time of one node in milliseconds since an arbitrary start. Never leaves the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// So many milliseconds earlier; the epoch at the earliest.
    pub fn minus(self, ms: Age) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// Milliseconds since `earlier`; 0 when `earlier` is later.
    pub fn since(self, earlier: Self) -> Age {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant plus `ms` milliseconds.
    pub fn plus(self, ms: Age) -> Self {
        Self(self.0.saturating_add(ms))
    }
}
