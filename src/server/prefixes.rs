//! Names that NetEase's twemproxy cannot tell apart: said once in the log, not at every heartbeat.
//!
//! That proxy takes a switch for the first of its groups with whose name the message begins. A switch of `shard10` is
//! compared with the address of `shard1`, does not fit, and costs the proxy its connection and its clients a heartbeat.
//! Nothing that can be sent to it helps; only other names do.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tracing::warn;

use crate::model::GroupName;

/// Warnings that are remembered; there are no more of them.
const WARNINGS_MAX: usize = 1024;

/// What was warned of since the start: which host asked for which two names.
#[derive(Default)]
pub(super) struct Prefixes(Mutex<BTreeSet<(String, GroupName, GroupName)>>);

impl Prefixes {
    /// Warns that the proxy at `peer` (`ip:port`) asked for two groups and that `long` begins with `short`.
    pub(super) fn warn(&self, peer: &str, short: &GroupName, long: &GroupName) {
        if self.is_new(peer, short, long) {
            warn!(
                target: "cfgserver::server", proxy = peer, %short, %long,
                "a proxy asked for two groups, and the name of one begins with the name of the other: NetEase's \
                 twemproxy takes a switch of the longer one for the shorter one, closes its connection and refuses \
                 its clients for a heartbeat; names of one length avoid that"
            );
        }
    }

    /// Whether this host was not yet warned of these two. A proxy that comes back is the same one.
    fn is_new(&self, peer: &str, short: &GroupName, long: &GroupName) -> bool {
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
        // No code panics while it holds this lock, so a poisoned one is as good as any.
        let mut warned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        warned.len() < WARNINGS_MAX && warned.insert((host.to_owned(), short.clone(), long.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_warned_of_two_names_once_and_all_hosts_together_not_for_ever() {
        let prefixes = Prefixes::default();
        let [short, long] = ["shard1", "shard10"].map(|name| GroupName::new(name).unwrap());
        assert!(prefixes.is_new("10.0.0.1:5000", &short, &long));
        assert!(!prefixes.is_new("10.0.0.1:5001", &short, &long));
        let others =
            (2..5000).filter(|host| prefixes.is_new(&format!("10.1.{}.{}:1", host / 250, host % 250), &short, &long));
        assert_eq!(others.count(), WARNINGS_MAX - 1);
    }
}
