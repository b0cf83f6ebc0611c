//! Tests of what a connection was told.

use super::*;
use crate::machine::{Command, Entry, Outcome, SwitchProof, apply};
use crate::model::{Address, Member, RunId, Timestamp};

fn at(port: u16) -> Address {
    Address::parse("10.0.0.1", &port.to_string()).unwrap()
}

fn done(state: &mut State, command: Command) {
    let outcome = apply(
        state,
        &Entry {
            command,
            at: Timestamp(1),
        },
    )
    .outcome;
    assert!(!matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
}

/// A state with these groups, at ports from 6379 up.
fn fleet(names: &[&str]) -> State {
    let mut state = State::default();
    for (name, port) in names.iter().zip(6379..) {
        monitor(&mut state, name, at(port));
    }
    state
}

fn monitor(state: &mut State, name: &str, primary: Address) {
    let name = GroupName::new(name).unwrap();
    done(
        state,
        Command::Monitor {
            host: None,
            name,
            primary,
            quorum: 1,
            settings: Vec::new(),
        },
    );
}

fn remove(state: &mut State, name: &str) {
    let name = GroupName::new(name).unwrap();
    done(state, Command::Remove { name });
}

fn switch(state: &mut State, name: &str, to: Address) {
    let group = state.group_named(name).unwrap().clone();
    let run_id = RunId::new(to.to_string());
    let member = Member {
        run_id: Some(run_id.clone()),
        synced: true,
        ..Member::default()
    };
    let learn = Command::Learn {
        group: group.id,
        on: group.version,
        members: BTreeMap::from([(to, member)]),
    };
    done(state, learn);
    let on = state.group(group.id).unwrap().version;
    let proof = SwitchProof { run_id, lineage: None };
    done(
        state,
        Command::Adopt {
            group: group.id,
            on,
            primary: to,
            proof,
        },
    );
}

fn look_up(told: &mut Told, state: &State, name: &str) {
    match state.group_named(name) {
        Some(group) => told.looked_up(state, &group.clone()),
        None => told.looked_up_in_vain(state, name.as_bytes()),
    }
}

fn moved(told: &mut Told, state: &State, filter: Filter) -> Vec<String> {
    let switches = told.moved(state, filter);
    let text = |switch: &Published| String::from_utf8_lossy(&switch.payload).into_owned();
    switches.iter().map(text).collect()
}

#[test]
fn names_without_a_group_do_not_pile_up() {
    let mut state = State::default();
    let mut told = Told::default();
    for number in 0..3 * GROUPLESS_NAMES_MAX {
        let name = format!("group{number}");
        monitor(&mut state, &name, at(6379));
        look_up(&mut told, &state, &name);
        look_up(&mut told, &state, &format!("nobody{number}"));
        remove(&mut state, &name);
    }
    assert!(told.names.len() <= GROUPLESS_NAMES_MAX + 1);
}

#[test]
fn what_moved_is_told_once_and_in_the_order_of_the_log() {
    let mut state = fleet(&["a-1", "b-1", "c-1"]);
    let mut told = Told::default();
    for name in ["a-1", "b-1"] {
        look_up(&mut told, &state, name);
    }
    assert!(moved(&mut told, &state, Filter::Nothing).is_empty());
    for (name, port) in [("b-1", 7001), ("c-1", 7002), ("a-1", 7003), ("b-1", 7004)] {
        switch(&mut state, name, at(port));
    }
    let news = moved(&mut told, &state, Filter::Nothing);
    assert_eq!(
        news,
        ["a-1 10.0.0.1 6379 10.0.0.1 7003", "b-1 10.0.0.1 6380 10.0.0.1 7004"]
    );
    told.subscriptions_changed();
    assert!(moved(&mut told, &state, Filter::Nothing).is_empty());
}

#[test]
fn what_a_proxy_was_spared_is_told_when_it_turns_out_to_be_none() {
    let mut state = fleet(&["a-1", "plain"]);
    let mut told = Told::default();
    told.asked_for_list(ListKind::Info);
    told.listed(&state);
    switch(&mut state, "plain", at(7001));
    assert!(moved(&mut told, &state, Filter::BySignature).is_empty());
    monitor(&mut state, "later", at(8000));
    assert!(moved(&mut told, &state, Filter::BySignature).is_empty());
    told.subscriptions_changed();
    let news = moved(&mut told, &state, Filter::Nothing);
    assert_eq!(news, ["plain 10.0.0.1 6380 10.0.0.1 7001"]);
}

#[test]
fn a_name_that_came_back_elsewhere_is_told_from_what_is_known() {
    let mut state = fleet(&["a-1"]);
    let mut told = Told::default();
    look_up(&mut told, &state, "a-1");
    remove(&mut state, "a-1");
    assert!(moved(&mut told, &state, Filter::Nothing).is_empty());
    monitor(&mut state, "a-1", at(7001));
    assert_eq!(
        moved(&mut told, &state, Filter::Nothing),
        ["a-1 10.0.0.1 6379 10.0.0.1 7001"]
    );
}

#[test]
fn a_name_that_came_back_between_list_and_subscription_is_told_to_an_old_proxy() {
    let mut state = fleet(&["a-1", "plain"]);
    let mut told = Told::default();
    told.asked_for_list(ListKind::Info);
    told.listed(&state);
    for (name, port) in [("a-1", 7001), ("plain", 7002)] {
        remove(&mut state, name);
        monitor(&mut state, name, at(port));
    }
    let mut other = Told::default();
    other.listed(&state);
    assert_eq!(
        moved(&mut told, &state, Filter::BySignature),
        ["a-1 10.0.0.1 7001 10.0.0.1 7001"]
    );
    assert!(moved(&mut told, &state, Filter::BySignature).is_empty());
    assert!(moved(&mut other, &state, Filter::Nothing).is_empty(), "no proxy");
}

#[test]
fn a_name_that_was_looked_up_in_vain_is_the_only_one_that_concerns_its_proxy() {
    let mut state = fleet(&["a-1"]);
    let mut told = Told::default();
    look_up(&mut told, &state, "b-1");
    for filter in [Filter::BySignature, Filter::Always] {
        assert!(told.concerns(filter, "b-1", &at(1).into()) && !told.concerns(filter, "a-1", &at(1).into()));
    }
    monitor(&mut state, "b-1", at(7000));
    switch(&mut state, "b-1", at(7001));
    assert!(
        moved(&mut told, &state, Filter::Always).is_empty(),
        "it was told no address"
    );
    // A name that cannot be one is not kept, but says who asks.
    let mut told = Told::default();
    told.looked_up_in_vain(&state, b"no name");
    assert!(!told.concerns(Filter::BySignature, "a-1", &at(1).into()));
}

#[test]
fn on_the_port_of_old_proxies_what_is_safe_concerns_everyone_but_who_named_others() {
    let state = fleet(&["a-1", "plain"]);
    let six = Address::parse("::1", "6379").unwrap();
    let mut told = Told::default();
    told.asked_for_list(ListKind::Maps);
    told.listed(&state);
    let hears = |told: &Told, name, to: Address| told.concerns(Filter::Always, name, &to.into());
    assert!(hears(&told, "a-1", at(1)) && !hears(&told, "a-1", six) && !hears(&told, "plain", at(1)));
    look_up(&mut told, &state, "plain");
    told.asked_for_list(ListKind::Info);
    told.listed(&state);
    assert!(!hears(&told, "a-1", at(1)) && hears(&told, "plain", at(1)) && hears(&told, "plain", six));
}

#[test]
fn names_that_begin_with_one_another_are_found_once() {
    let names = ["shard1", "shard10", "shard2", "shard1-a", "other"];
    let state = fleet(&names);
    let mut told = Told::default();
    assert_eq!(told.take_prefix(), None);
    told.listed(&state);
    for name in ["shard10", "shard2", "other"] {
        look_up(&mut told, &state, name);
    }
    assert_eq!(told.take_prefix(), None);
    look_up(&mut told, &state, "shard1");
    let pair = told
        .take_prefix()
        .map(|(short, long)| [short.to_string(), long.to_string()]);
    assert_eq!(pair, Some(["shard1".to_owned(), "shard10".to_owned()]));
    look_up(&mut told, &state, "shard1");
    assert_eq!(told.take_prefix(), None);
}
