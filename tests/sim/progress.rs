//! How far a sweep is, told while it goes on.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Time between two lines.
const EVERY_S: u64 = 10;

/// Counts the seeds of a sweep; says on standard error how many are done, and each failure at once.
pub(crate) struct Progress {
    of: u64,
    replayed_by: &'static str,
    began: Instant,
    done: AtomicU64,
    failed: AtomicU64,
    told_s: AtomicU64,
}

impl Progress {
    /// `replayed_by`: the command that replays a seed, without its number. `None`: nothing is said.
    #[expect(clippy::disallowed_methods, reason = "a sweep takes real time")]
    pub(crate) fn new(seeds: &RangeInclusive<u64>, replayed_by: Option<&'static str>) -> Self {
        Self {
            of: seeds.end().saturating_sub(*seeds.start()) + 1,
            replayed_by: replayed_by.unwrap_or_default(),
            began: Instant::now(),
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            told_s: AtomicU64::new(0),
        }
    }

    /// Since the sweep began.
    pub(crate) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// A seed is done.
    pub(crate) fn ran(&self, seed: u64, failure: Option<&str>) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let fails = u64::from(failure.is_some());
        let failed = self.failed.fetch_add(fails, Ordering::Relaxed) + fails;
        if self.replayed_by.is_empty() {
            return;
        }
        if let Some(why) = failure {
            eprintln!("FAILED: {} {seed}: {why}", self.replayed_by);
        }
        let (now_s, told_s) = (self.seconds() as u64, self.told_s.load(Ordering::Relaxed));
        let due = now_s >= told_s + EVERY_S;
        // One of the threads says it.
        let order = Ordering::Relaxed;
        if due && self.told_s.compare_exchange(told_s, now_s, order, order).is_ok() {
            eprintln!("{done} of {} seeds in {now_s} s, {failed} failed", self.of);
        }
    }
}
