//! CLIENT PAUSE: requests of clients that wait. Those of nodes never do.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;
use crate::model::Instant;
use crate::requests::Held;
use crate::resp::Request;
use crate::watch;

/// Who waits, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    until: Instant,
    held: Held,
}

/// The pause of a server.
pub(super) struct Pauses {
    pause: watch::Sender<Option<Pause>>,
    /// When the last pause ends, or ended: every request asks, and hardly ever is there one.
    until: AtomicU64,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            pause: watch::Sender::new(None),
            until: AtomicU64::new(0),
        }
    }
}

impl Pauses {
    /// Begins a pause. One that goes on is never shortened or eased by another.
    pub(super) fn begin(&self, until: Instant, held: Held, now: Instant) {
        self.until.fetch_max(until.0, Ordering::Relaxed);
        self.pause.send_modify(|pause| {
            let new = match pause.filter(|pause| pause.until > now) {
                Some(old) => Pause {
                    until: old.until.max(until),
                    held: old.held.max(held),
                },
                None => Pause { until, held },
            };
            *pause = Some(new);
        });
    }

    /// Ends it.
    pub(super) fn end(&self) {
        self.pause.send_replace(None);
    }

    /// What holds this request now.
    pub(super) fn of(&self, request: &Request, now: Instant) -> Option<Pause> {
        if now.0 >= self.until.load(Ordering::Relaxed) {
            return None;
        }
        let publishes = request.name().eq_ignore_ascii_case(b"PUBLISH");
        let pause = *self.pause.borrow();
        pause.filter(|pause| now < pause.until && (publishes || pause.held == Held::All))
    }

    /// Resolves when `pause` is over, or another one is in its place.
    pub(super) async fn over(&self, pause: Pause, clock: &Clock) {
        let mut changes = self.pause.subscribe();
        let changed = changes.wait_for(|now| *now != Some(pause));
        tokio::select! {
            biased;
            _ = changed => {}
            () = clock.sleep_until(pause.until) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn request(name: &'static str) -> Request {
        Request(vec![Bytes::from_static(name.as_bytes())])
    }

    #[test]
    fn a_pause_holds_what_it_says_and_is_neither_shortened_nor_eased() {
        let (pauses, now) = (Pauses::default(), Instant(1_000));
        let holds = |name, at| pauses.of(&request(name), Instant(at)).is_some();
        pauses.begin(Instant(1_500), Held::Publish, now);
        assert!(holds("publish", 1_499) && !holds("PING", 1_499) && !holds("PUBLISH", 1_500));
        pauses.begin(Instant(1_100), Held::All, now);
        assert!(holds("PING", 1_499));
        pauses.begin(Instant(1_600), Held::Publish, now);
        assert!(holds("PING", 1_599) && !holds("PING", 1_600));
        pauses.begin(Instant(1_800), Held::Publish, Instant(1_700));
        assert!(!holds("PING", 1_750), "the one before is over");
        pauses.end();
        assert!(!holds("PUBLISH", 1_750));
    }
}
