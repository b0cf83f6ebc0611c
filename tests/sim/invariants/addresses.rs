//! One place changes the address of a group (rule 2): the entry that completes a promotion, adopts a switch of
//! others, or follows the host name of the primary; and that same entry tells it, first of all that follows from it. Nobody is sent to another address than the
//! committed one.

use cfgserver::failover::Order;
use cfgserver::machine::{Command, State};
use cfgserver::model::{Event, EventKind, Group};

use super::{Invariant, Scene};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct Addresses;

impl Invariant for Addresses {
    fn name(&self) -> &'static str {
        "one place changes the address"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Committed {
                command,
                before,
                after,
                events,
                ..
            } => after
                .groups()
                .try_for_each(|group| switched(command, before, group, events)),
            Fact::OrderSent {
                group,
                address,
                order: Order::Follow { primary, .. },
                applied,
                ..
            } => {
                scene.judges(self.name());
                let committed = applied.group(*group).map(|group| group.primary);
                if committed == Some(*primary) && primary != address {
                    return Ok(());
                }
                Err(format!("{address} is sent to {primary}, the primary is {committed:?}"))
            }
            _ => Ok(()),
        }
    }
}

fn switched(command: &Command, before: &State, group: &Group, events: &[Event]) -> Result<(), String> {
    let told = events.iter().filter(|event| event.group == Some(group.id));
    let told: Vec<_> = told
        .filter_map(|event| match &event.kind {
            EventKind::Switch { from, to, .. } => Some((*from, *to)),
            _ => None,
        })
        .collect();
    let known = before.group(group.id).map(|known| known.primary);
    match known.filter(|known| *known != group.primary) {
        None if told.is_empty() => Ok(()),
        None => Err(format!("{}: {told:?} is told, and nothing moved", group.name)),
        Some(from) => {
            let switches = matches!(
                command,
                Command::CompletePromotion { .. } | Command::Adopt { .. } | Command::Readdress { .. }
            );
            if switches && told == [(from, group.primary)] {
                return Ok(());
            }
            Err(format!(
                "{} moved from {from} to {} by {command:?}, told: {told:?}",
                group.name, group.primary
            ))
        }
    }
}
