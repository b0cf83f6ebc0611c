//! Only data of the group's own lineage is promoted: what descends from a stream that a committed primary of it had.

use std::collections::{BTreeMap, BTreeSet};

use cfgserver::failover::Order;
use cfgserver::model::GroupId;

use super::replaced::Replaced;
use super::{Invariant, Scene};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct Synced {
    /// The roots of all streams that primaries of the group had on record.
    roots: BTreeMap<GroupId, BTreeSet<u32>>,
    replaced: Replaced,
}

impl Invariant for Synced {
    fn name(&self) -> &'static str {
        "only the group's own data is promoted"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        self.replaced.note(scene, fact);
        match fact {
            Fact::Committed { after, .. } => {
                for group in after.groups() {
                    let primary = group.primary_member().and_then(|member| member.lineage.as_ref());
                    // Before a word of the primary is on record, what its replicas copied is the group's.
                    let copied = group.replicas().filter(|(_, member)| member.synced);
                    let copied = copied
                        .filter_map(|(_, member)| member.lineage.as_ref())
                        .filter(|_| primary.is_none());
                    let known = primary.into_iter().chain(copied);
                    let roots = known.filter_map(|lineage| scene.fleet().lineages.root(&lineage.replid));
                    self.roots.entry(group.id).or_default().extend(roots);
                }
                Ok(())
            }
            Fact::OrderDone {
                group,
                server,
                order: Order::Promote,
                was_primary: false,
                ..
            } => {
                let instance = &scene.fleet().servers[*server];
                let root = scene.fleet().lineages.root(&format!("{:x}", instance.lineage));
                scene.judges(self.name());
                let own = self.roots.get(group).filter(|roots| !roots.is_empty());
                let strange = own.zip(root).is_some_and(|(own, root)| !own.contains(&root));
                let race = self.replaced.too_late_to_know(scene, *server);
                if instance.is_primary() && strange && !race && !instance.version.starts_with('2') {
                    return Err(format!(
                        "{} has other data than the group and was promoted",
                        instance.name
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
