//! The last copy of the data is never overwritten because cfgserver said so: no instance with data is sent to copy a
//! primary that had come back without, and could be known to have; nor one whose place another process has taken.
//!
//! A primary that loses its data after the order was given, or so shortly before that no INFO can tell, is a race that
//! nobody can win.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfgserver::failover::Order;
use cfgserver::model::{Address, Facts, Group, Verdict};

use super::{Invariant, Scene};
use crate::fact::Fact;

/// INFO of the primary may be as old as this when somebody is sent to it, its way included.
const KNOWN_MS: u64 = 2_000 + 1_500;

#[derive(Default)]
pub(super) struct LastCopy {
    /// Who was last sent to whom, and whether that one could be known to be empty then.
    sent: BTreeMap<Address, (Address, bool)>,
    /// When an instance last had no keys, as far as a copy shows: it had none when it began to load another's, or what it
    /// loaded had none. What it has now came later.
    empty_at: BTreeMap<Address, u64>,
}

impl Invariant for LastCopy {
    fn name(&self) -> &'static str {
        "the last copy is not overwritten"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::OrderSent {
                node,
                group,
                address,
                order: Order::Follow { primary, .. },
                applied,
                repeated,
                ..
            } => {
                // A repair rests on the leader's own sighting of the primary: Up.
                let repairs = !repeated && applied.group(*group).is_some_and(|group| group.failover.is_none());
                let seen = scene.sighting(*node, *group, *primary);
                if repairs && seen.is_none_or(|seen| seen.verdict != Verdict::Up) {
                    return Err(format!(
                        "{address} is turned to {primary}, which node {node} does not see Up"
                    ));
                }
                if repairs && another_process(scene, applied.group(*group), *primary) {
                    return Err(format!(
                        "{address} is turned to {primary}, where another process is than the one on record"
                    ));
                }
                // The planner goes by INFO. What the leader has read counts; what happened after that may not be known.
                let read = |of: Address| scene.sighting(*node, *group, of).and_then(|seen| seen.facts);
                let known_empty = scene.fleet().at(*primary).is_some_and(|index| {
                    let source = &scene.fleet().servers[index];
                    let long_since = scene.now() - source.started_at > KNOWN_MS;
                    let empty = |facts: Arc<Facts>| facts.keys == 0 && facts.run_id == source.run_id();
                    // What its clients deleted is not lost, whatever becomes of the primary later.
                    let lost = scene.fleet().keys(index) == 0 && !scene.fleet().is_emptied(index);
                    lost && (long_since || read(*primary).is_some_and(empty))
                });
                let empty_at = self.empty_at.get(address).copied().unwrap_or_default();
                let long_since = scene.now() - empty_at > KNOWN_MS;
                // It said that it had none, and was given some before the order arrived: by a client, or with the stream of the
                // primary that it copied when that one was empty.
                let said_empty = scene.sighting(*node, *group, *address).is_some_and(|seen| {
                    let fresh = seen.facts_at.is_some_and(|at| scene.now() - at.0 <= KNOWN_MS);
                    let facts = seen.facts.filter(|_| fresh);
                    facts.is_some_and(|facts| facts.keys == 0 && !facts.loading && !facts.sync_in_progress)
                });
                // What was read before it was empty tells of keys that are gone.
                let seen_full = scene.sighting(*node, *group, *address).is_some_and(|seen| {
                    let since = seen.facts_at.is_some_and(|at| at.0 > empty_at);
                    since && seen.facts.is_some_and(|facts| facts.keys > 0)
                });
                let known_full = !said_empty && (long_since || seen_full);
                self.sent.insert(*address, (*primary, known_empty && known_full));
                Ok(())
            }
            Fact::Overwritten(overwritten) => {
                let (who, source) = (
                    &scene.fleet().servers[overwritten.who],
                    &scene.fleet().servers[overwritten.source],
                );
                scene.judges(self.name());
                if !overwritten.had_keys || !overwritten.source_has_keys {
                    self.empty_at.insert(who.address, scene.now());
                }
                let lost = overwritten.ordered && overwritten.had_keys && !overwritten.source_has_keys;
                let known = self.sent.get(&who.address) == Some(&(source.address, true));
                if lost && known && who.home == source.home {
                    return Err(format!(
                        "{} had data and was sent to copy {}, which has none",
                        who.name, source.name
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// For long enough to be known, the process at the address is not the one that is committed.
fn another_process(scene: &dyn Scene, group: Option<&Arc<Group>>, primary: Address) -> bool {
    let recorded = group
        .and_then(|group| group.primary_member())
        .and_then(|member| member.run_id.clone());
    let there = scene.server_at(primary).filter(|instance| instance.running);
    let known = there.filter(|instance| scene.now() - instance.started_at > KNOWN_MS);
    known.is_some_and(|instance| recorded != Some(instance.run_id()))
}
