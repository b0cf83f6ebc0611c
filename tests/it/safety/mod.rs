//! What must never happen to data and to clients, with real Redis.

mod clients;
mod data;
mod identity;

use crate::world::{Cluster, Group, Subscriber, Value, World};

fn scene(world: &World, replicas: usize, down_after_ms: u64) -> (Cluster, Group, Vec<Subscriber>) {
    let mut cluster = Cluster::start(world, 3);
    let group = Group::start(world, "alpha", replicas);
    cluster.monitor(&group, down_after_ms);
    let subscribers = cluster.subscribe();
    (cluster, group, subscribers)
}

fn switches(subscribers: &[Subscriber]) -> usize {
    subscribers.iter().map(|one| one.count("+switch-master", "")).sum()
}

/// What a node shows of one replica.
fn replica(cluster: &Cluster, group: &str, port: u16) -> Value {
    let listed = cluster.nodes[0].call(&["SENTINEL", "REPLICAS", group]);
    let port = port.to_string();
    let found = listed.items().iter().find(|one| one.field("port") == Some(&port));
    found.cloned().unwrap_or(Value::Null)
}

/// The lines of `CFG EXPLAIN`.
fn explained(cluster: &Cluster, group: &str) -> Vec<String> {
    let answer = cluster.nodes[1].call(&["CFG", "EXPLAIN", group]);
    answer.items().iter().map(|line| line.text().to_owned()).collect()
}
