//! Never is an instance ordered that is known to be of another group (rule 9).

use cfgserver::failover::Order;
use cfgserver::machine::State;
use cfgserver::model::{Address, Facts, Group, Member};

use super::{Invariant, Scene};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct Foreign;

impl Invariant for Foreign {
    fn name(&self) -> &'static str {
        "only the group's own instances are ordered"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::OrderSent {
                node,
                group,
                address,
                order,
                run_id,
                applied,
                ..
            } => {
                let Some(known) = applied.group(*group) else {
                    return Ok(());
                };
                scene.judges(self.name());
                let seen = scene.sighting(*node, *group, *address).and_then(|seen| seen.facts);
                // A process on record stays a member whatever it was made to copy: it is turned, but not promoted.
                let on_record = known.members.get(address).and_then(|member| member.run_id.as_ref()) == Some(run_id);
                // An order for a process that is there no more is obeyed by nobody.
                let seen = seen.filter(|facts| facts.run_id == *run_id);
                let turned = on_record && matches!(order, Order::Follow { .. } | Order::Unpause);
                if !turned
                    && *address != known.primary
                    && seen.is_some_and(|facts| belongs_elsewhere(applied, known, *address, &facts))
                {
                    return Err(format!("{address} is of another group and is ordered: {order}"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// What it says of itself names another group's data, and not this group's nor its own of before.
fn belongs_elsewhere(state: &State, group: &Group, address: Address, facts: &Facts) -> bool {
    let Some(lineage) = &facts.lineage else { return false };
    let of = |member: Option<&Member>| member.and_then(|member| member.lineage.clone());
    let own = group.members.get(&address).filter(|member| member.synced);
    let ours = [of(group.primary_member()), of(own)];
    if ours.iter().flatten().any(|ours| ours.related(lineage)) {
        return false;
    }
    let mut others = state.groups().filter(|other| other.id != group.id);
    others.any(|other| of(other.primary_member()).is_some_and(|theirs| theirs.related(lineage)))
}
