//! What comes at its time.

use std::sync::Arc;

use cfgserver::detect::{PingAnswer, VoteAck, VoteReport};
use cfgserver::failover::Order;
use cfgserver::model::{Address, Facts, GroupId, NodeId, RunId, Term};
use cfgserver::redis::Answer;
use cfgserver::requests::{Write, WriteError, WriteReply};

use crate::clients::Step;
use crate::faults::Fault;
use crate::redis::Index;

/// A piece of work on an order link.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    Establish,
    Kill(Vec<u64>),
    Read,
    Order {
        run_id: RunId,
        order: Order,
        /// Which of its forms is given, and what INFO said when the first one was.
        form: usize,
        failing_over: Option<bool>,
        /// Only looks whether the order was carried out, over a new connection.
        again: bool,
    },
}

/// What came of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    Open { server: Index, conn: u64 },
    Refused,
    TimedOut,
}

/// Something that will have happened at its time.
#[derive(Debug)]
pub(crate) enum Event {
    // Instances.
    Replicate {
        who: Index,
        generation: u32,
    },
    /// A connection of a node was closed by the instance.
    ConnEnded {
        node: NodeId,
        life: u32,
        server: Index,
        conn: u64,
    },
    WriterTurn {
        group: usize,
    },

    // Probes.
    ProbeWake {
        node: NodeId,
        life: u32,
        group: GroupId,
        address: Address,
        serial: u64,
    },
    ProbeConnected {
        node: NodeId,
        life: u32,
        group: GroupId,
        address: Address,
        attempt: u64,
        reached: Reached,
    },
    Pinged {
        node: NodeId,
        life: u32,
        group: GroupId,
        address: Address,
        attempt: u64,
        server: Index,
        conn: u64,
    },
    InfoAsked {
        node: NodeId,
        life: u32,
        group: GroupId,
        address: Address,
        attempt: u64,
        server: Index,
        conn: u64,
    },
    ProbeAnswered {
        node: NodeId,
        life: u32,
        group: GroupId,
        address: Address,
        attempt: u64,
        answer: ProbeAnswer,
    },

    // Votes.
    VoterDue {
        node: NodeId,
        life: u32,
    },
    Report {
        to: NodeId,
        from: NodeId,
        life: u32,
        serial: u64,
        report: Box<VoteReport>,
    },
    Acked {
        node: NodeId,
        life: u32,
        serial: u64,
        ack: Option<VoteAck>,
    },

    // The leader.
    LeaderWake {
        node: NodeId,
        life: u32,
        term: Term,
    },
    LinkAt {
        server: Index,
        conn: u64,
        starts: u32,
        node: NodeId,
        life: u32,
        term: Term,
        group: GroupId,
        serial: u64,
        job: Box<Job>,
    },
    LinkAnswered {
        node: NodeId,
        life: u32,
        term: Term,
        group: GroupId,
        address: Address,
        serial: u64,
        answers: Vec<Answer>,
    },
    LinkConnected {
        node: NodeId,
        life: u32,
        term: Term,
        group: GroupId,
        address: Address,
        serial: u64,
        reached: Reached,
    },
    LinkTimeout {
        node: NodeId,
        life: u32,
        term: Term,
        group: GroupId,
        address: Address,
        serial: u64,
        step: u32,
    },
    HandedOver {
        node: NodeId,
        life: u32,
        term: Term,
    },

    /// A look at the change of the membership.
    ChangeLook {
        node: NodeId,
        life: u32,
        term: Term,
    },

    // Raft.
    TryCommit {
        term: Term,
    },
    Election {
        number: u64,
    },
    LearnLeader {
        node: NodeId,
        life: u32,
        term: Term,
        leader: NodeId,
    },
    Apply {
        node: NodeId,
        life: u32,
    },
    FeedTick {
        node: NodeId,
        life: u32,
    },
    Proposed {
        node: NodeId,
        life: u32,
        proposal: u64,
        result: Result<WriteReply, WriteError>,
    },
    ProposalLimit {
        node: NodeId,
        life: u32,
        proposal: u64,
    },

    // Clients.
    ClientTurn {
        client: usize,
        connection: u64,
    },
    OperatorTurn {
        operator: usize,
    },
    WriteAt {
        node: NodeId,
        life: u32,
        request: u64,
        from: NodeId,
        write: Box<Write>,
    },
    WriteDone {
        request: u64,
        result: Box<Result<(WriteReply, usize), WriteError>>,
    },
    WriteRetry {
        request: u64,
    },
    WriteLimit {
        request: u64,
    },
    Proxy {
        proxy: usize,
        connection: u64,
        step: Box<Step>,
    },

    // The world.
    Fault(Fault),
    NodeResumed {
        node: NodeId,
    },
    NodeStarts {
        node: NodeId,
    },
    Quiet,
    Look,
}

/// What an instance answered to a probe.
#[derive(Debug)]
pub(crate) enum ProbeAnswer {
    Ping(PingAnswer),
    Info(Arc<Facts>),
    Ended { refused: bool },
}

impl Event {
    /// The node at which it happens: one that stands still comes to it later.
    pub(crate) fn node(&self) -> Option<NodeId> {
        match self {
            Self::ConnEnded { node, .. }
            | Self::ProbeWake { node, .. }
            | Self::ProbeConnected { node, .. }
            | Self::ProbeAnswered { node, .. }
            | Self::VoterDue { node, .. }
            | Self::Acked { node, .. }
            | Self::LeaderWake { node, .. }
            | Self::LinkAnswered { node, .. }
            | Self::LinkConnected { node, .. }
            | Self::LinkTimeout { node, .. }
            | Self::HandedOver { node, .. }
            | Self::ChangeLook { node, .. }
            | Self::LearnLeader { node, .. }
            | Self::Apply { node, .. }
            | Self::FeedTick { node, .. }
            | Self::Proposed { node, .. }
            | Self::ProposalLimit { node, .. }
            | Self::WriteAt { node, .. } => Some(*node),
            Self::Report { to, .. } => Some(*to),
            _ => None,
        }
    }

    /// The life of the node for which it was meant.
    pub(crate) fn life(&self) -> Option<u32> {
        match self {
            Self::ConnEnded { life, .. }
            | Self::ProbeWake { life, .. }
            | Self::ProbeConnected { life, .. }
            | Self::ProbeAnswered { life, .. }
            | Self::VoterDue { life, .. }
            | Self::Acked { life, .. }
            | Self::LeaderWake { life, .. }
            | Self::LinkAnswered { life, .. }
            | Self::LinkConnected { life, .. }
            | Self::LinkTimeout { life, .. }
            | Self::HandedOver { life, .. }
            | Self::ChangeLook { life, .. }
            | Self::LearnLeader { life, .. }
            | Self::Apply { life, .. }
            | Self::FeedTick { life, .. }
            | Self::Proposed { life, .. }
            | Self::ProposalLimit { life, .. }
            | Self::WriteAt { life, .. } => Some(*life),
            _ => None,
        }
    }
}
