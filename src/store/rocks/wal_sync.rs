//! Group commit: one thread that makes writes durable and says so.
//!
//! It takes all callbacks that wait, syncs the write-ahead log once, and calls them in the order of the writes.
//! What does not live here: RocksDB; the sync is handed in.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use tracing::error;

use crate::store::OnDurable;

/// How many callbacks may wait. Raft keeps far fewer appends in flight; when it is full the writer waits.
const WAITING_MAX: usize = 4096;

/// The first write error. It is final: after it nothing is written and every callback hears of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure(Arc<OnceLock<(io::ErrorKind, String)>>);

impl Failure {
    /// The error, if there was one.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.0.get() {
            Some((kind, reason)) => Err(io::Error::new(*kind, reason.clone())),
            None => Ok(()),
        }
    }

    /// Keeps the first error.
    pub(super) fn note(&self, error: &io::Error) {
        if self.0.set((error.kind(), error.to_string())).is_ok() {
            error!(target: "cfgserver::store", %error, "a write to the disk failed");
        }
    }
}

struct Waiter {
    done: OnDurable,
    /// The write itself was refused; nothing to wait for.
    refused: Option<io::Error>,
}

/// The thread and the way to it. Dropping it completes what waits.
#[derive(Debug)]
pub(super) struct WalSync {
    queue: Option<SyncSender<Waiter>>,
    thread: Option<JoinHandle<()>>,
}

impl WalSync {
    /// Starts the thread. `sync` makes everything written before its call durable.
    pub(super) fn start(failure: Failure, sync: impl Fn() -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (queue, waiters) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("wal-sync".to_owned())
            .spawn(move || run(&waiters, &failure, &sync))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Calls `done` once everything written so far is durable, or with the refusal of its write.
    ///
    /// Calls come in the order of the writes: the caller holds a lock around write and enqueue.
    pub(super) fn enqueue(&self, done: OnDurable, refused: Option<io::Error>) {
        let waiter = Waiter { done, refused };
        let Some(queue) = &self.queue else { return };
        if let Err(unsent) = queue.send(waiter) {
            (unsent.0.done)(Err(io::Error::other("the wal-sync thread has ended")));
        }
    }
}

impl Drop for WalSync {
    fn drop(&mut self) {
        self.queue = None;
        let Some(thread) = self.thread.take() else { return };
        // The last owner of the store may be a callback.
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            error!(target: "cfgserver::store", "the wal-sync thread has panicked");
        }
    }
}

fn run(waiters: &Receiver<Waiter>, failure: &Failure, sync: &impl Fn() -> io::Result<()>) {
    while let Ok(first) = waiters.recv() {
        let batch: Vec<Waiter> = std::iter::once(first)
            .chain(waiters.try_iter().take(WAITING_MAX))
            .collect();
        let outcome = failure.check().and_then(|()| sync());
        if let Err(error) = outcome {
            failure.note(&error);
        }
        for waiter in batch {
            match waiter.refused {
                Some(error) => (waiter.done)(Err(error)),
                None => (waiter.done)(failure.check()),
            }
        }
    }
}
