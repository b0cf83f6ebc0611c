//! No promotion without a committed decision for that very process; never an instance that is empty, or that is not the
//! group's own. A switch is committed only after the candidate became a master.

use std::collections::BTreeSet;

use cfgserver::failover::Order;
use cfgserver::machine::Command;
use cfgserver::model::{Address, GroupId, RunId, Stage};

use super::replaced::Replaced;
use super::{Invariant, Scene};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct Promotion {
    /// Decided, once: group, instance, process.
    decided: BTreeSet<(GroupId, Address, RunId)>,
    replaced: Replaced,
}

impl Invariant for Promotion {
    fn name(&self) -> &'static str {
        "only the committed candidate is promoted"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        self.replaced.note(scene, fact);
        match fact {
            Fact::Committed {
                command, after, before, ..
            } => {
                for group in after.groups() {
                    if let Some(failover) = group
                        .failover
                        .as_ref()
                        .filter(|failover| failover.stage == Stage::Promote)
                    {
                        self.decided
                            .insert((group.id, failover.candidate, failover.candidate_run_id.clone()));
                    }
                }
                self.completed(scene, command, before, after)
            }
            Fact::OrderSent {
                group,
                address,
                run_id,
                order: Order::Promote,
                applied,
                ..
            } => {
                // Not only once: a candidate that was given up is left alone.
                let open = applied.group(*group).and_then(|group| group.failover.as_ref());
                let decided = open.is_some_and(|open| {
                    let process = (open.candidate, &open.candidate_run_id);
                    open.stage == Stage::Promote && process == (*address, run_id)
                });
                if decided && self.decided.contains(&(*group, *address, run_id.clone())) {
                    Ok(())
                } else {
                    Err(format!("{address} is ordered to be a primary, which nobody decided"))
                }
            }
            Fact::OrderDone {
                group,
                server,
                order: Order::Promote,
                keys,
                was_primary,
                ..
            } => {
                scene.judges(self.name());
                self.carried_out(scene, *group, *server, *keys, *was_primary)
            }
            _ => Ok(()),
        }
    }
}

impl Promotion {
    fn carried_out(
        &self,
        scene: &dyn Scene,
        group: GroupId,
        server: usize,
        keys: u64,
        was_primary: bool,
    ) -> Result<(), String> {
        let instance = &scene.fleet().servers[server];
        if !self.decided.contains(&(group, instance.address, instance.run_id())) {
            return Err(format!("{} was promoted, which nobody decided", instance.name));
        }
        let others = scene
            .fleet()
            .servers
            .iter()
            .enumerate()
            .filter(|(_, other)| other.home == instance.home);
        let others_have = others
            .filter(|(who, _)| *who != server)
            .any(|(who, _)| scene.fleet().keys(who) > 0);
        // Replicas follow a primary that came back empty by themselves, and then the group is on record as empty.
        let state = scene.state();
        let on_record = state.group(group).and_then(|group| group.primary_member());
        let others_have = others_have && on_record.is_none_or(|primary| primary.non_empty);
        let promoted = instance.is_primary() && !was_primary;
        if keys == 0 && others_have && promoted && self.replaced.known_to_be_lost(scene, server) {
            return Err(format!("{} has no data and was promoted", instance.name));
        }
        Ok(())
    }

    /// The candidate is, or has been since, a master.
    fn completed(
        &self,
        scene: &dyn Scene,
        command: &Command,
        before: &cfgserver::machine::State,
        after: &cfgserver::machine::State,
    ) -> Result<(), String> {
        let Command::CompletePromotion { group, .. } = command else {
            return Ok(());
        };
        let primary = |state: &cfgserver::machine::State| state.group(*group).map(|group| group.primary);
        let (Some(from), Some(to)) = (primary(before), primary(after)) else {
            return Ok(());
        };
        if from == to {
            return Ok(());
        }
        let instance = scene.server_at(to);
        let Some(instance) = instance else {
            return Err(format!("{to} is nobody"));
        };
        let recorded = after
            .group(*group)
            .and_then(|group| group.primary_member()?.run_id.clone());
        let same = recorded.as_ref() == Some(&instance.run_id());
        if same && instance.running && !instance.is_primary() && instance.ordered_to_follow {
            return Ok(());
        }
        if same && instance.running && !instance.is_primary() {
            return Err(format!("{} is announced and is no master", instance.name));
        }
        Ok(())
    }
}
