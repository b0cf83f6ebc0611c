//! The node's counters, and the sampler that makes rates of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::model::Revision;
use crate::requests::Stats;

use super::Shared;

/// How often rates are measured, and over how many such times they are averaged.
const SAMPLE: Duration = Duration::from_millis(500);
const SAMPLES: usize = 4;

/// Counts since the start; monotonic, and exact one by one, not as a set.
#[derive(Default)]
pub(super) struct Counters {
    connections: AtomicU64,
    commands: AtomicU64,
    ops_per_second: AtomicU64,
    input_per_second: AtomicU64,
    output_per_second: AtomicU64,
    input_bytes: AtomicU64,
    output_bytes: AtomicU64,
    rejected: AtomicU64,
    error_replies: AtomicU64,
    cpu_system_us: AtomicU64,
    cpu_user_us: AtomicU64,
}

impl Counters {
    pub(super) fn connection(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    pub(super) fn input(&self, bytes: usize) {
        self.input_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn output(&self, bytes: usize) {
        self.output_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn command(&self) {
        self.commands.fetch_add(1, Relaxed);
    }

    pub(super) fn error_reply(&self) {
        self.error_replies.fetch_add(1, Relaxed);
    }
}

impl Shared {
    /// The counters as INFO shows them.
    pub(super) fn stats(&self, revision: Revision) -> Stats {
        let counters = &self.counters;
        let (channels, patterns) = self.registry.topics();
        Stats {
            connections_received: counters.connections.load(Relaxed),
            commands_processed: counters.commands.load(Relaxed),
            ops_per_second: counters.ops_per_second.load(Relaxed),
            input_bytes: counters.input_bytes.load(Relaxed),
            output_bytes: counters.output_bytes.load(Relaxed),
            input_bytes_per_second: counters.input_per_second.load(Relaxed),
            output_bytes_per_second: counters.output_per_second.load(Relaxed),
            rejected_connections: counters.rejected.load(Relaxed),
            error_replies: counters.error_replies.load(Relaxed),
            slow_subscribers: self.hub.overflows(),
            cpu_us: (counters.cpu_system_us.load(Relaxed), counters.cpu_user_us.load(Relaxed)),
            channels,
            patterns,
            revision,
        }
    }
}

/// Measures rates until the server stops.
pub(super) async fn sample(shared: Arc<Shared>) {
    let stopping = shared.tasks.stopping();
    let counters = &shared.counters;
    let mut samples = VecDeque::new();
    loop {
        let counts =
            [&counters.commands, &counters.input_bytes, &counters.output_bytes].map(|count| count.load(Relaxed));
        let now = shared.clock.now();
        samples.push_back((now, counts));
        let (since, before) = samples[0];
        let elapsed_ms = now.since(since).max(1);
        let rates = [
            &counters.ops_per_second,
            &counters.input_per_second,
            &counters.output_per_second,
        ];
        for (rate, (count, before)) in rates.into_iter().zip(counts.into_iter().zip(before)) {
            rate.store((count - before) * 1000 / elapsed_ms, Relaxed);
        }
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
        let (system, user) = cpu_us();
        counters.cpu_system_us.store(system, Relaxed);
        counters.cpu_user_us.store(user, Relaxed);
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(SAMPLE) => {}
        }
    }
}

/// CPU time of the process in microseconds: system, user. Zero where there is no such file.
fn cpu_us() -> (u64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    parse_stat(&stat).unwrap_or_default()
}

/// The kernel counts in hundredths of a second for everyone, whatever it ticks in.
const TICK_US: u64 = 10_000;

/// The name of the process comes second, in brackets, and may hold anything; behind it come numbers.
fn parse_stat(stat: &str) -> Option<(u64, u64)> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((system * TICK_US, user * TICK_US))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 7 3 0 0 20 0 1 0 100 0 0";
        assert_eq!(parse_stat(stat), Some((30_000, 70_000)));
        assert_eq!(parse_stat(""), None);
    }
}
