//! What a request wants done.

use serde::{Deserialize, Serialize};

use std::net::IpAddr;

use crate::machine::{Command, Outcome};
use crate::model::{Address, GroupName, HostName, Instant, NodeId, Revision, Setting};
use crate::requests::{Dial, Hello};
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
    /// Do something on this node, then go on.
    Local {
        /// What to do.
        act: Local,
        /// What follows.
        then: Box<Effect>,
    },
    /// Answer, then close the connection.
    Close(Reply),
    /// Close the connection without an answer.
    Drop,
}

impl Effect {
    /// Do something on this node, then answer OK.
    pub(super) fn done(act: Local) -> Self {
        Self::then(act, Self::Reply(Reply::OK))
    }

    /// Do something on this node, then go on.
    pub(super) fn then(act: Local, then: Self) -> Self {
        let then = Box::new(then);
        Self::Local { act, then }
    }

    /// Whether it does more than to answer.
    pub(super) fn changes_something(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Local { .. })
    }

    /// The same without its answer. What subscribers are told is none.
    pub(super) fn unanswered(self) -> Self {
        match self {
            Self::Reply(reply) => Self::Reply(unanswered(reply)),
            Self::Close(_) => Self::Drop,
            Self::Drop => Self::Drop,
            Self::Local { act, then } => Self::then(act, then.unanswered()),
            Self::Write { write, render } => Self::Write {
                write,
                render: Box::new(move |result| unanswered(render(result))),
            },
        }
    }
}

fn unanswered(reply: Reply) -> Reply {
    match reply {
        Reply::Push(_) => reply,
        Reply::Many(replies) => Reply::Many(replies.into_iter().map(unanswered).collect()),
        _ => Reply::NOTHING,
    }
}

/// Something that concerns this node alone. It cannot fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    /// `CLIENT KILL`: close these connections, by their numbers.
    Disconnect(Vec<u64>),
    /// `CLIENT PAUSE`: hold requests until then.
    Pause {
        /// Until when.
        until: Instant,
        /// Which requests.
        held: Held,
    },
    /// `CLIENT UNPAUSE`
    Unpause,
    /// `SHUTDOWN`: end as SIGTERM does.
    ShutDown,
    /// `PUBLISH` of a hello: somebody else's Sentinel watches one of our groups.
    Hello(Hello),
    /// Turn dials.
    Turn(Vec<Dial>),
}

/// Which requests CLIENT PAUSE holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// Those that a replica would get as well: PUBLISH.
    Publish,
    /// All.
    All,
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
    /// `SENTINEL FAILOVER` with COORDINATED or TO. A write of its own: a leader that does not know it must refuse it, not do
    /// the half that it knows.
    FailoverWith {
        /// Name of the group.
        name: GroupName,
        /// COORDINATED.
        coordinated: bool,
        /// TO.
        to: Option<Address>,
    },
    /// `SENTINEL RESET`: the leader knows which replicas are unreachable.
    Reset {
        /// Glob over group names.
        pattern: Vec<u8>,
    },
    /// `CFG`: membership and leadership.
    Admin(AdminRequest),
    /// `SENTINEL MONITOR` or `CFG MONITOR` of a host name: the leader finds out where that is.
    Monitor(Monitoring),
    /// `CFG EXPLAIN`: changes nothing; the leader knows the votes.
    Explain {
        /// Name of the group.
        name: GroupName,
    },
}

/// A group that is to be monitored by the host name of its primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitoring {
    /// Name of the group.
    pub name: GroupName,
    /// Host name of its primary.
    pub host: HostName,
    /// Its port, not 0.
    pub port: u16,
    /// Down votes that a failover asks for, at least 1.
    pub quorum: u32,
    /// Settings.
    pub settings: Vec<Setting>,
    /// It came as `CFG MONITOR`: the settings are those that the group is to have, not only to begin with.
    pub configures: bool,
}

impl Monitoring {
    /// The command, when the primary is at this IP address.
    pub fn at(self, ip: IpAddr) -> Command {
        let primary = Address {
            ip: ip.to_canonical(),
            port: self.port,
        };
        let Self {
            name, quorum, settings, ..
        } = self;
        let host = Some(self.host);
        if self.configures {
            Command::Configure {
                name,
                primary,
                host,
                quorum,
                settings,
            }
        } else {
            Command::Monitor {
                name,
                primary,
                host,
                quorum,
                settings,
            }
        }
    }
}

impl Write {
    /// The group whose `+monitor` comes after the answer on a connection that hears both. Sentinel tells its events
    /// while it carries out a request, and the answer last; only MONITOR is answered first.
    pub fn monitors(&self) -> Option<&GroupName> {
        match self {
            Self::Command(Command::Monitor { name, .. }) => Some(name),
            _ => None,
        }
    }
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
    /// Lines for a person.
    Told(Vec<String>),
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
    /// FAILOVER COORDINATED: the primary cannot take part; why, or nothing when its version says it.
    #[error("no suitable primary")]
    NoGoodPrimary(String),
    /// FAILOVER, RESET: a failover is in progress.
    #[error("failover already in progress")]
    InProgress,
    /// FAILOVER: no group of that name.
    #[error("no such group")]
    NoSuchGroup,
    /// MONITOR: the host name does not resolve, or none is taken.
    #[error("the host name cannot be resolved")]
    Unresolved,
    /// Refused, nothing was done; the text is for the client.
    #[error("{0}")]
    Refused(String),
}
