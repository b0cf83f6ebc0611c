//! Faults of the network.

use std::net::Ipv4Addr;

use crate::scene::{Place, Scene};

fn node_ips(scene: &Scene) -> Vec<Ipv4Addr> {
    (0..scene.nodes.len()).map(|node| scene.node_ip(node)).collect()
}

fn others(scene: &Scene, node: usize) -> Vec<Ipv4Addr> {
    let own = scene.node_ip(node);
    node_ips(scene).into_iter().filter(|ip| *ip != own).collect()
}

fn instances(scene: &Scene) -> Vec<Ipv4Addr> {
    let members = scene.groups.iter().flat_map(|group| &group.members);
    members.map(|member| member.host.ip).collect()
}

fn some_primary(scene: &mut Scene) -> Place {
    let group = scene.any_group();
    scene.primary(group)
}

fn part_node_from_nodes(scene: &mut Scene, node: usize) -> String {
    let own = scene.node_ip(node);
    let others = others(scene, node);
    scene.part(&[own], &others);
    format!("node {} and the other nodes", scene.nodes[node].id)
}

pub(super) fn leader_from_nodes(scene: &mut Scene) -> String {
    let leader = scene.leader();
    part_node_from_nodes(scene, leader)
}

pub(super) fn follower_from_nodes(scene: &mut Scene) -> String {
    let follower = scene.follower();
    part_node_from_nodes(scene, follower)
}

pub(super) fn nodes_from_each_other(scene: &mut Scene) -> String {
    for node in 0..scene.nodes.len() {
        part_node_from_nodes(scene, node);
    }
    "every node and every other".to_owned()
}

fn part_node_from_redis(scene: &mut Scene, node: usize) -> String {
    let own = scene.node_ip(node);
    let instances = instances(scene);
    scene.part(&[own], &instances);
    format!("node {} and every Redis", scene.nodes[node].id)
}

pub(super) fn node_from_redis(scene: &mut Scene) -> String {
    let follower = scene.follower();
    part_node_from_redis(scene, follower)
}

pub(super) fn leader_from_redis(scene: &mut Scene) -> String {
    let leader = scene.leader();
    part_node_from_redis(scene, leader)
}

pub(super) fn primary(scene: &mut Scene) -> String {
    let primary = some_primary(scene);
    scene.part_from_rest(&[scene.ip(primary)]);
    format!("{}, primary, and all hosts", scene.name(primary))
}

pub(super) fn primary_from_nodes(scene: &mut Scene) -> String {
    let primary = some_primary(scene);
    let nodes = node_ips(scene);
    scene.part(&nodes, &[scene.ip(primary)]);
    format!("{}, primary, and every node", scene.name(primary))
}

fn part_primary_with(scene: &mut Scene, node: usize) -> String {
    let primary = some_primary(scene);
    scene.part_from_rest(&[scene.ip(primary), scene.node_ip(node)]);
    let id = scene.nodes[node].id;
    format!("{}, primary, with node {id} and all others", scene.name(primary))
}

pub(super) fn primary_with_minority(scene: &mut Scene) -> String {
    let follower = scene.follower();
    part_primary_with(scene, follower)
}

pub(super) fn primary_with_leader(scene: &mut Scene) -> String {
    let leader = scene.leader();
    part_primary_with(scene, leader)
}

pub(super) fn replica(scene: &mut Scene) -> String {
    let group = scene.any_group();
    let replica = scene.replica(group);
    scene.part_from_rest(&[scene.ip(replica)]);
    format!("{}, replica, and all hosts", scene.name(replica))
}

pub(super) fn bridge(scene: &mut Scene) -> String {
    let one = scene.leader();
    let other = scene.other_node(one);
    scene.part(&[scene.node_ip(one)], &[scene.node_ip(other)]);
    format!("leader {} and node {}", scene.nodes[one].id, scene.nodes[other].id)
}

pub(super) fn leader_unheard(scene: &mut Scene) -> String {
    let leader = scene.leader();
    let own = scene.node_ip(leader);
    let pairs: Vec<_> = others(scene, leader).into_iter().map(|other| (own, other)).collect();
    scene.lose(&pairs);
    format!("what leader {} sends to nodes is lost", scene.nodes[leader].id)
}

pub(super) fn leader_deaf(scene: &mut Scene) -> String {
    let leader = scene.leader();
    let own = scene.node_ip(leader);
    let pairs: Vec<_> = others(scene, leader).into_iter().map(|other| (other, own)).collect();
    scene.lose(&pairs);
    format!("what nodes send to leader {} is lost", scene.nodes[leader].id)
}

pub(super) fn nodes_unheard_by_primary(scene: &mut Scene) -> String {
    let primary = some_primary(scene);
    let own = scene.ip(primary);
    let pairs: Vec<_> = node_ips(scene).into_iter().map(|node| (node, own)).collect();
    scene.lose(&pairs);
    format!("what nodes send to {}, primary, is lost", scene.name(primary))
}

pub(super) fn primary_unheard_by_nodes(scene: &mut Scene) -> String {
    let primary = some_primary(scene);
    let own = scene.ip(primary);
    let pairs: Vec<_> = node_ips(scene).into_iter().map(|node| (own, node)).collect();
    scene.lose(&pairs);
    format!("what {}, primary, sends to nodes is lost", scene.name(primary))
}

pub(super) fn lossy(scene: &mut Scene) -> String {
    let permille = scene.chance.within(20, 250);
    scene.lose_some_everywhere(permille);
    format!("every host loses {permille} of 1000 packets")
}

fn narrow(scene: &mut Scene, nodes: &[usize]) -> String {
    let kbit = *scene.chance.pick(&[64, 128, 256]);
    let queue_ms = scene.chance.within(100, 800);
    for node in nodes {
        scene.narrow(*node, kbit, queue_ms);
    }
    let ids: Vec<String> = nodes.iter().map(|node| scene.nodes[*node].id.to_string()).collect();
    format!(
        "node {} sends with {kbit} kbit/s, a queue of {queue_ms} ms",
        ids.join(", ")
    )
}

pub(super) fn narrow_leader(scene: &mut Scene) -> String {
    let leader = scene.leader();
    narrow(scene, &[leader])
}

pub(super) fn narrow_nodes(scene: &mut Scene) -> String {
    let all: Vec<usize> = (0..scene.nodes.len()).collect();
    narrow(scene, &all)
}
