//! What one node tells about the cluster and its groups.

use std::fmt::Write;

use crate::client::Value;
use crate::node::Node;

/// Everything that must be the same on each node, and what must be so for all to be well.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) leader: u64,
    pub(crate) ready: bool,
    pub(crate) revision: String,
    pub(crate) applied: String,
    pub(crate) masters: Value,
    /// The replicated facts of all groups, as text.
    pub(crate) state: String,
    replicas: Vec<(String, Value)>,
}

/// Replicated settings of a group.
const SETTINGS: [&str; 11] = [
    "ip",
    "port",
    "config-epoch",
    "quorum",
    "down-after-milliseconds",
    "failover-timeout",
    "parallel-syncs",
    "group-version",
    "mode",
    "identity",
    "refused-after-milliseconds",
];

impl View {
    /// Asks a node; `None` when it does not answer everything.
    pub(crate) fn of(node: &Node, groups: &[String]) -> Option<Self> {
        let mut client = node.connect()?;
        let info = client.try_call(&["INFO", "raft"]).ok()?;
        let fact = |name: &str| {
            let prefix = format!("{name}:");
            let line = info.text().lines().find_map(|line| line.strip_prefix(&prefix));
            line.unwrap_or_default().to_owned()
        };
        let masters = client.try_call(&["SENTINEL", "MASTERS"]).ok()?;
        let mut replicas = Vec::new();
        for group in groups {
            let listed = client.try_call(&["SENTINEL", "REPLICAS", group]).ok()?;
            replicas.push((group.clone(), listed));
        }
        Some(Self {
            leader: fact("raft_leader").parse().unwrap_or(0),
            ready: fact("raft_ready") == "1",
            revision: fact("revision"),
            applied: fact("raft_last_applied"),
            state: state(&masters, &replicas),
            masters,
            replicas,
        })
    }

    /// The address that it tells for a group.
    pub(crate) fn primary(&self, group: &str) -> Option<std::net::Ipv4Addr> {
        let master = self.master(group)?;
        master.field("ip")?.parse().ok()
    }

    fn master(&self, group: &str) -> Option<&Value> {
        let masters = self.masters.items();
        masters.iter().find(|one| one.field("name") == Some(group))
    }

    /// What is not well with a group of `size` instances, as this node sees it.
    pub(crate) fn complaint(&self, group: &str, size: usize) -> Option<String> {
        let master = self.master(group)?;
        let flags = master.field("flags").unwrap_or_default();
        if flags != "master" {
            return Some(format!("{group}: primary is {flags}"));
        }
        let (_, listed) = self.replicas.iter().find(|(name, _)| name == group)?;
        if listed.items().len() + 1 != size {
            return Some(format!("{group}: {} replicas", listed.items().len()));
        }
        let ill = |one: &&Value| {
            let is = |name: &str, value: &str| one.field(name) == Some(value);
            !(is("flags", "slave") && is("master-link-status", "ok") && is("synced", "1"))
        };
        listed.items().iter().find(ill).map(|one| {
            let fact = |name: &str| one.field(name).unwrap_or_default().to_owned();
            let names = ["name", "flags", "master-link-status", "synced"];
            format!("{group}: replica {}", names.map(fact).join(" "))
        })
    }
}

fn state(masters: &Value, replicas: &[(String, Value)]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for master in masters.items() {
        let mut line = master.field("name").unwrap_or_default().to_owned();
        for setting in SETTINGS {
            let _ = write!(line, " {setting}={}", master.field(setting).unwrap_or_default());
        }
        lines.push(line);
    }
    for (group, listed) in replicas {
        for one in listed.items() {
            let fact = |name| one.field(name).unwrap_or_default();
            lines.push(format!(
                "{group} {}:{} synced={}",
                fact("ip"),
                fact("port"),
                fact("synced")
            ));
        }
    }
    lines.sort();
    lines.join("\n")
}
