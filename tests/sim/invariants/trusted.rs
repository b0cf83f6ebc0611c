//! A process that is not trusted is neither recorded nor ordered (rule 9): what is on record about a quarantined member
//! stays as it was, and with `identity strict` only those are trusted that were recorded while it was open, and the
//! first one at the address that MONITOR named.

use std::collections::BTreeSet;

use cfgserver::machine::{Command, State};
use cfgserver::model::{Address, Group, GroupId, Identity, Member, RunId};

use super::{Invariant, Scene};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct Trusted {
    processes: BTreeSet<(GroupId, Address, RunId)>,
}

impl Invariant for Trusted {
    fn name(&self) -> &'static str {
        "a process that is not trusted is neither recorded nor ordered"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Committed {
                command, before, after, ..
            } => {
                if let Command::Learn { group, members, .. } = &**command {
                    quarantined(before, after, *group, members.keys())?;
                }
                for group in after.groups() {
                    let old = before.group(group.id);
                    if old.is_none_or(|old| old.version != group.version) {
                        self.recorded(scene, old.map(|old| &**old), group)?;
                    }
                }
                Ok(())
            }
            // The bare form was decided with the first one.
            Fact::OrderSent {
                group,
                address,
                run_id,
                order,
                applied,
                repeated: false,
                ..
            } => {
                let strict = applied.group(*group).filter(|group| is_strict(group));
                let Some(group) = strict.filter(|group| !is_vouched_for(group, *address)) else {
                    return Ok(());
                };
                scene.judges(self.name());
                if self.processes.contains(&(group.id, *address, run_id.clone())) {
                    return Ok(());
                }
                Err(format!(
                    "{}: {address} is ordered to {order}, as a process that nobody vouched for",
                    group.name
                ))
            }
            _ => Ok(()),
        }
    }
}

impl Trusted {
    /// Keeps the ledger. A switch records the process that was planned: it is in it already.
    fn recorded(&mut self, scene: &dyn Scene, old: Option<&Group>, group: &Group) -> Result<(), String> {
        for (address, member) in &group.members {
            let Some(run_id) = &member.run_id else { continue };
            let known = old.and_then(|old| old.members.get(address));
            if known.is_some_and(|known| known.run_id.as_ref() == Some(run_id)) {
                continue;
            }
            let process = (group.id, *address, run_id.clone());
            if let Some(old) = old.filter(|old| is_strict(old) && !is_vouched_for(old, *address)) {
                scene.judges(self.name());
                if !self.processes.contains(&process) {
                    return Err(format!(
                        "{}: a process at {address} is recorded that nobody vouched for",
                        old.name
                    ));
                }
            }
            self.processes.insert(process);
        }
        Ok(())
    }
}

fn is_strict(group: &Group) -> bool {
    group.config.identity == Identity::Strict
}

/// Whatever process is first at the address that MONITOR named.
fn is_vouched_for(group: &Group, address: Address) -> bool {
    address == group.primary && group.primary_member().is_none_or(|member| member.run_id.is_none())
}

/// Another group may own the process: nothing of it is this group's to record.
fn quarantined<'a>(
    before: &State,
    after: &State,
    id: GroupId,
    mut learnt: impl Iterator<Item = &'a Address>,
) -> Result<(), String> {
    let (Some(before), Some(after)) = (before.group(id), after.group(id)) else {
        return Ok(());
    };
    let record = |member: &Member| Member {
        quarantine: None,
        ..member.clone()
    };
    learnt.try_for_each(|address| {
        let Some(member) = after.members.get(address).filter(|member| member.quarantine.is_some()) else {
            return Ok(());
        };
        let known = before.members.get(address).cloned().unwrap_or_default();
        if record(&known) == record(member) {
            return Ok(());
        }
        Err(format!(
            "{}: {address} is quarantined, and recorded: {member:?}",
            after.name
        ))
    })
}
