//! What openraft is made of here: node ids, log entries, answers, and the names of its generic types.

use std::fmt;

use openraft::impls::leader_id_std;
use openraft::type_config::alias;

#[cfg(feature = "sim")]
use super::simulated::RaftRuntime;
use crate::machine;
use crate::model::{Node, NodeId, Term};
use crate::requests::WriteReply;

/// Where openraft gets tasks, time and chance.
#[cfg(not(feature = "sim"))]
type RaftRuntime = openraft::impls::TokioRuntime;

openraft::declare_raft_types!(
    /// The types of this cluster's Raft. One leader per term, so a term names a leader.
    pub(crate) TypeConfig:
        D = machine::Entry,
        R = WriteReply,
        NodeId = NodeId,
        Node = Node,
        Term = Term,
        LeaderId = leader_id_std::LeaderId<Self::Term, Self::NodeId>,
        AsyncRuntime = RaftRuntime,
);

pub(crate) type Vote = alias::VoteOf<TypeConfig>;
pub(crate) type LogId = alias::LogIdOf<TypeConfig>;
pub(crate) type LogEntry = alias::EntryOf<TypeConfig>;
pub(crate) type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Snapshot = alias::SnapshotOf<TypeConfig, SnapshotBytes>;
pub(crate) type Metrics = openraft::RaftMetrics<TypeConfig>;
pub(crate) type MetricsReceiver = alias::WatchReceiverOf<TypeConfig, Metrics>;
pub(crate) type RaftNode = openraft::Raft<TypeConfig, super::machine::StateMachine>;

/// A serialised state.
pub(crate) type SnapshotBytes = bytes::Bytes;

/// openraft names entries in its logs; their content stays out of them.
impl fmt::Display for machine::Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry at {}", self.at.0)
    }
}
