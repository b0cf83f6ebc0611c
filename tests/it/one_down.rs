//! A cluster of three with one node down answers all that is asked of a Sentinel: the transcripts that hold for one, over
//! TCP, at each of the two nodes that are left.

use crate::real_sentinel::Connection;
use crate::transcripts::{Step, files, read};
use crate::world::{Cluster, Node, World};

#[test]
fn a_cluster_of_three_with_one_node_down_answers_every_shared_transcript() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    // The one that led: what is asked needs a new leader.
    let down = cluster.leader();
    cluster.nodes[down].kill();
    cluster.leader();
    let mut wrong = Vec::new();
    for path in files("shared") {
        for node in (0..3).filter(|at| *at != down).map(|at| &cluster.nodes[at]) {
            let mut connection = Connection::to(node.port);
            for step in read(&path).0 {
                let expected = of_three(&step);
                wrong.extend(connection.replay(&path, &step, &expected).err());
                // An event may come before the answer, and the rest of both is anything.
                if expected.ends_with("{}") {
                    connection.read_rest();
                }
            }
            forget(node);
        }
    }
    assert!(wrong.is_empty(), "{} steps differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is expected of a Sentinel that is alone, as one of three says it of which one is down.
fn of_three(step: &Step) -> String {
    let request = step.request().expect("a request").0;
    let words: Vec<String> = request
        .iter()
        .map(|word| String::from_utf8_lossy(word).to_ascii_uppercase())
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (words.as_slice(), step.expected.as_str()) {
        (["SENTINEL", "SENTINELS", ..], r"*0\r\n") => r"*2\r\n{}".to_owned(),
        (["SENTINEL", "CKQUORUM", ..], answer) if answer.contains("1 usable") => {
            r"+OK 2 usable Sentinels. Quorum and failover authorization can be reached\r\n".to_owned()
        }
        // Other nodes are connected, and are no ordinary clients.
        (["CLIENT", "KILL", "TYPE", "SLAVE", ..], r":0\r\n") => r":{}\r\n".to_owned(),
        (_, expected) => {
            let others = |count: u8| format!(r"num-other-sentinels\r\n$1\r\n{count}\r\n");
            expected
                .replace(&others(0), &others(2))
                .replace("sentinels=1", "sentinels=3")
                // A node's own dial, at what the command line has set it to.
                .replace(r"TILT-TRIGGER\r\n$4\r\n2000", r"TILT-TRIGGER\r\n$3\r\n500")
        }
    }
}

/// What a transcript leaves behind must not reach the next.
fn forget(node: &Node) {
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
