//! One candidate per group and epoch, for ever; and an epoch is never used again.

use std::collections::BTreeMap;

use cfgserver::model::{Address, Epoch, GroupId, RunId};

use super::{Invariant, Scene};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct OneCandidate {
    candidates: BTreeMap<(GroupId, Epoch), (Address, RunId)>,
}

impl Invariant for OneCandidate {
    fn name(&self) -> &'static str {
        "one candidate per group and epoch"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        let Fact::Committed { before, after, .. } = fact else {
            return Ok(());
        };
        for group in after.groups() {
            let known = before.group(group.id);
            if known.is_some_and(|known| group.epoch < known.epoch) {
                return Err(format!("{}: the epoch went back", group.name));
            }
            let Some(failover) = &group.failover else { continue };
            scene.judges(self.name());
            let candidate = (failover.candidate, failover.candidate_run_id.clone());
            let first = self
                .candidates
                .entry((group.id, failover.epoch))
                .or_insert_with(|| candidate.clone());
            if *first != candidate {
                return Err(format!(
                    "{} epoch {}: {first:?}, then {candidate:?}",
                    group.name, failover.epoch
                ));
            }
        }
        Ok(())
    }
}
