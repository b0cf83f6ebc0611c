//! A word to one connection: to close, or that the server stops.
//!
//! Every connection waits for it together with everything else, thousands of times a second. So it is a flag and a
//! place for one waiter: tokens that many wait for take a lock at each look.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;

/// Somebody wants the connection closed.
const ENDED: u8 = 1;
/// The server stops.
const STOPPED: u8 = 2;

/// What a connection was told. It has one waiter, its task.
#[derive(Debug, Default)]
pub(super) struct Word {
    said: AtomicU8,
    waiter: AtomicWaker,
}

impl Word {
    /// Says that the connection is to be closed.
    pub(super) fn end(&self) {
        self.say(ENDED);
    }

    /// Says that the server stops.
    pub(super) fn stop(&self) {
        self.say(STOPPED);
    }

    /// Resolves when the connection is to be closed.
    pub(super) fn ended(&self) -> impl Future<Output = ()> {
        self.heard(ENDED)
    }

    /// Resolves when the server stops.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> {
        self.heard(STOPPED)
    }

    fn say(&self, what: u8) {
        self.said.fetch_or(what, Ordering::AcqRel);
        self.waiter.wake();
    }

    fn heard(&self, what: u8) -> impl Future<Output = ()> {
        poll_fn(move |context| {
            if !self.has(what) {
                self.waiter.register(context.waker());
                // It may have been said before anybody waited.
                if !self.has(what) {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
    }

    fn has(&self, what: u8) -> bool {
        self.said.load(Ordering::Acquire) & what != 0
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn each_word_is_heard_before_and_after_it_was_waited_for() {
        let word = Word::default();
        assert!(word.ended().now_or_never().is_none() && word.stopped().now_or_never().is_none());
        let waiting = async {
            tokio::select! {
                () = word.ended() => "ended",
                () = word.stopped() => "stopped",
            }
        };
        let saying = async {
            tokio::task::yield_now().await;
            word.stop();
        };
        assert_eq!(tokio::join!(waiting, saying).0, "stopped");
        assert!(word.stopped().now_or_never().is_some() && word.ended().now_or_never().is_none());
        word.end();
        assert!(word.ended().now_or_never().is_some());
    }
}
