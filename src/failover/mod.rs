//! The planner: what should happen next to one group.
//!
//! ```text
//! Scene  (replicated group, this node's sightings, votes) \
//! Memory (what this leader did and heard since it took over) > plan -> Plan { actions, wake_at }
//! now                                                      /
//!
//! no failover open   idle        outage? -> select -> commit 1; learn; repair; adopt
//! stage Promote      promote     fence, offsets, order, proof -> commit 2; or abort
//! stage Reconfigure  reconfigure old primary first, then the others, a few at a time -> end
//! ```
//!
//! Pure, one group at a time: called twice without news it gives the same actions. Whoever carries actions out tells
//! [`Memory`] what was sent and what came back.
//! What does not live here: carrying actions out (`control`), and changing the state (`machine`).

mod adopt;
mod brake;
mod draft;
mod emptied;
mod identity;
mod idle;
mod learn;
mod memory;
mod order;
mod promote;
mod reach;
mod reconfigure;
mod repair;
mod request;
mod scene;
mod selection;

pub use brake::held_until;
pub use identity::Elsewhere;
pub use memory::{LinkFault, Memory, OrderFault};
pub use order::{Action, Order, Plan};
pub use request::{Refusal, operator, unreachable};
pub use scene::Scene;
pub use selection::{Purpose, Selection, Unfit, select};

use crate::model::{Instant, Stage};

use draft::Draft;

/// What should happen next to the group of `scene`.
pub fn plan(scene: &Scene<'_>, memory: &Memory, now: Instant) -> Plan {
    let mut draft = Draft::new(scene, memory, now);
    match scene.group.failover.as_ref() {
        None => idle::plan(&mut draft),
        Some(failover) => match &failover.stage {
            Stage::Promote => promote::plan(&mut draft, failover),
            Stage::Reconfigure { steps } => reconfigure::plan(&mut draft, failover, steps),
        },
    }
    draft.finish()
}

#[cfg(test)]
mod testing {
    //! Literals for the unit tests of this area.
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use crate::model::{Address, Group, GroupConfig, GroupId, GroupName, Member, Monitored};

    pub(super) fn group() -> Group {
        let primary = Address::parse("10.0.0.1", "6379").unwrap();
        Group {
            id: GroupId(1),
            name: GroupName::new("g").unwrap(),
            monitored: Monitored {
                address: primary,
                quorum: 1,
            },
            config: GroupConfig::default(),
            primary,
            members: BTreeMap::from([(primary, Member::default())]),
            epoch: 0,
            config_epoch: 0,
            failover: None,
            outage: None,
            switches: Vec::new(),
            abort: None,
            version: 1,
            created: 1,
        }
    }
}
