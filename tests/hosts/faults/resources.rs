//! What a node lives on is taken away: disk, descriptors, the right time.

use std::time::Duration;

use crate::moment::within;
use crate::scene::Scene;

fn disk_full(scene: &mut Scene, node: usize) -> String {
    scene.may_end = true;
    scene.nodes[node].fill_disk();
    format!("node {}", scene.nodes[node].id)
}

pub(super) fn disk_full_leader(scene: &mut Scene) -> String {
    let leader = scene.leader();
    disk_full(scene, leader)
}

pub(super) fn disk_full_follower(scene: &mut Scene) -> String {
    let follower = scene.follower();
    disk_full(scene, follower)
}

/// A disk in use cannot be made read-only: the node dies first and finds it so when it is started.
pub(super) fn disk_read_only(scene: &mut Scene) -> String {
    let node = scene.chance.index(scene.nodes.len());
    scene.may_end = true;
    scene.kill_node(node);
    scene.nodes[node].write_protect(true);
    scene.nodes[node].start();
    let ended = within(Duration::from_secs(20), || scene.nodes[node].has_ended().then_some(()));
    let how = if ended.is_some() { "refuses to start" } else { "runs" };
    format!("node {} {how}", scene.nodes[node].id)
}

fn descriptors(scene: &mut Scene, node: usize) -> String {
    let spare = usize::try_from(scene.chance.within(0, 3)).unwrap_or(0);
    let open = scene.nodes[node].starve_of_descriptors(spare);
    format!("node {} has {open} open and may open {spare} more", scene.nodes[node].id)
}

pub(super) fn descriptors_leader(scene: &mut Scene) -> String {
    let leader = scene.leader();
    descriptors(scene, leader)
}

pub(super) fn descriptors_follower(scene: &mut Scene) -> String {
    let follower = scene.follower();
    descriptors(scene, follower)
}

/// The leader's wall clock goes two hours back, and then a primary dies.
pub(super) fn clock_back(scene: &mut Scene) -> String {
    let node = scene.chance.index(scene.nodes.len());
    scene.kill_node(node);
    scene.nodes[node].take_clock();
    scene.restart_node(node);
    scene.nodes[node].wait_ready();
    let id = scene.nodes[node].id;
    let leads = within(Duration::from_secs(20), || {
        scene.nodes[node].call(&["CFG", "LEADER", "TRANSFER", &id.to_string()]);
        (scene.leader() == node).then_some(())
    });
    scene.nodes[node].set_clock("-7200");
    let group = scene.any_group();
    let primary = scene.primary(group);
    scene.kill_redis(primary);
    let role = if leads.is_some() { "leader" } else { "follower" };
    format!("{role} {id} by two hours, and {} killed", scene.name(primary))
}
