//! A cluster of three with one node down answers all that is asked of a whole one: the transcripts that hold for a
//! Sentinel, and those that say where we differ, over TCP, at each of the two that are left.

use crate::real_sentinel::Connection;
use crate::transcripts::{files, read};
use crate::world::{Cluster, World};

#[test]
fn a_cluster_of_three_with_one_node_down_answers_every_shared_transcript() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    // The one that led: what is asked needs a new leader.
    let down = cluster.leader();
    cluster.nodes[down].kill();
    cluster.leader();
    let ports = (0..3).filter(|at| *at != down).map(|at| cluster.nodes[at].port);
    let ports: Vec<u16> = ports.collect();
    let mut wrong = Vec::new();
    for path in files("shared").into_iter().chain(files("differs")) {
        for port in &ports {
            let mut connection = Connection::to(*port);
            for step in read(&path).0 {
                wrong.extend(connection.replay(&path, &step, &step.expected).err());
            }
            let node = cluster.nodes.iter().find(|node| node.port == *port).unwrap();
            forget(node);
        }
    }
    assert!(wrong.is_empty(), "{} steps differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// What a transcript leaves behind must not reach the next.
fn forget(node: &crate::world::Node) {
    for listed in node.call(&["SENTINEL", "MASTERS"]).items() {
        let name = listed.field("name").unwrap();
        assert!(node.call(&["SENTINEL", "REMOVE", name]).is_ok());
    }
    let settings = [
        ["resolve-hostnames", "no"],
        ["announce-hostnames", "no"],
        ["announce-ip", ""],
        ["announce-port", "0"],
    ];
    for [name, value] in settings {
        let answer = node.call(&["SENTINEL", "CONFIG", "SET", name, value]);
        assert!(answer.is_ok(), "{name}: {answer}");
    }
}
