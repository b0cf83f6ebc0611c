//! Per connection and group the addresses form one chain, without gap or return, and each was committed.

use std::collections::BTreeMap;

use cfgserver::model::{Address, GroupId, GroupName};

use super::{Invariant, Scene};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct Chain {
    /// Every address that a name had, in order.
    history: BTreeMap<GroupName, Vec<(GroupId, Address)>>,
    /// Per connection and group: where in the history it is.
    told: BTreeMap<(usize, u64, GroupName), (usize, Address)>,
}

impl Invariant for Chain {
    fn well(&self, scene: &dyn Scene) -> Result<(), String> {
        let state = scene.state();
        for listener in scene.listeners() {
            let number = listener.client;
            if !listener.listens {
                return Err(format!("client {number} has not subscribed yet"));
            }
            for group in state.groups() {
                let told = self.told.get(&(number, listener.connection, group.name.clone()));
                let known = told.map(|(place, address)| (self.history[&group.name][*place].0, *address));
                // One that was removed and monitored anew is told with its first switch.
                if known.is_some_and(|(id, address)| id == group.id && address != group.primary) {
                    return Err(format!("client {number} was not told where {} is", group.name));
                }
            }
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        "each connection is told one chain of addresses"
    }

    fn check(&mut self, _: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Committed { after, .. } => {
                for group in after.groups() {
                    let history = self.history.entry(group.name.clone()).or_default();
                    let place = (group.id, group.primary);
                    if history.last() != Some(&place) {
                        history.push(place);
                    }
                }
                Ok(())
            }
            Fact::Told {
                client,
                connection,
                group,
                from,
                to,
                subscribed,
            } => self.told(*client, *connection, group, *from, *to, *subscribed),
            _ => Ok(()),
        }
    }
}

impl Chain {
    fn told(
        &mut self,
        client: usize,
        connection: u64,
        group: &GroupName,
        from: Option<Address>,
        to: Address,
        subscribed: bool,
    ) -> Result<(), String> {
        let key = (client, connection, group.clone());
        let before = self.told.get(&key).copied();
        // A name that was removed and monitored anew goes on where it was for those that looked it up, but not for those
        // that listed everything: reported, and allowed here until that is decided.
        let same_group = |(place, _): (usize, Address)| {
            self.history[group].get(place).map(|first| first.0) == self.history[group].last().map(|last| last.0)
        };
        if let (Some(from), Some((place, known))) = (from, before) {
            if from != known && same_group((place, known)) {
                return Err(format!(
                    "client {client}: {group} moved from {from}, but it knew {known}"
                ));
            }
            if to == known && same_group((place, known)) {
                return Err(format!("client {client}: {group} moved to {to}, where it was"));
            }
        }
        let place = before.map_or(0, |(place, _)| place);
        let history = self.history.get(group).map(Vec::as_slice).unwrap_or_default();
        let found = history.iter().skip(place).position(|(_, address)| *address == to);
        let Some(found) = found else {
            return Err(format!(
                "client {client}: {group} went back to {to}, or it was never there"
            ));
        };
        if let (None, Some((_, known)), true) = (from, before, subscribed)
            && known != to
            // Removed and monitored anew: that is no switch.
            && same_group((place, known))
        {
            return Err(format!(
                "client {client}: {group} is at {to}, but no event said so; it knew {known}"
            ));
        }
        self.told.insert(key, (place + found, to));
        Ok(())
    }
}
