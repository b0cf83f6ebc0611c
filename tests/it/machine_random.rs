//! Random commands against the state machine: whatever is committed, no invariant breaks, the same log gives the
//! same bytes, and the address of a group moves along one chain.

use std::collections::BTreeMap;

use cfgserver::machine::{Command, Entry, Outcome, Rejection, ResetGroup, State, SwitchProof, apply, check};
use cfgserver::model::{
    Address, EventKind, FailoverKind, Fault, GroupId, GroupName, HostName, Member, ReconfStep, RunId, Setting,
    Timestamp,
};
use proptest::prelude::*;

fn at(port: u16) -> Address {
    Address::parse("10.0.0.1", &port.to_string()).unwrap()
}

fn run_id(port: u16) -> RunId {
    RunId::new(port.to_string())
}

fn name(index: u8) -> GroupName {
    GroupName::new(format!("g-{index}")).unwrap()
}

/// A command in the making: `Draft::finish` fills in versions and epochs from the state, mostly right ones.
#[derive(Clone, Debug)]
struct Draft {
    kind: u8,
    group: u8,
    port: u16,
    stale: bool,
    flag: bool,
}

impl Draft {
    fn finish(&self, state: &State) -> Command {
        let name = name(self.group);
        let known = state.group_named(name.as_str());
        let group = known.map_or(GroupId(99), |group| group.id);
        let on = known
            .map_or(0, |group| group.version)
            .saturating_sub(u64::from(self.stale));
        let epoch = known.map_or(0, |group| group.epoch);
        let candidate = at(self.port);
        let proof = SwitchProof {
            run_id: run_id(self.port),
            lineage: None,
        };
        match self.kind {
            2 if self.flag => Command::Name {
                group,
                on,
                hosts: [(candidate, HostName::new(&format!("h{}", self.port % 2)).unwrap())].into(),
            },
            12 if self.stale => Command::Readdress {
                group,
                on: known.map_or(0, |group| group.version),
                from: known.map_or(candidate, |group| group.primary),
                to: Address {
                    ip: [10, 0, 0, 1 + (self.port % 3) as u8].into(),
                    ..known.map_or(candidate, |group| group.primary)
                },
            },
            0 if self.stale => Command::Configure {
                host: HostName::new(&format!("h{}", self.port % 2)).ok().filter(|_| self.flag),
                name,
                primary: candidate,
                quorum: u32::from(self.flag) + 1,
                settings: vec![Setting::ParallelSyncs(u32::from(self.port % 3))],
            },
            0 => Command::Monitor {
                host: HostName::new(&format!("h{}", self.port % 2)).ok().filter(|_| self.flag),
                name,
                primary: candidate,
                quorum: u32::from(self.flag) + 1,
                settings: Vec::new(),
            },
            1 => Command::Remove { name },
            2 => Command::Set {
                name,
                settings: vec![Setting::Quorum(u32::from(self.port % 3))],
            },
            3 => {
                let forget = [candidate].into();
                Command::Reset {
                    groups: vec![ResetGroup { group, on, forget }],
                }
            }
            4 | 5 => Command::Learn {
                group,
                on,
                members: [(candidate, self.member())].into(),
            },
            6 => Command::Outage {
                group,
                on,
                votes: 2,
                replicas: BTreeMap::new(),
            },
            7 => Command::OutageOver { group, on },
            8 | 9 => {
                let kind = if self.flag {
                    FailoverKind::Automatic
                } else {
                    FailoverKind::Operator
                };
                Command::OpenFailover {
                    group,
                    on,
                    kind,
                    votes: 2,
                    candidate,
                    run_id: run_id(self.port),
                }
            }
            10 | 11 => Command::CompletePromotion {
                group,
                on,
                epoch,
                proof,
            },
            12 => Command::AbortFailover {
                group,
                on,
                epoch,
                fault: Fault::Timeout,
            },
            13 => {
                let step = if self.flag { ReconfStep::Sent } else { ReconfStep::Done };
                Command::Reconfigured {
                    group,
                    on,
                    epoch,
                    steps: [(candidate, step)].into(),
                }
            }
            14 => Command::EndFailover {
                group,
                on,
                epoch,
                timed_out: self.flag,
            },
            _ => Command::Adopt {
                group,
                on,
                primary: candidate,
                proof,
            },
        }
    }

    fn member(&self) -> Member {
        Member {
            run_id: Some(run_id(self.port)),
            synced: !self.stale,
            ..Member::default()
        }
    }
}

fn draft() -> impl Strategy<Value = Draft> {
    (0..16_u8, 0..2_u8, 1..6_u16, prop::bool::weighted(0.1), any::<bool>()).prop_map(
        |(kind, group, port, stale, flag)| Draft {
            kind,
            group,
            port,
            stale,
            flag,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_log_breaks_an_invariant(drafts in prop::collection::vec(draft(), 1..250)) {
        let (mut state, mut twin) = (State::default(), State::default());
        let mut told: BTreeMap<GroupId, Address> = BTreeMap::new();
        for (index, draft) in drafts.iter().enumerate() {
            let entry = Entry { command: draft.finish(&state), at: Timestamp(index as u64) };
            let revision = state.revision();
            let applied = apply(&mut state, &entry);
            let broken = matches!(applied.outcome, Outcome::Rejected(Rejection::Broken(_)));
            prop_assert!(!broken, "{:?} by {entry:?}", applied.outcome);
            prop_assert_eq!(&applied, &apply(&mut twin, &entry));
            prop_assert_eq!(check(&state, &applied.touched), Ok(()));
            prop_assert!(state.revision() >= revision);
            prop_assert!(applied.events.is_empty() || state.revision() > revision);
            for event in &applied.events {
                prop_assert_eq!(event.revision, Some(state.revision()));
                match (&event.kind, event.group) {
                    (EventKind::Monitor { .. }, Some(group)) => {
                        told.insert(group, state.group(group).unwrap().primary);
                    }
                    (EventKind::Switch { from, to, .. }, Some(group)) => {
                        prop_assert_eq!(told.insert(group, *to), Some(*from), "a gap in the chain");
                    }
                    _ => {}
                }
            }
        }
        for group in state.groups() {
            prop_assert_eq!(told.get(&group.id), Some(&group.primary), "the last address told is the current one");
        }
        let records = state.all_records().into_iter().map(|record| (record.key, record.value.unwrap()));
        prop_assert_eq!(State::from_records(records).unwrap(), twin);
    }
}
