//! What a request wants done.

use serde::{Deserialize, Serialize};

use crate::machine::{Command, Outcome};
use crate::model::{GroupName, NodeId, Revision};
use crate::resp::Reply;

/// What a request wants done. The pump carries it out, in the order of the requests.
pub enum Effect {
    /// Answer.
    Reply(Reply),
    /// Have the cluster do it, then answer with what `render` makes of the result. Later requests of the
    /// same connection wait.
    Write {
        /// What to do.
        write: Write,
        /// Makes the reply.
        render: Render,
    },
    /// Answer, then close the connection.
    Close(Reply),
    /// Close the connection without an answer.
    Drop,
}

/// Makes the reply of a write from its result.
pub type Render = Box<dyn FnOnce(Result<WriteReply, WriteError>) -> Reply + Send>;

/// Something only the leader can do. A follower forwards it, one hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Write {
    /// Put a command into the log.
    Command(Command),
    /// `SENTINEL FAILOVER`: the leader chooses the candidate.
    Failover {
        /// Name of the group.
        name: GroupName,
    },
    /// `SENTINEL RESET`: the leader knows which replicas are unreachable.
    Reset {
        /// Glob over group names.
        pattern: Vec<u8>,
    },
    /// `CFG`: membership and leadership.
    Admin(AdminRequest),
}

/// A change of the cluster itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminRequest {
    /// `CFG NODE ADD id host:port`
    AddNode {
        /// Its id; never used before.
        id: NodeId,
        /// `host:port` at which it waits, started with `--join`.
        address: String,
    },
    /// `CFG NODE REMOVE id`
    RemoveNode {
        /// Its id.
        id: NodeId,
    },
    /// `CFG LEADER TRANSFER [id]`
    TransferLeader {
        /// To whom; any caught-up voter when `None`.
        to: Option<NodeId>,
    },
}

/// A write that was carried out, and applied on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteReply {
    /// What the state machine said.
    Outcome {
        /// Its answer; may be a rejection.
        outcome: Outcome,
        /// The state's revision after it.
        revision: Revision,
    },
    /// An order that needs no answer but that it was taken.
    Accepted,
}

/// Why a write was not carried out, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum WriteError {
    /// Nothing was done: the cluster has no leader, or it cannot be reached.
    #[error("no leader")]
    NoLeader,
    /// It may or may not have been done: the deadline passed, or the connection broke after it was sent.
    #[error("outcome unknown")]
    Unknown,
    /// FAILOVER: no replica may be promoted; per replica, why.
    #[error("no suitable replica to promote")]
    NoGoodReplica(Vec<(String, String)>),
    /// FAILOVER, RESET: a failover is in progress.
    #[error("failover already in progress")]
    InProgress,
    /// FAILOVER: no group of that name.
    #[error("no such group")]
    NoSuchGroup,
    /// Refused, nothing was done; the text is for the client.
    #[error("{0}")]
    Refused(String),
}
