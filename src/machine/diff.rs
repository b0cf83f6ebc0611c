//! The difference between two states, for subscribers of a node that was behind.

use crate::machine::State;
use crate::machine::apply::primary_of;
use crate::model::{Event, EventKind, Group};

/// One `+switch-master` per name that has another address in `after` than in `before`: a group that was removed and
/// monitored again counts, because names are what clients know. A name that is new is told as such: it may have been
/// removed before, and somebody may know it from then. Names that are gone are not told.
pub fn differences(before: &State, after: &State) -> Vec<Event> {
    after
        .groups()
        .filter_map(|group| switch_between(before, group))
        .collect()
}

fn switch_between(before: &State, group: &Group) -> Option<Event> {
    let kind = match before.group_named(group.name.as_str()) {
        Some(old) if old.primary == group.primary => return None,
        Some(old) => EventKind::Switch {
            group: group.name.clone(),
            from: old.primary,
            to: group.primary,
        },
        None => EventKind::Monitor {
            primary: primary_of(group),
            quorum: group.config.quorum,
        },
    };
    Some(Event {
        revision: Some(group.moved_at()),
        group: Some(group.id),
        kind,
    })
}
