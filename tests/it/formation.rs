//! Real nodes form clusters, grow, lose members and come back.
//! Ports 11 and 12 of loopback stand for instances that do not exist: nobody listens there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::world::cluster::set;
use crate::world::{Cluster, Node, NodeOptions, SOON, Value, World, cfgserver, holds_for, wait_until};

/// The row of a node in `CFG NODES`; `None` when it is not listed.
fn row(node: &Node, id: u64) -> Option<Value> {
    let listed = node.try_call(&["CFG", "NODES"])?;
    let wanted = id.to_string();
    listed
        .items()
        .iter()
        .find(|row| row.field("id") == Some(&wanted))
        .cloned()
}

fn role(node: &Node, id: u64) -> String {
    row(node, id)
        .and_then(|row| row.field("role").map(str::to_owned))
        .unwrap_or_default()
}

fn monitor(node: &Node, name: &str, port: u16) {
    let answer = node.call(&["SENTINEL", "MONITOR", name, "127.0.0.1", &port.to_string(), "1"]);
    assert!(answer.is_ok(), "{answer}");
}

fn knows(node: &Node, name: &str) -> bool {
    node.primary_of(name) != 0
}

fn joining(world: &World, id: u64, seed: u16) -> Node {
    let options = NodeOptions {
        id,
        port: world.port(),
        words: vec!["--join".to_owned(), format!("127.0.0.1:{seed}")],
    };
    Node::new(world, options)
}

fn add(node: &Node, new: &Node) -> Value {
    node.call(&[
        "CFG",
        "NODE",
        "ADD",
        &new.id.to_string(),
        &format!("127.0.0.1:{}", new.port),
    ])
}

/// Starts a node that must refuse, with one clear line that has `words` in it.
#[track_caller]
fn refuses(mut node: Node, words: &str) {
    let before = node.log_text().len();
    node.start();
    let status = node.wait_ended(SOON);
    let log = node.log_text()[before..].to_owned();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.to_lowercase().contains(words), "no '{words}' in:\n{log}");
}

#[test]
fn three_nodes_form_one_cluster_with_one_leader() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    let leader = cluster.leader();
    let mut ids = Vec::new();
    for node in &cluster.nodes {
        let listed = node.call(&["CFG", "NODES"]);
        assert_eq!(listed.items().len(), 3, "{listed}");
        for other in &cluster.nodes {
            assert_eq!(role(node, other.id), "voter", "{listed}");
        }
        ids.push(node.call(&["SENTINEL", "MYID"]).text().to_owned());
    }
    assert_eq!(cluster.nodes[leader].info("raft_role"), "leader");
    assert!(
        ids.iter()
            .all(|id| id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit())),
        "{ids:?}"
    );
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
}

#[test]
fn a_node_alone_goes_on_where_it_was_after_kill_9() {
    let world = World::bare();
    let mut node = Node::alone(&world);
    monitor(&node, "alpha", 11);
    let my_id = node.call(&["SENTINEL", "MYID"]);
    node.kill();
    node.start();
    node.wait_ready();
    assert!(knows(&node, "alpha"));
    assert_eq!(node.call(&["SENTINEL", "MYID"]), my_id);
}

#[test]
fn kill_9_of_all_nodes_loses_no_acknowledged_write() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    monitor(&cluster.nodes[0], "alpha", 11);
    for turn in 0..5_u64 {
        let at = (turn % 3) as usize;
        let mut client = cluster.nodes[at].client();
        for step in 0..20 {
            set(
                &mut client,
                "alpha",
                "down-after-milliseconds",
                1_000_000 + turn * 100 + step,
            );
        }
        cluster.nodes.iter_mut().for_each(Node::kill);
        cluster.start_all();
        for node in &cluster.nodes {
            let expected = (1_000_000 + turn * 100 + 19).to_string();
            wait_until("the last acknowledged setting is there", SOON, || {
                let shown = node.call(&["SENTINEL", "MASTER", "alpha"]);
                shown.field("down-after-milliseconds") == Some(expected.as_str())
            });
        }
    }
}

#[test]
fn a_follower_takes_writes_and_every_node_has_them() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    for at in cluster.followers() {
        let name = format!("group{at}");
        let node = &cluster.nodes[at];
        monitor(node, &name, 7000 + at as u16);
        assert!(knows(node, &name), "what a node acknowledged it knows itself");
        set(&mut node.client(), &name, "parallel-syncs", 7);
        assert_eq!(
            node.call(&["SENTINEL", "MASTER", &name]).field("parallel-syncs"),
            Some("7")
        );
        for other in &cluster.nodes {
            wait_until("every node knows it", SOON, || knows(other, &name));
        }
    }
}

#[test]
fn a_cluster_grows_from_one_to_three_and_survives_its_first_node() {
    let world = World::bare();
    let first = Node::alone(&world);
    monitor(&first, "alpha", 11);
    let mut nodes = vec![first];
    for id in [2, 3] {
        let mut new = joining(&world, id, nodes[0].port);
        new.start();
        wait_until("the new node listens", SOON, || new.try_call(&["PING"]).is_some());
        let answer = add(&nodes[0], &new);
        assert!(answer.is_ok(), "{answer}");
        wait_until("the new node votes", SOON, || role(&nodes[0], id) == "voter");
        wait_until("the new node has the groups", SOON, || knows(&new, "alpha"));
        nodes.push(new);
    }
    nodes[0].kill();
    wait_until("the others take writes", SOON, || {
        let words = ["SENTINEL", "SET", "alpha", "quorum", "2"];
        nodes[1].try_call(&words).is_some_and(|answer| answer.is_ok())
    });
    wait_until("on both", SOON, || {
        nodes[2].call(&["SENTINEL", "MASTER", "alpha"]).field("quorum") == Some("2")
    });
    // The first one never heard of the others on its command line, and still comes back as one of three.
    nodes[0].start();
    wait_until("the first node is back", SOON, || {
        let shown = nodes[0].try_call(&["SENTINEL", "MASTER", "alpha"]);
        shown.is_some_and(|shown| shown.field("quorum") == Some("2"))
    });
}

#[test]
fn a_node_that_waits_to_be_added_does_not_say_that_there_are_no_groups() {
    let world = World::bare();
    let first = Node::alone(&world);
    monitor(&first, "alpha", 11);
    let mut new = joining(&world, 2, first.port);
    new.start();
    wait_until("the new node listens", SOON, || new.try_call(&["PING"]).is_some());
    // Longer than a node that lost sight of its leader keeps its answers back.
    holds_for("the new node asks for patience", Duration::from_secs(6), || {
        let lookup = new.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "alpha"]);
        lookup.is_error() && lookup.text().starts_with("LOADING ")
    });
    assert!(add(&first, &new).is_ok());
    wait_until("the new node has the groups", SOON, || knows(&new, "alpha"));
}

#[test]
fn a_leader_that_removes_itself_answers_and_ends() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    let leader = cluster.leader();
    let id = cluster.nodes[leader].id;
    let answer = cluster.nodes[leader].call(&["CFG", "NODE", "REMOVE", &id.to_string()]);
    assert!(answer.is_ok(), "{answer}");
    let status = cluster.nodes[leader].wait_ended(SOON);
    assert_eq!(status.code(), Some(1), "it must not be started again");
    let other = (leader + 1) % 3;
    wait_until("the others go on without it", SOON, || {
        row(&cluster.nodes[other], id).is_none()
    });
}

#[test]
fn a_node_with_a_dead_disk_is_replaced_under_a_new_id() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    monitor(&cluster.nodes[0], "alpha", 11);
    cluster.nodes[2].kill();
    fs::remove_dir_all(cluster.nodes[2].folder()).unwrap();
    // Under its old id it is refused: the cluster would count on votes that it has forgotten.
    cluster.nodes[2].start();
    wait_until("the emptied node ends or keeps out", SOON, || {
        !cluster.nodes[2].is_running() || !knows(&cluster.nodes[2], "alpha")
    });
    holds_for("the emptied node knows nothing", Duration::from_secs(2), || {
        !cluster.nodes[2].is_running() || !knows(&cluster.nodes[2], "alpha")
    });
    if cluster.nodes[2].is_running() {
        cluster.nodes[2].kill();
    }
    let mut new = joining(&world, 4, cluster.nodes[0].port);
    new.start();
    wait_until("the new node listens", SOON, || new.try_call(&["PING"]).is_some());
    let answer = add(&cluster.nodes[0], &new);
    assert!(answer.is_ok(), "{answer}");
    let answer = cluster.nodes[0].call(&["CFG", "NODE", "REMOVE", "3"]);
    assert!(answer.is_ok(), "{answer}");
    wait_until("the new node votes", SOON, || role(&cluster.nodes[0], 4) == "voter");
    assert!(row(&cluster.nodes[0], 3).is_none());
    wait_until("the new node has the groups", SOON, || knows(&new, "alpha"));
    assert!(knows(&cluster.nodes[0], "alpha"), "no answer was lost meanwhile");
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let world = World::bare();
    let node = Node::alone(&world);
    let listen = format!("127.0.0.1:{}", world.port());
    let mut command = cfgserver();
    command.args([
        "serve",
        "--listen",
        &listen,
        "--data-dir",
        &node.folder().to_string_lossy(),
    ]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("process") || said.contains("lock") || said.contains("in use"),
        "{said}"
    );
    assert!(node.try_call(&["PING"]).is_some(), "the first one is not disturbed");
}

#[test]
fn a_folder_of_another_node_or_with_damage_is_refused_and_never_started_empty() {
    let world = World::bare();
    let mut node = Node::alone(&world);
    monitor(&node, "alpha", 11);
    node.kill();
    let folder = node.folder().to_string_lossy().into_owned();
    let run = |id: &str| {
        let port = world.port();
        let mut command = cfgserver();
        command.args(["serve", "--node-id", id, "--data-dir", &folder]);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, said) = run("2");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("node"), "{said}");
    let current = fs::read_dir(node.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| [path.join("CURRENT"), path])
        .find(|path| path.file_name().is_some_and(|name| name == "CURRENT") && path.exists())
        .expect("the store names its manifest");
    fs::write(&current, "MANIFEST-torn").unwrap();
    let (code, said) = run("1");
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn an_empty_node_that_meets_data_does_not_form_a_cluster() {
    let world = World::bare();
    let old = Node::alone(&world);
    let port = world.port();
    let peers = format!("1=127.0.0.1:{},2=127.0.0.1:{port}", old.port);
    let options = NodeOptions {
        id: 2,
        port,
        words: vec!["--peers".to_owned(), peers],
    };
    let mut new = Node::new(&world, options);
    new.start();
    world.expect_error("");
    holds_for("it stays out", Duration::from_secs(2), || {
        let leader = new.info("raft_leader");
        !new.is_running() || leader.is_empty() || leader == "0"
    });
    assert!(row(&old, 2).is_none());
}

#[test]
fn a_node_with_another_secret_is_not_let_in() {
    let world = World::bare();
    let secret = |name: &str| {
        let path = world.folder().join(name);
        fs::write(&path, name).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_string_lossy().into_owned()
    };
    let options = |id: u64, words: &[&str]| NodeOptions {
        id,
        port: world.port(),
        words: words.iter().map(|word| (*word).to_owned()).collect(),
    };
    let mut first = Node::new(&world, options(1, &["--cluster-secret-file", &secret("ours")]));
    first.start();
    first.wait_ready();
    let seed = format!("127.0.0.1:{}", first.port);
    let theirs = options(2, &["--cluster-secret-file", &secret("theirs"), "--join", &seed]);
    refuses(Node::new(&world, theirs), "secret");
    let ours = options(3, &["--cluster-secret-file", &secret("ours"), "--join", &seed]);
    let mut third = Node::new(&world, ours);
    third.start();
    wait_until("the third node listens", SOON, || third.try_call(&["PING"]).is_some());
    let answer = add(&first, &third);
    assert!(answer.is_ok(), "{answer}");
}

#[test]
fn a_founder_with_another_secret_ends_and_the_others_wait_for_it() {
    let world = World::bare();
    let mut cluster = Cluster::prepare(&world, 3);
    let secrets = ["one", "one", "another"].map(|secret| {
        let path = world.folder().join(format!("secret-{secret}"));
        fs::write(&path, secret).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_string_lossy().into_owned()
    });
    for (node, secret) in cluster.nodes.iter_mut().zip(secrets) {
        node.add_words(&["--cluster-secret-file", &secret]);
        node.start();
    }
    let status = cluster.nodes[2].wait_ended(SOON);
    let log = cluster.nodes[2].log_text();
    assert_eq!(status.code(), Some(1), "{log}");
    // A task that is still ending may log behind it.
    let said: Vec<&str> = log.lines().filter(|line| line.starts_with("cfgserver: ")).collect();
    assert!(
        matches!(said.as_slice(), [line] if line.ends_with("wrong cluster secret")),
        "{log}"
    );
    assert!(cluster.nodes[0].is_running() && cluster.nodes[1].is_running());
}

#[test]
fn sigterm_drains_within_two_seconds_and_a_leader_hands_over_first() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    monitor(&cluster.nodes[0], "alpha", 11);
    let leader = cluster.leader();
    let (status, took) = cluster.nodes[leader].terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    let next = cluster.leader();
    assert_ne!(next, leader);
    let answer = cluster.nodes[next].call(&["SENTINEL", "SET", "alpha", "quorum", "2"]);
    assert!(answer.is_ok(), "{answer}");
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_ready();
    let mut client = cluster.nodes[leader].client();
    cluster.nodes[leader].kill();
    assert!(client.try_call(&["PING"]).is_err());
}

#[test]
fn leadership_moves_when_told() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    for to in 0..3 {
        let id = cluster.nodes[to].id.to_string();
        let answer = cluster.nodes[0].call(&["CFG", "LEADER", "TRANSFER", &id]);
        assert!(answer.is_ok(), "{answer}");
        wait_until("it leads", SOON, || cluster.leader() == to);
    }
}

#[test]
fn a_cluster_of_three_works_with_two_and_says_so_with_one() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    monitor(&cluster.nodes[0], "alpha", 11);
    let leader = cluster.leader();
    cluster.nodes[leader].kill();
    let next = cluster.leader();
    set(&mut cluster.nodes[next].client(), "alpha", "quorum", 2);
    let last = (0..3).find(|at| *at != leader && *at != next).unwrap();
    // That an entry is committed is told after it is acknowledged: nobody would tell it to a lone survivor.
    wait_until("the last node has applied it", SOON, || {
        let shown = cluster.nodes[last].call(&["SENTINEL", "MASTER", "alpha"]);
        shown.field("quorum") == Some("2")
    });
    cluster.nodes[next].kill();
    let survivor = &cluster.nodes[last];
    let answer = survivor.call(&["SENTINEL", "SET", "alpha", "quorum", "1"]);
    assert!(answer.is_error(), "{answer}");
    assert_eq!(
        survivor.call(&["SENTINEL", "MASTER", "alpha"]).field("quorum"),
        Some("2")
    );
}

#[test]
fn a_wrong_configuration_ends_with_the_code_and_the_line_that_say_so() {
    let world = World::bare();
    let run = |words: &[&str]| {
        let output = cfgserver().args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    assert_eq!(run(&["serve", "--no-such-option"]).0, Some(64));
    assert_eq!(run(&["serve", "--node-id", "0"]).0, Some(64));
    let (code, said) = run(&["serve", "--peers", "2=127.0.0.1:1"]);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    let file = world.folder().join("cfgserver.toml");
    fs::write(&file, "node-id = 3\nlisten-address = \"127.0.0.1:1\"\n").unwrap();
    let (code, said) = run(&["check-config", "--config", &file.to_string_lossy()]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("line 2") && said.contains("listen-address"), "{said}");
    fs::write(&file, "node-id = 3\nlog-level = \"warn\"\n").unwrap();
    let mut command = cfgserver();
    command.args([
        "check-config",
        "--config",
        &file.to_string_lossy(),
        "--log-level",
        "error",
    ]);
    let output = command.env("CFGSERVER_NODE_ID", "4").output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && shown.contains("node-id = 4\n"), "{shown}");
    assert!(shown.contains("log-level = \"error\"\n"), "{shown}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = cfgserver().arg("check-config").stdout(writer).status().unwrap();
    assert!(status.success(), "a reader that went away is no fault: {status}");
}

#[test]
fn a_port_that_is_taken_is_a_clear_refusal() {
    let world = World::bare();
    let node = Node::alone(&world);
    let options = NodeOptions {
        id: 1,
        port: node.port,
        words: Vec::new(),
    };
    let other = World::bare();
    refuses(Node::new(&other, options), &node.port.to_string());
}
