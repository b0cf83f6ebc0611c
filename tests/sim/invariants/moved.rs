//! A command about a group is carried out only on the version that it was planned on; a promotion is complete only when
//! the committed process says so.

use cfgserver::machine::{Command, Outcome};
use cfgserver::model::{GroupId, Revision};

use super::{Invariant, Scene};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct Moved;

impl Invariant for Moved {
    fn name(&self) -> &'static str {
        "a command is applied to what it was planned on"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        let Fact::Committed {
            command,
            outcome: Outcome::Done { .. },
            before,
            ..
        } = fact
        else {
            return Ok(());
        };
        let Some((id, on)) = planned(command) else {
            return Ok(());
        };
        scene.judges(self.name());
        let group = before.group(id);
        if group.is_none_or(|group| group.version != on) {
            return Err(format!("{command:?} was applied although the group moved on"));
        }
        if let Command::CompletePromotion { proof, .. } = command.as_ref() {
            let failover = group.and_then(|group| group.failover.as_ref());
            if failover.is_some_and(|failover| failover.candidate_run_id != proof.run_id) {
                return Err("another process than the candidate completed a promotion".to_owned());
            }
        }
        Ok(())
    }
}

/// The group and the version that a command was planned on.
pub(super) fn planned(command: &Command) -> Option<(GroupId, Revision)> {
    match command {
        Command::Learn { group, on, .. }
        | Command::Outage { group, on, .. }
        | Command::OutageOver { group, on }
        | Command::OpenFailover { group, on, .. }
        | Command::CompletePromotion { group, on, .. }
        | Command::AbortFailover { group, on, .. }
        | Command::Reconfigured { group, on, .. }
        | Command::EndFailover { group, on, .. }
        | Command::Adopt { group, on, .. }
        | Command::Repaired { group, on, .. }
        | Command::Name { group, on, .. }
        | Command::Readdress { group, on, .. } => Some((*group, *on)),
        _ => None,
    }
}
