//! A primary whose writes are held back is let go: no pause is longer than its bound, pauses of one failover are not
//! strung together, and after the faults nobody's writes are held back, whoever it is now.

use std::collections::BTreeMap;

use cfgserver::failover::Order;
use cfgserver::model::{Epoch, GroupId};

use super::{Invariant, Scene};
use crate::fact::Fact;
use crate::redis::{Index, Server};

/// Longer than any fence needs, short enough that a leader that dies leaves no lasting harm.
const PAUSE_MS_MAX: u64 = 3_000;

#[derive(Default)]
pub(super) struct Paused {
    /// When writes were first held back for an epoch, by which term.
    since: BTreeMap<(Index, GroupId, Epoch), (u64, u64)>,
}

impl Invariant for Paused {
    fn name(&self) -> &'static str {
        "a paused primary is let go"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::OrderSent {
                order: Order::Pause { ms } | Order::Yield { ms, .. },
                address,
                ..
            } if *ms > PAUSE_MS_MAX => Err(format!("the writes of {address} are held back for {ms} ms")),
            Fact::OrderDone {
                group,
                server,
                term,
                order: Order::Pause { .. } | Order::Yield { .. },
                ..
            } => {
                let state = scene.state();
                let Some(group) = state.group(*group) else {
                    return Ok(());
                };
                scene.judges(self.name());
                let key = (*server, group.id, group.epoch);
                let (by, at) = *self.since.entry(key).or_insert((*term, scene.now()));
                let instance = &scene.fleet().servers[*server];
                // A successor that finds the same failover open fences once more.
                if by == *term && instance.paused_until > at + PAUSE_MS_MAX * 2 {
                    return Err(format!("the writes of {} are held back again and again", instance.name));
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
