//! A primary whose writes are held back is let go: no pause is longer than its bound, pauses of one failover are not
//! strung together, and after the faults nobody's writes are held back, whoever it is now.

use std::collections::BTreeMap;

use cfgserver::failover::Order;
use cfgserver::model::{Address, Epoch, GroupId, Term};

use super::{Invariant, Scene};
use crate::fact::Fact;
use crate::redis::Server;

/// Longer than any fence needs, short enough that a leader that dies leaves no lasting harm.
const PAUSE_MS_MAX: u64 = 3_000;

#[derive(Default)]
pub(super) struct Paused {
    /// When writes were first held back for an epoch, by the leader of a term. A successor that finds the same failover
    /// open fences once more.
    since: BTreeMap<(Address, GroupId, Epoch, Term), u64>,
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
                let Some(epoch) = scene.state().group(*group).map(|group| group.epoch) else {
                    return Ok(());
                };
                scene.judges(self.name());
                match self.since.get(&(*address, *group, epoch, *term)) {
                    Some(at) if scene.now() > at + PAUSE_MS_MAX => {
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
                if let Some(group) = scene.state().group(*group) {
                    let key = (address, group.id, group.epoch, *term);
                    self.since.entry(key).or_insert(scene.now());
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
