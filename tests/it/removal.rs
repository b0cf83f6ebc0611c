//! A node is lost for good; which ones may be removed then.
//! Port 11 of loopback stands for an instance that does not exist: nobody listens there.

use crate::world::cluster::set;
use crate::world::{Cluster, Node, SOON, Value, World, wait_until};

fn remove(through: &Node, id: u64) -> Value {
    through.call(&["CFG", "NODE", "REMOVE", &id.to_string()])
}

fn members(node: &Node) -> Vec<String> {
    let listed = node.call(&["CFG", "NODES"]);
    let rows = listed.items().iter();
    rows.map(|row| row.field("id").unwrap_or_default().to_owned()).collect()
}

fn quorum_of(node: &Node) -> Option<String> {
    let shown = node.try_call(&["SENTINEL", "MASTER", "alpha"])?;
    shown.field("quorum").map(str::to_owned)
}

/// A write through this node reaches both.
fn writes(through: &Node, other: &Node, quorum: u64) {
    set(&mut through.client(), "alpha", "quorum", quorum);
    for node in [through, other] {
        wait_until("both have the write", SOON, || {
            quorum_of(node) == Some(quorum.to_string())
        });
    }
}

#[test]
fn a_living_node_stays_until_the_dead_one_is_removed() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    let answer = cluster.nodes[0].call(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", "11", "1"]);
    assert!(answer.is_ok(), "{answer}");
    let dead = cluster.followers()[0];
    let dead_id = cluster.nodes[dead].id;
    cluster.nodes[dead].kill();
    let leader = cluster.leader();
    let other = (0..3).find(|at| *at != dead && *at != leader).unwrap();
    let (leader, other) = (&cluster.nodes[leader], &cluster.nodes[other]);
    let why = format!("cannot be reached: {dead_id};");
    for kept in [other.id, leader.id] {
        let answer = remove(other, kept);
        assert!(answer.is_error() && answer.text().contains(&why), "{answer}");
    }
    assert_eq!((members(leader).len(), members(other).len()), (3, 3));
    writes(leader, other, 2);
    writes(other, leader, 1);

    let answer = remove(other, dead_id);
    assert!(answer.is_ok(), "{answer}");
    for node in [leader, other] {
        wait_until("the dead one is out", SOON, || {
            !members(node).contains(&dead_id.to_string())
        });
    }
    writes(leader, other, 2);
    writes(other, leader, 1);
}
