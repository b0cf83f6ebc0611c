//! Per connection and group the addresses form one chain, without gap or return, and each was committed. When a
//! subscription to switches is confirmed, all that was told on the connection is as the node has it.

use std::collections::BTreeMap;

use cfgserver::machine::State;
use cfgserver::model::{Address, GroupId, GroupName};

use super::{Invariant, Scene};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct Chain {
    /// Every address that a name had, in order.
    history: BTreeMap<GroupName, Vec<(GroupId, Address)>>,
    /// Per connection and group: where in the history it is.
    told: BTreeMap<(usize, u64, GroupName), Known>,
}

/// What a connection knows of a name.
#[derive(Clone, Copy)]
struct Known {
    /// Where in the history of the name it is.
    place: usize,
    address: Address,
    /// From nothing but lists of all groups. What a list said of a group that was removed since is not remembered (it
    /// would take an address per name and connection): when the name is monitored anew it begins anew for who read
    /// that list, with its first switch. Whoever looked the name up, or heard of it, is told.
    listed: bool,
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
                let wrong = told.filter(|known| known.address != group.primary);
                if wrong.is_some_and(|known| !self.begins_anew(&group.name, *known)) {
                    return Err(format!("client {number} was not told where {} is", group.name));
                }
            }
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        "each connection is told one chain of addresses"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
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
                listed,
            } => {
                scene.judges(self.name());
                let key = (*client, *connection, group.clone());
                self.told(key, *from, *to, *subscribed, *listed)
            }
            Fact::Subscribed {
                client,
                connection,
                applied,
            } => {
                scene.judges(self.name());
                self.up_to_date(*client, *connection, applied)
            }
            _ => Ok(()),
        }
    }
}

impl Chain {
    /// A switch of before the subscription is never told later. The subscribers here are spared none.
    fn up_to_date(&self, client: usize, connection: u64, applied: &State) -> Result<(), String> {
        for group in applied.groups() {
            let told = self.told.get(&(client, connection, group.name.clone()));
            let wrong = told.filter(|known| known.address != group.primary);
            if let Some(known) = wrong.filter(|known| !self.begins_anew(&group.name, **known)) {
                return Err(format!(
                    "client {client} has subscribed and believes {} at {}, not {}",
                    group.name, known.address, group.primary
                ));
            }
        }
        Ok(())
    }

    /// The name was removed and monitored anew, and nobody remembers what this connection was told of it.
    fn begins_anew(&self, group: &GroupName, known: Known) -> bool {
        let history = &self.history[group];
        let then = history.get(known.place).map(|(id, _)| id);
        known.listed && then != history.last().map(|(id, _)| id)
    }

    fn told(
        &mut self,
        key: (usize, u64, GroupName),
        from: Option<Address>,
        to: Address,
        subscribed: bool,
        listed: bool,
    ) -> Result<(), String> {
        let (client, _, group) = &key;
        let before = self.told.get(&key).copied();
        let expects = before.filter(|known| !self.begins_anew(group, *known));
        if let (Some(from), Some(Known { address: known, .. })) = (from, expects) {
            if from != known {
                return Err(format!(
                    "client {client}: {group} moved from {from}, but it knew {known}"
                ));
            }
            if to == known {
                return Err(format!("client {client}: {group} moved to {to}, where it was"));
            }
        }
        let place = before.map_or(0, |known| known.place);
        let history = self.history.get(group).map(Vec::as_slice).unwrap_or_default();
        let found = history.iter().skip(place).position(|(_, address)| *address == to);
        let Some(found) = found else {
            return Err(format!(
                "client {client}: {group} went back to {to}, or it was never there"
            ));
        };
        if let (None, Some(Known { address: known, .. }), true) = (from, expects, subscribed)
            && known != to
        {
            return Err(format!(
                "client {client}: {group} is at {to}, but no event said so; it knew {known}"
            ));
        }
        let known = Known {
            place: place + found,
            address: to,
            listed: listed && before.is_none_or(|known| known.listed),
        };
        self.told.insert(key, known);
        Ok(())
    }
}
