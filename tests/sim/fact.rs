//! What really happened, for invariants: they see the whole world, not what a node believes.

use std::sync::Arc;

use cfgserver::failover::Order;
use cfgserver::machine::{Command, Outcome, State};
use cfgserver::model::{Address, Event, FailoverKind, GroupId, GroupName, NodeId, RunId, Term};
use cfgserver::requests::{Write, WriteReply};

use crate::redis::{Index, Overwritten};

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Fact {
    /// An entry was committed, and what it did.
    Committed {
        command: Arc<Command>,
        outcome: Outcome,
        before: Arc<State>,
        after: Arc<State>,
        events: Arc<Vec<Event>>,
    },
    /// A leader proposes to open a failover.
    Opening {
        node: NodeId,
        group: GroupId,
        kind: FailoverKind,
        votes: u32,
        candidate: Address,
        /// The state that the leader had applied.
        applied: Arc<State>,
    },
    /// A leader wants another node to lead: it reaches more. No operator asked for it.
    HandsOver {
        node: NodeId,
        term: Term,
        /// Since when it leads.
        led_since: u64,
    },
    /// A leader wrote an order to a socket.
    OrderSent {
        node: NodeId,
        term: Term,
        group: GroupId,
        address: Address,
        run_id: RunId,
        order: Order,
        /// The same order once more, in its bare form: it was decided when it was given first.
        repeated: bool,
        /// The state that the leader had applied.
        applied: Arc<State>,
    },
    /// An instance carried an order out.
    OrderDone {
        group: GroupId,
        server: Index,
        /// Of the leader that gave it.
        term: Term,
        /// The process that it was meant for.
        run_id: RunId,
        order: Order,
        /// It was a primary before.
        was_primary: bool,
        /// Keys that it had before.
        keys: u64,
    },
    /// A connection was told an address, by an answer or by an event.
    Told {
        client: usize,
        connection: u64,
        group: GroupName,
        from: Option<Address>,
        to: Address,
        /// It listens for switches already.
        subscribed: bool,
        /// In a list of all groups.
        listed: bool,
    },
    /// A subscription to switches was confirmed, and what came with the confirmation was told.
    Subscribed {
        client: usize,
        connection: u64,
        /// The state that the node had applied.
        applied: Arc<State>,
    },
    /// An operator was told that a write is done.
    Acknowledged {
        write: Write,
        reply: WriteReply,
    },
    /// A node judged an instance Down for its silence.
    Silent {
        node: NodeId,
        address: Address,
        /// When an acceptable answer came last, or the watch began.
        heard_at: u64,
        down_after_ms: u64,
        /// For how long since then the node itself stood still.
        stalled_ms: u64,
    },
    Overwritten(Overwritten),
    /// A proxy hung up, or ended itself.
    ProxyEnded {
        name: &'static str,
        /// `None`: it ended itself.
        cause: Option<Cause>,
        why: String,
    },
}

/// Why a proxy hung up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// What a node sent.
    Sent,
    /// The node said that it has not caught up.
    Loading,
    /// The node said that there is no such group.
    Unknown,
    /// It was not ready in time: a primary that it was told does not say that it is one.
    Late,
}
