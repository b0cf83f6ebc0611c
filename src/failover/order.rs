//! What the planner wants done, as values.

use std::fmt;

use crate::machine::Command;
use crate::model::{Address, Age, HostName, Instant, NodeId, RunId};

/// What should happen next to a group, and when to ask again if nothing happens before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they are to be started.
    pub actions: Vec<Action>,
    /// Ask again then.
    pub wake_at: Option<Instant>,
}

/// Something to be done by whoever carries plans out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put a command into the log. At most one in a plan, and none while one is under way.
    Propose(Command),
    /// Give an order, on a link on which `run_id` was read.
    Order {
        /// To which instance.
        address: Address,
        /// To which process.
        run_id: RunId,
        /// What to do.
        order: Order,
    },
    /// Open an order link, and read INFO on it: an order may follow.
    OpenLink(Address),
    /// Read INFO again on an open order link.
    ReadInfo(Address),
    /// Find out where a host name resolves to. If that is not where the member is, also read INFO there.
    Look {
        /// The name.
        host: HostName,
        /// The port behind it.
        port: u16,
        /// Where the member that has it is, by what is known.
        known: Option<Address>,
    },
    /// Have the probe read INFO of all members now.
    RefreshInfo,
    /// Give leadership to a node that reaches what this one does not.
    HandOver(NodeId),
}

/// Something to be done to an instance. Idempotent: giving it twice is as good as once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Become a primary, and drop the clients so that they look again.
    Promote,
    /// Become a replica.
    Follow {
        /// Of whom.
        primary: Address,
        /// The host name by which it is told to, when names are told.
        host: Option<HostName>,
        /// Drop the clients so that they look again: for an instance that was a primary.
        disconnect_clients: bool,
    },
    /// Hold back writes (Redis 6.2 and later).
    Pause {
        /// For at most this long.
        ms: Age,
    },
    /// Let writes through again.
    Unpause,
    /// Become a replica of the candidate that has everything, before that is promoted.
    ///
    /// By address also where names are told: the candidate is committed as a process at an address, and a name may lead
    /// elsewhere, or cost the primary a look-up while its writes wait. The name is told a moment later, when it is made
    /// to follow the new primary: only that is written to its file.
    StepDown {
        /// The candidate.
        to: Address,
    },
    /// Do all that by itself: hold back writes, wait for the candidate, and give it the role (FAILOVER of Redis 6.2).
    Yield {
        /// The candidate.
        to: Address,
        /// The host name that the candidate has announced to it: then it knows it by no other.
        host: Option<HostName>,
        /// Within this long.
        ms: Age,
    },
    /// Be a primary again that takes writes: undoes the three above.
    TakeBack,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promote => f.write_str("promote"),
            Self::Follow {
                primary,
                host,
                disconnect_clients,
            } => {
                write!(f, "follow {primary}")?;
                if let Some(host) = host {
                    write!(f, " as {host}")?;
                }
                f.write_str(if *disconnect_clients {
                    ", disconnect clients"
                } else {
                    ""
                })
            }
            Self::Pause { ms } => write!(f, "pause writes {ms} ms"),
            Self::Unpause => f.write_str("unpause"),
            Self::StepDown { to } => write!(f, "step down for {to}"),
            Self::Yield { to, host: None, ms } => write!(f, "fail over to {to} within {ms} ms"),
            Self::Yield {
                to,
                host: Some(host),
                ms,
            } => write!(f, "fail over to {to} as {host} within {ms} ms"),
            Self::TakeBack => f.write_str("take back"),
        }
    }
}
