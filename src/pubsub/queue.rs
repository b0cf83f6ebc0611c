//! The bounded queue of one subscriber.
//!
//! Full: it drops everything and stays closed. It never skips one event and goes on, because a subscriber that
//! missed a switch without knowing is worse off than one that has to reconnect.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::Revision;
use crate::sentinel::Published;

/// What an event counts beyond its channel and payload: the frame around them, and its place in the queue.
const EVENT_BYTES: usize = 64;

pub(super) struct Queue {
    bytes_max: usize,
    content: Mutex<Content>,
    notify: Notify,
}

#[derive(Default)]
struct Content {
    events: VecDeque<Arc<Published>>,
    bytes: usize,
    overflowed: bool,
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
            notify: Notify::new(),
        }
    }

    /// Appends all of `events`, or closes the queue. Wakes nobody.
    pub(super) fn push(&self, events: &[Arc<Published>]) -> Pushed {
        let mut content = self.lock();
        content.bytes += events.iter().map(|event| weight(event)).sum::<usize>();
        if content.bytes > self.bytes_max {
            *content = Content {
                overflowed: true,
                ..Content::default()
            };
            return Pushed::Overflowed;
        }
        content.events.extend(events.iter().cloned());
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

    pub(super) fn wake(&self) {
        self.notify.notify_one();
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
