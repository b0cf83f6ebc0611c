//! What a node lives on is taken away: disk, descriptors, the right time.

use std::time::Duration;

use crate::moment::{ms, within};
use crate::node::Node;
use crate::scene::Scene;

/// A full disk is felt when the space is used up that the log had reserved: somebody writes until then.
fn disk_full(scene: &mut Scene, node: usize) -> String {
    scene.may_end = true;
    scene.nodes[node].fill_disk();
    let began = ms();
    let helper = scene.other_node(node);
    let felt = within(Duration::from_secs(40), || {
        write_much(&scene.nodes[helper]);
        scene.nodes[node].has_ended().then_some(())
    });
    let id = scene.nodes[node].id;
    match felt {
        Some(()) => format!("node {id}, which ended after {} ms", ms() - began),
        None => format!("node {id}, which did not feel it"),
    }
}

/// Settings of a name of its own, a batch of them.
fn write_much(node: &Node) -> Option<()> {
    let mut client = node.connect()?;
    let name = "filler";
    let _ = client.try_call(&["SENTINEL", "MONITOR", name, "10.77.99.8", "7999", "100"]);
    let batch = 200;
    for number in 0..batch {
        let value = (40_000 + number).to_string();
        client
            .send(&["SENTINEL", "SET", name, "failover-timeout", &value])
            .ok()?;
    }
    (0..batch).try_for_each(|_| client.read().map(|_| ())).ok()
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

/// A node that can open nothing more, and then a primary dies. The store needs a file now and then: a node whose
/// limit is lowered below what it reserved may end, and must come back with everything.
fn descriptors(scene: &mut Scene, node: usize) -> String {
    scene.may_end = true;
    let spare = usize::try_from(scene.chance.within(0, 3)).unwrap_or(0);
    let open = scene.nodes[node].starve_of_descriptors(spare);
    let group = scene.any_group();
    let primary = scene.primary(group);
    scene.kill_redis(primary);
    let id = scene.nodes[node].id;
    format!(
        "node {id} has {open} open and may open {spare} more; {} killed",
        scene.name(primary)
    )
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
