//! What a connection was told about the addresses of groups.
//!
//! ```text
//! lookup, list, INFO --> told --> +switch-master: dropped when it is no news, else from the told address
//! ```
//!
//! On each connection the addresses of a group form one chain, without gap or return. Names are what a client
//! knows, so a name that was removed and monitored again goes on where it was.
//! A list of everything costs one revision: the group keeps its recent switches, so what it said is known.
//! What does not live here: subscriptions, and the frames of messages.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::machine::State;
use crate::model::{Address, Group, GroupName, Revision};
use crate::mutation::{self, Mutation};
use crate::sentinel::{Published, is_safe_for_old_proxies};

/// Names of removed groups that are remembered before they are forgotten.
const REMOVED_NAMES_MAX: usize = 1024;

/// How a list of all groups was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    /// MASTERS.
    Maps,
    /// INFO.
    Info,
}

/// What a connection was told, and how it asked.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Every group was told at this revision.
    base: Option<Revision>,
    /// Told by name, or by events, after that.
    names: BTreeMap<GroupName, Answer>,
    /// Nothing told had moved at this revision.
    settled: Option<Revision>,
    /// Names that were looked up.
    asked: BTreeSet<GroupName>,
    asked_info: bool,
    asked_maps: bool,
}

/// An address that a connection was told.
#[derive(Clone, Copy, Debug)]
struct Answer {
    revision: Revision,
    address: Address,
}

impl Told {
    /// The client asked for one group and is told its primary.
    pub(super) fn looked_up(&mut self, state: &State, group: &Group) {
        self.asked.insert(group.name.clone());
        let answer = Answer {
            revision: state.revision(),
            address: group.primary,
        };
        self.put(state, group.name.clone(), answer);
    }

    /// The client is told the primary of every group.
    pub(super) fn listed(&mut self, state: &State, kind: ListKind) {
        match kind {
            ListKind::Maps => self.asked_maps = true,
            ListKind::Info => self.asked_info = true,
        }
        self.base = Some(state.revision());
        self.names.retain(|name, _| state.group_named(name.as_str()).is_none());
    }

    /// Forgets that nothing had moved: other events reach the client now.
    pub(super) fn subscriptions_changed(&mut self) {
        self.settled = None;
    }

    /// Whether an old proxy with this history takes a switch of this group: one that looked names up knows only
    /// those, one that asked with INFO only the counted groups. Any other client takes everything.
    pub(super) fn concerns_proxy(&self, name: &str, to: Address) -> bool {
        if self.asked_maps || (self.asked.is_empty() && !self.asked_info) {
            return true;
        }
        let safe = || GroupName::new(name).is_ok_and(|name| is_safe_for_old_proxies(&name, to));
        self.asked.contains(name) || (self.asked_info && safe())
    }

    /// The event as this connection must see it; `None` when it would be no news.
    pub(super) fn admit<'e>(&mut self, state: &State, event: &'e Published) -> Option<Cow<'e, Published>> {
        let Some((from, to)) = event.switch else {
            return self.is_news(state, event).then_some(Cow::Borrowed(event));
        };
        let name = GroupName::new(event.switched_name()).ok()?;
        let revision = event.revision.unwrap_or_else(|| state.revision());
        let known = self.known(state, &name);
        if known.is_some_and(|known| revision <= known.revision) {
            return None;
        }
        self.put(state, name.clone(), Answer { revision, address: to });
        match known {
            Some(known) if known.address == to => None,
            Some(known) if known.address != from => {
                let mut chained = event.clone();
                chained.rewrite_from(&name, known.address);
                Some(Cow::Owned(chained))
            }
            _ => Some(Cow::Borrowed(event)),
        }
    }

    /// An event that is no switch is old news only when the client was told of a later state: several events can
    /// share a revision with the switch.
    fn is_news(&self, state: &State, event: &Published) -> bool {
        let (Some(revision), Some(group)) = (event.revision, event.group) else {
            return true;
        };
        let Some(group) = state.group(group) else {
            return true;
        };
        let told = self.names.get(&group.name).map(|answer| answer.revision).or(self.base);
        told.is_none_or(|told| revision >= told)
    }

    /// A switch for each told group that has another primary now and that `concerns` lets through.
    pub(super) fn moved(&mut self, state: &State, concerns: impl Fn(&Self, &str, Address) -> bool) -> Vec<Published> {
        let revision = state.revision();
        if self.settled == Some(revision) {
            return Vec::new();
        }
        self.settled = Some(revision);
        let named = self.names.keys().filter_map(|name| state.group_named(name.as_str()));
        let mut groups: Vec<_> = named.cloned().collect();
        if let Some(base) = self.base {
            let moved = |group: &&std::sync::Arc<Group>| group.switches.last().is_some_and(|last| last.revision > base);
            let unnamed = |group: &&std::sync::Arc<Group>| !self.names.contains_key(&group.name);
            groups.extend(state.groups().filter(moved).filter(unnamed).cloned());
        }
        let mut switches = Vec::new();
        for group in groups {
            let Some(known) = self.known(state, &group.name) else {
                continue;
            };
            let (from, to) = (known.address, group.primary);
            if !concerns(self, group.name.as_str(), to) {
                continue;
            }
            if !mutation::is_on(Mutation::RepeatedSwitch) {
                self.put(state, group.name.clone(), Answer { revision, address: to });
            }
            if from != to {
                switches.push(Published::switch(group.id, &group.name, Some(revision), from, to));
            }
        }
        switches
    }

    /// What the client believes, and at which revision that was true.
    fn known(&self, state: &State, name: &GroupName) -> Option<Answer> {
        if let Some(answer) = self.names.get(name) {
            return Some(*answer);
        }
        let revision = self.base?;
        let address = state.group_named(name.as_str())?.primary_at(revision)?;
        Some(Answer { revision, address })
    }

    fn put(&mut self, state: &State, name: GroupName, answer: Answer) {
        self.names.insert(name, answer);
        if self.names.len().max(self.asked.len()) > state.group_count() + REMOVED_NAMES_MAX {
            self.names.retain(|name, _| state.group_named(name.as_str()).is_some());
            self.asked.retain(|name| state.group_named(name.as_str()).is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Command, Entry, apply};
    use crate::model::Timestamp;

    fn monitor(state: &mut State, name: &GroupName) {
        let command = Command::Monitor {
            name: name.clone(),
            primary: Address::parse("10.0.0.1", "6379").unwrap(),
            quorum: 1,
        };
        apply(
            state,
            &Entry {
                command,
                at: Timestamp(1),
            },
        );
    }

    #[test]
    fn names_of_removed_groups_do_not_pile_up() {
        let mut state = State::default();
        let mut told = Told::default();
        for number in 0..3 * REMOVED_NAMES_MAX {
            let name = GroupName::new(format!("group{number}")).unwrap();
            monitor(&mut state, &name);
            let group = state.group_named(name.as_str()).unwrap().clone();
            told.looked_up(&state, &group);
            let command = Command::Remove { name };
            apply(
                &mut state,
                &Entry {
                    command,
                    at: Timestamp(1),
                },
            );
        }
        assert!(told.names.len() <= REMOVED_NAMES_MAX + 1);
        assert!(told.asked.len() <= REMOVED_NAMES_MAX + 1);
    }

    #[test]
    fn nothing_is_looked_through_twice_at_one_revision() {
        let mut state = State::default();
        let name = GroupName::new("g").unwrap();
        monitor(&mut state, &name);
        let mut told = Told::default();
        told.listed(&state, ListKind::Info);
        assert!(told.moved(&state, |_, _, _| true).is_empty());
        assert_eq!(told.settled, Some(state.revision()));
        told.subscriptions_changed();
        assert_eq!(told.settled, None);
    }
}
