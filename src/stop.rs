//! Stop points: named places at which a test can end a node, as a power cut would.
//!
//! A test build (feature `stop-points`) reads, each time it comes to a stop point, the file that
//! `CFGSERVER_STOP_FILE` names; when the file holds the name of the point, the process aborts there. Tests thus arm
//! a running node, once they know that it leads. In every other build a stop point is nothing.
//!
//! At two of them operators may have a node end as well, in every build: SENTINEL SIMULATE-FAILURE.

use crate::requests::Simulated;

/// What a process that simulates a failure ends with, as a Sentinel does.
const SIMULATED_STATUS: i32 = 99;

/// A place in the life of a failover, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The outage is agreed, the failover and its candidate are not yet proposed.
    BeforeOpen,
    /// The failover and its candidate are committed.
    AfterOpen,
    /// The writes of the old primary are about to be paused.
    BeforePause,
    /// The writes of the old primary are paused.
    AfterPause,
    /// The old primary is about to be told to step down.
    BeforeStepDown,
    /// The old primary has stepped down.
    AfterStepDown,
    /// A coordinated failover is to be undone, which is not yet proposed.
    BeforeUndo,
    /// The undoing is committed.
    AfterUndo,
    /// The old primary is about to be given its role back.
    BeforeTakeBack,
    /// The old primary has its role back.
    AfterTakeBack,
    /// The order to promote is about to be written.
    BeforePromote,
    /// The order to promote was written and answered.
    AfterPromote,
    /// The candidate is seen as master, the switch is not yet proposed.
    BeforeComplete,
    /// The switch is committed.
    AfterComplete,
    /// A replica is about to be told its new primary.
    BeforeFollow,
    /// A replica was told its new primary.
    AfterFollow,
    /// All replicas are done, the end is not yet proposed.
    BeforeEnd,
    /// The end is committed.
    AfterEnd,
}

impl Point {
    /// The points that a failover passes while it is open, whoever asked for it.
    pub const ALL: [Self; 9] = [
        Self::BeforeOpen,
        Self::AfterOpen,
        Self::BeforePromote,
        Self::AfterPromote,
        Self::BeforeComplete,
        Self::AfterComplete,
        Self::BeforeFollow,
        Self::AfterFollow,
        Self::BeforeEnd,
    ];

    /// The name that arms it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeOpen => "before-open",
            Self::AfterOpen => "after-open",
            Self::BeforePause => "before-pause",
            Self::AfterPause => "after-pause",
            Self::BeforeStepDown => "before-step-down",
            Self::AfterStepDown => "after-step-down",
            Self::BeforeUndo => "before-undo",
            Self::AfterUndo => "after-undo",
            Self::BeforeTakeBack => "before-take-back",
            Self::AfterTakeBack => "after-take-back",
            Self::BeforePromote => "before-promote",
            Self::AfterPromote => "after-promote",
            Self::BeforeComplete => "before-complete",
            Self::AfterComplete => "after-complete",
            Self::BeforeFollow => "before-follow",
            Self::AfterFollow => "after-follow",
            Self::BeforeEnd => "before-end",
            Self::AfterEnd => "after-end",
        }
    }
}

/// Ends the process when an operator wants it to end here.
pub fn simulated(point: Point, wanted: Simulated) {
    let ends = match point {
        Point::AfterOpen => wanted.after_election,
        Point::AfterPromote => wanted.after_promotion,
        _ => false,
    };
    if ends {
        tracing::warn!(target: "cfgserver::stop", point = point.name(), "ended by SENTINEL SIMULATE-FAILURE");
        std::process::exit(SIMULATED_STATUS);
    }
}

/// Ends the process when this point is armed.
#[cfg(feature = "stop-points")]
pub fn here(point: Point) {
    let armed = std::env::var_os("CFGSERVER_STOP_FILE")
        .and_then(|path| std::fs::read_to_string(path).ok())
        .is_some_and(|name| name.trim() == point.name());
    if armed {
        tracing::info!(target: "cfgserver::stop", point = point.name(), "stopped here");
        std::process::abort();
    }
}

/// Ends the process when this point is armed: in this build none ever is.
#[cfg(not(feature = "stop-points"))]
#[inline]
pub fn here(_point: Point) {}
