//! A child that outlived its agent (`kill -9`): found again by process id and start time, and ended.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::command::signal;

/// One process, and no other that has the same number later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pid: u32,
    /// In ticks since the machine's start.
    start: u64,
    /// Of which start of the machine.
    boot: String,
}

impl Identity {
    /// Who has this process id now; `None`: nobody that still runs.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Some(Self {
            pid,
            start: start_of(&stat)?,
            boot: boot.trim().to_owned(),
        })
    }

    fn lives(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    async fn ends_within(&self, limit: Duration) -> bool {
        const STEP: Duration = Duration::from_millis(5);
        let mut left = limit;
        while self.lives() {
            if left.is_zero() {
                return false;
            }
            tokio::time::sleep(STEP).await;
            left = left.saturating_sub(STEP);
        }
        true
    }
}

/// Field 22 of `/proc/<pid>/stat`, counted behind the name, which may hold anything. A zombie has ended.
fn start_of(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(start)
}

/// Ends the process and its group, if it is still the one: asked first, then killed.
pub(super) async fn end(left: &Identity, limit: Duration) {
    if !left.lives() {
        return;
    }
    warn!(target: "cfgserver::agent", pid = left.pid, "ending the proxy that an earlier agent left behind");
    signal(left.pid, Signal::TERM, true);
    if !left.ends_within(limit).await {
        signal(left.pid, Signal::KILL, true);
        left.ends_within(limit).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_whatever_its_name() {
        let stat = "42 (a) b) c) S 1 42 42 0 -1 4194560 100 0 0 0 0 0 0 0 20 0 1 0 7654321 1000 10 18";
        assert_eq!(start_of(stat), Some(7_654_321));
        assert_eq!(start_of(&stat.replace(") S ", ") Z ")), None);
        for torn in ["", "42", "42 (a", "42 (a) S 1 42"] {
            assert_eq!(start_of(torn), None);
        }
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.lives());
        let other = Identity {
            start: own.start + 1,
            ..own.clone()
        };
        assert!(!other.lives());
        let after_a_reboot = Identity {
            boot: "x".to_owned(),
            ..own
        };
        assert!(!after_a_reboot.lives());
    }
}
