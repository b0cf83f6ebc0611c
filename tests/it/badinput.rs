//! Input that must get a clear error and change nothing.
//! Ports 11 and 12 of loopback stand for instances that do not exist: nobody listens there.

use std::fs;
use std::time::Duration;

use crate::world::{Client, Group, Node, NodeOptions, SOON, Value, World, wait_until};

/// What must not move: the groups with their settings, and the nodes.
fn facts(node: &Node) -> String {
    let fields = [
        "name",
        "ip",
        "port",
        "quorum",
        "down-after-milliseconds",
        "failover-timeout",
        "parallel-syncs",
        "config-epoch",
        "group-version",
    ];
    let mut text = String::new();
    for group in node.call(&["SENTINEL", "MASTERS"]).items() {
        for field in fields {
            text.push_str(&format!("{field}={:?} ", group.field(field)));
        }
    }
    for row in node.call(&["CFG", "NODES"]).items() {
        text.push_str(&format!("{:?}={:?} ", row.field("id"), row.field("role")));
    }
    text
}

fn with_group(world: &World) -> Node {
    let node = Node::alone(world);
    let answer = node.call(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", "11", "1"]);
    assert!(answer.is_ok(), "{answer}");
    node
}

/// Sends each request and compares the start of the error.
#[track_caller]
fn refused(node: &Node, cases: &[(&str, &str)]) {
    let before = facts(node);
    let mut client = node.client();
    for (request, error) in cases {
        let words: Vec<&str> = request.split(' ').collect();
        let answer = client.call(&words);
        assert!(answer.is_error(), "{request}: {answer}");
        assert!(
            answer.text().starts_with(error),
            "{request}: '{answer}' is not '{error}'"
        );
    }
    assert_eq!(client.call(&["PING"]).text(), "PONG", "the connection lives on");
    assert_eq!(facts(node), before);
}

#[test]
fn a_request_of_the_wrong_shape_is_told_its_shape() {
    let world = World::bare();
    let node = with_group(&world);
    refused(
        &node,
        &[
            (
                "NOSUCH a b",
                "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' ",
            ),
            ("GET key", "ERR unknown command 'GET'"),
            ("PING a b", "ERR wrong number of arguments for 'ping' command"),
            ("SENTINEL", "ERR wrong number of arguments for 'sentinel' command"),
            ("SENTINEL NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try SENTINEL HELP."),
            (
                "SENTINEL MASTER",
                "ERR wrong number of arguments for 'sentinel|master' command",
            ),
            (
                "SENTINEL MASTER a b",
                "ERR wrong number of arguments for 'sentinel|master' command",
            ),
            (
                "SENTINEL MYID a",
                "ERR wrong number of arguments for 'sentinel|myid' command",
            ),
            (
                "SENTINEL SET alpha",
                "ERR wrong number of arguments for 'sentinel|set' command",
            ),
            (
                "SENTINEL SET alpha quorum",
                "ERR wrong number of arguments for 'sentinel|set' command",
            ),
            (
                "SENTINEL MONITOR a b c",
                "ERR wrong number of arguments for 'sentinel|monitor' command",
            ),
            ("SENTINEL MASTER nosuch", "ERR No such master with that name"),
            ("SENTINEL REPLICAS nosuch", "ERR No such master with that name"),
            ("SENTINEL FAILOVER nosuch", "ERR No such master with that name"),
            ("SENTINEL CKQUORUM nosuch", "ERR No such master with that name"),
            ("SENTINEL SET nosuch quorum 1", "ERR No such master with that name"),
            ("SENTINEL REMOVE nosuch", "ERR No such master with that name"),
            ("SUBSCRIBE", "ERR wrong number of arguments for 'subscribe' command"),
            ("HELLO 4", "NOPROTO unsupported protocol version"),
            ("HELLO x", "ERR Protocol version is not an integer or out of range"),
            ("HELLO 3 NOSUCH", "ERR Syntax error in HELLO option 'NOSUCH'"),
            (
                "AUTH secret",
                "ERR AUTH <password> called without any password configured",
            ),
            ("CLIENT SETINFO nosuch x", "ERR Unrecognized option 'nosuch'"),
        ],
    );
}

#[test]
fn a_monitor_that_cannot_be_is_refused() {
    let world = World::bare();
    let node = with_group(&world);
    refused(
        &node,
        &[
            ("SENTINEL MONITOR beta 127.0.0.1 12 x", "ERR Invalid quorum"),
            (
                "SENTINEL MONITOR beta 127.0.0.1 12 0",
                "ERR Quorum must be 1 or greater.",
            ),
            (
                "SENTINEL MONITOR beta 127.0.0.1 12 -1",
                "ERR Quorum must be 1 or greater.",
            ),
            ("SENTINEL MONITOR beta 127.0.0.1 x 1", "ERR Invalid port"),
            ("SENTINEL MONITOR beta 127.0.0.1 70000 1", "ERR Invalid port number."),
            (
                "SENTINEL MONITOR beta 1.2.3.4.5 12 1",
                "ERR Invalid IP address or hostname specified",
            ),
            (
                "SENTINEL MONITOR beta 127.0.0.1 11 1",
                "ERR Address already belongs to group 'alpha'.",
            ),
            ("SENTINEL MONITOR alpha 127.0.0.1 12 1", "ERR Duplicate master name."),
            ("SENTINEL MONITOR be,ta 127.0.0.1 12 1", "ERR Invalid group name."),
        ],
    );
    let before = facts(&node);
    let answer = node.call(&["SENTINEL", "MONITOR", "be\r\nta", "127.0.0.1", "12", "1"]);
    let odd = "ERR Invalid argument at index 2 for SENTINEL MONITOR: control characters are not allowed";
    assert_eq!(answer, Value::Error(odd.to_owned()));
    for name in ["", "be ta", "b\u{e9}ta", &"x".repeat(256)] {
        let answer = node.call(&["SENTINEL", "MONITOR", name, "127.0.0.1", "12", "1"]);
        assert_eq!(answer, Value::Error("ERR Invalid group name.".to_owned()), "{name:?}");
    }
    assert_eq!(facts(&node), before);
    let longest = "x".repeat(255);
    let answer = node.call(&["SENTINEL", "MONITOR", &longest, "127.0.0.1", "12", "1"]);
    assert!(answer.is_ok(), "{answer}");
}

#[test]
fn a_set_with_one_bad_option_sets_nothing() {
    let world = World::bare();
    let node = with_group(&world);
    refused(
        &node,
        &[
            (
                "SENTINEL SET alpha quorum 2 nosuch 1 parallel-syncs 3",
                "ERR Unknown option or number of arguments for SENTINEL SET 'nosuch'",
            ),
            (
                "SENTINEL SET alpha quorum 2 parallel-syncs",
                "ERR Unknown option or number of arguments for SENTINEL SET 'parallel-syncs'",
            ),
            (
                "SENTINEL SET alpha quorum 2 down-after-milliseconds 0",
                "ERR Invalid argument '0' for SENTINEL SET 'down-after-milliseconds'",
            ),
            (
                "SENTINEL SET alpha quorum 0",
                "ERR Invalid argument '0' for SENTINEL SET 'quorum'",
            ),
            (
                "SENTINEL SET alpha quorum x",
                "ERR Invalid argument 'x' for SENTINEL SET 'quorum'",
            ),
            (
                "SENTINEL SET alpha parallel-syncs -1",
                "ERR Invalid argument '-1' for SENTINEL SET 'parallel-syncs'",
            ),
        ],
    );
}

#[test]
fn a_hostile_frame_is_refused_within_limits_and_harms_nobody() {
    let world = World::bare();
    let node = with_group(&world);
    let mut bystander = node.client();
    let before = facts(&node);
    let nested = "*1\r\n".repeat(100_000);
    let long_line = "x".repeat(70_000);
    let cases: &[(&[u8], &str)] = &[
        (b"*1000000000\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n$-5\r\n", "invalid bulk length"),
        (b"*1\r\n$1073741824\r\n", "invalid bulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (nested.as_bytes(), "expected '$', got '*'"),
        (long_line.as_bytes(), "too big inline request"),
        (b"PING \"unbalanced\r\n", "unbalanced quotes in request"),
    ];
    for (frame, error) in cases {
        let mut client = node.client();
        // The server may close before all of it is sent.
        let _ = client.send_bytes(frame);
        let answer = client.read_to_close(SOON).unwrap();
        assert!(
            answer.starts_with("-ERR Protocol error: ") && answer.contains(error),
            "{error}: {answer:?}"
        );
        assert_eq!(bystander.call(&["PING"]).text(), "PONG");
    }
    assert_eq!(facts(&node), before);
    let kibibytes = node.memory_kib();
    assert!(kibibytes < 300 * 1024, "{kibibytes} KiB in memory after hostile frames");
}

#[test]
fn a_half_frame_held_open_is_closed_in_time() {
    let world = World::bare();
    let options = NodeOptions {
        id: 1,
        port: world.port(),
        words: vec!["--half-frame-ms".to_owned(), "300".to_owned()],
    };
    let mut node = Node::new(&world, options);
    node.start();
    node.wait_ready();
    let mut idle = node.client();
    assert_eq!(idle.call(&["PING"]).text(), "PONG");
    for half in ["*2\r\n$4\r\nPI", "*", "*1\r\n$4\r\nPING", "PIN"] {
        let mut client = Client::connect(node.port).unwrap();
        client.send_bytes(half.as_bytes()).unwrap();
        client
            .read_to_close(Duration::from_secs(5))
            .unwrap_or_else(|error| panic!("{half:?}: {error}"));
    }
    // Silence between requests is no half frame.
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(idle.call(&["PING"]).text(), "PONG");
}

#[test]
fn nodes_that_cannot_be_added_or_removed_are_told_why() {
    let world = World::bare();
    let node = with_group(&world);
    let other = Node::alone(&world);
    let nobody = world.port();
    let before = facts(&node);
    let refused = |words: &[&str]| {
        let answer = node.call(words);
        assert!(answer.is_error(), "{words:?}: {answer}");
        assert!(answer.text().len() > 10, "{words:?}: {answer}");
        assert_eq!(facts(&node), before, "{words:?}");
    };
    refused(&["CFG", "NODE", "ADD", "1", &format!("127.0.0.1:{nobody}")]);
    refused(&["CFG", "NODE", "ADD", "2", &format!("127.0.0.1:{nobody}")]);
    refused(&["CFG", "NODE", "ADD", "2", &format!("127.0.0.1:{}", other.port)]);
    refused(&["CFG", "NODE", "ADD", "0", &format!("127.0.0.1:{nobody}")]);
    refused(&["CFG", "NODE", "ADD", "x", &format!("127.0.0.1:{nobody}")]);
    refused(&["CFG", "NODE", "ADD", "2", "nowhere"]);
    refused(&["CFG", "NODE", "ADD", "2"]);
    refused(&["CFG", "NODE", "REMOVE", "1"]);
    refused(&["CFG", "NODE", "REMOVE", "7"]);
    refused(&["CFG", "LEADER", "TRANSFER", "7"]);
    refused(&["CFG", "NOSUCH"]);
    assert_eq!(
        other.call(&["CFG", "NODES"]).items().len(),
        1,
        "the other cluster is untouched"
    );
}

#[test]
fn a_redis_is_not_added_as_a_node() {
    let Some(world) = World::open() else { return };
    let node = with_group(&world);
    let group = Group::start(&world, "beta", 0);
    let address = format!("127.0.0.1:{}", group.members[0].port);
    let answer = node.call(&["CFG", "NODE", "ADD", "2", &address]);
    assert!(answer.is_error(), "{answer}");
    assert!(answer.text().ends_with("is no node of cfgserver"), "{answer}");
}

#[test]
fn peer_requests_without_a_handshake_are_errors() {
    let world = World::bare();
    let node = with_group(&world);
    let before = facts(&node);
    for words in [&["RAFT.APPEND", "x"][..], &["RAFT.VOTE"], &["RAFT.NOSUCH", "a", "b"]] {
        let mut client = node.client();
        let answer = client.try_call(words);
        assert!(
            answer.is_err() || answer.as_ref().is_ok_and(Value::is_error),
            "{words:?}: {answer:?}"
        );
    }
    assert_eq!(facts(&node), before);
}

#[test]
fn a_foreign_file_in_the_data_folder_is_not_taken_for_data() {
    let world = World::bare();
    let options = NodeOptions {
        id: 1,
        port: world.port(),
        words: Vec::new(),
    };
    let mut node = Node::new(&world, options);
    fs::create_dir_all(node.folder()).unwrap();
    fs::write(node.folder().join("holiday.jpg"), "a picture").unwrap();
    node.start();
    let mut ended = false;
    wait_until("the node refuses, or starts beside the file", SOON, || {
        ended = !node.is_running();
        ended || node.try_call(&["PING"]).is_some()
    });
    let picture = fs::read_to_string(node.folder().join("holiday.jpg"));
    assert_eq!(picture.unwrap(), "a picture", "what is not ours stays");
    if ended {
        assert_eq!(node.wait_ended(SOON).code(), Some(1));
    }
}
