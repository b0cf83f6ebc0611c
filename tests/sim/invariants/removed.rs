//! Nothing happens to a group that was removed: no command about it is carried out, no event tells of it, no order is
//! sent to its instances; and its id is never used again.
//!
//! An order that left before the removal may land after it. A leader learns of the removal with its own next applied
//! entry, so for that moment it may still send one: while its disk is slow, for as long as that entry takes there, because
//! the followers commit without it. But its operator is told by a leader that has applied it, and from then on no order
//! leaves at all.

use std::collections::BTreeMap;

use cfgserver::machine::Outcome;
use cfgserver::model::{GroupId, Revision};
use cfgserver::requests::WriteReply;

use super::{Invariant, Scene};
use crate::fact::Fact;

/// A leader has applied what is committed within this long, or has lost its lease.
const APPLIED_MS: u64 = 550;

#[derive(Default)]
pub(super) struct Removed {
    gone: BTreeMap<GroupId, Gone>,
}

struct Gone {
    /// When that was committed, and the revision that it made.
    at: u64,
    revision: Revision,
    /// An operator was told of this removal, or of something after it.
    told: bool,
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
                        let gone = Gone {
                            at: scene.now(),
                            revision: after.revision(),
                            told: false,
                        };
                        self.gone.insert(id, gone);
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
            Fact::Acknowledged {
                reply: WriteReply::Outcome { revision, .. },
                ..
            } => {
                for gone in self.gone.values_mut() {
                    gone.told |= gone.revision <= *revision;
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
                let applying = scene.node(*node).applying;
                let late = |gone: &Gone| gone.told || (!applying && scene.now() - gone.at > APPLIED_MS);
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
