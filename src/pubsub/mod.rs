//! The hub: events from the log and from this node's own sightings, to every subscriber.
//!
//! ```text
//! applied state + events -> Hub::publish: 1. into every queue  2. state onto the board  3. wake -> Subscription -> session
//! ```
//!
//! That order gives each connection one order: whoever loads the board's state finds every event up to that
//! state's revision in its queue already, and delivers those before it answers from the state.
//! An event is rendered once and shared; which subscriber wants it is the session's business.
//! What does not live here: channels, patterns, sockets.

mod queue;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::info;

use crate::board::Board;
use crate::machine::State;
use crate::model::{Event, Revision};
use crate::sentinel::{self, Around, Published};

use queue::{Pushed, Queue};

pub use queue::Wanted;

/// What may wait for one subscriber, in bytes. A burst of a thousand switches is a tenth of it.
pub const QUEUE_BYTES_MAX: usize = 1 << 20;

/// Hands events to subscriptions. A subscription that cannot hold one more is closed and counted: a subscriber
/// may lose its connection, but never an event in the middle.
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    board: Arc<Board>,
    queue_bytes_max: usize,
    /// Held while events are enqueued and their state is published, so that who subscribes in between gets
    /// either both or neither.
    queues: Mutex<BTreeMap<u64, Arc<Queue>>>,
    next_id: AtomicU64,
    overflows: AtomicU64,
}

impl Hub {
    /// A hub that publishes states on `board`.
    pub fn new(board: Arc<Board>) -> Self {
        Self::with_bound(board, QUEUE_BYTES_MAX)
    }

    /// A hub whose subscriptions hold at most `queue_bytes_max` bytes.
    pub fn with_bound(board: Arc<Board>, queue_bytes_max: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                board,
                queue_bytes_max,
                queues: Mutex::default(),
                next_id: AtomicU64::new(0),
                overflows: AtomicU64::new(0),
            }),
        }
    }

    /// Every event from now on. To miss none, subscribe before loading the state that is answered from.
    pub fn subscribe(&self) -> Subscription {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let queue = Arc::new(Queue::new(self.shared.queue_bytes_max));
        self.shared.lock().insert(id, queue.clone());
        Subscription {
            id,
            queue,
            wanted: Wanted::default(),
            shared: self.shared.clone(),
        }
    }

    /// Publishes an applied state and what led to it.
    pub fn publish(&self, state: Arc<State>, events: Vec<Event>) {
        let before = self.shared.board.state();
        let around = Around {
            before: &before,
            after: &state,
        };
        let events = render(&events, around);
        let mut queues = self.shared.lock();
        self.shared.enqueue(&mut queues, &events);
        self.shared.board.publish_state(state);
        wake(&queues, &events);
        drop(queues);
        log(&events);
    }

    /// Publishes something that this node saw itself.
    pub fn publish_local(&self, event: Event) {
        let state = self.shared.board.state();
        let around = Around {
            before: &state,
            after: &state,
        };
        let events = render(std::slice::from_ref(&event), around);
        let mut queues = self.shared.lock();
        self.shared.enqueue(&mut queues, &events);
        wake(&queues, &events);
        drop(queues);
        log(&events);
    }

    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> usize {
        self.shared.lock().len()
    }

    /// How many subscriptions were closed because they were full.
    pub fn overflows(&self) -> u64 {
        self.shared.overflows.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Queue>>> {
        // No code panics while it holds this lock, so a poisoned one is as good as any.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, queues: &mut BTreeMap<u64, Arc<Queue>>, events: &[Arc<Published>]) {
        if events.is_empty() {
            return;
        }
        queues.retain(|_, queue| match queue.push(events) {
            Pushed::Held => true,
            Pushed::Overflowed => {
                self.overflows.fetch_add(1, Ordering::Relaxed);
                queue.wake();
                false
            }
        });
    }
}

fn render(events: &[Event], around: Around<'_>) -> Vec<Arc<Published>> {
    let published = events.iter().map(|event| sentinel::publish_around(event, around));
    published.map(Arc::new).collect()
}

/// What subscribers were told can be read in the log of every node. They come first.
fn log(events: &[Arc<Published>]) {
    for event in events {
        let payload = String::from_utf8_lossy(&event.payload);
        info!(target: "cfgserver::event", "{} {payload}", event.channel);
    }
}

fn wake(queues: &BTreeMap<u64, Arc<Queue>>, events: &[Arc<Published>]) {
    if !events.is_empty() {
        queues.values().for_each(|queue| queue.wake());
    }
}

/// The events of one subscriber, in order. Ends when it is dropped.
pub struct Subscription {
    id: u64,
    queue: Arc<Queue>,
    wanted: Wanted,
    shared: Arc<Shared>,
}

impl Subscription {
    /// Takes only these from now on. To miss none of them, say it before loading the state that is answered from.
    pub fn want(&mut self, wanted: Wanted) {
        if self.wanted != wanted {
            // Not while events are on their way and their state is not on the board.
            let _queues = self.shared.lock();
            self.queue.want(wanted);
            self.wanted = wanted;
        }
    }

    /// The next event, if it belongs to a state of at most this revision. An event without a revision belongs
    /// where it stands.
    pub fn try_next(&mut self, up_to: Revision) -> Option<Arc<Published>> {
        self.queue.pop(up_to)
    }

    /// Waits for the next event whose state is on the board. `None`: the subscription is closed.
    pub async fn next(&mut self) -> Option<Arc<Published>> {
        loop {
            self.ready().await;
            if self.overflowed() {
                return None;
            }
            if let Some(event) = self.try_next(self.shared.board.state().revision()) {
                return Some(event);
            }
        }
    }

    /// Waits until there is an event whose state is on the board, or the subscription is closed. Takes nothing.
    pub async fn ready(&mut self) {
        while !self.overflowed() && !self.queue.has(self.shared.board.state().revision()) {
            self.queue.woken().await;
        }
    }

    /// Waits until the subscription is closed.
    pub async fn closed(&mut self) {
        while !self.overflowed() {
            self.queue.woken().await;
        }
    }

    /// It was full and is closed; what it held is gone.
    pub fn overflowed(&self) -> bool {
        self.queue.overflowed()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
