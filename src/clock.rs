//! The one place that reads time.

use std::time::Duration;

use crate::model::{Instant, Timestamp};

/// A node's clocks: monotonic since its own start, and the wall. Cheap to clone; made once in `app`.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: tokio::time::Instant,
}

impl Clock {
    /// A clock that starts now. Its instants begin at one hour, so that ages before the start can be expressed.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn start() -> Self {
        Self {
            base: tokio::time::Instant::now(),
        }
    }

    /// Monotonic time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now(&self) -> Instant {
        let elapsed = tokio::time::Instant::now().saturating_duration_since(self.base);
        Instant(Self::HEAD_START_MS + elapsed.as_millis() as u64)
    }

    /// Wall-clock time.
    pub fn wall(&self) -> Timestamp {
        Timestamp(wall_ms())
    }

    /// Sleeps until `instant`; returns at once when it has passed.
    pub async fn sleep_until(&self, instant: Instant) {
        let offset = Duration::from_millis(instant.0.saturating_sub(Self::HEAD_START_MS));
        tokio::time::sleep_until(self.base + offset).await;
    }

    const HEAD_START_MS: u64 = 3_600_000;
}

#[cfg(not(feature = "sim"))]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn wall_ms() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

#[cfg(feature = "sim")]
fn wall_ms() -> u64 {
    crate::host::Host::current().map_or(crate::host::EPOCH_MS, |host| host.wall_ms())
}
