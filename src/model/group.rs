//! A group: a primary, its replicas, their settings, and the failover in progress.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{
    Address, Automatic, Epoch, Facts, GroupId, GroupName, HostName, NamedReplica, Naming, Password, Place, ReplicaLine,
    Revision, Role, RunId, Timestamp, VoteKey,
};

/// One monitored name with everything that the cluster has agreed on about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Identity, never reused.
    pub id: GroupId,
    /// The name that clients ask for.
    pub name: GroupName,
    /// Arguments of the first MONITOR: automation that repeats them gets OK.
    pub monitored: Monitored,
    /// Settings.
    pub config: GroupConfig,
    /// The current primary: the address that clients are told.
    pub primary: Address,
    /// Every instance of the group by address, the primary included.
    pub members: BTreeMap<Address, Member>,
    /// The host names of the members that have one. Such a member moves when its name is found at another address.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<Address, HostName>,
    /// Epoch of the last failover that was opened. Every new one takes the next number, also after an abort.
    pub epoch: Epoch,
    /// Epoch of the last completed switch.
    pub config_epoch: Epoch,
    /// The failover in progress.
    pub failover: Option<Failover>,
    /// Enough nodes agree that the primary is down (Sentinel's ODOWN).
    pub outage: Option<Outage>,
    /// The recent switches, oldest first, at most [`Group::SWITCHES_MAX`].
    pub switches: Vec<Switch>,
    /// Why the last attempt ended without a switch; cleared by the next switch.
    pub abort: Option<Abort>,
    /// The revision of the group's last change.
    pub version: Revision,
    /// The revision that made the group.
    pub created: Revision,
}

/// The arguments of the MONITOR that made the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitored {
    /// Address as given, or what the host name resolved to then.
    pub address: Address,
    /// Host name as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// Quorum as given.
    pub quorum: u32,
}

/// The settings of a group; the defaults are Sentinel's where Sentinel has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupConfig {
    /// Down votes that a failover asks for.
    pub quorum: u32,
    /// Silence, in milliseconds, after which a node judges an instance Down.
    pub down_after_ms: u64,
    /// Upper bound, in milliseconds, of each waiting stage of a failover.
    pub failover_timeout_ms: u64,
    /// Replicas that are repointed at the same time after a switch.
    pub parallel_syncs: u32,
    /// Refused or reset connections for this long count as Down; 0 turns it off.
    pub refused_after_ms: u64,
    /// A primary whose process was restarted and that keeps answering LOADING for this long counts as Down;
    /// 0 turns it off.
    pub reboot_down_after_ms: u64,
    /// Whether cfgserver acts, or only watches.
    pub mode: Mode,
    /// What to do about a run id that was never seen.
    pub identity: Identity,
    /// User name towards the instances; empty for the default user.
    pub auth_user: String,
    /// Password towards the instances; empty for none.
    pub auth_pass: Password,
    /// What commands are called by the instances, by their usual names in lower case.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub renamed: BTreeMap<String, String>,
    /// Program that is told of events; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notification_script: String,
    /// Program that is told of a changed primary; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_reconfig_script: String,
    /// Whether failovers and repairs happen by themselves.
    #[serde(skip_serializing_if = "Automatic::is_on_for_ever")]
    pub automatic: Automatic,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            quorum: 1,
            down_after_ms: 30_000,
            failover_timeout_ms: 180_000,
            parallel_syncs: 1,
            refused_after_ms: 0,
            reboot_down_after_ms: 0,
            mode: Mode::Manage,
            identity: Identity::Open,
            auth_user: String::new(),
            auth_pass: Password::default(),
            renamed: BTreeMap::new(),
            notification_script: String::new(),
            client_reconfig_script: String::new(),
            automatic: Automatic::On,
        }
    }
}

/// One setting to change, as `SENTINEL SET` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// `quorum`
    Quorum(u32),
    /// `down-after-milliseconds`
    DownAfterMs(u64),
    /// `failover-timeout`
    FailoverTimeoutMs(u64),
    /// `parallel-syncs`
    ParallelSyncs(u32),
    /// `refused-after-milliseconds` (own)
    RefusedAfterMs(u64),
    /// `master-reboot-down-after-period`
    RebootDownAfterMs(u64),
    /// `mode` (own)
    Mode(Mode),
    /// `identity` (own)
    Identity(Identity),
    /// `auth-user`
    AuthUser(String),
    /// `auth-pass`
    AuthPass(Password),
    /// `rename-command`: the same name twice takes the other name back.
    RenameCommand {
        /// Its usual name.
        command: String,
        /// What the instances call it.
        to: String,
    },
    /// `notification-script`
    NotificationScript(String),
    /// `client-reconfig-script`
    ClientReconfigScript(String),
    /// `failover` (own)
    Automatic(Automatic),
}

/// Whether cfgserver acts on a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Fails over and repairs.
    #[default]
    Manage,
    /// Sends no orders; adopts a switch that others made.
    Observe,
}

/// What to do about an unknown run id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// A restarted process stays a member.
    #[default]
    Open,
    /// It waits for the operator.
    Strict,
}

/// The replication id pair of an instance: whose data it has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lineage {
    /// `master_replid`.
    pub replid: Arc<str>,
    /// `master_replid2`; `None` when it is all zeros.
    pub replid2: Option<Arc<str>>,
}

impl Lineage {
    /// Whether the two pairs share an id.
    pub fn related(&self, other: &Self) -> bool {
        let ours = [Some(&self.replid), self.replid2.as_ref()];
        let theirs = [Some(&other.replid), other.replid2.as_ref()];
        ours.iter()
            .flatten()
            .any(|id| theirs.iter().flatten().any(|its| id == its))
    }
}

/// An instance of the group, with the facts that must survive the leader and a power cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    /// The process that was seen last.
    pub run_id: Option<RunId>,
    /// Its replication ids.
    pub lineage: Option<Lineage>,
    /// It has been in sync with this group's lineage, and the lineage has not broken since.
    pub synced: bool,
    /// It had keys when seen last.
    pub non_empty: bool,
    /// Why it is quarantined: reported, never ordered.
    pub quarantine: Option<Arc<str>>,
}

/// The replicated fact that a primary is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// When it was agreed.
    pub since: Timestamp,
    /// Down votes at that moment.
    pub votes: u32,
}

/// A failover in progress: one candidate, one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// Its epoch.
    pub epoch: Epoch,
    /// Who asked for it.
    pub kind: FailoverKind,
    /// The replica to promote. One candidate per (group, epoch), for ever.
    pub candidate: Address,
    /// The candidate's process at commit time. Another process at that address is not the candidate.
    pub candidate_run_id: RunId,
    /// The primary that is replaced.
    pub old_primary: Address,
    /// Its process, when known.
    pub old_run_id: Option<RunId>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// How far it is.
    pub stage: Stage,
}

/// Who asked for a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailoverKind {
    /// The primary was down.
    Automatic,
    /// `SENTINEL FAILOVER`.
    Operator,
    /// The primary came back without its data.
    Emptied,
    /// `SENTINEL FAILOVER` with COORDINATED: no acknowledged write is lost, or nothing changes.
    Coordinated,
}

impl FailoverKind {
    /// An operator asked for it.
    pub fn is_planned(self) -> bool {
        matches!(self, Self::Operator | Self::Coordinated)
    }
}

/// How far a failover is. Committed; a successor goes on from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The candidate is committed; the order to promote may have been sent.
    Promote,
    /// A coordinated failover is given up: what it did to the old primary is taken back before it ends.
    Undo {
        /// Why.
        fault: Fault,
    },
    /// The switch is committed; the other replicas are being repointed.
    Reconfigure {
        /// Every remaining replica, the old primary included.
        steps: BTreeMap<Address, ReconfStep>,
    },
}

/// How far a replica is on its way to the new primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReconfStep {
    /// Nothing sent yet.
    Waiting,
    /// SLAVEOF sent (`reconf_sent`).
    Sent,
    /// It reports the new primary (`reconf_inprog`).
    InProgress,
    /// Its link to the new primary is up (`reconf_done`).
    Done,
    /// Given up for this failover; repair turns it later.
    GivenUp,
}

/// A completed change of the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// The revision that made it.
    pub revision: Revision,
    /// Address before.
    pub from: Address,
    /// Host name before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_host: Option<HostName>,
    /// Address after.
    pub to: Address,
    /// Config epoch after.
    pub epoch: Epoch,
    /// When.
    pub at: Timestamp,
    /// cfgserver decided it by itself: counts for the brake on flapping.
    pub automatic: bool,
}

/// Why an attempt ended without a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    /// Epoch that was burnt; the group's epoch when none was opened.
    pub epoch: Epoch,
    /// When.
    pub at: Timestamp,
    /// The reason.
    pub fault: Fault,
    /// Per replica, why it could not be promoted: filled for `NoGoodReplica`.
    pub replicas: BTreeMap<Address, Arc<str>>,
}

/// Why a failover was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// No replica may be promoted.
    NoGoodReplica,
    /// The committed candidate died, changed or refused; the text says which.
    Candidate(Arc<str>),
    /// The primary came back before the order was sent.
    PrimaryBack,
    /// The stage took longer than failover-timeout.
    Timeout,
    /// The primary did not play its part in a coordinated failover; the text says how.
    Primary(Arc<str>),
}

impl Failover {
    /// It ends with a switch, or with everything as before, and neither is decided or done yet.
    pub fn is_undecided(&self) -> bool {
        matches!(self.stage, Stage::Promote | Stage::Undo { .. })
    }
}

impl Monitored {
    /// Whether the other arguments ask for the same. A name is the same wherever it resolves to, and an address by
    /// whatever name.
    pub fn same_as(&self, other: &Self) -> bool {
        let same_host = self.host.is_some() && self.host == other.host;
        let same_place = self.address == other.address || (same_host && self.address.port == other.address.port);
        same_place && self.quorum == other.quorum
    }
}

impl Group {
    /// How many switches a group remembers.
    pub const SWITCHES_MAX: usize = 32;

    /// The recorded facts of the current primary.
    pub fn primary_member(&self) -> Option<&Member> {
        self.members.get(&self.primary)
    }

    /// The role of a member.
    pub fn recorded_role(&self, address: Address) -> Role {
        if address == self.primary {
            Role::Primary
        } else {
            Role::Replica
        }
    }

    /// The members that are not the primary.
    pub fn replicas(&self) -> impl Iterator<Item = (&Address, &Member)> {
        self.members.iter().filter(|(address, _)| **address != self.primary)
    }

    /// The member that has this host name, at this port.
    pub fn member_named(&self, host: &HostName, port: u16) -> Option<Address> {
        let mut named = self.hosts.iter();
        let found = named.find(|(address, its)| address.port == port && *its == host);
        found.map(|(address, _)| *address)
    }

    /// The facts with the host names of members replaced by their addresses; `None` when there is nothing to replace.
    pub fn with_names_found(&self, facts: &Facts) -> Option<Facts> {
        if self.hosts.is_empty() {
            return None;
        }
        let follows = HostName::new(&facts.primary_host).ok();
        let primary = follows.and_then(|host| self.member_named(&host, facts.primary_port));
        let found = |line: &&NamedReplica| self.member_named(&line.host, line.port).is_some();
        if primary.is_none() && !facts.named_replicas.iter().any(|line| found(&line)) {
            return None;
        }
        let mut facts = facts.clone();
        facts.primary = primary.or(facts.primary);
        for line in std::mem::take(&mut facts.named_replicas) {
            match self.member_named(&line.host, line.port) {
                Some(address) => facts.replicas.push(ReplicaLine {
                    address,
                    online: line.online,
                    offset: line.offset,
                }),
                None => facts.named_replicas.push(line),
            }
        }
        Some(facts)
    }

    /// What a vote about the current primary is keyed by.
    pub fn vote_key(&self) -> VoteKey {
        VoteKey {
            group: self.id,
            epoch: self.config_epoch,
            address: self.primary,
            run_id: self.primary_member().and_then(|member| member.run_id.clone()),
        }
    }

    /// The revision at which the primary got its address.
    pub fn moved_at(&self) -> Revision {
        let switched = self.switches.last().map_or(0, |switch| switch.revision);
        self.created.max(switched)
    }

    /// Where clients are told that a member is.
    pub fn told(&self, address: Address, naming: Naming) -> Place {
        let host = match naming {
            Naming::Addresses => None,
            Naming::Names => self.hosts.get(&address).cloned(),
        };
        Place { address, host }
    }

    /// Where clients are told that the primary is.
    pub fn told_primary(&self, naming: Naming) -> Place {
        self.told(self.primary, naming)
    }

    /// The same at `revision`, as far as [`Group::primary_at`] goes.
    pub fn told_primary_at(&self, revision: Revision, naming: Naming) -> Option<Place> {
        if revision < self.created {
            return None;
        }
        let later = self.switches.iter().find(|switch| switch.revision > revision);
        Some(match (later, naming) {
            (None, _) => self.told_primary(naming),
            (Some(later), Naming::Addresses) => later.from.into(),
            (Some(later), Naming::Names) => Place {
                address: later.from,
                host: later.from_host.clone(),
            },
        })
    }

    /// The address that clients were told at `revision`. `None` when the group did not exist then; the
    /// oldest remembered address when `revision` is before the remembered switches.
    pub fn primary_at(&self, revision: Revision) -> Option<Address> {
        self.told_primary_at(revision, Naming::Addresses)
            .map(|place| place.address)
    }
}
