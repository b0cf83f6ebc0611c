//! Commands from choices: mostly such as fit the state, so that they get far.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfgserver::machine::{Command, ResetGroup, SharedSetting, State, SwitchProof};
use cfgserver::model::{
    Address, Automatic, ClusterId, FailoverKind, Fault, Group, GroupId, GroupName, HostName, Identity, Lineage, Member,
    Mode, MyId, Node, NodeRole, ReconfStep, RunId, Setting, Timestamp,
};

use super::choices::Choices;

fn name(choices: &mut Choices<'_>) -> GroupName {
    GroupName::new(format!("g-{}", choices.below(3))).unwrap()
}

fn address(choices: &mut Choices<'_>) -> Address {
    let port = u16::from(choices.below(6)) + 1;
    let ip = if choices.one_in(8) { "fd00::1" } else { "10.0.0.1" };
    Address::parse(ip, &port.to_string()).unwrap()
}

fn host(choices: &mut Choices<'_>) -> HostName {
    HostName::new(&format!("host-{}", choices.below(3))).unwrap()
}

fn run_id(choices: &mut Choices<'_>) -> RunId {
    RunId::new(format!("run-{}", choices.below(6)))
}

fn lineage(choices: &mut Choices<'_>) -> Option<Lineage> {
    let replid = |choice: u8| Arc::from(format!("data-{choice}"));
    match choices.below(16) {
        both @ 8.. => Some(Lineage {
            replid: replid(both % 4),
            replid2: Some(replid(both / 4)),
        }),
        one @ 4.. => Some(Lineage {
            replid: replid(one % 4),
            replid2: None,
        }),
        _ => None,
    }
}

fn member(choices: &mut Choices<'_>) -> Member {
    Member {
        run_id: Some(run_id(choices)).filter(|_| !choices.one_in(4)),
        lineage: lineage(choices),
        synced: !choices.one_in(4),
        non_empty: choices.one_in(2),
        quarantine: choices.one_in(8).then(|| choices.text(8).into()),
    }
}

fn proof(choices: &mut Choices<'_>) -> SwitchProof {
    SwitchProof {
        run_id: run_id(choices),
        lineage: lineage(choices),
    }
}

fn setting(choices: &mut Choices<'_>) -> Setting {
    let small = |choices: &mut Choices<'_>| u32::try_from(choices.number()).unwrap_or(u32::MAX);
    match choices.below(10) {
        0 => Setting::Quorum(small(choices)),
        1 => Setting::DownAfterMs(choices.number()),
        2 => Setting::FailoverTimeoutMs(choices.number()),
        3 => Setting::ParallelSyncs(small(choices)),
        4 => Setting::RefusedAfterMs(choices.number()),
        5 => Setting::RebootDownAfterMs(choices.number()),
        6 => Setting::Mode(if choices.one_in(4) { Mode::Observe } else { Mode::Manage }),
        7 => Setting::Identity(if choices.one_in(2) {
            Identity::Strict
        } else {
            Identity::Open
        }),
        8 => Setting::AuthUser(choices.text(8)),
        _ => match choices.below(5) {
            4 => Setting::Automatic(match choices.below(3) {
                0 => Automatic::On,
                1 => Automatic::Off,
                _ => Automatic::OffUntil(Timestamp(choices.number())),
            }),
            0 => Setting::RenameCommand {
                command: choices.text(4),
                to: choices.text(4),
            },
            1 => Setting::NotificationScript(choices.text(8)),
            2 => Setting::ClientReconfigScript(choices.text(8)),
            _ => Setting::AuthPass(choices.text(8).into()),
        },
    }
}

fn shared(choices: &mut Choices<'_>) -> SharedSetting {
    let node = u64::from(choices.below(4));
    match choices.below(4) {
        0 => SharedSetting::ResolveHostnames(choices.one_in(2)),
        1 => SharedSetting::AnnounceHostnames(choices.one_in(2)),
        2 => SharedSetting::AnnounceHost {
            node,
            host: choices.text(8),
        },
        _ => SharedSetting::AnnouncePort {
            node,
            port: u16::from(choices.byte()),
        },
    }
}

fn node(choices: &mut Choices<'_>) -> Node {
    Node {
        address: if choices.one_in(8) {
            choices.text(12)
        } else {
            "10.0.0.9:26379".to_owned()
        },
        incarnation: choices.text(4),
        my_id: MyId(choices.text(4).into()),
        role: if choices.one_in(2) {
            NodeRole::Learner
        } else {
            NodeRole::Voter
        },
        labels: BTreeMap::from([(choices.text(2), choices.text(2))]),
    }
}

fn fault(choices: &mut Choices<'_>) -> Fault {
    match choices.below(5) {
        0 => Fault::NoGoodReplica,
        1 => Fault::Candidate(choices.text(8).into()),
        2 => Fault::PrimaryBack,
        3 => Fault::Primary(choices.text(8).into()),
        _ => Fault::Timeout,
    }
}

fn step(choices: &mut Choices<'_>) -> ReconfStep {
    let steps = [
        ReconfStep::Waiting,
        ReconfStep::Sent,
        ReconfStep::InProgress,
        ReconfStep::Done,
        ReconfStep::GivenUp,
    ];
    steps[usize::from(choices.below(5))]
}

/// Some of a few, as a map.
fn some<T>(choices: &mut Choices<'_>, value: impl Fn(&mut Choices<'_>) -> T) -> BTreeMap<Address, T> {
    (0..choices.below(4))
        .map(|_| (address(choices), value(choices)))
        .collect()
}

/// A replica that could be promoted, and its process; anything when there is none or when chance wants it.
fn candidate(choices: &mut Choices<'_>, group: Option<&Arc<Group>>) -> (Address, RunId) {
    let wild = (address(choices), run_id(choices));
    let good =
        |(address, member): (&Address, &Member)| Some((*address, member.run_id.clone().filter(|_| member.synced)?));
    let known = group.and_then(|group| group.replicas().find_map(good));
    known.filter(|_| !choices.one_in(4)).unwrap_or(wild)
}

/// The next command; versions and epochs come from the state, now and then a stale or impossible one.
pub(super) fn next(choices: &mut Choices<'_>, state: &State) -> Command {
    let kind = choices.below(20);
    let name = name(choices);
    let known = state.group_named(name.as_str()).cloned();
    let group = known.as_ref().map_or(GroupId(99), |group| group.id);
    let odd = choices.one_in(16);
    let close = |right: u64, choices: &mut Choices<'_>| if odd { choices.number() } else { right };
    let on = close(known.as_ref().map_or(0, |group| group.version), choices);
    let epoch = close(known.as_ref().map_or(0, |group| group.epoch), choices);
    let flag = choices.one_in(2);
    match kind {
        0 if flag => Command::Share {
            settings: (0..choices.below(4)).map(|_| shared(choices)).collect(),
        },
        0 => Command::Noop,
        9 if flag => Command::Name {
            group,
            on,
            hosts: some(choices, host),
        },
        1 => Command::Monitor {
            host: Some(host(choices)).filter(|_| odd),
            name,
            primary: address(choices),
            quorum: u32::from(choices.below(3)),
            settings: Vec::new(),
        },
        3 if flag => {
            let from = known.map_or_else(|| address(choices), |group| group.primary);
            let to = Address {
                port: from.port,
                ..address(choices)
            };
            Command::Readdress { group, on, from, to }
        }
        2 => Command::Configure {
            host: Some(host(choices)).filter(|_| odd),
            name,
            primary: address(choices),
            quorum: u32::from(choices.below(3)),
            settings: (0..choices.below(3)).map(|_| setting(choices)).collect(),
        },
        3 => Command::Remove { name },
        4 => Command::Set {
            name,
            settings: (0..choices.below(4)).map(|_| setting(choices)).collect(),
        },
        5 => {
            let forget = some(choices, |_| ()).into_keys().collect();
            let mut groups = vec![ResetGroup { group, on, forget }];
            if choices.one_in(4) {
                groups.push(groups[0].clone());
            }
            Command::Reset { groups }
        }
        6 | 7 => Command::Learn {
            group,
            on,
            members: some(choices, member),
        },
        8 => Command::Outage {
            group,
            on,
            votes: u32::from(choices.byte()),
            replicas: some(choices, |choices| choices.text(8).into()),
        },
        9 => Command::OutageOver { group, on },
        10 | 11 => {
            let kinds = [
                FailoverKind::Automatic,
                FailoverKind::Operator,
                FailoverKind::Emptied,
                FailoverKind::Coordinated,
            ];
            let (candidate, run_id) = candidate(choices, known.as_ref());
            Command::OpenFailover {
                group,
                on,
                kind: kinds[usize::from(choices.below(4))],
                votes: u32::from(choices.byte()),
                candidate,
                run_id,
            }
        }
        12 => {
            let mut proof = proof(choices);
            if let Some(failover) = known.and_then(|group| group.failover.clone()).filter(|_| !odd) {
                proof.run_id = failover.candidate_run_id;
            }
            Command::CompletePromotion {
                group,
                on,
                epoch,
                proof,
            }
        }
        13 => Command::AbortFailover {
            group,
            on,
            epoch,
            fault: fault(choices),
        },
        14 => Command::Reconfigured {
            group,
            on,
            epoch,
            steps: some(choices, step),
        },
        15 => Command::EndFailover {
            group,
            on,
            epoch,
            timed_out: flag,
        },
        16 => Command::Adopt {
            group,
            on,
            primary: address(choices),
            proof: proof(choices),
        },
        17 => Command::Repaired {
            group,
            on,
            member: address(choices),
            was_primary: flag,
        },
        18 => Command::Nodes {
            nodes: (0..choices.below(4))
                .map(|_| (choices.number(), node(choices)))
                .collect(),
        },
        _ => Command::Found {
            cluster: ClusterId(choices.text(8).into()),
        },
    }
}
