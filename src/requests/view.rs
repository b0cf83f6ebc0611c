//! What a request may look at.

use std::sync::Arc;

use crate::machine::State;
use crate::model::{Address, Age, GroupId, Instant, MyId, Naming, Node, NodeId, Revision, Sighting, Term, Timestamp};
use crate::requests::{Dials, Face, Lists};
use crate::script::Pending;

/// The world as one request sees it: one state, one moment.
pub struct View<'a> {
    /// The replicated state that this node has applied.
    pub state: Arc<State>,
    /// What this node sees of instances.
    pub sightings: &'a dyn Sightings,
    /// This node and its place in the cluster.
    pub node: &'a NodeStatus,
    /// The connections of this node.
    pub clients: &'a dyn Clients,
    /// How the dials of this node stand.
    pub dials: Arc<Dials>,
    /// The scripts that run or wait on this node.
    pub scripts: Arc<Vec<Pending>>,
    /// The files of this node.
    pub files: &'a dyn Files,
    /// Counters of this node.
    pub stats: &'a Stats,
    /// Monotonic time.
    pub now: Instant,
    /// Wall-clock time.
    pub wall: Timestamp,
}

impl View<'_> {
    /// The nodes of the cluster other than this one.
    pub fn other_nodes(&self) -> impl Iterator<Item = (&NodeId, &Node)> {
        let me = self.node.id;
        self.state.nodes().iter().filter(move |(id, _)| **id != me)
    }

    /// How a client is told where instances are. Old proxies understand nothing but IP addresses.
    pub fn naming(&self, face: Face) -> Naming {
        match face {
            Face::Proxy => Naming::Addresses,
            Face::Open | Face::Strict => self.state.header().shared.naming(),
        }
    }

    /// What this node knows of another.
    pub fn peer(&self, id: NodeId) -> Option<&PeerStatus> {
        self.node.peers.iter().find(|peer| peer.id == id)
    }

    /// Whether another node is silent: every node asks every other one for a sign of life.
    pub fn peer_is_down(&self, id: NodeId) -> bool {
        self.peer(id).is_some_and(|peer| peer.down)
    }

    /// How many nodes judge; a node that has not heard of its cluster counts itself.
    pub fn electorate_size(&self) -> usize {
        self.state.electorate().count().max(1)
    }
}

/// What this node sees of instances.
pub trait Sightings: Send + Sync {
    /// Its sighting of one instance; `None` when it does not watch it.
    fn sighting(&self, group: GroupId, address: Address) -> Option<Sighting>;

    /// Where lists of all groups are kept for a moment; nowhere by default.
    fn lists(&self) -> Option<&Lists> {
        None
    }

    /// Where Sentinels listen that are not ours and watch this group, as far as they said so lately.
    fn foreign_sentinels(&self, _group: GroupId, _now: Instant) -> Vec<Address> {
        Vec::new()
    }
}

/// The files of this node.
pub trait Files: Send + Sync {
    /// Whether there is a file at `path` that this process may execute.
    fn is_executable(&self, path: &str) -> bool;
}

/// No files at all.
pub struct NoFiles;

impl Files for NoFiles {
    fn is_executable(&self, _path: &str) -> bool {
        false
    }
}

/// The client connections of this node, for CLIENT LIST and INFO.
pub trait Clients: Send + Sync {
    /// One line per connection, in the order of their ids, each ending with a line feed.
    fn list(&self) -> String;
    /// How many connections there are.
    fn count(&self) -> u64;
    /// How many of them subscribe to something.
    fn subscribers(&self) -> u64;
}

/// What a node does in Raft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RaftRole {
    /// Decides and acts.
    Leader,
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Asks for votes.
    Candidate,
    /// Receives the log without a vote.
    Learner,
}

/// This node and its place in the cluster.
#[derive(Clone, Debug, Default)]
pub struct NodeStatus {
    /// Its number.
    pub id: NodeId,
    /// Its `SENTINEL MYID`.
    pub my_id: MyId,
    /// Its run id: another one at each start, 40 hex digits.
    pub run_id: String,
    /// Where it listens: `ip:port`.
    pub listen: String,
    /// Its process.
    pub process_id: u32,
    /// Configuration file; empty when there is none.
    pub config_file: String,
    /// The program that runs.
    pub executable: String,
    /// Nobody may set scripts over the wire.
    pub denies_scripts: bool,
    /// What it does in Raft.
    pub role: RaftRole,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Current term.
    pub term: Term,
    /// Index of the last applied entry; 0 when there is none.
    pub last_applied: u64,
    /// Index of the last entry in the log.
    pub last_log: u64,
    /// Milliseconds since a majority was known to be in contact with the leader: on the leader its own, on a
    /// follower the time since it heard from the leader. `None`: never.
    pub contact_ms: Option<Age>,
    /// The other nodes, as far as this one knows them. Acks are known on the leader only.
    pub peers: Vec<PeerStatus>,
    /// Lookups may be answered: what was applied reached the commit index that was first heard from a leader, or
    /// none was heard for the grace period.
    pub ready: bool,
    /// Lookups are refused: the operator wants none answered while no majority is known to be in contact.
    pub out_of_contact: bool,
    /// This node has stalled lately and does not judge (`sentinel_tilt`), since this moment.
    pub stalled_since: Option<Instant>,
    /// When the process started.
    pub started: Instant,
    /// Configured limit of connections.
    pub connections_max: u64,
}

impl NodeStatus {
    /// Lookups are answered now.
    pub fn answers(&self) -> bool {
        self.ready && !self.out_of_contact
    }
}

/// Another node as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its number.
    pub id: NodeId,
    /// Index of the last entry it is known to have; leader only.
    pub matched: Option<u64>,
    /// Milliseconds since it was last heard from; `None`: never.
    pub contact_ms: Option<Age>,
    /// Its contact is too old, or it was never heard from.
    pub down: bool,
}

/// Counters of this node since its start. Read from the server's atomics when INFO asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted.
    pub connections_received: u64,
    /// Requests processed.
    pub commands_processed: u64,
    /// Requests per second over the last seconds.
    pub ops_per_second: u64,
    /// Bytes read from clients.
    pub input_bytes: u64,
    /// Bytes written to clients.
    pub output_bytes: u64,
    /// Bytes read per second over the last seconds.
    pub input_bytes_per_second: u64,
    /// Bytes written per second over the last seconds.
    pub output_bytes_per_second: u64,
    /// Connections refused at the limit.
    pub rejected_connections: u64,
    /// Error replies.
    pub error_replies: u64,
    /// Subscribers disconnected because their queue was full.
    pub slow_subscribers: u64,
    /// Channels with a subscriber.
    pub channels: u64,
    /// Patterns with a subscriber.
    pub patterns: u64,
    /// CPU time in microseconds: system, user.
    pub cpu_us: (u64, u64),
    /// Revision of the applied state.
    pub revision: Revision,
}
