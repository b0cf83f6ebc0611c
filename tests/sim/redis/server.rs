//! One instance: its process, its role, its data.

use std::collections::BTreeMap;

use cfgserver::model::{Address, NodeId, RunId, Term};

use super::Index;

/// An instance.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) address: Address,
    /// The group whose data it is meant to hold; `None`: a stranger at a reused address.
    pub(crate) home: Option<usize>,
    pub(crate) version: &'static str,
    pub(crate) host_up: bool,
    pub(crate) running: bool,
    /// Counts its processes.
    pub(crate) starts: u32,
    pub(crate) started_at: u64,
    pub(crate) hung_until: u64,
    pub(crate) loading_until: u64,
    pub(crate) paused_until: u64,
    /// FAILOVER: to whom, and until when it waits for that one.
    pub(crate) failing_over: Option<(Address, u64)>,
    pub(crate) priority: u32,
    pub(crate) follows: Option<Address>,
    /// What its configuration file says.
    pub(crate) saved_follows: Option<Address>,
    /// It follows because an order of cfgserver said so.
    pub(crate) ordered_to_follow: bool,
    pub(crate) replica: Replica,
    /// Raised with each change of its replication: what was planned before is void.
    pub(crate) generation: u32,
    pub(crate) link_lost_at: Option<u64>,
    pub(crate) lag_ms: u64,
    pub(crate) sync_ms: u64,
    pub(crate) load_ms: u64,
    /// Which stream it has, and how much of it; while a link is up it has more.
    pub(crate) lineage: u32,
    pub(crate) second_lineage: Option<u32>,
    pub(crate) second_offset: u64,
    pub(crate) offset: u64,
    pub(crate) keys: u64,
    /// What it wrote as a primary, and when.
    pub(crate) written: Vec<(u64, u64)>,
    pub(crate) conns: BTreeMap<u64, Conn>,
    /// It has no configuration file: CONFIG REWRITE fails.
    pub(crate) no_config_file: bool,
    /// CONFIG is renamed.
    pub(crate) no_config_command: bool,
    /// CLIENT PAUSE is forbidden.
    pub(crate) no_pause_command: bool,
}

/// Its link to the instance that it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replica {
    /// None, and the next attempt is planned.
    Down,
    /// A full copy is being sent to it.
    Transfer { from: Index },
    /// The copy is loaded; what it had is gone.
    Loading { from: Index },
    /// Streaming. Stalled: nothing has come since then, and nobody has noticed.
    Up { from: Index, stalled: Option<u64> },
}

/// A connection, as the instance knows it.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub(crate) owner: Owner,
    /// CLIENT SETNAME of a leader's link.
    pub(crate) leader: Option<(NodeId, Term)>,
    /// Bytes of it were lost on the way: nothing that comes after them is read.
    pub(crate) dead: bool,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) node: NodeId,
    pub(crate) life: u32,
}

impl Server {
    pub(crate) fn new(name: String, address: Address, home: Option<usize>, lineage: u32) -> Self {
        Self {
            name,
            address,
            home,
            version: "7.0.15",
            host_up: true,
            running: true,
            starts: 1,
            started_at: 0,
            hung_until: 0,
            loading_until: 0,
            paused_until: 0,
            failing_over: None,
            priority: 100,
            follows: None,
            saved_follows: None,
            ordered_to_follow: false,
            replica: Replica::Down,
            generation: 0,
            link_lost_at: None,
            lag_ms: 1,
            sync_ms: 200,
            load_ms: 20,
            lineage,
            second_lineage: None,
            second_offset: 0,
            offset: 0,
            keys: 0,
            written: Vec::new(),
            conns: BTreeMap::new(),
            no_config_file: false,
            no_config_command: false,
            no_pause_command: false,
        }
    }

    /// The run id of the process that runs, or ran last.
    pub(crate) fn run_id(&self) -> RunId {
        RunId::new(self.run_id_text())
    }

    pub(crate) fn run_id_text(&self) -> String {
        let ip = match self.address.ip {
            std::net::IpAddr::V4(ip) => u32::from(ip),
            std::net::IpAddr::V6(_) => 0,
        };
        format!("{ip:08x}{:08x}{:024x}", self.address.port, self.starts)
    }

    /// It takes connections and answers, sooner or later.
    pub(crate) fn alive(&self) -> bool {
        self.running && self.host_up
    }

    pub(crate) fn hung(&self, now: u64) -> bool {
        self.hung_until > now
    }

    /// CLIENT PAUSE with WRITE, and FAILOVER, exist since Redis 6.2.
    pub(crate) fn pauses_writes(&self) -> bool {
        !["2", "6.0"].iter().any(|old| self.version.starts_with(old))
    }

    /// PING is answered with LOADING.
    pub(crate) fn loading(&self, now: u64) -> bool {
        self.loading_until > now || matches!(self.replica, Replica::Loading { .. })
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.follows.is_none()
    }

    /// A full copy is on its way to it.
    pub(crate) fn syncing(&self) -> bool {
        matches!(self.replica, Replica::Transfer { .. } | Replica::Loading { .. })
    }

    pub(crate) fn link_up(&self) -> bool {
        matches!(self.replica, Replica::Up { .. })
    }
}
