//! Processes that die (kill -9) or hang (SIGSTOP).

use std::time::Duration;

use crate::moment::within;
use crate::scene::{Place, Scene};

fn some_primary(scene: &mut Scene) -> Place {
    let group = scene.any_group();
    scene.primary(group)
}

fn id(scene: &Scene, node: usize) -> u64 {
    scene.nodes[node].id
}

pub(super) fn kill_leader(scene: &mut Scene) -> String {
    let leader = scene.leader();
    scene.kill_node(leader);
    format!("node {}", id(scene, leader))
}

pub(super) fn kill_follower(scene: &mut Scene) -> String {
    let follower = scene.follower();
    scene.kill_node(follower);
    format!("node {}", id(scene, follower))
}

pub(super) fn kill_two_nodes(scene: &mut Scene) -> String {
    let one = scene.leader();
    let other = scene.other_node(one);
    scene.kill_node(one);
    scene.kill_node(other);
    format!("nodes {} and {}", id(scene, one), id(scene, other))
}

pub(super) fn kill_all_nodes(scene: &mut Scene) -> String {
    for node in 0..scene.nodes.len() {
        scene.kill_node(node);
    }
    "every node".to_owned()
}

pub(super) fn kill_primary(scene: &mut Scene) -> String {
    let primary = some_primary(scene);
    scene.kill_redis(primary);
    scene.name(primary)
}

pub(super) fn kill_all_primaries(scene: &mut Scene) -> String {
    let all: Vec<Place> = (0..scene.groups.len()).map(|group| scene.primary(group)).collect();
    for primary in &all {
        scene.kill_redis(*primary);
    }
    let names: Vec<String> = all.iter().map(|primary| scene.name(*primary)).collect();
    names.join(", ")
}

pub(super) fn kill_replica(scene: &mut Scene) -> String {
    let group = scene.any_group();
    let replica = scene.replica(group);
    scene.kill_redis(replica);
    scene.name(replica)
}

fn primary_and_replica(scene: &mut Scene) -> (Place, Place) {
    let primary = some_primary(scene);
    (primary, scene.replica(primary.0))
}

pub(super) fn kill_primary_and_replica(scene: &mut Scene) -> String {
    let (primary, replica) = primary_and_replica(scene);
    scene.kill_redis(primary);
    scene.kill_redis(replica);
    format!("{}, primary, and {}", scene.name(primary), scene.name(replica))
}

pub(super) fn kill_leader_and_primary(scene: &mut Scene) -> String {
    let (leader, primary) = (scene.leader(), some_primary(scene));
    scene.kill_redis(primary);
    scene.kill_node(leader);
    format!("{}, primary, and leader {}", scene.name(primary), id(scene, leader))
}

/// The leader dies when the switch has been opened: a successor must end it.
pub(super) fn kill_leader_amid_switch(scene: &mut Scene) -> String {
    let (leader, primary) = (scene.leader(), some_primary(scene));
    let group = scene.groups[primary.0].name.clone();
    scene.kill_redis(primary);
    let opened = within(Duration::from_secs(20), || {
        let answer = scene.nodes[leader].call(&["SENTINEL", "MASTER", &group])?;
        let flags = answer.field("flags")?.to_owned();
        let is_open = flags.contains("o_down") || flags.contains("failover");
        is_open.then_some(flags)
    });
    scene.kill_node(leader);
    format!(
        "{}, primary, and leader {} when it said {}",
        scene.name(primary),
        id(scene, leader),
        opened.unwrap_or_else(|| "nothing".to_owned())
    )
}

pub(super) fn freeze_leader(scene: &mut Scene) -> String {
    let leader = scene.leader();
    scene.freeze_node(leader);
    format!("node {}", id(scene, leader))
}

pub(super) fn freeze_follower(scene: &mut Scene) -> String {
    let follower = scene.follower();
    scene.freeze_node(follower);
    format!("node {}", id(scene, follower))
}

pub(super) fn freeze_two_nodes(scene: &mut Scene) -> String {
    let one = scene.leader();
    let other = scene.other_node(one);
    scene.freeze_node(one);
    scene.freeze_node(other);
    format!("nodes {} and {}", id(scene, one), id(scene, other))
}

pub(super) fn freeze_primary(scene: &mut Scene) -> String {
    let primary = some_primary(scene);
    scene.freeze_redis(primary);
    scene.name(primary)
}

pub(super) fn freeze_replica(scene: &mut Scene) -> String {
    let group = scene.any_group();
    let replica = scene.replica(group);
    scene.freeze_redis(replica);
    scene.name(replica)
}

pub(super) fn freeze_primary_and_replica(scene: &mut Scene) -> String {
    let (primary, replica) = primary_and_replica(scene);
    scene.freeze_redis(primary);
    scene.freeze_redis(replica);
    format!("{}, primary, and {}", scene.name(primary), scene.name(replica))
}

pub(super) fn freeze_leader_and_primary(scene: &mut Scene) -> String {
    let (leader, primary) = (scene.leader(), some_primary(scene));
    scene.freeze_redis(primary);
    scene.freeze_node(leader);
    format!("{}, primary, and leader {}", scene.name(primary), id(scene, leader))
}
