//! Rule 12: where the old primary's writes are held back before the order to promote leaves, the candidate has all of
//! them, or the time for that was up. An operator's failover holds them back wherever it can: before its time is up it
//! promotes nobody with fewer bytes than a primary that answers and is not agreed to be down.

use std::collections::{BTreeMap, BTreeSet};

use cfgserver::failover::Order;
use cfgserver::machine::{Command, Outcome};
use cfgserver::model::{Epoch, FailoverKind, Group, GroupId, Term};

use super::{Invariant, NodeScene, Scene, nodes};
use crate::fact::Fact;

/// How long the planner waits for equal offsets: an operator's failover, and any other.
const PLANNED_MS: u64 = 1_000;
const OUTAGE_MS: u64 = 200;
/// A vote counts for this long after it was refreshed, and before that it travelled.
const LATELY_MS: u64 = 1_500 + 800;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pause {
    UnderWay,
    Done,
}

#[derive(Default)]
pub(super) struct Fenced {
    /// When an open failover was committed.
    opened: BTreeMap<(GroupId, Epoch), (FailoverKind, u64)>,
    /// How far the pause of the old primary is, which a leader ordered for it.
    paused: BTreeMap<(GroupId, Epoch, Term), Pause>,
    /// The leaders that have ordered the promotion.
    ordered: BTreeSet<(GroupId, Epoch, Term)>,
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
            Fact::OrderSent {
                group,
                term,
                order: Order::Pause { .. },
                applied,
                ..
            } => {
                let epoch = applied.group(*group).map(|group| group.epoch);
                let key = epoch.map(|epoch| (*group, epoch, *term));
                self.paused.extend(key.map(|key| (key, Pause::UnderWay)));
                Ok(())
            }
            Fact::OrderDone {
                group,
                term,
                order: Order::Pause { .. },
                ..
            } => {
                let state = scene.state();
                let epoch = state.group(*group).map(|group| group.epoch);
                let key = epoch.map(|epoch| (*group, epoch, *term));
                if let Some(pause) = key.and_then(|key| self.paused.get_mut(&key)) {
                    *pause = Pause::Done;
                }
                Ok(())
            }
            Fact::OrderSent {
                group,
                term,
                order: Order::Promote,
                applied,
                ..
            } => {
                let Some(group) = applied.group(*group) else {
                    return Ok(());
                };
                let again = !self.ordered.insert((group.id, group.epoch, *term));
                // Given again because its effect is unknown: too late to wait for anything.
                if again {
                    Ok(())
                } else {
                    self.ordered(scene, group, *term)
                }
            }
            _ => Ok(()),
        }
    }
}

impl Fenced {
    /// The first order of a leader to promote.
    fn ordered(&self, scene: &dyn Scene, group: &Group, term: Term) -> Result<(), String> {
        let key = (group.id, group.epoch);
        let (Some(failover), Some((kind, opened_at))) = (&group.failover, self.opened.get(&key)) else {
            return Ok(());
        };
        let (fleet, now) = (scene.fleet(), scene.now());
        let (Some(candidate), Some(old)) = (fleet.at(failover.candidate), fleet.at(failover.old_primary)) else {
            return Ok(());
        };
        let by_operator = *kind == FailoverKind::Operator;
        let limit_ms = if by_operator { PLANNED_MS } else { OUTAGE_MS };
        let server = &fleet.servers[old];
        let itself = failover.old_run_id.as_ref() == Some(&server.run_id()) && server.is_primary();
        let answers = itself && server.alive() && !server.hung(now) && !server.loading(now);
        // Another process in its place is not who it is meant for, and does not carry it out (rule 3, `fence`): between
        // the restart and the news of it nobody can know.
        let meant = fleet.servers[candidate].run_id() == failover.candidate_run_id;
        // A successor that finds it promoted already gives the order again.
        let first = candidate != old && meant && !fleet.servers[candidate].is_primary();
        if !first || !answers || now >= opened_at + limit_ms {
            return Ok(());
        }
        let paused = self.paused.get(&(group.id, group.epoch, term));
        if !server.pauses_writes() || server.no_pause_command {
            return Ok(());
        }
        let should_be = by_operator && !agreed_down(scene, group);
        // What ended a pause before its time is not this leader's doing.
        let ended = paused == Some(&Pause::Done) && server.paused_until <= now;
        if ended || (paused.is_none() && !should_be) {
            return Ok(());
        }
        scene.judges(self.name());
        let (has, written) = (fleet.offset(candidate, now), fleet.offset(old, now));
        if has < written {
            let how = match paused {
                Some(Pause::Done) => "",
                Some(Pause::UnderWay) => ", whose pause is on its way",
                None => ", which could be paused",
            };
            return Err(format!(
                "{} is promoted with {has} of {written} bytes of {}{how}",
                fleet.servers[candidate].name, server.name
            ));
        }
        Ok(())
    }
}

/// As many nodes as are asked for have said so of late, or may have: then an operator's failover is in a hurry, too. That
/// they said so once is committed; when they said so last is not known of whole nodes.
fn agreed_down(scene: &dyn Scene, group: &Group) -> bool {
    if group.outage.is_some() {
        return true;
    }
    let says = |node: &NodeScene| {
        let at = scene.judged_down_at(node.id, group.id, group.primary);
        at.is_some_and(|at| scene.now() - at < LATELY_MS + node.paused_ms)
    };
    nodes(scene).filter(says).count() as u32 >= group.config.quorum
}
