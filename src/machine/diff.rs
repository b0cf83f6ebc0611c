//! The difference between two states, for subscribers of a node that was behind.

use crate::machine::State;
use crate::model::{Event, EventKind, Group};

/// One `+switch-master` per name that has another address in `after` than in `before`: a group that was removed and
/// monitored again counts, because names are what clients know. Names that are new or gone are not told: nobody was
/// told an address of them.
pub fn differences(before: &State, after: &State) -> Vec<Event> {
    after
        .groups()
        .filter_map(|group| switch_between(before, group))
        .collect()
}

fn switch_between(before: &State, group: &Group) -> Option<Event> {
    let old = before.group_named(group.name.as_str())?;
    if old.primary == group.primary {
        return None;
    }
    let switched = group.switches.last().map(|switch| switch.revision);
    let monitored = (old.id != group.id).then_some(group.created);
    let kind = EventKind::Switch {
        group: group.name.clone(),
        from: old.primary,
        to: group.primary,
    };
    Some(Event {
        revision: switched.or(monitored),
        group: Some(group.id),
        kind,
    })
}
