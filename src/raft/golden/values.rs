//! Fixed values: every variant, every field filled.

use std::collections::{BTreeMap, BTreeSet};

use openraft::EntryPayload;

use crate::detect::{Judgement, Vote, VoteAck, VoteReport};
use crate::machine::{Announced, Command, Entry, Header, ResetGroup, SharedSetting, SharedSettings, SwitchProof};
use crate::model::{
    Abort, Address, Automatic, ClusterId, Failover, FailoverKind, Fault, Group, GroupConfig, GroupId, GroupName,
    HostName, Identity, Lineage, Member, Mode, Monitored, MyId, Node, NodeRole, Outage, ReconfStep, RunId, Setting,
    Stage, Switch, Timestamp, VoteKey,
};
use crate::raft::types::{LogEntry, LogId};

pub(super) fn log_id(index: u64) -> LogId {
    LogId {
        leader_id: openraft::vote::leader_id_std::CommittedLeaderId::new(7),
        index,
    }
}

pub(super) fn node(id: u64) -> Node {
    Node {
        address: format!("10.0.0.{id}:26379"),
        incarnation: format!("ab0{id}"),
        my_id: MyId(format!("cd0{id}").into()),
        role: if id == 1 { NodeRole::Voter } else { NodeRole::Learner },
        labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
    }
}

pub(super) fn membership() -> openraft::Membership<u64, Node> {
    openraft::Membership::new(vec![BTreeSet::from([1])], BTreeMap::from([(1, node(1)), (2, node(2))])).unwrap()
}

pub(super) fn entry(payload: EntryPayload<Entry, u64, Node>) -> LogEntry {
    LogEntry {
        log_id: log_id(9),
        payload,
    }
}

/// A command at its place in the log.
pub(super) fn normal(command: Command) -> LogEntry {
    let at = Timestamp(1_700_000_000_000);
    entry(EntryPayload::Normal(Entry { command, at }))
}

pub(super) fn name(text: &str) -> GroupName {
    GroupName::new(text).unwrap()
}

fn v4(last: u8) -> Address {
    format!("10.0.0.{last}:6379").parse().unwrap()
}

pub(super) fn host() -> HostName {
    HostName::new("redis-1.example").unwrap()
}

fn v6() -> Address {
    "[2001:db8::1]:6380".parse().unwrap()
}

fn run_id(letter: char) -> RunId {
    RunId::new(letter.to_string().repeat(40))
}

fn member() -> Member {
    Member {
        run_id: Some(run_id('a')),
        lineage: Some(lineage()),
        synced: true,
        non_empty: true,
        quarantine: Some("unknown process".into()),
    }
}

fn lineage() -> Lineage {
    Lineage {
        replid: "e".repeat(40).into(),
        replid2: Some("f".repeat(40).into()),
    }
}

fn proof() -> SwitchProof {
    SwitchProof {
        run_id: run_id('b'),
        lineage: Some(lineage()),
    }
}

fn steps() -> BTreeMap<Address, ReconfStep> {
    BTreeMap::from([
        (v4(1), ReconfStep::Waiting),
        (v4(2), ReconfStep::Sent),
        (v4(3), ReconfStep::InProgress),
        (v4(4), ReconfStep::Done),
        (v6(), ReconfStep::GivenUp),
    ])
}

fn settings() -> Vec<Setting> {
    vec![
        Setting::Quorum(2),
        Setting::DownAfterMs(30_000),
        Setting::FailoverTimeoutMs(180_000),
        Setting::ParallelSyncs(1),
        Setting::RefusedAfterMs(500),
        Setting::RebootDownAfterMs(60_000),
        Setting::Mode(Mode::Manage),
        Setting::Mode(Mode::Observe),
        Setting::Identity(Identity::Open),
        Setting::Identity(Identity::Strict),
        Setting::AuthUser("user".to_owned()),
        Setting::AuthPass("secret".to_owned().into()),
    ]
}

fn later_settings() -> Vec<Setting> {
    vec![
        Setting::RenameCommand {
            command: "CONFIG".to_owned(),
            to: "secret".to_owned(),
        },
        Setting::NotificationScript("/bin/tell".to_owned()),
        Setting::ClientReconfigScript("/bin/move".to_owned()),
    ]
}

fn maintenance() -> Vec<Setting> {
    let end = Timestamp(1_700_000_000_000);
    let all = [Automatic::On, Automatic::Off, Automatic::OffUntil(end)];
    all.map(Setting::Automatic).into()
}

fn faults() -> [Fault; 5] {
    [
        Fault::NoGoodReplica,
        Fault::Candidate("it died".into()),
        Fault::PrimaryBack,
        Fault::Timeout,
        Fault::Primary("did not step down in time".into()),
    ]
}

/// Every command, with every fault, kind and step.
pub(super) fn commands() -> Vec<Command> {
    let (group, on, epoch) = (GroupId(7), 300, 70_000);
    let open = |kind| Command::OpenFailover {
        group,
        on,
        kind,
        votes: 2,
        candidate: v4(2),
        run_id: run_id('b'),
    };
    let mut commands = vec![
        Command::Noop,
        Command::Monitor {
            host: None,
            name: name("orders"),
            primary: v4(1),
            quorum: 2,
            settings: Vec::new(),
        },
        Command::Remove { name: name("orders") },
        Command::Set {
            name: name("orders"),
            settings: settings(),
        },
        Command::Reset {
            groups: vec![ResetGroup {
                group,
                on,
                forget: BTreeSet::from([v4(2), v6()]),
            }],
        },
        Command::Learn {
            group,
            on,
            members: BTreeMap::from([(v4(1), member()), (v6(), Member::default())]),
        },
        Command::Outage {
            group,
            on,
            votes: 2,
            replicas: BTreeMap::from([(v4(2), "never synced".into())]),
        },
        Command::OutageOver { group, on },
        open(FailoverKind::Automatic),
        open(FailoverKind::Operator),
        open(FailoverKind::Emptied),
        open(FailoverKind::Coordinated),
        Command::UndoFailover {
            group,
            on,
            epoch,
            fault: Fault::Timeout,
        },
        Command::CompletePromotion {
            group,
            on,
            epoch,
            proof: proof(),
        },
    ];
    commands.extend(faults().map(|fault| Command::AbortFailover {
        group,
        on,
        epoch,
        fault,
    }));
    commands.extend([
        Command::Reconfigured {
            group,
            on,
            epoch,
            steps: steps(),
        },
        Command::EndFailover {
            group,
            on,
            epoch,
            timed_out: true,
        },
        Command::Adopt {
            group,
            on,
            primary: v4(2),
            proof: proof(),
        },
        Command::Repaired {
            group,
            on,
            member: v4(1),
            was_primary: true,
        },
        Command::Nodes {
            nodes: BTreeMap::from([(1, node(1)), (2, node(2))]),
        },
        Command::Found {
            cluster: ClusterId("0011".into()),
        },
        Command::Configure {
            host: None,
            name: name("orders"),
            primary: v4(1),
            quorum: 2,
            settings: settings(),
        },
        Command::Monitor {
            host: None,
            name: name("orders"),
            primary: v4(1),
            quorum: 2,
            settings: vec![Setting::DownAfterMs(5_000)],
        },
        Command::Set {
            name: name("orders"),
            settings: later_settings(),
        },
        Command::Share {
            settings: vec![
                SharedSetting::ResolveHostnames(true),
                SharedSetting::AnnounceHostnames(false),
                SharedSetting::AnnounceHost {
                    node: 2,
                    host: "db".to_owned(),
                },
                SharedSetting::AnnouncePort { node: 2, port: 26_380 },
            ],
        },
        Command::Monitor {
            name: name("orders"),
            primary: v4(1),
            host: Some(host()),
            quorum: 2,
            settings: Vec::new(),
        },
        Command::Configure {
            name: name("orders"),
            primary: v4(1),
            host: Some(host()),
            quorum: 2,
            settings: Vec::new(),
        },
        Command::Name {
            group,
            on,
            hosts: BTreeMap::from([(v4(2), host())]),
        },
        Command::Readdress {
            group,
            on,
            from: v4(2),
            to: v4(3),
        },
        Command::Set {
            name: name("orders"),
            settings: maintenance(),
        },
    ]);
    commands
}

/// A command that is new here belongs into [`commands`], too.
pub(super) fn command_name(command: &Command) -> &'static str {
    match command {
        Command::Noop => "no-op",
        Command::Monitor { .. } => "monitor",
        Command::Remove { .. } => "remove",
        Command::Set { .. } => "set",
        Command::Share { .. } => "share",
        Command::Reset { .. } => "reset",
        Command::Learn { .. } => "learn",
        Command::Outage { .. } => "outage",
        Command::OutageOver { .. } => "outage over",
        Command::OpenFailover { .. } => "open failover",
        Command::CompletePromotion { .. } => "complete promotion",
        Command::AbortFailover { .. } => "abort failover",
        Command::UndoFailover { .. } => "undo failover",
        Command::Reconfigured { .. } => "reconfigured",
        Command::EndFailover { .. } => "end failover",
        Command::Adopt { .. } => "adopt",
        Command::Repaired { .. } => "repaired",
        Command::Nodes { .. } => "nodes",
        Command::Found { .. } => "found",
        Command::Configure { .. } => "configure",
        Command::Name { .. } => "name",
        Command::Readdress { .. } => "readdress",
    }
}

pub(super) fn header() -> Header {
    Header {
        cluster: Some(ClusterId("0011".into())),
        level: 1,
        revision: 300,
        now: Timestamp(1_700_000_000_000),
        next_group: 8,
        nodes: BTreeMap::from([(1, node(1)), (2, node(2))]),
        removed: BTreeSet::from([3, 4]),
        shared: SharedSettings::default(),
    }
}

/// What is not written while nobody has set it: nodes that know nothing of it read and write the same bytes.
pub(super) fn shared() -> SharedSettings {
    SharedSettings {
        resolve_hostnames: true,
        announce_hostnames: true,
        announced: BTreeMap::from([(
            2,
            Announced {
                host: "db".to_owned(),
                port: 26_380,
            },
        )]),
    }
}

/// The same of a group.
pub(super) fn with_later_settings(mut group: Group) -> Group {
    group.config.renamed = BTreeMap::from([("config".to_owned(), "secret".to_owned())]);
    group.config.notification_script = "/bin/tell".to_owned();
    group.config.client_reconfig_script = "/bin/move".to_owned();
    group.monitored.host = Some(host());
    group.switches[0].from_host = Some(host());
    group.hosts = BTreeMap::from([(v4(1), host())]);
    group
}

/// The same, and automatic failover is off for a while.
pub(super) fn in_maintenance(mut group: Group) -> Group {
    group.config.automatic = Automatic::OffUntil(Timestamp(1_700_000_000_000));
    group
}

/// A group in the middle of a failover.
pub(super) fn group() -> Group {
    let at = Timestamp(1_700_000_000_000);
    Group {
        id: GroupId(7),
        name: name("orders"),
        monitored: Monitored {
            host: None,
            address: v4(1),
            quorum: 2,
        },
        config: GroupConfig {
            auth_user: "user".to_owned(),
            auth_pass: "secret".to_owned().into(),
            ..GroupConfig::default()
        },
        primary: v4(2),
        members: BTreeMap::from([(v4(1), Member::default()), (v4(2), member())]),
        hosts: BTreeMap::new(),
        epoch: 70_001,
        config_epoch: 70_000,
        failover: Some(Failover {
            epoch: 70_001,
            kind: FailoverKind::Automatic,
            candidate: v4(2),
            candidate_run_id: run_id('a'),
            old_primary: v4(1),
            old_run_id: Some(run_id('b')),
            opened_at: at,
            stage: Stage::Reconfigure { steps: steps() },
        }),
        outage: Some(Outage { since: at, votes: 2 }),
        switches: vec![Switch {
            revision: 290,
            from: v4(1),
            from_host: None,
            to: v4(2),
            epoch: 70_000,
            at,
            automatic: true,
        }],
        abort: Some(Abort {
            epoch: 69_999,
            at,
            fault: Fault::NoGoodReplica,
            replicas: BTreeMap::from([(v6(), "never synced".into())]),
        }),
        version: 300,
        created: 12,
    }
}

/// A coordinated failover that is given up.
pub(super) fn undoing(mut group: Group) -> Group {
    if let Some(failover) = &mut group.failover {
        failover.kind = FailoverKind::Coordinated;
        failover.stage = Stage::Undo {
            fault: Fault::Primary("did not step down in time".into()),
        };
    }
    group
}

/// The same group one stage earlier, when its address has not changed.
pub(super) fn promoting(mut group: Group) -> Group {
    if let Some(failover) = &mut group.failover {
        failover.stage = Stage::Promote;
        group.primary = failover.old_primary;
    }
    for switch in &mut group.switches {
        std::mem::swap(&mut switch.from, &mut switch.to);
    }
    group
}

pub(super) fn vote_report() -> VoteReport {
    let vote = |verdict| Vote {
        key: VoteKey {
            group: GroupId(7),
            epoch: 70_000,
            address: v4(1),
            run_id: Some(run_id('a')),
        },
        verdict,
        reach: BTreeSet::from([v4(2), v6()]),
        fit: Some(BTreeSet::from([v4(2)])),
    };
    VoteReport {
        sequence: 5,
        whole: true,
        votes: [Judgement::Unknown, Judgement::Up, Judgement::Down].map(vote).into(),
    }
}

pub(super) fn vote_acks() -> [VoteAck; 3] {
    [VoteAck::Taken, VoteAck::WantWhole, VoteAck::NotLeader]
}
