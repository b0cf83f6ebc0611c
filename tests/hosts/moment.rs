//! The runner's clock: milliseconds since it started, and waiting for conditions.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static START: OnceLock<Instant> = OnceLock::new();

/// The real clock.
#[expect(clippy::disallowed_methods, reason = "real processes live in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the first call: the time of every record.
pub(crate) fn ms() -> u64 {
    let start = *START.get_or_init(now);
    u64::try_from((now() - start).as_millis()).unwrap_or(u64::MAX)
}

/// Waits for a value; `None` when it does not come in time.
pub(crate) fn within<T>(limit: Duration, mut value: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = now() + limit;
    loop {
        if let Some(value) = value() {
            return Some(value);
        }
        if now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a value; ends the run with `what` when it does not come in time.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, limit: Duration, value: impl FnMut() -> Option<T>) -> T {
    within(limit, value).unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// Lets a fault last, or paces a client: the time itself is the scenario.
pub(crate) fn last(duration_ms: u64) {
    std::thread::sleep(Duration::from_millis(duration_ms));
}
