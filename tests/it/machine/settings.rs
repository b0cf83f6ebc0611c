//! Settings: those of a group, and those that are not of one.

use std::collections::BTreeMap;

use cfgserver::machine::{Command, Rejection, SharedSetting, State};
use cfgserver::model::{Automatic, FailoverKind, MyId, Node, NodeRole, Setting, Timestamp};

use super::{World, at, kinds, monitor, name};

fn set(settings: Vec<Setting>) -> Command {
    let name = name("g");
    Command::Set { name, settings }
}

fn rename(command: &str, to: &str) -> Setting {
    let (command, to) = (command.to_owned(), to.to_owned());
    Setting::RenameCommand { command, to }
}

fn nodes(ids: &[u64]) -> Command {
    let node = |id: u64| Node {
        address: format!("10.0.0.{id}:26379"),
        incarnation: format!("{id}"),
        my_id: MyId(format!("{id:040}").into()),
        role: NodeRole::Voter,
        labels: BTreeMap::new(),
    };
    let nodes = ids.iter().map(|id| (*id, node(*id))).collect();
    Command::Nodes { nodes }
}

fn announce(node: u64, host: &str) -> SharedSetting {
    let host = host.to_owned();
    SharedSetting::AnnounceHost { node, host }
}

/// What is read back from the records of a state is that state.
fn survives(state: &State) {
    let records = state.all_records().into_iter();
    let records: BTreeMap<_, _> = records.map(|record| (record.key, record.value.unwrap())).collect();
    assert_eq!(State::from_records(records).unwrap(), *state);
}

#[test]
fn a_renamed_command_has_one_name_whatever_its_case_and_the_same_name_takes_it_back() {
    let mut world = World::with_group();
    let renamed = |world: &World| world.group("g").config.renamed;
    let events = world.done(set(vec![rename("CONFIG", "guessme"), rename("slaveof", "follow")]));
    assert_eq!(kinds(&events), ["Set", "Set"]);
    world.done(set(vec![rename("Config", "other")]));
    let pairs = [("config", "other"), ("slaveof", "follow")];
    let pairs: BTreeMap<String, String> = pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    assert_eq!(renamed(&world), pairs);
    survives(&world.state);
    world.done(set(vec![rename("config", "CONFIG"), rename("SLAVEOF", "slaveof")]));
    assert!(renamed(&world).is_empty());
    assert_eq!(world.refused(set(vec![rename("", "x")])), Rejection::Invalid);
    assert_eq!(world.refused(set(vec![rename("x", "")])), Rejection::Invalid);
    let many = (0..=256).map(|number| rename(&format!("c{number}"), "x")).collect();
    assert_eq!(world.refused(set(many)), Rejection::Invalid, "they are bounded");
}

#[test]
fn scripts_are_kept_and_an_empty_one_is_none() {
    let mut world = World::with_group();
    world.done(set(vec![
        Setting::NotificationScript("/bin/a".to_owned()),
        Setting::ClientReconfigScript("/bin/b".to_owned()),
    ]));
    let config = world.group("g").config;
    assert_eq!(
        (
            config.notification_script.as_str(),
            config.client_reconfig_script.as_str()
        ),
        ("/bin/a", "/bin/b")
    );
    survives(&world.state);
    world.done(set(vec![Setting::NotificationScript(String::new())]));
    assert_eq!(world.group("g").config.notification_script, "");
}

#[test]
fn a_new_group_begins_with_the_settings_of_its_monitor_and_a_repeat_changes_none() {
    let mut world = World::default();
    let with = |ms: u64| {
        let Command::Monitor {
            name, primary, quorum, ..
        } = monitor("g", 1, 2)
        else {
            unreachable!()
        };
        let settings = vec![Setting::DownAfterMs(ms)];
        Command::Monitor {
            host: None,
            name,
            primary,
            quorum,
            settings,
        }
    };
    world.done(with(500));
    assert_eq!(world.group("g").config.down_after_ms, 500);
    assert_eq!(world.group("g").primary, at(1));
    world.done(with(700));
    assert_eq!(world.group("g").config.down_after_ms, 500);
    let mut other = World::default();
    assert_eq!(other.refused(with(0)), Rejection::Invalid);
}

#[test]
fn what_a_node_announces_goes_with_the_node() {
    let mut world = World::with_group();
    world.done(nodes(&[1, 2]));
    let share = |settings| Command::Share { settings };
    let before = world.state.revision();
    world.done(share(vec![
        announce(2, "db"),
        SharedSetting::AnnouncePort { node: 2, port: 7000 },
        SharedSetting::ResolveHostnames(true),
        SharedSetting::AnnounceHostnames(true),
    ]));
    assert_eq!(world.state.revision(), before + 1);
    let shared = world.state.header().shared.clone();
    assert!(shared.resolve_hostnames && shared.announce_hostnames);
    let announced: Vec<_> = shared.announced.iter().collect();
    assert_eq!(announced.len(), 1, "{announced:?}");
    assert_eq!((announced[0].1.host.as_str(), announced[0].1.port), ("db", 7000));
    survives(&world.state);
    let unknown = share(vec![SharedSetting::ResolveHostnames(false), announce(3, "nobody")]);
    assert_eq!(world.refused(unknown), Rejection::Invalid, "all or nothing");
    world.done(share(vec![SharedSetting::ResolveHostnames(true)]));
    assert_eq!(world.state.revision(), before + 1, "nothing changed");
    let mut elsewhere = nodes(&[1, 2]);
    if let Command::Nodes { nodes } = &mut elsewhere {
        nodes.get_mut(&1).unwrap().address = "10.0.0.9:26379".to_owned();
        nodes.get_mut(&2).unwrap().address = "10.0.0.9:26380".to_owned();
    }
    // The second is told where it announces to be, wherever the others reach it.
    let events = world.done(elsewhere);
    assert_eq!(kinds(&events), ["NodeMoved"]);
    world.done(nodes(&[1]));
    assert!(world.state.header().shared.announced.is_empty());
    world.done(nodes(&[1, 4]));
    world.done(share(vec![announce(4, "x")]));
    world.done(share(vec![announce(4, "")]));
    assert!(world.state.header().shared.announced.is_empty());
}

/// The log's own time decides, which does not go back with a wall clock.
#[test]
fn no_automatic_failover_is_opened_while_it_is_off_and_an_operator_may() {
    let mut world = World::with_group();
    let open = |world: &World, kind| match world.open(2) {
        Command::OpenFailover {
            group,
            on,
            candidate,
            run_id,
            votes,
            ..
        } => Command::OpenFailover {
            group,
            on,
            kind,
            votes,
            candidate,
            run_id,
        },
        other => other,
    };
    let events = world.done(set(vec![Setting::Automatic(Automatic::Off)]));
    assert_eq!(kinds(&events), ["Set"]);
    survives(&world.state);
    for kind in [FailoverKind::Automatic, FailoverKind::Emptied] {
        let refused = open(&world, kind);
        assert_eq!(world.refused(refused), Rejection::Invalid, "{kind:?}");
    }
    let end = Timestamp(world.now + 10);
    world.done(set(vec![Setting::Automatic(Automatic::OffUntil(end))]));
    survives(&world.state);
    let early = open(&world, FailoverKind::Automatic);
    assert_eq!(world.refused(early), Rejection::Invalid);
    world.now = end.0;
    world.done(Command::Noop);
    world.now = 1;
    let mut later = world.state.clone();
    let opened = cfgserver::machine::apply(
        &mut later,
        &cfgserver::machine::Entry {
            command: open(&world, FailoverKind::Automatic),
            at: Timestamp(1),
        },
    );
    assert!(!opened.events.is_empty(), "it was over before the clock went back");
    world.done(set(vec![Setting::Automatic(Automatic::Off)]));
    let asked = open(&world, FailoverKind::Operator);
    world.done(asked);
}
