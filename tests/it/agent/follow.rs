//! Following the nodes of a cluster: through restarts of the nodes, of the agent, and of everything.
//! Ports 11 to 19 of loopback stand for instances that do not exist: nobody listens there.

use std::time::Duration;

use serde_json::Value as Json;

use super::Agent;
use crate::world::{Cluster, FAILOVER, Node, SOON, World, holds_for, wait_for, wait_until};

const HOOK: &str = "[hook]\ncommand = [\"true\"]\ngroups = [\"alpha\", \"beta\"]\n[pace]\nrefresh-ms = 60000\n";

fn monitor(node: &Node, name: &str, port: u16) {
    let answer = node.call(&["SENTINEL", "MONITOR", name, "127.0.0.1", &port.to_string(), "1"]);
    assert!(answer.is_ok(), "{answer}");
}

/// Removes the group and monitors it elsewhere: a larger version.
fn replace(node: &Node, name: &str, port: u16) {
    assert!(node.call(&["SENTINEL", "REMOVE", name]).is_ok());
    monitor(node, name, port);
}

/// Three nodes, an agent that knows them all, and which of them it follows.
fn following(world: &World) -> (Cluster, Agent, usize) {
    let cluster = Cluster::start(world, 3);
    monitor(&cluster.nodes[0], "alpha", 11);
    monitor(&cluster.nodes[0], "beta", 12);
    let ports: Vec<u16> = cluster.nodes.iter().map(|node| node.port).collect();
    let mut agent = Agent::new(world, &ports, HOOK);
    agent.start();
    let status = agent.wait_up_to_date();
    let at = ports.iter().position(|port| is_followed(&status, *port));
    (cluster, agent, at.unwrap())
}

fn is_followed(status: &Json, port: u16) -> bool {
    status["following"]["node"] == format!("127.0.0.1:{port}").as_str()
}

#[test]
fn an_agent_that_is_started_first_learns_when_the_nodes_come() {
    let world = World::bare();
    let mut cluster = Cluster::prepare(&world, 3);
    let ports: Vec<u16> = cluster.nodes.iter().map(|node| node.port).collect();
    let mut agent = Agent::new(&world, &ports, HOOK);
    agent.start();
    wait_until("it says that nobody answers", SOON, || {
        agent.logged(&["no node can be followed"]) == 1
    });
    let (status, good) = agent.status();
    assert!(!good && status["following"]["node"].is_null(), "{status}");
    cluster.start_all();
    monitor(&cluster.nodes[0], "alpha", 11);
    monitor(&cluster.nodes[1], "beta", 12);
    agent.wait_primary("alpha", 11);
    agent.wait_primary("beta", 12);
    let status = agent.wait_up_to_date();
    assert_eq!(status["following"]["in_contact"], true);
    assert_eq!(agent.logged(&["no node can be followed"]), 1, "once per change");
    assert!(agent.terminate().success());
    assert!(!agent.status().1, "it does not run");
}

#[test]
fn a_change_is_heard_at_once_on_any_node() {
    let world = World::bare();
    let cluster = Cluster::start(&world, 3);
    monitor(&cluster.nodes[0], "alpha", 11);
    monitor(&cluster.nodes[0], "beta", 12);
    for node in &cluster.nodes {
        let mut agent = Agent::new(&world, &[node.port], HOOK);
        agent.start();
        agent.wait_up_to_date();
        let before: u16 = node.primary_of("alpha");
        // The full look-up is a minute away.
        replace(&cluster.nodes[0], "alpha", before + 2);
        let status = agent.wait_primary("alpha", before + 2);
        assert!(status["groups"]["alpha"]["moved"].is_u64(), "{status}");
        assert_eq!(agent.logged(&[" moved ", "alpha"]), 1);
    }
}

#[test]
fn it_goes_on_through_restarts_of_its_node_and_of_all_nodes() {
    let world = World::bare();
    let (mut cluster, agent, at) = following(&world);
    cluster.nodes[at].kill();
    wait_until("it follows another node", SOON, || {
        let (status, good) = agent.status();
        good && !is_followed(&status, cluster.nodes[at].port)
    });
    cluster.leader();
    let other = (at + 1) % 3;
    replace(&cluster.nodes[other], "alpha", 13);
    agent.wait_primary("alpha", 13);
    for node in &mut cluster.nodes {
        if node.is_running() {
            node.kill();
        }
    }
    wait_until("it has no node", SOON, || !agent.status().1);
    cluster.start_all();
    replace(&cluster.nodes[0], "beta", 14);
    agent.wait_primary("beta", 14);
    agent.wait_primary("alpha", 13);
    agent.wait_up_to_date();
}

#[test]
fn a_node_that_hangs_is_left_for_another() {
    let world = World::bare();
    let (mut cluster, agent, at) = following(&world);
    cluster.nodes[at].freeze();
    wait_until("it follows another node", SOON, || {
        let (status, good) = agent.status();
        good && !is_followed(&status, cluster.nodes[at].port)
    });
    let other = (at + 1) % 3;
    wait_until("the others have a leader", FAILOVER, || {
        cluster.nodes[other].call(&["SENTINEL", "REMOVE", "alpha"]).is_ok()
    });
    monitor(&cluster.nodes[other], "alpha", 15);
    agent.wait_primary("alpha", 15);
    cluster.nodes[at].thaw();
}

#[test]
fn a_killed_agent_knows_after_its_start_what_it_knew_without_any_node() {
    let world = World::bare();
    let mut node = Node::alone(&world);
    monitor(&node, "alpha", 11);
    monitor(&node, "beta", 12);
    let mut agent = Agent::new(&world, &[node.port], HOOK);
    agent.start();
    agent.wait_up_to_date();
    replace(&node, "alpha", 13);
    agent.wait_primary("alpha", 13);
    let killed = agent.status().0["process_id"].clone();
    agent.kill();
    node.kill();
    agent.start();
    let (status, good) = wait_for("it runs with what it knew", SOON, || {
        let (status, good) = agent.status();
        let its_own = status["process_id"] != killed && status["delivering"]["begun"] == true;
        its_own.then_some((status, good))
    });
    assert!(!good);
    assert_eq!(status["groups"]["alpha"]["primary"], "127.0.0.1:13");
    assert_eq!(status["groups"]["beta"]["primary"], "127.0.0.1:12");
}

#[test]
fn a_group_that_is_removed_keeps_its_address_and_is_told() {
    let world = World::bare();
    let node = Node::alone(&world);
    monitor(&node, "alpha", 11);
    monitor(&node, "beta", 12);
    let mut agent = Agent::new(&world, &[node.port], HOOK);
    agent.start();
    agent.wait_up_to_date();
    assert!(node.call(&["SENTINEL", "REMOVE", "beta"]).is_ok());
    wait_until("it is missed", SOON, || {
        agent.status().0["groups"]["beta"]["missing"] == true
    });
    let (status, good) = agent.status();
    assert!(!good);
    assert_eq!(status["groups"]["beta"]["primary"], "127.0.0.1:12");
    let text = String::from_utf8(agent.run(&["status"]).stdout).unwrap();
    assert!(text.contains("the cluster has no group beta"), "{text}");
    monitor(&node, "beta", 16);
    agent.wait_primary("beta", 16);
    agent.wait_up_to_date();
}

#[test]
fn two_agents_never_share_a_folder() {
    let world = World::bare();
    let node = Node::alone(&world);
    let mut agent = Agent::new(&world, &[node.port], HOOK);
    agent.start();
    wait_until("it runs", SOON, || agent.state_file().exists());
    let second = agent.run(&[]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another agent runs with state-dir"), "{said}");
    agent.kill();
    agent.start();
    holds_for("a killed agent leaves no lock", Duration::from_millis(500), || {
        agent.logged(&["another agent"]) == 0
    });
}

#[test]
fn a_torn_state_is_refused_and_left_as_it_is() {
    let world = World::bare();
    let node = Node::alone(&world);
    monitor(&node, "alpha", 11);
    let mut agent = Agent::new(&world, &[node.port], HOOK);
    agent.start();
    agent.wait_primary("alpha", 11);
    agent.kill();
    let good = std::fs::read_to_string(agent.state_file()).unwrap();
    let torn = &good[..good.len() - 20];
    std::fs::write(agent.state_file(), torn).unwrap();
    agent.start();
    assert_eq!(agent.wait_ended().code(), Some(1));
    assert_eq!(agent.logged(&["is no state of this agent"]), 1);
    assert_eq!(std::fs::read_to_string(agent.state_file()).unwrap(), torn);
    std::fs::write(agent.state_file(), good).unwrap();
    agent.start();
    wait_until("with the right file it runs", SOON, || {
        agent.status().0["following"]["node"].is_string()
    });
}
