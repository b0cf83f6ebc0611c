//! On how much a process listens: read from `/proc`, so that no connection has to be made.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};

/// How many listening sockets a process has (TCP and Unix). 0 also where that cannot be told.
pub(super) fn listeners(pid: u32) -> usize {
    let sockets = sockets(pid);
    if sockets.is_empty() {
        return 0;
    }
    let count = |table, read| count(pid, table, read, &sockets);
    count("tcp", tcp) + count("tcp6", tcp) + count("unix", unix)
}

/// What a line of a table says.
enum Line {
    Listens(u64),
    Other,
    /// No line below listens.
    End,
}

fn count(pid: u32, table: &str, read: fn(&[&str]) -> Line, sockets: &BTreeSet<u64>) -> usize {
    let Ok(table) = File::open(format!("/proc/{pid}/net/{table}")) else {
        return 0;
    };
    let mut count = 0;
    for line in BufReader::new(table).lines().skip(1).map_while(Result::ok) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        match read(&fields) {
            Line::Listens(inode) => count += usize::from(sockets.contains(&inode)),
            Line::Other => {}
            Line::End => break,
        }
    }
    count
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

/// `sl local remote state queues timer retransmits uid timeout inode ...`; state 0A listens. Those come first: the
/// rest, tens of thousands on a busy host, is not even read.
fn tcp(fields: &[&str]) -> Line {
    match (fields.get(3), fields.get(9).and_then(|inode| inode.parse().ok())) {
        (Some(&"0A"), Some(inode)) => Line::Listens(inode),
        _ => Line::End,
    }
}

/// `number references protocol flags type state inode path`; flag 00010000 accepts connections.
fn unix(fields: &[&str]) -> Line {
    match (fields.get(3), fields.get(6).and_then(|inode| inode.parse().ok())) {
        (Some(&"00010000"), Some(inode)) => Line::Listens(inode),
        _ => Line::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_seen_and_a_connection_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let own = sockets(std::process::id());
        let listener = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        let fresh: BTreeSet<u64> = sockets(std::process::id()).difference(&own).copied().collect();
        assert_eq!(count(std::process::id(), "unix", unix, &fresh), 1);
        assert!(listeners(std::process::id()) > 0);
        drop(listener);
        assert_eq!(count(std::process::id(), "unix", unix, &fresh), 0);
        assert_eq!(listeners(u32::MAX), 0);
    }

    #[test]
    fn a_table_is_read_as_far_as_it_lists_listeners() {
        let line = "0: 0100007F:8235 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1 0 100 0";
        let fields: Vec<&str> = line.split(' ').collect();
        assert!(matches!(tcp(&fields), Line::Listens(4711)));
        let established = line.replace(" 0A ", " 01 ");
        assert!(matches!(tcp(&established.split(' ').collect::<Vec<_>>()), Line::End));
        assert!(matches!(tcp(&[]), Line::End));
        assert!(matches!(unix(&[]), Line::Other));
    }
}
