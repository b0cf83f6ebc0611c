//! The bounded queue of one subscriber.
//!
//! Full: it drops everything and stays closed. It never skips one event and goes on, because a subscriber that
//! missed a switch without knowing is worse off than one that has to reconnect.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::Revision;
use crate::sentinel::Published;

/// What an event counts beyond its channel and payload: the frame around them, and its place in the queue.
const EVENT_BYTES: usize = 64;

pub(super) struct Queue {
    bytes_max: usize,
    content: Mutex<Content>,
    /// Something was pushed since the last wake.
    news: AtomicBool,
    notify: Notify,
}

#[derive(Default)]
struct Content {
    events: VecDeque<Arc<Published>>,
    bytes: usize,
    overflowed: bool,
    wanted: Wanted,
}

/// Which events a subscription takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    #[default]
    Everything,
    /// Changed addresses, also those of names that are monitored again. Most events are others, and most subscribers
    /// are proxies.
    Switches,
}

pub(super) enum Pushed {
    Held,
    Overflowed,
}

impl Queue {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            content: Mutex::default(),
            news: AtomicBool::new(false),
            notify: Notify::new(),
        }
    }

    /// Appends those of `events` that are wanted, or closes the queue. Wakes nobody.
    pub(super) fn push(&self, events: &[Arc<Published>]) -> Pushed {
        let mut content = self.lock();
        let everything = content.wanted == Wanted::Everything;
        let wanted = events.iter().filter(|event| everything || event.says_where());
        let bytes: usize = wanted.clone().map(|event| weight(event)).sum();
        if bytes == 0 {
            return Pushed::Held;
        }
        self.news.store(true, Ordering::Relaxed);
        content.bytes += bytes;
        if content.bytes > self.bytes_max {
            *content = Content {
                overflowed: true,
                ..Content::default()
            };
            return Pushed::Overflowed;
        }
        content.events.extend(wanted.cloned());
        Pushed::Held
    }

    pub(super) fn pop(&self, up_to: Revision) -> Option<Arc<Published>> {
        let mut content = self.lock();
        if !content.events.front().is_some_and(|event| belongs(event, up_to)) {
            return None;
        }
        let event = content.events.pop_front()?;
        content.bytes -= weight(&event);
        Some(event)
    }

    pub(super) fn has(&self, up_to: Revision) -> bool {
        self.lock().events.front().is_some_and(|event| belongs(event, up_to))
    }

    pub(super) fn overflowed(&self) -> bool {
        self.lock().overflowed
    }

    /// What is pushed from now on.
    pub(super) fn want(&self, wanted: Wanted) {
        self.lock().wanted = wanted;
    }

    /// Wakes the waiter, if there is something new for it.
    pub(super) fn wake(&self) {
        if self.news.swap(false, Ordering::Relaxed) {
            self.notify.notify_one();
        }
    }

    /// Resolves after a wake since the last call; there is one waiter.
    pub(super) async fn woken(&self) {
        self.notify.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // No code panics while it holds this lock, so a poisoned one is as good as any.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn belongs(event: &Published, up_to: Revision) -> bool {
    event.revision.is_none_or(|revision| revision <= up_to)
}

fn weight(event: &Published) -> usize {
    EVENT_BYTES + event.channel.len() + event.payload.len()
}
