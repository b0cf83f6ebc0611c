//! After the faults: every group with an eligible replica has exactly one primary, everything follows it, and all nodes
//! agree. That everyone was told, and that no write is held back, is asked by `chain` and `paused`.

use cfgserver::model::{Automatic, Group, Identity, Member, Mode};

use super::{Scene, nodes};
use crate::redis::{Index, Replica, Server};

pub(super) fn all_is_well(scene: &dyn Scene) -> Result<(), String> {
    let state = scene.state();
    let leaders = nodes(scene).filter(|node| node.leads.is_some()).count();
    if leaders != 1 {
        return Err(format!("{leaders} nodes lead"));
    }
    for node in nodes(scene).filter(|node| node.member) {
        if !node.caught_up || node.state.revision() != state.revision() {
            return Err(format!("node {} is behind", node.id));
        }
    }
    for group in state.groups() {
        group_is_well(scene, group)?;
    }
    Ok(())
}

/// Some replica runs, and what is on record speaks for it.
fn eligible(scene: &dyn Scene, group: &Group) -> bool {
    let has_keys = group.primary_member().is_some_and(|member| member.non_empty);
    group.replicas().any(|(address, member)| {
        let runs = scene.fleet().at(*address).is_some_and(|index| {
            let instance = &scene.fleet().servers[index];
            // Rule 10: half a copy is no copy.
            let copied = scene.fleet().offset(index, scene.now()) > 1;
            // An instance that is too old for replication ids may have copied a primary that had lost its data, and from
            // its INFO nobody can tell. While the group has keys on record an empty one waits for an operator.
            let tells = !instance.version.starts_with('2') || !has_keys;
            // So does one that was cut off before the keys that the primary got after a FLUSHALL.
            let behind = has_keys && scene.fleet().misses_keys(index);
            let has_data = copied && !behind && (tells || scene.fleet().keys(index) > 0);
            instance.running && instance.priority > 0 && has_data && trusted(group, member, instance)
        });
        runs && member.synced && member.quarantine.is_none()
    })
}

/// With `identity strict` a process that is not on record waits for an operator.
fn trusted(group: &Group, member: &Member, instance: &Server) -> bool {
    group.config.identity == Identity::Open || member.run_id.as_ref() == Some(&instance.run_id())
}

/// The primary was made a replica and still has the group's data: it can be what it was.
fn reinstatable(scene: &dyn Scene, group: &Group, index: Index) -> bool {
    let (instance, Some(member)) = (&scene.fleet().servers[index], group.primary_member()) else {
        return false;
    };
    let on_record = member.run_id.as_ref() == Some(&instance.run_id()) && member.quarantine.is_none();
    let lineage = format!("{:040x}", instance.lineage);
    let second = instance.second_lineage.map(|id| format!("{id:040x}"));
    let related = member.lineage.as_ref().is_some_and(|known| {
        let known = [Some(known.replid.as_ref()), known.replid2.as_deref()];
        known
            .iter()
            .flatten()
            .any(|id| *id == lineage || Some(*id) == second.as_deref())
    });
    let there = instance.running && !instance.is_primary() && !instance.loading(scene.now());
    there && on_record && related && scene.fleet().keys(index) > 0
}

/// It copies the primary: its own way, or through an instance of no group, which to the nodes is the primary under another
/// name, whatever that one copies.
fn follows(scene: &dyn Scene, mut index: Index, primary: Index) -> bool {
    let (state, servers) = (scene.state(), &scene.fleet().servers);
    let mut unknown = false;
    for _ in 0..servers.len() {
        match servers[index].replica {
            Replica::Up { from, stalled: None } if from == primary => return true,
            Replica::Up { from, stalled: None } => {
                unknown |= state.group_at(servers[from].address).is_none();
                if !unknown {
                    return false;
                }
                index = from;
            }
            _ => return false,
        }
    }
    false
}

fn group_is_well(scene: &dyn Scene, group: &Group) -> Result<(), String> {
    let name = &group.name;
    let Some(primary) = scene.fleet().at(group.primary) else {
        return Err(format!("{name}: its primary is nobody"));
    };
    let instance = &scene.fleet().servers[primary];
    let recorded = group.primary_member();
    let left_to_operators = group.config.mode == Mode::Observe || group.config.automatic == Automatic::Off;
    if left_to_operators || !recorded.is_some_and(|member| trusted(group, member, instance)) {
        // Nothing is ordered, or an operator must vouch for the primary first; a failover ends with its own timeout.
        return Ok(());
    }
    if recorded.is_some_and(|member| member.quarantine.is_some()) {
        // Another group's instance at its address: rule 9, reported and never ordered.
        return Ok(());
    }
    let serves = instance.running && instance.is_primary() && !instance.loading(scene.now());
    if !serves && group.config.quorum as usize > scene.state().electorate().count() {
        // More votes are asked for than there are nodes to give them; a failover ends with its own timeout.
        return Ok(());
    }
    if group.failover.is_some() {
        return Err(format!("{name}: a failover is open"));
    }
    if !serves {
        if !eligible(scene, group) && !reinstatable(scene, group, primary) {
            // Nobody may be promoted: that is an operator's matter.
            return Ok(());
        }
        let why = group.abort.as_ref().map(|abort| &abort.replicas);
        return Err(format!("{name}: {} is no primary; passed over: {why:?}", instance.name));
    }
    if group.outage.is_some() {
        return Err(format!("{name}: an outage is open"));
    }
    for (address, member) in group.replicas() {
        let Some(index) = scene.fleet().at(*address) else {
            continue;
        };
        let replica = &scene.fleet().servers[index];
        // A stranger is reported and left alone; so is a new process of a strict group.
        let left_alone = member.quarantine.is_some() || !trusted(group, member, replica);
        if left_alone || !replica.running || replica.home != instance.home {
            continue;
        }
        if !follows(scene, index, primary) {
            return Err(format!("{name}: {} does not follow {}", replica.name, instance.name));
        }
    }
    Ok(())
}
