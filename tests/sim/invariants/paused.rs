//! A primary whose writes are held back is let go: no pause is longer than its bound, pauses of one failover are not
//! strung together, and after the faults nobody's writes are held back, whoever it is now.

use std::collections::BTreeMap;

use cfgserver::failover::Order;
use cfgserver::model::{Address, Epoch, GroupId};

use super::{Invariant, Scene};
use crate::fact::Fact;
use crate::redis::Server;

/// Longer than any fence needs, short enough that a leader that dies leaves no lasting harm.
const PAUSE_MS_MAX: u64 = 3_000;

fn epoch(scene: &dyn Scene, group: GroupId) -> Option<Epoch> {
    scene.state().group(group).map(|group| group.epoch)
}

#[derive(Default)]
pub(super) struct Paused {
    /// When writes were first held back for an epoch, by which term. A successor that finds the same failover open
    /// fences once more.
    since: BTreeMap<(Address, GroupId, Epoch), (u64, u64)>,
}

impl Invariant for Paused {
    fn name(&self) -> &'static str {
        "a paused primary is let go"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            // An order may be long on its way: what counts is when it is sent, in its first form.
            Fact::OrderSent {
                order: Order::Pause { ms } | Order::Yield { ms, .. },
                address,
                term,
                group,
                repeated: false,
                ..
            } => {
                if *ms > PAUSE_MS_MAX {
                    return Err(format!("the writes of {address} are held back for {ms} ms"));
                }
                let Some(key) = epoch(scene, *group).map(|epoch| (*address, *group, epoch)) else {
                    return Ok(());
                };
                scene.judges(self.name());
                match self.since.get(&key) {
                    Some((by, at)) if by == term && scene.now() > at + PAUSE_MS_MAX => {
                        Err(format!("the writes of {address} are held back again and again"))
                    }
                    _ => Ok(()),
                }
            }
            Fact::OrderDone {
                group,
                server,
                term,
                order: Order::Pause { .. } | Order::Yield { .. },
                ..
            } => {
                let address = scene.fleet().servers[*server].address;
                if let Some(epoch) = epoch(scene, *group) {
                    let since = self.since.entry((address, *group, epoch));
                    let since = since.or_insert((*term, scene.now()));
                    if since.0 < *term {
                        *since = (*term, scene.now());
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn well(&self, scene: &dyn Scene) -> Result<(), String> {
        let servers = scene.fleet().servers.iter();
        let holds = |server: &&Server| server.paused_until > scene.now() || server.failing_over.is_some();
        let mut held = servers.filter(|server| server.running && holds(server));
        match held.next() {
            Some(server) => Err(format!("the writes of {} are held back", server.name)),
            None => Ok(()),
        }
    }
}
