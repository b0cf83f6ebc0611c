//! The state machine: no log breaks a rule, and the state is what its records say, at every moment.

use std::collections::BTreeMap;

use cfgserver::machine::{Applied, Entry, Outcome, Record, Rejection, State, apply, check, differences};
use cfgserver::model::Timestamp;

use super::choices::Choices;
use super::commands;

/// Entries that a test of this size needs at most.
const ENTRIES_MAX: usize = 200;

/// A disk of records.
#[derive(Default)]
struct Disk(BTreeMap<Vec<u8>, Vec<u8>>);

impl Disk {
    fn write(&mut self, records: Vec<Record>) {
        for record in records {
            match record.value {
                Some(value) => self.0.insert(record.key, value),
                None => self.0.remove(&record.key),
            };
        }
    }

    fn state(&self) -> State {
        State::from_records(self.0.clone()).unwrap()
    }
}

/// Any log at all.
pub(super) fn any_log(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let (mut state, mut disk, mut now) = (State::default(), Disk::default(), 0);
    for _ in 0..ENTRIES_MAX {
        if choices.is_empty() {
            break;
        }
        now += u64::from(choices.below(3)) * 1_000;
        let entry = Entry {
            command: commands::next(&mut choices, &state),
            // A proposer's clock may be behind.
            at: Timestamp(now.saturating_sub(if choices.one_in(16) { 5_000 } else { 0 })),
        };
        let before = state.clone();
        let mut twin = disk.state();
        let applied = apply(&mut state, &entry);
        assert_eq!(
            apply(&mut twin, &entry),
            applied,
            "a node that was restarted answers otherwise: {entry:?}"
        );
        holds(&before, &state, &applied, &entry);
        disk.write(state.records(&applied.touched));
        assert_eq!(
            disk.state(),
            state,
            "the records that were written are not the state after {entry:?}"
        );
        assert_eq!(reread(&entry), entry);
    }
    if !disk.0.is_empty() {
        let mut snapshot = Disk::default();
        snapshot.write(state.all_records());
        assert_eq!(snapshot.0, disk.0, "a snapshot is what was written one by one");
    }
}

fn holds(before: &State, state: &State, applied: &Applied, entry: &Entry) {
    assert!(
        !matches!(applied.outcome, Outcome::Rejected(Rejection::Broken(_))),
        "{:?} by {entry:?}",
        applied.outcome
    );
    assert_eq!(check(state, &applied.touched), Ok(()));
    assert!(state.header().now >= before.header().now && state.revision() >= before.revision());
    assert!(state.header().removed.is_superset(&before.header().removed));
    assert!(applied.events.is_empty() || state.revision() > before.revision());
    if matches!(applied.outcome, Outcome::Rejected(_)) {
        let mut unchanged = before.header().clone();
        unchanged.now = state.header().now;
        assert_eq!(*state.header(), unchanged);
        assert!(state.groups().eq(before.groups()) && applied.touched.groups.is_empty());
    }
    for group in state.groups() {
        let same = before.group(group.id) == Some(group);
        assert!(
            same || applied.touched.groups.contains(&group.id),
            "a change was not told"
        );
        assert!(group.id.0 <= state.header().next_group);
    }
    for event in differences(before, state) {
        assert!(event.revision.is_some_and(|revision| revision <= state.revision()));
    }
}

fn reread(entry: &Entry) -> Entry {
    rmp_serde::from_slice(&rmp_serde::to_vec_named(entry).unwrap()).unwrap()
}
