//! Who could have known what: when an instance's data was replaced by another's, and when it was ordered to be a
//! primary. What was replaced after the last INFO that the order could rest on is a race that nobody can win.

use std::collections::BTreeMap;

use cfgserver::failover::Order;
use cfgserver::model::Address;

use super::Scene;
use crate::fact::Fact;
use crate::redis::Index;

/// INFO may be as old as this when an order to promote leaves, its way included.
const KNOWN_MS: u64 = 2_000 + 1_500;

#[derive(Default)]
pub(super) struct Replaced {
    data_at: BTreeMap<Index, u64>,
    /// When keys were replaced by nothing.
    lost_at: BTreeMap<Index, u64>,
    ordered_at: BTreeMap<Address, u64>,
}

impl Replaced {
    pub(super) fn note(&mut self, scene: &dyn Scene, fact: &Fact) {
        match fact {
            Fact::Overwritten(overwritten) => {
                self.data_at.insert(overwritten.who, scene.now());
                if overwritten.had_keys && !overwritten.source_has_keys {
                    self.lost_at.insert(overwritten.who, scene.now());
                }
            }
            Fact::OrderSent {
                address,
                order: Order::Promote,
                ..
            } => _ = self.ordered_at.insert(*address, scene.now()),
            _ => {}
        }
    }

    /// It is empty because it copied nothing, early enough to be known when it was ordered. Keys that clients deleted
    /// leave a replica empty as well, and there is nothing wrong with that.
    pub(super) fn known_to_be_lost(&self, scene: &dyn Scene, server: Index) -> bool {
        self.lost_at.contains_key(&server) && !self.too_late_to_know(scene, server)
    }

    /// The data that it is promoted with came too late to be known when the order left.
    pub(super) fn too_late_to_know(&self, scene: &dyn Scene, server: Index) -> bool {
        let address = scene.fleet().servers[server].address;
        let (replaced, ordered) = (self.data_at.get(&server), self.ordered_at.get(&address));
        replaced
            .zip(ordered)
            .is_some_and(|(replaced, ordered)| replaced + KNOWN_MS > *ordered)
    }
}
