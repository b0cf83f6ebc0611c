//! A failover is cancelled because its primary is back only when no order to promote was ever sent for it; and no
//! command of the planner breaks a rule of the state.

use std::collections::BTreeSet;

use cfgserver::failover::Order;
use cfgserver::machine::{Command, Outcome, Rejection};
use cfgserver::model::{Epoch, Fault, GroupId};

use super::{Invariant, Scene};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct Cancel {
    promoted: BTreeSet<(GroupId, Epoch)>,
}

impl Invariant for Cancel {
    fn name(&self) -> &'static str {
        "no way back after the order to promote"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::OrderSent {
                group,
                order: Order::Promote,
                applied,
                ..
            } => {
                let epoch = applied.group(*group).map(|group| group.epoch);
                self.promoted.extend(epoch.map(|epoch| (*group, epoch)));
                Ok(())
            }
            Fact::Committed { command, outcome, .. } => match (command.as_ref(), outcome) {
                (
                    Command::AbortFailover {
                        fault: Fault::PrimaryBack,
                        group,
                        epoch,
                        ..
                    },
                    Outcome::Done { .. },
                ) if !self.promoted.contains(&(*group, *epoch)) => {
                    scene.judges(self.name());
                    Ok(())
                }
                (_, Outcome::Rejected(Rejection::Broken(rule))) => Err(format!("broken rule of the state: {rule}")),
                (
                    Command::AbortFailover {
                        group,
                        epoch,
                        fault: Fault::PrimaryBack,
                        ..
                    },
                    Outcome::Done { .. },
                ) if self.promoted.contains(&(*group, *epoch)) => {
                    Err(format!("group {group} epoch {epoch} was cancelled after its order"))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
