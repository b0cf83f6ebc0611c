//! Nothing happens to a group that was removed: no command about it is carried out, no event tells of it, no order is
//! sent to its instances; and its id is never used again.
//!
//! An order that left before the removal may land after it. A leader learns of the removal with its own next applied
//! entry, so for that moment it may still send one.

use std::collections::BTreeMap;

use cfgserver::machine::Outcome;
use cfgserver::model::GroupId;

use super::{Invariant, Scene};
use crate::fact::Fact;

/// A leader has applied what is committed within this long, or has lost its lease.
const APPLIED_MS: u64 = 550;

#[derive(Default)]
pub(super) struct Removed {
    gone: BTreeMap<GroupId, u64>,
}

impl Invariant for Removed {
    fn name(&self) -> &'static str {
        "nothing happens to a removed group"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Committed {
                command,
                outcome,
                before,
                after,
                events,
            } => {
                for id in before.groups().map(|group| group.id) {
                    if after.group(id).is_none() {
                        self.gone.insert(id, scene.now());
                    }
                }
                if let Some(back) = after.groups().find(|group| before.group(group.id).is_none())
                    && self.gone.contains_key(&back.id)
                {
                    return Err(format!("{} has the id of a removed group", back.name));
                }
                let about = super::moved::planned(command).map(|(id, _)| id);
                let gone = about.is_some_and(|id| before.group(id).is_none());
                if gone && matches!(outcome, Outcome::Done { .. }) {
                    return Err(format!("{command:?} was carried out"));
                }
                for id in events.iter().filter_map(|event| event.group) {
                    if before.group(id).is_none() && after.group(id).is_none() {
                        return Err(format!("an event of group {id}, which does not exist"));
                    }
                }
                Ok(())
            }
            Fact::OrderSent {
                node,
                group,
                address,
                order,
                applied,
                ..
            } => {
                if !self.gone.is_empty() {
                    scene.judges(self.name());
                }
                let late = |at: &u64| scene.now() - at > APPLIED_MS;
                if applied.group(*group).is_none() || self.gone.get(group).is_some_and(late) {
                    return Err(format!(
                        "node {node} orders {address} ({order}) of group {group}, which is gone"
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
