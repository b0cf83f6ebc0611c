//! While automatic failover is off no failover is opened but by an operator, and nobody is repaired. Where a wall clock
//! jumped, nothing can be said about its end.

use cfgserver::failover::Order;
use cfgserver::machine::{Command, Outcome};
use cfgserver::model::{Automatic, FailoverKind, Group, Timestamp};

use super::{Invariant, Scene, nodes};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct Maintenance;

impl Invariant for Maintenance {
    fn name(&self) -> &'static str {
        "nothing automatic while it is off"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Committed {
                command,
                outcome: Outcome::Done { .. },
                before,
                after,
                ..
            } => {
                let Command::OpenFailover { group, kind, .. } = command.as_ref() else {
                    return Ok(());
                };
                let group = before
                    .group(*group)
                    .filter(|group| self.is_off(scene, group, after.header().now));
                match (group, kind) {
                    (Some(group), FailoverKind::Automatic | FailoverKind::Emptied) => {
                        Err(format!("{}: {kind:?} was opened", group.name))
                    }
                    _ => Ok(()),
                }
            }
            // What the leader had applied when it wrote. The end is judged by commits: no entry tells the time of a write.
            Fact::OrderSent {
                group,
                address,
                order: order @ Order::Follow { .. },
                applied,
                ..
            } => {
                let group = applied
                    .group(*group)
                    .filter(|group| group.config.automatic == Automatic::Off);
                let Some(group) = group else { return Ok(()) };
                scene.judges(self.name());
                if group.failover.is_none() {
                    return Err(format!("{}: {address} was repaired ({order})", group.name));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Maintenance {
    fn is_off(&self, scene: &dyn Scene, group: &Group, now: Timestamp) -> bool {
        let sure = group.config.automatic == Automatic::Off || !nodes(scene).any(|node| node.skewed);
        let off = sure && group.config.automatic.is_off(now);
        if off {
            scene.judges(self.name());
        }
        off
    }
}
