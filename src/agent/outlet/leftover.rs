//! A child that outlived its agent (`kill -9`): found again by process id and start time, and ended.
//!
//! An agent that is killed between the start of a child and the note of it, or whose disk is full, leaves no note: so
//! each child also carries a mark in its environment, which what it starts inherits.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
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

/// Name of the mark; its value is the agent's state folder.
pub(super) const MARK: &str = "CFGSERVER_AGENT_CHILD";

/// Who carries the mark of this folder. Whose environment may not be read is not ours.
pub(super) fn marked(folder: &Path) -> Vec<Identity> {
    let mut mark = format!("{MARK}=").into_bytes();
    mark.extend_from_slice(folder.as_os_str().as_bytes());
    let own = std::process::id();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let carries = |pid: &u32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|words| words.split(|byte| *byte == 0).any(|word| word == mark))
    };
    pids.filter(|pid| *pid != own)
        .filter(carries)
        .filter_map(Identity::of)
        .collect()
}

/// Kills those that carry the mark, wherever they have gone.
pub(super) fn kill_marked(folder: &Path) {
    for left in marked(folder) {
        signal(left.pid, Signal::KILL, false);
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
    signal(left.pid, Signal::TERM, false);
    if !left.ends_within(limit).await {
        signal(left.pid, Signal::KILL, true);
        signal(left.pid, Signal::KILL, false);
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
