//! This node's own stalls: found once, excused everywhere.

use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::detect::{Stall, StallDetector};
use crate::model::{Age, Event, EventKind, Instant};
use crate::requests::Period;

use super::{Shared, lock};

/// How often the detector is ticked.
const TICK_MS: Age = 50;
/// How long a stall is shown after it ended.
const SHOWN_MS: Age = 2_000;

/// The node's stall detector.
pub(super) struct Stalls {
    detector: Mutex<StallDetector>,
}

impl Stalls {
    pub(super) fn new(stall_ms: Age, now: Instant) -> Self {
        Self {
            detector: Mutex::new(StallDetector::new(TICK_MS, stall_ms, now)),
        }
    }

    /// Ticks, and tells the stalls after the first `seen` ones. Whoever judges comes here first: after a stall it
    /// is not known who wakes up first.
    pub(super) fn observe(&self, seen: &mut u64, now: Instant) -> Vec<Stall> {
        let mut detector = lock(&self.detector);
        detector.tick(now);
        let stalls = detector.after(*seen).collect();
        *seen = detector.count();
        stalls
    }

    /// Takes another delay for a stall from now on.
    fn configure(&self, stall_ms: Age) {
        lock(&self.detector).configure(stall_ms);
    }

    /// The stalls that there were so far.
    pub(super) fn count(&self) -> u64 {
        lock(&self.detector).count()
    }

    /// The start of the last stall, while it is shown.
    pub(super) fn stalled_since(&self, now: Instant) -> Option<Instant> {
        let stall = lock(&self.detector).last()?;
        (now.since(stall.to) < SHOWN_MS).then_some(stall.from)
    }
}

/// Ticks, and announces `+tilt` and `-tilt`.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let announce = |entered| {
        shared.announce.announce(Event {
            revision: None,
            group: None,
            kind: EventKind::Tilt { entered },
        });
    };
    let mut seen = shared.stalls.count();
    let mut tilted = false;
    loop {
        let due = shared.clock.now().plus(TICK_MS);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = shared.clock.sleep_until(due) => {}
        }
        if let Some(stall_ms) = shared.board.dials().turned_ms(Period::TiltTrigger) {
            shared.stalls.configure(stall_ms);
        }
        let now = shared.clock.now();
        for stall in shared.stalls.observe(&mut seen, now) {
            warn!(target: "cfgserver::probe", stalled_ms = stall.to.since(stall.from), "this node stood still");
        }
        let shown = shared.stalls.stalled_since(now).is_some();
        if shown != tilted {
            tilted = shown;
            announce(shown);
        }
    }
}
