//! The replicated state machine, entry by entry.

mod configure;
mod differences;
mod hosts;
mod records;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use cfgserver::machine::{Applied, Command, Entry, Outcome, Rejection, ResetGroup, State, SwitchProof, apply};
use cfgserver::model::{
    Address, Event, EventKind, FailoverKind, Fault, Group, GroupName, Lineage, Member, ReconfStep, RunId, Setting,
    Stage, Timestamp,
};

fn at(port: u16) -> Address {
    Address::parse("127.0.0.1", &port.to_string()).unwrap()
}

fn name(text: &str) -> GroupName {
    GroupName::new(text).unwrap()
}

fn run_id(port: u16) -> RunId {
    RunId::new(format!("{port:040x}"))
}

fn member(port: u16) -> Member {
    let lineage = Lineage {
        replid: "aaaa".into(),
        replid2: None,
    };
    Member {
        run_id: Some(run_id(port)),
        lineage: Some(lineage),
        synced: true,
        non_empty: true,
        quarantine: None,
    }
}

/// A state machine under test, with the clock of its proposer.
#[derive(Default)]
struct World {
    state: State,
    now: u64,
}

impl World {
    fn apply(&mut self, command: Command) -> Applied {
        self.now += 1;
        apply(
            &mut self.state,
            &Entry {
                command,
                at: Timestamp(self.now),
            },
        )
    }

    fn done(&mut self, command: Command) -> Vec<Event> {
        let applied = self.apply(command);
        assert!(
            !matches!(applied.outcome, Outcome::Rejected(_)),
            "{:?}",
            applied.outcome
        );
        applied.events
    }

    fn refused(&mut self, command: Command) -> Rejection {
        let before = self.state.clone();
        let applied = self.apply(command);
        let Outcome::Rejected(rejection) = applied.outcome else {
            panic!("accepted: {:?}", applied.outcome)
        };
        assert!(applied.events.is_empty());
        assert_eq!(
            self.state.all_records()[1..],
            before.all_records()[1..],
            "a rejection changed a group"
        );
        assert_eq!(self.state.revision(), before.revision());
        rejection
    }

    fn group(&self, group: &str) -> Group {
        self.state.group_named(group).unwrap().as_ref().clone()
    }

    /// Group `g` with a primary at 1 and synced replicas at 2 and 3.
    fn with_group() -> Self {
        let mut world = Self::default();
        world.done(monitor("g", 1, 2));
        let Group {
            id: group, version: on, ..
        } = world.group("g");
        let members = [1, 2, 3].map(|port| (at(port), member(port))).into();
        world.done(Command::Learn { group, on, members });
        world
    }

    fn open(&self, candidate: u16) -> Command {
        let Group {
            id: group, version: on, ..
        } = self.group("g");
        let (candidate, run_id) = (at(candidate), run_id(candidate));
        Command::OpenFailover {
            group,
            on,
            kind: FailoverKind::Automatic,
            votes: 2,
            candidate,
            run_id,
        }
    }

    fn complete(&self, promoted: u16) -> Command {
        let Group {
            id: group,
            version: on,
            epoch,
            ..
        } = self.group("g");
        let proof = SwitchProof {
            run_id: run_id(promoted),
            lineage: None,
        };
        Command::CompletePromotion {
            group,
            on,
            epoch,
            proof,
        }
    }
}

fn monitor(group: &str, port: u16, quorum: u32) -> Command {
    Command::Monitor {
        host: None,
        name: name(group),
        primary: at(port),
        quorum,
        settings: Vec::new(),
    }
}

fn kinds(events: &[Event]) -> Vec<String> {
    let kind = |event: &Event| format!("{:?}", event.kind);
    events
        .iter()
        .map(|event| kind(event).split([' ', '(', '{']).next().unwrap().to_owned())
        .collect()
}

#[test]
fn monitor_repeats_are_ok_and_others_are_refused() {
    let mut world = World::default();
    assert_eq!(kinds(&world.done(monitor("g", 1, 2))), ["Monitor"]);
    let revision = world.state.revision();
    assert!(world.done(monitor("g", 1, 2)).is_empty());
    assert_eq!(world.state.revision(), revision, "a repeat changes nothing");
    assert_eq!(world.refused(monitor("g", 1, 3)), Rejection::DuplicateName);
    assert_eq!(world.refused(monitor("g", 9, 2)), Rejection::DuplicateName);
    assert_eq!(world.refused(monitor("h", 1, 2)), Rejection::AddressTaken(name("g")));
    assert_eq!(world.refused(monitor("h", 2, 0)), Rejection::Invalid);
}

#[test]
fn monitor_of_the_address_after_a_switch_is_ok() {
    let mut world = World::with_group();
    world.done(world.open(2));
    world.done(world.complete(2));
    world.done(monitor("g", 2, 2));
    world.done(monitor("g", 1, 2));
    assert_eq!(world.refused(monitor("g", 3, 2)), Rejection::DuplicateName);
}

#[test]
fn set_is_all_or_nothing() {
    let mut world = World::with_group();
    let set = |settings| Command::Set {
        name: name("g"),
        settings,
    };
    let bad = vec![Setting::Quorum(5), Setting::ParallelSyncs(0)];
    assert_eq!(world.refused(set(bad)), Rejection::Invalid);
    assert_eq!(world.group("g").config.quorum, 2);
    let events = world.done(set(vec![
        Setting::Quorum(5),
        Setting::AuthPass("secret".to_owned().into()),
    ]));
    assert_eq!(kinds(&events), ["Set", "Set"]);
    assert!(
        !format!("{events:?}").contains("secret"),
        "secrets are masked in events"
    );
    assert_eq!(world.group("g").config.quorum, 5);
}

#[test]
fn a_failover_goes_through_its_stages_and_tells_them_in_order() {
    let mut world = World::with_group();
    let opened = world.done(world.open(2));
    assert_eq!(
        kinds(&opened),
        [
            "Outage",
            "NewEpoch",
            "TryFailover",
            "ElectedLeader",
            "SelectReplica",
            "SelectedReplica",
            "SendPromote",
            "WaitPromotion"
        ]
    );
    assert_eq!(
        world.group("g").primary,
        at(1),
        "the address does not change before the promotion is complete"
    );
    let switched = world.done(world.complete(2));
    assert_eq!(
        kinds(&switched),
        ["Promoted", "ReconfReplicas", "Switch", "Replica", "Replica"]
    );
    let group = world.group("g");
    assert_eq!(
        (group.primary, group.config_epoch, group.outage.clone()),
        (at(2), 1, None)
    );
    assert!(group.members.contains_key(&at(1)), "the old primary stays a member");

    let steps = BTreeMap::from([(at(3), ReconfStep::Done)]);
    let Group {
        id, version: on, epoch, ..
    } = group;
    let events = world.done(Command::Reconfigured {
        group: id,
        on,
        epoch,
        steps,
    });
    assert_eq!(kinds(&events), ["ReconfSent", "ReconfInProgress", "ReconfDone"]);
    let on = world.group("g").version;
    let events = world.done(Command::EndFailover {
        group: id,
        on,
        epoch,
        timed_out: true,
    });
    assert_eq!(kinds(&events), ["FailoverEndForTimeout", "FailoverEnd"]);
    assert_eq!(world.group("g").failover, None);
}

#[test]
fn one_candidate_per_epoch_for_ever() {
    let mut world = World::with_group();
    world.done(world.open(2));
    assert_eq!(world.refused(world.open(3)), Rejection::InProgress);
    let Group {
        id: group,
        version: on,
        epoch,
        ..
    } = world.group("g");
    world.done(Command::AbortFailover {
        group,
        on,
        epoch,
        fault: Fault::from("refused"),
    });
    world.done(world.open(3));
    let failover = world.group("g").failover.unwrap();
    assert_eq!(
        (failover.epoch, failover.candidate),
        (2, at(3)),
        "an abort burns its epoch"
    );
    let late = SwitchProof {
        run_id: run_id(2),
        lineage: None,
    };
    let on = world.group("g").version;
    let stale = Command::CompletePromotion {
        group,
        on,
        epoch: 1,
        proof: late.clone(),
    };
    assert_eq!(world.refused(stale), Rejection::NoSuchFailover);
    let wrong = Command::CompletePromotion {
        group,
        on,
        epoch: 2,
        proof: late,
    };
    assert_eq!(world.refused(wrong), Rejection::NoSuchFailover);
}

#[test]
fn only_a_synced_unquarantined_known_process_is_a_candidate() {
    let mut world = World::with_group();
    let spoil = |world: &mut World, change: fn(&mut Member)| {
        let Group {
            id: group, version: on, ..
        } = world.group("g");
        let mut facts = member(2);
        change(&mut facts);
        world.done(Command::Learn {
            group,
            on,
            members: [(at(2), facts)].into(),
        });
    };
    for change in [
        |member: &mut Member| member.synced = false,
        |member: &mut Member| member.quarantine = Some("foreign lineage".into()),
        |member: &mut Member| member.run_id = Some(RunId::new("other")),
        |member: &mut Member| member.run_id = None,
    ] {
        spoil(&mut world, change);
        assert_eq!(world.refused(world.open(2)), Rejection::NotACandidate);
    }
    let mut itself = world.open(1);
    if let Command::OpenFailover { kind, .. } = &mut itself {
        *kind = FailoverKind::Operator;
    }
    let refused = world.refused(itself);
    assert_eq!(refused, Rejection::NotACandidate, "there is nothing to switch to");
    assert_eq!(world.refused(world.open(9)), Rejection::NotACandidate, "a stranger");
    spoil(&mut world, |_| {});
    world.done(world.open(2));
}

#[test]
fn a_demoted_primary_is_reinstated_without_a_switch_for_clients() {
    let mut world = World::with_group();
    world.done(world.open(1));
    let events = world.done(world.complete(1));
    let told: Vec<_> = events.iter().map(|event| &event.kind).collect();
    assert!(matches!(told[0], EventKind::Promoted(_)), "{told:?}");
    assert!(!told.iter().any(|kind| matches!(kind, EventKind::Switch { .. })));
    let group = world.group("g");
    assert_eq!((group.primary, group.epoch, group.config_epoch), (at(1), 1, 1));
    assert_eq!(group.switches.len(), 1, "the brake on flapping counts it");
    let Some(Stage::Reconfigure { steps }) = group.failover.map(|failover| failover.stage) else {
        panic!("replicas are turned next");
    };
    assert_eq!(steps.into_keys().collect::<Vec<_>>(), [at(2), at(3)]);
}

#[test]
fn a_command_planned_on_an_older_version_is_refused() {
    let mut world = World::with_group();
    let planned = world.open(2);
    world.done(Command::Set {
        name: name("g"),
        settings: vec![Setting::Quorum(1)],
    });
    assert_eq!(world.refused(planned), Rejection::Moved);
}

#[test]
fn reset_forgets_only_what_it_is_told_and_not_between_the_commits() {
    let mut world = World::with_group();
    let reset = |world: &World, forget: &[u16]| {
        let Group {
            id: group, version: on, ..
        } = world.group("g");
        let forget: BTreeSet<_> = forget.iter().map(|port| at(*port)).collect();
        Command::Reset {
            groups: vec![ResetGroup { group, on, forget }],
        }
    };
    world.done(world.open(2));
    assert_eq!(world.refused(reset(&world, &[3])), Rejection::InProgress);
    world.done(world.complete(2));
    let applied = world.apply(reset(&world, &[2, 3]));
    assert_eq!(applied.outcome, Outcome::Count(1));
    let group = world.group("g");
    assert_eq!(
        group.members.keys().copied().collect::<Vec<_>>(),
        [at(1), at(2)],
        "never the primary"
    );
    assert!(group.members[&at(2)].synced, "what makes a promotion safe is kept");
}

#[test]
fn time_never_goes_back() {
    let mut world = World {
        now: 1_000,
        ..World::default()
    };
    world.done(monitor("g", 1, 1));
    world.now = 5;
    world.done(monitor("h", 2, 1));
    assert_eq!(world.state.header().now, Timestamp(1_001));
}

#[test]
fn a_member_of_another_group_is_not_adopted() {
    let mut world = World::with_group();
    world.done(monitor("h", 7, 1));
    let Group {
        id: group, version: on, ..
    } = world.group("h");
    world.done(Command::Learn {
        group,
        on,
        members: [(at(3), member(3))].into(),
    });
    assert!(!world.group("h").members.contains_key(&at(3)));
    assert_eq!(world.state.group_at(at(3)).unwrap().name, name("g"));
}

#[test]
fn records_give_the_state_back() {
    let mut world = World::with_group();
    world.done(world.open(2));
    let records = world.state.all_records();
    let pairs = records.into_iter().map(|record| (record.key, record.value.unwrap()));
    let again = State::from_records(pairs).unwrap();
    assert_eq!(again, world.state);
    assert!(matches!(world.group("g").failover.unwrap().stage, Stage::Promote));
}

#[test]
fn changed_records_are_exactly_those_that_were_touched() {
    let mut world = World::with_group();
    world.done(monitor("h", 7, 1));
    let mut stored: BTreeMap<_, _> = world
        .state
        .all_records()
        .into_iter()
        .map(|record| (record.key, record.value.unwrap()))
        .collect();
    let commands = [world.open(3), Command::Remove { name: name("h") }, monitor("i", 8, 1)];
    for command in commands {
        let applied = world.apply(command);
        for record in world.state.records(&applied.touched) {
            match record.value {
                Some(value) => stored.insert(record.key, value),
                None => stored.remove(&record.key),
            };
        }
    }
    assert_eq!(State::from_records(stored).unwrap(), world.state);
}

#[test]
fn the_groups_that_moved_since_a_revision_are_found_in_the_order_of_the_log() {
    let mut world = World::with_group();
    let moved = |world: &World, since| -> Vec<String> {
        let groups = world.state.moved_since(since);
        groups.map(|group| group.name.to_string()).collect()
    };
    assert_eq!(moved(&world, 0), ["g"]);
    let before = world.state.revision();
    assert_eq!(moved(&world, before), [""; 0]);
    world.done(monitor("later", 7000, 1));
    world.done(Command::Set {
        name: name("g"),
        settings: vec![Setting::Quorum(3)],
    });
    assert_eq!(moved(&world, before), ["later"], "a setting is no move");
    world.done(world.open(2));
    world.done(world.complete(2));
    assert_eq!(moved(&world, before), ["later", "g"]);
    assert_eq!(moved(&world, world.state.revision() - 1), ["g"]);
    assert_eq!(moved(&world, world.state.revision()), [""; 0]);
    world.done(Command::Remove { name: name("later") });
    assert_eq!(moved(&world, 0), ["g"]);
}

#[test]
fn records_that_are_not_ours_are_refused() {
    assert!(State::from_records([(b"x".to_vec(), Vec::new())]).is_err());
    assert!(State::from_records([(b"h".to_vec(), vec![0xc1])]).is_err());
}
