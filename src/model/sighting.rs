//! What one node currently sees of an instance. Volatile and local: never in the log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Address, Age, Epoch, GroupId, HostName, Instant, Lineage, RunId};

/// A node's judgement of an instance (Sentinel's SDOWN).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not judged yet: the probe has just started.
    #[default]
    Unknown,
    /// Answers acceptably.
    Up,
    /// Silent, or unacceptable, for longer than its group allows.
    Down {
        /// When the verdict was reached.
        since: Instant,
    },
}

impl Verdict {
    /// Whether this is a Down verdict.
    pub fn is_down(self) -> bool {
        matches!(self, Self::Down { .. })
    }
}

/// The role that an instance reports in INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// `role:master`.
    Primary,
    /// `role:slave`.
    Replica,
}

/// One `slaveN:` line of a primary's INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaLine {
    /// Address that the replica announced.
    pub address: Address,
    /// `state` is `online`; other states are still loading. Old servers without `state` count as online.
    pub online: bool,
    /// Offset that the primary has seen acknowledged.
    pub offset: u64,
}

/// The same of a replica that announced a host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedReplica {
    /// Host name that it announced.
    pub host: HostName,
    /// Port, never 0.
    pub port: u16,
    /// As for [`ReplicaLine`].
    pub online: bool,
    /// As for [`ReplicaLine`].
    pub offset: u64,
}

/// The facts of an INFO reply that cfgserver uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `run_id`.
    pub run_id: RunId,
    /// `redis_version`; empty when unknown.
    pub version: String,
    /// `role`.
    pub role: Role,
    /// `master_replid` and `master_replid2`; `None` before Redis 4.
    pub lineage: Option<Lineage>,
    /// `master_repl_offset`: what a primary has written to its stream.
    pub primary_offset: u64,
    /// `slave_repl_offset`: what a replica has processed. 0 when absent.
    pub replica_offset: u64,
    /// `master_host` and `master_port` of a replica, when they are an IP address and a port.
    pub primary: Option<Address>,
    /// `master_host` as written; empty on a primary.
    pub primary_host: String,
    /// `master_port` as written; 0 on a primary.
    pub primary_port: u16,
    /// `master_link_status:up`.
    pub primary_link_up: bool,
    /// `master_link_down_since_seconds` in milliseconds; 0 when up. `None` where the server says -1
    /// (never connected).
    pub primary_link_down_ms: Option<Age>,
    /// `master_sync_in_progress:1`.
    pub sync_in_progress: bool,
    /// `slave_priority` (`replica_priority`); 100 when absent.
    pub priority: u32,
    /// `replica_announced`; true when absent.
    pub announced: bool,
    /// `loading:1`.
    pub loading: bool,
    /// Number of keys over all databases, from the keyspace section.
    pub keys: u64,
    /// `uptime_in_seconds`.
    pub uptime_s: u64,
    /// `master_failover_state`: it is giving its role away by itself (FAILOVER). `None` where it has no such request
    /// (before Redis 6.2).
    pub failing_over: Option<bool>,
    /// The `slaveN:` lines of a primary.
    pub replicas: Vec<ReplicaLine>,
    /// Those of them with a host name.
    pub named_replicas: Vec<NamedReplica>,
}

/// State of the probe's connection to an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// No connection.
    #[default]
    Disconnected,
    /// Connected and usable.
    Connected,
}

/// What this node currently sees of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Up, Down or not judged yet.
    pub verdict: Verdict,
    /// It answers, but refuses this node's user or password: a Down verdict says nothing about how it serves others.
    pub locked: bool,
    /// It is recorded as primary, its process was restarted, and it has not answered PONG since (Sentinel's
    /// `master_reboot`). Only while reboot-down-after counts.
    pub rebooting: bool,
    /// A script kept it from answering, and was told to end.
    pub script_killed: bool,
    /// The probe's connection.
    pub link: LinkState,
    /// Replies outstanding on the probe's connection.
    pub pending: u32,
    /// When the probe of this instance began.
    pub watched_since: Instant,
    /// When the oldest unanswered PING was sent.
    pub ping_sent_at: Option<Instant>,
    /// Last acceptable reply (`+PONG`, `-LOADING`, `-MASTERDOWN`); the start of the watch before the first.
    pub ok_reply_at: Instant,
    /// Last reply of any kind; the start of the watch before the first.
    pub reply_at: Instant,
    /// Last INFO, parsed.
    pub facts: Option<Arc<Facts>>,
    /// When that INFO arrived.
    pub facts_at: Option<Instant>,
    /// That INFO as it came, but not more than [`Sighting::INFO_BYTES_MAX`].
    pub info: Option<Arc<[u8]>>,
    /// Since when the reported role has been what it is.
    pub role_since: Instant,
    /// The last error text of the instance or the socket, for people. Empty when all is well.
    pub error: Arc<str>,
}

impl Sighting {
    /// What is kept of an INFO. Redis writes about 5 KB; of more, the beginning will do.
    pub const INFO_BYTES_MAX: usize = 16 << 10;
}

/// What a vote is about. A vote for another key says nothing about this one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VoteKey {
    /// The group.
    pub group: GroupId,
    /// Its config epoch: a switch makes older votes void.
    pub epoch: Epoch,
    /// The primary's address.
    pub address: Address,
    /// The primary's recorded run id; `None` when it is not known yet.
    pub run_id: Option<RunId>,
}
