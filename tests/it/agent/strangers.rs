//! Nodes that lag, that belong elsewhere, that make no sense.

use std::time::Duration;

use super::{Agent, FakeNode};
use crate::world::{SOON, World, holds_for, wait_until};

const HOOK: &str = "[hook]\ncommand = [\"true\"]\ngroups = [\"alpha\"]\n[pace]\nrefresh-ms = 200\n";

#[test]
fn an_older_answer_is_ignored_also_after_a_restart_of_the_agent() {
    let world = World::bare();
    let ahead = FakeNode::start(&world, "one", &[("alpha", 12, 20)]);
    let behind = FakeNode::start(&world, "one", &[("alpha", 11, 10)]);
    let mut agent = Agent::new(&world, &[ahead.port], HOOK);
    agent.start();
    agent.wait_primary("alpha", 12);
    agent.kill();
    agent.configure(&[behind.port], HOOK);
    agent.start();
    wait_until("the older answer came", SOON, || {
        agent.logged(&["ignored", "older version", "alpha"]) == 1
    });
    let status = agent.wait_primary("alpha", 12);
    assert_eq!(status["groups"]["alpha"]["version"], 20);
    assert!(!agent.status().1, "it is not up to date: the node is not");
    let asked = behind.asked();
    wait_until("it is asked again", SOON, || behind.asked() > asked + 2);
    assert_eq!(agent.logged(&["older version"]), 1, "once per change");
    behind.change(|script| _ = script.groups.insert("alpha".to_owned(), (13, 21)));
    agent.wait_primary("alpha", 13);
    agent.wait_up_to_date();
}

#[test]
fn one_version_has_one_address() {
    let world = World::bare();
    let node = FakeNode::start(&world, "one", &[("alpha", 12, 20)]);
    let mut agent = Agent::new(&world, &[node.port], HOOK);
    agent.start();
    agent.wait_primary("alpha", 12);
    node.change(|script| _ = script.groups.insert("alpha".to_owned(), (11, 20)));
    wait_until("it is told", SOON, || {
        agent.logged(&["another address under the version"]) == 1
    });
    let fault = "the node has another address for group alpha under the same version";
    wait_until("the status tells it", SOON, || {
        agent.status().0["faults"] == serde_json::json!([fault])
    });
    agent.wait_primary("alpha", 12);
    node.change(|script| _ = script.groups.insert("alpha".to_owned(), (11, 21)));
    agent.wait_primary("alpha", 11);
    agent.wait_up_to_date();
    world.expect_error("another address under the version");
}

#[test]
fn who_follows_nothing_says_so_and_which_servers_are_not_followed() {
    let world = World::bare();
    let node = FakeNode::start(&world, "one", &[]);
    let rest = "[proxy]\nkind = \"nutcracker\"\ntemplate = \"n.yml\"\ncheck = []\nrestart = [\"true\"]\n";
    let mut agent = Agent::new(&world, &[node.port], rest);
    let template = "p:\n  listen: 127.0.0.1:1\n  servers:\n   - 127.0.0.1:2:1\n";
    std::fs::write(agent.file("n.yml"), template).unwrap();
    agent.start();
    wait_until("the only fault is that nothing is followed", SOON, || {
        let (status, good) = agent.status();
        let server = &status["delivering"]["outlet"]["unfollowed"][0]["server"];
        let faults = status["faults"].as_array().cloned().unwrap_or_default();
        let nothing = |fault: &serde_json::Value| {
            fault
                .as_str()
                .is_some_and(|text| text.starts_with("nothing is followed"))
        };
        !good && server == "p/127.0.0.1:2" && faults.len() == 1 && nothing(&faults[0])
    });
}

#[test]
fn another_cluster_is_refused_until_the_operator_names_it() {
    let world = World::bare();
    let own = FakeNode::start(&world, "one", &[("alpha", 11, 50)]);
    let other = FakeNode::start(&world, "two", &[("alpha", 12, 900)]);
    let mut agent = Agent::new(&world, &[own.port], HOOK);
    agent.start();
    agent.wait_primary("alpha", 11);
    agent.kill();
    agent.configure(&[other.port], HOOK);
    agent.start();
    wait_until("the cluster is refused", SOON, || {
        agent.logged(&["the node belongs to cluster two, this agent follows one"]) == 1
    });
    holds_for("nothing is learned from it", Duration::from_millis(500), || {
        other.asked() == 0
    });
    let (status, good) = agent.status();
    assert!(!good);
    assert_eq!(status["groups"]["alpha"]["primary"], "127.0.0.1:11");
    agent.kill();
    agent.configure(&[other.port], &format!("cluster = \"two\"\n{HOOK}"));
    other.change(|script| _ = script.groups.insert("alpha".to_owned(), (13, 3)));
    agent.start();
    agent.wait_primary("alpha", 13);
    agent.wait_up_to_date();
    agent.kill();
    agent.configure(&[own.port], HOOK);
    agent.start();
    wait_until("now the first is the foreign one", SOON, || {
        agent.logged(&["the node belongs to cluster one, this agent follows two"]) == 1
    });
}

#[test]
fn nonsense_is_no_answer_and_the_next_node_is_asked() {
    let world = World::bare();
    let strange = FakeNode::start(&world, "one", &[("alpha", 11, 5)]);
    let mut agent = Agent::new(&world, &[strange.port], HOOK);
    agent.start();
    agent.wait_primary("alpha", 11);
    let nonsense: [&[u8]; 9] = [
        b"*-1\r\n",
        b"+OK\r\n",
        b":7\r\n",
        b"*1\r\n$4\r\nname\r\n",
        b"*2\r\n*0\r\n*0\r\n",
        b"*999999999\r\n",
        b"$99999999999\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-NOPERM this user has no permissions\r\n",
    ];
    for bytes in nonsense {
        strange.change(|script| script.nonsense = Some(bytes.to_vec()));
        wait_until(&format!("{bytes:?} is a fault"), SOON, || {
            !agent.status().0["following"]["faults"].as_object().unwrap().is_empty()
        });
        strange.change(|script| script.nonsense = None);
        agent.wait_up_to_date();
    }
    strange.change(|script| script.nonsense = Some(b"*0\r\n".to_vec()));
    let good = FakeNode::start(&world, "one", &[("alpha", 14, 9)]);
    agent.kill();
    agent.configure(&[strange.port, good.port], HOOK);
    agent.start();
    agent.wait_primary("alpha", 14);
    let asked = strange.asked();
    holds_for(
        "a node of nonsense is not asked all the time",
        Duration::from_millis(1_500),
        || strange.asked() <= asked + 1,
    );
}

#[test]
fn a_node_that_is_not_ready_or_silent_is_no_node() {
    let world = World::bare();
    let starting = FakeNode::start(&world, "one", &[("alpha", 11, 5)]);
    starting.change(|script| script.ready = false);
    let mute = FakeNode::start(&world, "one", &[("alpha", 11, 5)]);
    mute.change(|script| script.silent = true);
    let mut agent = Agent::new(&world, &[starting.port, mute.port], HOOK);
    agent.start();
    wait_until("both are refused", SOON, || {
        agent.logged(&["cannot follow", "it is not ready"]) == 1
            && agent.logged(&["cannot follow", "no answer within"]) == 1
    });
    assert_eq!(starting.asked() + mute.asked(), 0);
    starting.change(|script| script.ready = true);
    agent.wait_primary("alpha", 11);
}

#[test]
fn a_node_without_a_leader_is_better_than_none_and_worse_than_any_other() {
    let world = World::bare();
    let lonely = FakeNode::start(&world, "one", &[("alpha", 11, 5)]);
    lonely.change(|script| script.contact_ms = -1);
    let other = FakeNode::start(&world, "one", &[("alpha", 12, 6)]);
    other.change(|script| script.ready = false);
    let mut agent = Agent::new(&world, &[lonely.port, other.port], HOOK);
    agent.start();
    agent.wait_primary("alpha", 11);
    let (status, good) = agent.status();
    assert!(!good, "{status}");
    let text = String::from_utf8(agent.run(&["status"]).stdout).unwrap();
    assert!(text.contains("is not in contact with a leader"), "{text}");
    other.change(|script| script.ready = true);
    agent.wait_primary("alpha", 12);
    agent.wait_up_to_date();
    // The one that lost its leader comes back: there is no reason to go back to it.
    lonely.change(|script| script.contact_ms = 5);
    other.hang_up();
    agent.wait_primary("alpha", 12);
    wait_until("it follows again", SOON, || {
        agent.status().0["following"]["node"].is_string()
    });
}
