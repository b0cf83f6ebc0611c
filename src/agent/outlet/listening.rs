//! Whether a process listens: read from `/proc`, so that no connection has to be made.

use std::collections::BTreeSet;
use std::fs;

/// Whether a process has a listening socket (TCP or Unix). `false` also where that cannot be told.
pub(super) fn listens(pid: u32) -> bool {
    let sockets = sockets(pid);
    let has = |table: &str, listening: fn(&[&str]) -> Option<u64>| {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        text.lines().skip(1).any(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            listening(&fields).is_some_and(|inode| sockets.contains(&inode))
        })
    };
    !sockets.is_empty() && (has("tcp", tcp) || has("tcp6", tcp) || has("unix", unix))
}

fn sockets(pid: u32) -> BTreeSet<u64> {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return BTreeSet::new();
    };
    open.filter_map(|entry| {
        let target = fs::read_link(entry.ok()?.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        inode.parse().ok()
    })
    .collect()
}

/// `sl local remote state queues timer retransmits uid timeout inode ...`; state 0A listens.
fn tcp(fields: &[&str]) -> Option<u64> {
    fields.get(3).filter(|state| **state == "0A")?;
    fields.get(9)?.parse().ok()
}

/// `number references protocol flags type state inode path`; flag 00010000 accepts connections.
fn unix(fields: &[&str]) -> Option<u64> {
    fields.get(3).filter(|flags| **flags == "00010000")?;
    fields.get(6)?.parse().ok()
}
