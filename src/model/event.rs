//! Events: public facts that subscribers see. `sentinel::events` renders them; nothing else knows their bytes.

use std::sync::Arc;

use crate::model::{Address, Epoch, GroupId, GroupName, MyId, Revision};

/// One event, tied to the revision that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Revision of the replicated state that caused it. `None`: this node's own sighting, not from the log.
    pub revision: Option<Revision>,
    /// The group that it is about; `None` for events of the whole node.
    pub group: Option<GroupId>,
    /// What happened.
    pub kind: EventKind,
}

/// The instance that an event is about, rendered as Sentinel's `%@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceRef {
    /// `master <name> <ip> <port>`
    Primary {
        /// Name of the group.
        group: GroupName,
        /// Address of the primary.
        address: Address,
    },
    /// `slave <ip:port> <ip> <port> @ <name> <primary ip> <primary port>`
    Replica {
        /// Name of the group.
        group: GroupName,
        /// Address of the replica.
        address: Address,
        /// Address of its primary.
        primary: Address,
    },
    /// `sentinel <id> <ip> <port> @ <name> <primary ip> <primary port>`
    Node {
        /// Name of the group.
        group: GroupName,
        /// The node's id.
        my_id: MyId,
        /// The node's host.
        host: Arc<str>,
        /// The node's port.
        port: Arc<str>,
        /// Address of the primary.
        primary: Address,
    },
}

/// What happened. The comment is the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `+monitor`
    Monitor {
        /// The group's primary.
        primary: InstanceRef,
        /// The group's quorum.
        quorum: u32,
    },
    /// `-monitor`
    Unmonitor(InstanceRef),
    /// `+reset-master`
    Reset(InstanceRef),
    /// `+set`
    Set {
        /// The group's primary.
        primary: InstanceRef,
        /// Option name.
        option: Arc<str>,
        /// New value; secrets are already masked.
        value: Arc<str>,
    },
    /// `+sdown`
    Down(InstanceRef),
    /// `-sdown`
    NotDown(InstanceRef),
    /// `+odown`
    Outage {
        /// The group's primary.
        primary: InstanceRef,
        /// Down votes.
        votes: u32,
        /// The group's quorum.
        quorum: u32,
    },
    /// `-odown`
    OutageOver(InstanceRef),
    /// `+new-epoch`
    NewEpoch(Epoch),
    /// `+try-failover`
    TryFailover(InstanceRef),
    /// `+elected-leader`
    ElectedLeader(InstanceRef),
    /// `+failover-state-select-slave`
    SelectReplica(InstanceRef),
    /// `-failover-abort-no-good-slave`
    AbortNoGoodReplica(InstanceRef),
    /// `+selected-slave`
    SelectedReplica(InstanceRef),
    /// `+failover-state-send-slaveof-noone`
    SendPromote(InstanceRef),
    /// `+failover-state-wait-promotion`
    WaitPromotion(InstanceRef),
    /// `-failover-abort-slave-timeout`
    AbortReplicaTimeout(InstanceRef),
    /// `-failover-abort-master-timeout`
    AbortPrimaryTimeout(InstanceRef),
    /// `+promoted-slave`
    Promoted(InstanceRef),
    /// `+failover-state-reconf-slaves`
    ReconfReplicas(InstanceRef),
    /// `+switch-master`
    Switch {
        /// Name of the group.
        group: GroupName,
        /// Address before.
        from: Address,
        /// Address after.
        to: Address,
    },
    /// `+slave`
    Replica(InstanceRef),
    /// `+slave-reconf-sent`
    ReconfSent(InstanceRef),
    /// `+slave-reconf-inprog`
    ReconfInProgress(InstanceRef),
    /// `+slave-reconf-done`
    ReconfDone(InstanceRef),
    /// `-slave-reconf-sent-timeout`
    ReconfTimeout(InstanceRef),
    /// `+failover-end-for-timeout`
    FailoverEndForTimeout(InstanceRef),
    /// `+failover-end`
    FailoverEnd(InstanceRef),
    /// `+sentinel`
    NodeAdded(InstanceRef),
    /// `+sentinel-address-switch`
    NodeMoved {
        /// The group's primary.
        primary: InstanceRef,
        /// The node.
        my_id: MyId,
        /// Its host now.
        host: Arc<str>,
        /// Its port now.
        port: Arc<str>,
    },
    /// `+reboot`
    Reboot(InstanceRef),
    /// `+role-change` (`agrees`) or `-role-change`
    RoleChange {
        /// Who.
        instance: InstanceRef,
        /// It now says master.
        to_primary: bool,
        /// That agrees with the replicated state.
        agrees: bool,
    },
    /// `+convert-to-slave`
    ConvertToReplica(InstanceRef),
    /// `+fix-slave-config`
    FixReplica(InstanceRef),
    /// `-script-error`: a script was given up, or could not be started.
    ScriptError {
        /// The program.
        path: Arc<str>,
        /// The signal that ended it; 0 for none, 99 when no process could be made.
        signal: i32,
        /// Its exit code; 0 after a signal.
        code: i32,
    },
    /// `-script-timeout`: a script ran for too long and is ended.
    ScriptTimeout {
        /// The program.
        path: Arc<str>,
        /// Its process.
        process: u32,
    },
    /// `+tilt` (this node stalled) or `-tilt`
    Tilt {
        /// Entered, not exited.
        entered: bool,
    },
}
