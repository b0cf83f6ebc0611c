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

    /// Passes a result on and keeps the first error.
    pub(super) fn keep(&self, result: io::Result<()>) -> io::Result<()> {
        if let Err(error) = &result
            && self.0.set((error.kind(), error.to_string())).is_ok()
        {
            error!(target: "cfgserver::store", %error, "a write to the disk failed");
        }
        result
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
        if failure.check().is_ok() {
            // An error is kept, and so heard below by all of this batch.
            let _kept = failure.keep(sync());
        }
        for waiter in batch {
            let outcome = waiter.refused.map_or_else(|| failure.check(), Err);
            (waiter.done)(outcome);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn noting(number: u32, heard: &Sender<(u32, io::Result<()>)>) -> OnDurable {
        let heard = heard.clone();
        Box::new(move |outcome| heard.send((number, outcome)).unwrap())
    }

    /// A sync that waits for a word before it gives its result, and counts.
    fn held_sync() -> (
        Sender<io::Result<()>>,
        Arc<AtomicU32>,
        impl Fn() -> io::Result<()> + Send,
    ) {
        let (release, released) = channel();
        let (count, released) = (Arc::new(AtomicU32::new(0)), Mutex::new(released));
        let counted = Arc::clone(&count);
        let sync = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            released.lock().unwrap().recv_timeout(PATIENCE).unwrap()
        };
        (release, count, sync)
    }

    #[test]
    fn all_that_wait_share_one_sync() {
        let (release, count, sync) = held_sync();
        let wal_sync = WalSync::start(Failure::default(), sync).unwrap();
        let (heard, hearing) = channel();
        wal_sync.enqueue(noting(0, &heard), None);
        while count.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        for number in 1..100 {
            wal_sync.enqueue(noting(number, &heard), None);
        }
        assert!(hearing.try_recv().is_err(), "nothing is durable before the sync ends");
        release.send(Ok(())).unwrap();
        release.send(Ok(())).unwrap();
        for number in 0..100 {
            let (which, outcome) = hearing.recv_timeout(PATIENCE).unwrap();
            assert_eq!((which, outcome.is_ok()), (number, true));
        }
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_failed_sync_is_heard_by_all_that_wait_and_all_that_come() {
        let (release, count, sync) = held_sync();
        let failure = Failure::default();
        let wal_sync = WalSync::start(failure.clone(), sync).unwrap();
        let (heard, hearing) = channel();
        for number in 0..3 {
            wal_sync.enqueue(noting(number, &heard), None);
        }
        release
            .send(Err(io::Error::new(io::ErrorKind::StorageFull, "no room")))
            .unwrap();
        for number in 3..6 {
            wal_sync.enqueue(noting(number, &heard), None);
        }
        for number in 0..6 {
            let (which, outcome) = hearing.recv_timeout(PATIENCE).unwrap();
            let error = outcome.unwrap_err();
            assert_eq!(
                (which, error.kind(), error.to_string().as_str()),
                (number, io::ErrorKind::StorageFull, "no room")
            );
        }
        assert_eq!(count.load(Ordering::SeqCst), 1, "nothing is synced after a failure");
        assert!(failure.check().is_err());
    }

    #[test]
    fn a_refused_write_is_heard_in_its_turn_and_harms_no_other() {
        let wal_sync = WalSync::start(Failure::default(), || Ok(())).unwrap();
        let (heard, hearing) = channel();
        wal_sync.enqueue(noting(0, &heard), None);
        wal_sync.enqueue(noting(1, &heard), Some(io::Error::other("a hole")));
        wal_sync.enqueue(noting(2, &heard), None);
        drop(wal_sync);
        let outcomes: Vec<_> = hearing
            .try_iter()
            .map(|(number, outcome)| (number, outcome.is_ok()))
            .collect();
        assert_eq!(
            outcomes,
            [(0, true), (1, false), (2, true)],
            "ending completes what waits"
        );
    }

    #[test]
    fn the_last_owner_may_be_a_callback() {
        let wal_sync = Arc::new(WalSync::start(Failure::default(), || Ok(())).unwrap());
        let (heard, hearing) = channel();
        let (go, gone) = channel::<()>();
        let owner = Arc::clone(&wal_sync);
        let done: OnDurable = Box::new(move |outcome| {
            gone.recv_timeout(PATIENCE).unwrap();
            drop(owner);
            heard.send(outcome).unwrap();
        });
        wal_sync.enqueue(done, None);
        drop(wal_sync);
        go.send(()).unwrap();
        hearing.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}
