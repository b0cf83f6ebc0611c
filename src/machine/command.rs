//! The inputs and outputs of the state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::machine::SharedSetting;
use crate::model::{
    Address, ClusterId, Epoch, Event, FailoverKind, Fault, GroupId, GroupName, HostName, Lineage, Member, Node, NodeId,
    ReconfStep, Revision, RunId, Setting, Timestamp,
};

/// One committed input: a command and the proposer's wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What to do.
    pub command: Command,
    /// When it was proposed. The state never lets time go back.
    pub at: Timestamp,
}

/// An input of the replicated state machine.
///
/// Commands about a group that were planned from its state carry `on`, the version they were planned on,
/// and are refused with [`Rejection::Moved`] when the group has changed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Does nothing (it still takes a place in the log).
    Noop,
    /// `SENTINEL MONITOR`
    Monitor {
        /// Name of the new group.
        name: GroupName,
        /// Its primary.
        primary: Address,
        /// The host name that was given, and resolved to the primary's address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<HostName>,
        /// Down votes that a failover asks for, at least 1.
        quorum: u32,
        /// Settings that a new group begins with.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        settings: Vec<Setting>,
    },
    /// `SENTINEL REMOVE`
    Remove {
        /// Name of the group.
        name: GroupName,
    },
    /// `SENTINEL SET`, all or nothing.
    Set {
        /// Name of the group.
        name: GroupName,
        /// In the order given.
        settings: Vec<Setting>,
    },
    /// `SENTINEL CONFIG SET`
    Share {
        /// In the order given.
        settings: Vec<SharedSetting>,
    },
    /// `SENTINEL RESET`, all or nothing.
    Reset {
        /// The groups and what they forget.
        groups: Vec<ResetGroup>,
    },
    /// What the leader learnt of members: new ones, and changes of the facts that must survive.
    Learn {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
        /// The new facts; members that are not known yet are added.
        members: BTreeMap<Address, MemberFacts>,
    },
    /// Enough votes, but no failover can be opened: the outage, and why no replica is good.
    Outage {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
        /// Down votes.
        votes: u32,
        /// Per replica, why it may not be promoted. Empty when the failover merely waits (brake, observe).
        replicas: BTreeMap<Address, ReplicaFault>,
    },
    /// The primary is Up again and no failover is open.
    OutageOver {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
    },
    /// Commit 1 of a failover: outage, failover and candidate in one entry.
    OpenFailover {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
        /// Who asked.
        kind: FailoverKind,
        /// Down votes; 0 for a planned one.
        votes: u32,
        /// The replica to promote.
        candidate: Address,
        /// Its process.
        run_id: RunId,
    },
    /// Commit 2: the candidate was seen as master with the committed run id.
    CompletePromotion {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
        /// Epoch of the failover.
        epoch: Epoch,
        /// What was seen.
        proof: SwitchProof,
    },
    /// The failover is given up before its switch; its epoch is burnt.
    AbortFailover {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
        /// Epoch of the failover.
        epoch: Epoch,
        /// Why.
        fault: Fault,
    },
    /// A coordinated failover is given up. What it did to the old primary is taken back before it is aborted, so that a
    /// leader that dies in between leaves nothing held back.
    UndoFailover {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
        /// Epoch of the failover.
        epoch: Epoch,
        /// Why.
        fault: Fault,
    },
    /// How far replicas are on their way to the new primary.
    Reconfigured {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
        /// Epoch of the failover.
        epoch: Epoch,
        /// Steps that were reached.
        steps: BTreeMap<Address, Progress>,
    },
    /// The failover is over.
    EndFailover {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
        /// Epoch of the failover.
        epoch: Epoch,
        /// failover-timeout ran out with replicas still on their way.
        timed_out: bool,
    },
    /// A switch that someone else made is adopted (mode `observe`, or an operator's own promotion).
    Adopt {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
        /// The instance that is master now.
        primary: Address,
        /// What was seen.
        proof: SwitchProof,
    },
    /// A repair was ordered: says so on every node.
    Repaired {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
        /// Which member.
        member: Address,
        /// It was a stray master (`+convert-to-slave`), not a replica of the wrong primary (`+fix-slave-config`).
        was_primary: bool,
    },
    /// The nodes of the cluster as the Raft membership has them; the voters are the electorate.
    Nodes {
        /// All of them.
        nodes: BTreeMap<NodeId, Node>,
    },
    /// The cluster is formed.
    Found {
        /// Its id. Later ones are ignored.
        cluster: ClusterId,
    },
    /// `CFG MONITOR`: a group with its settings in one entry, so that it is never there without its mode. A group that
    /// is at this address already gets the settings that differ.
    Configure {
        /// Name of the group.
        name: GroupName,
        /// Its primary.
        primary: Address,
        /// The host name that was given, and resolved to the primary's address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<HostName>,
        /// Down votes that a failover asks for, at least 1.
        quorum: u32,
        /// In the order given.
        settings: Vec<Setting>,
    },
    /// Instances of the group are known by host names; those that are not members yet become members.
    Name {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
        /// Where they are, and the names.
        hosts: BTreeMap<Address, HostName>,
    },
    /// A member that has a host name is found at another address.
    Readdress {
        /// Which group.
        group: GroupId,
        /// Version planned on.
        on: Revision,
        /// Where it was.
        from: Address,
        /// Where it is.
        to: Address,
    },
}

/// How far a replica is, with the step as committed.
pub type Progress = ReconfStep;

/// Why a replica may not be promoted: text for people.
pub type ReplicaFault = Arc<str>;

/// What was seen of an instance that became a primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchProof {
    /// Its run id.
    pub run_id: RunId,
    /// Its replication ids.
    pub lineage: Option<Lineage>,
}

/// What RESET does to one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetGroup {
    /// Which group.
    pub group: GroupId,
    /// Version planned on.
    pub on: Revision,
    /// Members that could not be reached: forgotten. The primary never is.
    pub forget: BTreeSet<Address>,
}

/// The facts of a member that are replicated.
pub type MemberFacts = Member;

/// What `apply` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The answer to whoever proposed the command.
    pub outcome: Outcome,
    /// What subscribers are told, in order.
    pub events: Vec<Event>,
    /// What must be written.
    pub touched: Touched,
}

/// The answer to whoever proposed a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done, or already so.
    Done {
        /// Revision of the state after it.
        revision: Revision,
    },
    /// RESET: how many groups.
    Count(u64),
    /// Refused; nothing changed.
    Rejected(Rejection),
}

/// Why a command was refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// No group of that name or id.
    #[error("no such group")]
    NoSuchGroup,
    /// MONITOR of a known name with other arguments.
    #[error("duplicate group name")]
    DuplicateName,
    /// MONITOR of an address that another group has.
    #[error("address already belongs to group '{0}'")]
    AddressTaken(GroupName),
    /// The group changed since the command was planned.
    #[error("the group moved on")]
    Moved,
    /// A failover is in progress.
    #[error("failover already in progress")]
    InProgress,
    /// No failover of that epoch is at that stage.
    #[error("no such failover")]
    NoSuchFailover,
    /// A value out of its range.
    #[error("invalid value")]
    Invalid,
    /// The candidate is not a synced, unquarantined replica with that run id.
    #[error("not a candidate")]
    NotACandidate,
    /// A rule of the state would have been broken; the change was undone.
    #[error("broken invariant: {0}")]
    Broken(Arc<str>),
}

/// Which records changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Groups that were written or removed.
    pub groups: BTreeSet<GroupId>,
}
