//! After the faults: every group with an eligible replica has exactly one primary, everything follows it, everyone was
//! told, no write is held back, and all nodes agree.

use cfgserver::model::{Group, Identity, Mode};

use super::{Scene, nodes};
use crate::redis::Replica;

pub(super) fn all_is_well(scene: &dyn Scene) -> Result<(), String> {
    let state = scene.state();
    let leaders = nodes(scene).filter(|node| node.leads.is_some()).count();
    if leaders != 1 {
        return Err(format!("{leaders} nodes lead"));
    }
    for node in nodes(scene) {
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
    group.replicas().any(|(address, member)| {
        let runs = scene.fleet().at(*address).is_some_and(|index| {
            let instance = &scene.fleet().servers[index];
            // Rule 10: half a copy is no copy.
            instance.running && instance.priority > 0 && scene.fleet().offset(index, scene.now()) > 1
        });
        runs && member.synced && member.quarantine.is_none()
    })
}

fn group_is_well(scene: &dyn Scene, group: &Group) -> Result<(), String> {
    let name = &group.name;
    let Some(primary) = scene.fleet().at(group.primary) else {
        return Err(format!("{name}: its primary is nobody"));
    };
    let instance = &scene.fleet().servers[primary];
    if group.config.mode == Mode::Observe || group.config.identity == Identity::Strict {
        // Nothing is ordered, or restarted processes wait for an operator.
        return Ok(());
    }
    if group.primary_member().is_some_and(|member| member.quarantine.is_some()) {
        return Ok(());
    }
    if group.failover.is_some() {
        return Err(format!("{name}: a failover is open"));
    }
    if !instance.running || !instance.is_primary() || instance.loading(scene.now()) {
        if !eligible(scene, group) {
            // Nobody may be promoted: that is an operator's matter.
            return Ok(());
        }
        let why = group.abort.as_ref().map(|abort| &abort.replicas);
        return Err(format!("{name}: {} is no primary; passed over: {why:?}", instance.name));
    }
    if group.outage.is_some() {
        return Err(format!("{name}: an outage is open"));
    }
    if instance.paused_until > scene.now() {
        return Err(format!("{name}: the writes of {} are held back", instance.name));
    }
    for (address, member) in group.replicas() {
        let Some(index) = scene.fleet().at(*address) else {
            continue;
        };
        let replica = &scene.fleet().servers[index];
        if member.quarantine.is_some() || !replica.running || replica.home != instance.home {
            continue;
        }
        let follows = matches!(replica.replica, Replica::Up { from, stalled: None } if from == primary);
        if !follows {
            return Err(format!("{name}: {} does not follow {}", replica.name, instance.name));
        }
        if replica.paused_until > scene.now() {
            return Err(format!("{name}: the writes of {} are held back", replica.name));
        }
    }
    Ok(())
}
