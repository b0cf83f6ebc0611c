//! What a connection was told about the addresses of groups.
//!
//! ```text
//! lookup, list, INFO --> told --> +switch-master: dropped when it is no news, else from the told address
//! ```
//!
//! On each connection the addresses of a group form one chain, without gap or return. Names are what a client
//! knows, so a name that was removed and monitored again goes on where it was.
//! A list of everything costs one revision: the group keeps its recent switches, so what it said is known. And what
//! has moved since is found from the groups that moved, not by going through what was told: a thousand proxies that
//! each know a thousand names repeat their subscription every second.
//! What does not live here: subscriptions, and the frames of messages.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::machine::State;
use crate::model::{Group, GroupName, Naming, Place, Revision};
use crate::mutation::{self, Mutation};
use crate::requests::Face;
use crate::sentinel::{Published, is_safe_for_old_proxies};

/// Names without a group that are remembered before they are forgotten.
const GROUPLESS_NAMES_MAX: usize = 1024;

/// How a list of all groups was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    /// MASTERS.
    Maps,
    /// INFO.
    Info,
}

/// Which switches a connection is spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// None.
    Nothing,
    /// It subscribes as an old proxy does; what it asked says which one it is. Who asked for nothing, or for the maps
    /// of all groups, is none.
    BySignature,
    /// It is an old proxy: of those names that it looked up, or else of groups that the other kind understands.
    Always,
}

/// What a connection was told, and how it asked.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Every group was told at this revision.
    base: Option<Revision>,
    /// Told by name, or by events, after that; and all names that were looked up.
    names: BTreeMap<GroupName, Name>,
    /// No told address was wrong at this revision.
    sure: Option<Revision>,
    /// No told address was wrong at this revision, apart from those that the client was spared.
    settled: Option<Revision>,
    asked_names: bool,
    asked_info: bool,
    asked_maps: bool,
    /// Names were looked up since they were compared with each other.
    uncompared: bool,
    /// The client understands nothing but IP addresses.
    by_address: bool,
}

/// A name that a client knows.
#[derive(Clone, Debug, Default)]
struct Name {
    /// What it was told after `base`.
    answer: Option<Answer>,
    /// It was looked up.
    asked: bool,
}

/// A place that a connection was told.
#[derive(Clone, Debug)]
struct Answer {
    revision: Revision,
    place: Place,
}

impl Told {
    /// Nothing yet. Old proxies are told IP addresses whatever others are told.
    pub(super) fn nothing(face: Face) -> Self {
        Self {
            by_address: face == Face::Proxy,
            ..Self::default()
        }
    }

    /// The client asked for one group and is told its primary.
    pub(super) fn looked_up(&mut self, state: &State, group: &Group) {
        let revision = state.revision();
        let told = self.names.get(group.name.as_str());
        if told.is_some_and(|known| known.asked && known.answer.as_ref().is_some_and(|told| told.revision == revision))
        {
            // Whoever looks up the same again and again learns nothing new in the same state.
            return;
        }
        let answer = Answer {
            revision,
            place: group.told_primary(self.naming(state)),
        };
        self.ask(state, group.name.clone());
        self.put(state, group.name.clone(), answer);
    }

    /// The client asked for a group that there is not. A name that cannot be one is not remembered.
    pub(super) fn looked_up_in_vain(&mut self, state: &State, name: &[u8]) {
        self.asked_names = true;
        if let Ok(name) = GroupName::new(name) {
            self.ask(state, name);
        }
    }

    /// The client asked for all groups, and may be refused yet.
    pub(super) fn asked_for_list(&mut self, kind: ListKind) {
        match kind {
            ListKind::Maps => self.asked_maps = true,
            ListKind::Info => self.asked_info = true,
        }
    }

    /// The client is told the primary of every group.
    pub(super) fn listed(&mut self, state: &State) {
        self.base = Some(state.revision());
        self.names.retain(|name, known| {
            if state.group_named(name.as_str()).is_some() {
                known.answer = None;
            }
            known.asked || known.answer.is_some()
        });
        self.note_right_at(state.revision());
    }

    /// What the client was spared so far may concern it now.
    pub(super) fn subscriptions_changed(&mut self) {
        self.settled = self.sure;
    }

    /// Whether the client hears as of a switch that a group is monitored under this name: one that was told of the
    /// name, and the old proxy that reads lists, because the addresses in its own file outlive our groups.
    pub(super) fn hears_of_monitored(&self, filter: Filter, name: &GroupName, to: &Place) -> bool {
        let told = self.names.get(name).is_some_and(|known| known.answer.is_some());
        (told || self.reads_lists(filter)) && self.concerns(filter, name.as_str(), to)
    }

    fn reads_lists(&self, filter: Filter) -> bool {
        match filter {
            Filter::Nothing => false,
            Filter::BySignature => self.asked_info && !self.asked_maps,
            Filter::Always => self.asked_info && !self.asked_names,
        }
    }

    /// Whether a switch of this group is for this client.
    pub(super) fn concerns(&self, filter: Filter, name: &str, to: &Place) -> bool {
        let asked = || self.names.get(name).is_some_and(|known| known.asked);
        let safe = || is_safe_for_old_proxies(name, &self.as_told(to));
        match filter {
            Filter::Nothing => true,
            Filter::BySignature if self.asked_maps || !(self.asked_names || self.asked_info) => true,
            Filter::BySignature => asked() || (self.asked_info && safe()),
            Filter::Always if self.asked_names => asked(),
            Filter::Always => safe(),
        }
    }

    /// Two of the names that were looked up, the second of which begins with the first; once for what was looked up
    /// so far.
    pub(super) fn take_prefix(&mut self) -> Option<(GroupName, GroupName)> {
        if !std::mem::take(&mut self.uncompared) {
            return None;
        }
        let asked = self.names.iter().filter(|(_, known)| known.asked).map(|(name, _)| name);
        // Sorted, all names that begin with another one stand right behind it.
        let mut neighbours = asked.clone().zip(asked.skip(1));
        let pair = neighbours.find(|(short, long)| long.as_str().starts_with(short.as_str()));
        pair.map(|(short, long)| (short.clone(), long.clone()))
    }

    /// The event as this connection must see it; `None` when it would be no news.
    pub(super) fn admit<'e>(&mut self, state: &State, event: &'e Published) -> Option<Cow<'e, Published>> {
        let Some((from, to)) = &event.switch else {
            return self.is_news(state, event).then_some(Cow::Borrowed(event));
        };
        let name = GroupName::new(event.switched_name()).ok()?;
        let revision = event.revision.unwrap_or_else(|| state.revision());
        let known = self.known(state, &name);
        if known.as_ref().is_some_and(|known| revision <= known.revision) {
            return None;
        }
        let (as_from, as_to) = (self.as_told(from), self.as_told(to));
        let place = as_to.clone();
        self.put(state, name.clone(), Answer { revision, place });
        match known {
            Some(known) if known.place == as_to => None,
            Some(known) if known.place != as_from => Some(Cow::Owned(event.switched(&name, known.place, as_to))),
            _ if self.by_address && (from.host.is_some() || to.host.is_some()) => {
                Some(Cow::Owned(event.switched(&name, as_from, as_to)))
            }
            _ => Some(Cow::Borrowed(event)),
        }
    }

    /// Whether the address changed behind a name that is the same: for who is told names that is no switch.
    pub(super) fn keeps_name(&self, event: &Published) -> bool {
        let places = event.switch.as_ref();
        let moved = places.is_some_and(|(from, to)| from.address != to.address);
        moved && places.is_some_and(|(from, to)| self.as_told(from) == self.as_told(to))
    }

    fn as_told(&self, place: &Place) -> Place {
        if self.by_address {
            place.by_address()
        } else {
            place.clone()
        }
    }

    fn naming(&self, state: &State) -> Naming {
        if self.by_address {
            Naming::Addresses
        } else {
            state.header().shared.naming()
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
        let answer = self.names.get(&group.name).and_then(|known| known.answer.as_ref());
        let told = answer.map(|answer| answer.revision).or(self.base);
        told.is_none_or(|told| revision >= told)
    }

    /// A switch for each told group that has another primary now and that `filter` lets through, in the order in
    /// which they moved; and for each group that is new to an old proxy which reads lists, as when it is monitored.
    pub(super) fn moved(&mut self, state: &State, filter: Filter) -> Vec<Published> {
        let revision = state.revision();
        let Some(settled) = self.settled.filter(|settled| *settled < revision) else {
            return Vec::new();
        };
        let spared_before = self.sure != self.settled;
        let mut spared = false;
        let mut switches = Vec::new();
        for group in state.moved_since(settled) {
            let (known, to) = (self.known(state, &group.name), group.told_primary(self.naming(state)));
            if known.is_none() && !self.reads_lists(filter) {
                continue;
            }
            let is_news = known.as_ref().is_none_or(|known| known.place != to);
            if !self.concerns(filter, group.name.as_str(), &to) {
                spared |= is_news;
                continue;
            }
            if !mutation::is_on(Mutation::RepeatedSwitch) {
                let place = to.clone();
                self.put(state, group.name.clone(), Answer { revision, place });
            }
            if is_news {
                // Unknown, it was monitored since: told as if that had been heard.
                let from = known.map_or_else(|| to.clone(), |known| known.place);
                switches.push(Published::switch(group.id, &group.name, Some(revision), from, to));
            }
        }
        self.settled = Some(revision);
        if !spared && !spared_before {
            self.sure = Some(revision);
        }
        switches
    }

    /// What the client believes, and at which revision that was true.
    fn known(&self, state: &State, name: &GroupName) -> Option<Answer> {
        if let Some(answer) = self.names.get(name).and_then(|known| known.answer.clone()) {
            return Some(answer);
        }
        let revision = self.base?;
        let group = state.group_named(name.as_str())?;
        let place = group.told_primary_at(revision, self.naming(state))?;
        Some(Answer { revision, place })
    }

    fn ask(&mut self, state: &State, name: GroupName) {
        self.asked_names = true;
        let known = self.names.entry(name).or_default();
        self.uncompared |= !known.asked;
        known.asked = true;
        self.forget(state);
    }

    fn put(&mut self, state: &State, name: GroupName, answer: Answer) {
        self.note_right_at(answer.revision);
        self.names.entry(name).or_default().answer = Some(answer);
        self.forget(state);
    }

    /// Something was told that was right at this revision.
    fn note_right_at(&mut self, revision: Revision) {
        for mark in [&mut self.sure, &mut self.settled] {
            let earlier = mark.filter(|_| !mutation::is_on(Mutation::NewestVouchesForAll));
            *mark = Some(earlier.map_or(revision, |mark| mark.min(revision)));
        }
    }

    fn forget(&mut self, state: &State) {
        if self.names.len() > state.group_count() + GROUPLESS_NAMES_MAX {
            self.names.retain(|name, _| state.group_named(name.as_str()).is_some());
        }
    }
}

#[cfg(test)]
mod tests;
