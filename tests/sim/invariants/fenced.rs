//! Rule 12: where the old primary's writes are held back before the order to promote leaves, the candidate has all of
//! them, or the time for that was up.

use std::collections::BTreeMap;

use cfgserver::failover::Order;
use cfgserver::machine::{Command, Outcome};
use cfgserver::model::{Epoch, FailoverKind, GroupId, Term};

use super::{Invariant, Scene};
use crate::fact::Fact;
use crate::redis::Index;

/// How long the planner waits for equal offsets: an operator's failover, and any other.
const PLANNED_MS: u64 = 1_000;
const OUTAGE_MS: u64 = 200;

#[derive(Default)]
pub(super) struct Fenced {
    /// When an open failover was committed.
    opened: BTreeMap<(GroupId, Epoch), (FailoverKind, u64)>,
    /// Who was paused for it, by which leader.
    paused: BTreeMap<(GroupId, Epoch), (Index, Term)>,
}

impl Invariant for Fenced {
    fn name(&self) -> &'static str {
        "a fenced primary's writes are all on the candidate"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Committed {
                command,
                outcome: Outcome::Done { .. },
                after,
                ..
            } => {
                if let Command::OpenFailover { group, kind, .. } = command.as_ref()
                    && let Some(group) = after.group(*group)
                {
                    self.opened.insert((group.id, group.epoch), (*kind, scene.now()));
                }
                Ok(())
            }
            Fact::OrderDone {
                group,
                server,
                term,
                order: Order::Pause { .. },
                ..
            } => {
                let state = scene.state();
                if let Some(group) = state.group(*group).filter(|group| group.failover.is_some())
                    && scene.fleet().servers[*server].paused_until > scene.now()
                {
                    self.paused.insert((group.id, group.epoch), (*server, *term));
                }
                Ok(())
            }
            Fact::OrderSent {
                group,
                term,
                address,
                order: Order::Promote,
                applied,
                ..
            } => {
                let Some(group) = applied.group(*group) else {
                    return Ok(());
                };
                let key = (group.id, group.epoch);
                let (Some((kind, opened_at)), Some((old, by))) = (self.opened.get(&key), self.paused.get(&key)) else {
                    return Ok(());
                };
                let limit_ms = if *kind == FailoverKind::Operator {
                    PLANNED_MS
                } else {
                    OUTAGE_MS
                };
                let fleet = scene.fleet();
                let old_server = &fleet.servers[*old];
                let in_force = old_server.paused_until > scene.now() && old_server.is_primary();
                let Some(candidate) = fleet.at(*address) else {
                    return Ok(());
                };
                // A successor that finds it promoted already gives the order again; another leader waits anew.
                let first = by == term && !fleet.servers[candidate].is_primary();
                if !first || !in_force || scene.now() >= opened_at + limit_ms || !old_server.alive() {
                    return Ok(());
                }
                scene.judges(self.name());
                let (has, written) = (fleet.offset(candidate, scene.now()), fleet.offset(*old, scene.now()));
                if has < written && !old_server.hung(scene.now()) {
                    return Err(format!(
                        "{} is promoted with {has} of {written} bytes of {}",
                        fleet.servers[candidate].name, old_server.name
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
