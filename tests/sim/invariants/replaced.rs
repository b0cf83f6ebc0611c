//! Who could have known what: when an instance's data was replaced by another's, and when it was ordered to be a
//! primary. What was replaced after the last INFO that the order could rest on is a race that nobody can win.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cfgserver::failover::Order;
use cfgserver::model::{Address, Facts};

use super::Scene;
use crate::fact::Fact;
use crate::redis::Index;

/// INFO may be as old as this when an order to promote leaves, its way included.
const KNOWN_MS: u64 = 2_000 + 1_500;

#[derive(Default)]
pub(super) struct Replaced {
    data_at: BTreeMap<Index, u64>,
    /// Those whose keys were replaced by nothing.
    lost: BTreeSet<Index>,
    ordered: BTreeMap<Address, Ordered>,
}

/// An order to promote.
struct Ordered {
    at: u64,
    /// For how long the leader had stood still shortly before: what came before that it takes note of only then.
    stood_still_ms: u64,
    /// What the leader had read of the candidate.
    facts: Option<Arc<Facts>>,
}

impl Replaced {
    pub(super) fn note(&mut self, scene: &dyn Scene, fact: &Fact) {
        match fact {
            Fact::Overwritten(overwritten) => {
                self.data_at.insert(overwritten.who, scene.now());
                if overwritten.source_has_keys {
                    self.lost.remove(&overwritten.who);
                } else if overwritten.had_keys {
                    self.lost.insert(overwritten.who);
                }
            }
            Fact::OrderSent {
                node,
                group,
                address,
                order: Order::Promote,
                ..
            } => {
                let at = scene.now();
                let facts = scene.sighting(*node, *group, *address).and_then(|seen| seen.facts);
                let ordered = Ordered {
                    at,
                    stood_still_ms: scene.node(*node).just_paused_ms,
                    facts,
                };
                self.ordered.insert(*address, ordered);
            }
            _ => {}
        }
    }

    /// It is empty because it copied nothing, early enough to be known when it was ordered. Keys that clients deleted
    /// leave a replica empty as well, and there is nothing wrong with that.
    pub(super) fn known_to_be_lost(&self, scene: &dyn Scene, server: Index) -> bool {
        self.lost.contains(&server) && !self.too_late_to_know(scene, server)
    }

    /// The data that it is promoted with came too late to be known when the order left: the leader had not read that it
    /// was there.
    pub(super) fn too_late_to_know(&self, scene: &dyn Scene, server: Index) -> bool {
        let instance = &scene.fleet().servers[server];
        let (replaced, ordered) = (self.data_at.get(&server), self.ordered.get(&instance.address));
        let Some((replaced, ordered)) = replaced.zip(ordered) else {
            return false;
        };
        let root = |replid: &str| scene.fleet().lineages.root(replid);
        let now_of = root(&format!("{:x}", instance.lineage));
        let read = ordered.facts.as_ref().filter(|facts| facts.run_id == instance.run_id());
        let lineage = read.and_then(|facts| facts.lineage.as_ref());
        let was_read = lineage.is_some_and(|lineage| root(&lineage.replid) == now_of);
        replaced + KNOWN_MS + ordered.stood_still_ms > ordered.at && !was_read
    }
}
