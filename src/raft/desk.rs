//! What Raft and the rest of the node say to each other.

use std::future::Future;
use std::pin::Pin;

use crate::detect::{VoteAck, VoteReport};
use crate::failover::Wish;
use crate::model::{GroupName, NodeId, Term};
use crate::requests::{Monitoring, WriteError, WriteReply};

/// A write at work.
pub type Working = Pin<Box<dyn Future<Output = Result<WriteReply, WriteError>> + Send>>;

/// What only the leader's own logic can do. Registered once; asked only while this node leads.
pub trait Desk: Send + Sync {
    /// `SENTINEL FAILOVER`
    fn failover(&self, name: GroupName, wish: Wish) -> Working;
    /// `CFG EXPLAIN`
    fn explain(&self, name: GroupName) -> Working;
    /// `SENTINEL RESET`
    fn reset(&self, pattern: Vec<u8>) -> Working;
    /// `SENTINEL MONITOR` of a host name. A desk without a resolver takes none.
    fn monitor(&self, _wanted: Monitoring) -> Working {
        Box::pin(async { Err(WriteError::Unresolved) })
    }
    /// Verdicts of a node.
    fn votes(&self, from: NodeId, report: VoteReport) -> VoteAck;
    /// Orders that were sent and not answered yet. They end within seconds.
    fn orders_under_way(&self) -> usize;
}

/// Who leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, as far as this node knows.
    pub leader: Option<NodeId>,
    /// The current term.
    pub term: Term,
    /// This node leads and has applied everything that was committed before its term.
    pub me: bool,
}

/// Why the process must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The node may not be what it was started as: exit code 1.
    #[error("{0}")]
    Refused(String),
    /// The node was removed from its cluster: exit code 1.
    #[error("this node was removed from the cluster")]
    Removed,
    /// Raft or the disk failed: exit code 70.
    #[error("{0}")]
    Fatal(String),
}
