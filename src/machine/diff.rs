//! The difference between two states, for subscribers of a node that was behind.

use crate::machine::State;
use crate::model::{Event, EventKind, Group};

/// One `+switch-master` per group that has another address in `after` than in `before`. Groups that are new or
/// gone are not told: nobody was told an address of them.
pub fn differences(before: &State, after: &State) -> Vec<Event> {
    let moved = |group: &&std::sync::Arc<Group>| before.group(group.id).is_some_and(|old| old.primary != group.primary);
    after
        .groups()
        .filter(moved)
        .filter_map(|group| switch_between(before, group))
        .collect()
}

fn switch_between(before: &State, group: &Group) -> Option<Event> {
    let from = before.group(group.id)?.primary;
    let revision = group.switches.last().map(|switch| switch.revision);
    let kind = EventKind::Switch {
        group: group.name.clone(),
        from,
        to: group.primary,
    };
    Some(Event {
        revision,
        group: Some(group.id),
        kind,
    })
}
