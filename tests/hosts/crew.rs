//! Threads of a run, and their end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::moment::{last, ms};

/// Set once, when the run ends.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The threads that work while faults happen.
#[derive(Default)]
pub(crate) struct Crew {
    pub(crate) stop: Stop,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    pub(crate) fn join(&mut self, work: impl FnOnce() + Send + 'static) {
        self.threads.push(std::thread::spawn(work));
    }

    /// Ends all, and fails when one of them did.
    pub(crate) fn end(self) {
        self.stop.set();
        for thread in self.threads {
            thread.join().expect("no thread of the crew panics");
        }
    }
}

/// How late the runner's own threads wake: what the machine, and nobody else, did to the run.
#[derive(Clone, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    const BEAT_MS: u64 = 10;

    pub(crate) fn run(self, stop: &Stop) {
        while !stop.is_set() {
            let before = ms();
            last(Self::BEAT_MS);
            let late = (ms() - before).saturating_sub(Self::BEAT_MS);
            self.0.fetch_max(late, Ordering::Relaxed);
        }
    }

    /// The worst lateness since the last call.
    pub(crate) fn take_ms(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}
