//! Records that are a state, and records that are not a whole one.

use std::collections::BTreeMap;

use cfgserver::machine::{Command, State};

use super::{World, at, member, monitor, name, run_id};

type Stored = BTreeMap<Vec<u8>, Vec<u8>>;

fn stored(state: &State) -> Stored {
    let records = state.all_records().into_iter();
    records.map(|record| (record.key, record.value.unwrap())).collect()
}

fn two_groups() -> World {
    let mut world = World::with_group();
    world.done(monitor("h", 7, 1));
    world
}

#[test]
fn a_process_that_two_groups_have_seen_is_known_in_both_before_and_after_a_restart() {
    let mut world = two_groups();
    let (first, second) = (world.group("g").id, world.group("h").id);
    let on = world.group("h").version;
    let members = [(at(7), member(2))].into();
    world.done(Command::Learn {
        group: second,
        on,
        members,
    });
    let known = |state: &State| state.groups_of_run_id(&run_id(2)).collect::<Vec<_>>();
    let related = |state: &State| state.groups_of_replid("aaaa").collect::<Vec<_>>();
    assert_eq!(known(&world.state), [first, second]);
    assert!(related(&world.state).contains(&second));
    assert_eq!(State::from_records(stored(&world.state)).unwrap(), world.state);
    world.done(Command::Remove { name: name("h") });
    assert_eq!(known(&world.state), [first], "the first group still has it");
    assert_eq!(State::from_records(stored(&world.state)).unwrap(), world.state);
}

#[test]
fn records_that_could_not_be_written_together_are_refused() {
    let world = two_groups();
    let good = stored(&world.state);
    let refused = |change: &dyn Fn(&mut Stored), reason: &str| {
        let mut records = good.clone();
        change(&mut records);
        let error = State::from_records(records).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    let key = |id: u64| [&b"g"[..], &id.to_be_bytes()].concat();
    let moved = |records: &mut Stored, from: u64, to: u64| {
        let value = records.remove(&key(from)).unwrap();
        records.insert(key(to), value);
    };
    refused(&|records| drop(records.remove(&b"h"[..])), "0 headers");
    refused(&|records| moved(records, 1, 2), "not where it belongs");
    refused(&|records| moved(records, 2, 9), "not where it belongs");
    refused(
        &|records| records.get_mut(&key(1)).unwrap().push(0),
        "goes on behind its end",
    );
    // A header of an earlier moment.
    let earlier = stored(&State::default())[&b"h"[..]].clone();
    refused(
        &|records| drop(records.insert(b"h".to_vec(), earlier.clone())),
        "beyond the last one",
    );
    // Two groups of one name, with a record of another history.
    let mut other = World::default();
    other.done(monitor("g", 8, 1));
    other.done(monitor("x", 9, 1));
    other.done(Command::Remove { name: name("g") });
    other.done(monitor("g", 8, 1));
    let twin = stored(&other.state)[&key(3)].clone();
    let two = |records: &mut Stored| {
        records.insert(key(3), twin.clone());
        records.insert(b"h".to_vec(), stored(&other.state)[&b"h"[..]].clone());
    };
    refused(&two, "one name or one address");
}
