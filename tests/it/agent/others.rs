//! Besides stock proxies: the hook, and the file of a proxy with read replicas.

use serde_json::Value as Json;

use super::Agent;
use crate::world::{Cluster, FAILOVER, Group, SOON, World, wait_for, wait_until};

/// Everything that the hook was told.
fn told(agent: &Agent) -> Vec<Json> {
    let text = std::fs::read_to_string(agent.file("told")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_hook_is_told_where_everything_is_and_then_of_each_change() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 1);
    let mut group = Group::start(&world, "alpha", 2);
    cluster.monitor(&group, 500);
    let rest = "[hook]\ncommand = [\"sh\", \"-c\", \"cat >> told\"]\ngroups = [\"alpha\"]\n[pace]\nsettle-ms = 300\n";
    let mut agent = Agent::new(&world, &[cluster.nodes[0].port], rest);
    agent.start();
    agent.wait_up_to_date();
    let first = told(&agent);
    let old = group.members[0].port;
    let at = |port: u16| format!("127.0.0.1:{port}");
    assert_eq!(first[0]["groups"]["alpha"]["primary"], at(old).as_str());
    assert_eq!(first[0]["groups"]["alpha"]["replicas"].as_array().unwrap().len(), 2);
    group.at(old).kill();
    let change = wait_for("the hook is told of the switch", FAILOVER, || {
        let all = told(&agent);
        all.iter()
            .find(|one| one["changes"][0]["from"] == at(old).as_str())
            .cloned()
    });
    let now = cluster.nodes[0].primary_of("alpha");
    assert_eq!(change["changes"][0]["group"], "alpha");
    assert_eq!(change["changes"][0]["to"], at(now).as_str());
    group.at(old).restart();
    wait_until(
        "the returned replica is told without a change of primary",
        FAILOVER,
        || {
            let all = told(&agent);
            let last = all.last().unwrap();
            last["changes"].as_array().is_some_and(Vec::is_empty)
                && last["groups"]["alpha"]["replicas"]
                    .as_array()
                    .is_some_and(|all| all.contains(&Json::from(at(old))))
        },
    );
    agent.wait_up_to_date();
}

#[test]
fn the_read_replicas_of_a_bdrp_file_are_those_that_are_healthy() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 1);
    let mut group = Group::start(&world, "pool-one", 2);
    cluster.monitor(&group, 500);
    let rest = "[proxy]\nkind = \"bdrp\"\ntemplate = \"b.yml\"\noutput = \"live.yml\"\nrun = [\"sleep\", \"1000\"]\n\
                [pace]\nsettle-ms = 400\nrestart-pause-ms = 100\nrefresh-ms = 500\n";
    let mut agent = Agent::new(&world, &[cluster.nodes[0].port], rest);
    let ports: Vec<u16> = group.members.iter().map(|one| one.port).collect();
    let template = "pool:\n  listen: 127.0.0.1:1\n  hash: crc16\n  distribution: slot\n  redis: true\n  servers:\n   - one\n     \
                    127.0.0.1:11:1\n     127.0.0.1:12:1\n";
    std::fs::write(agent.file("b.yml"), template).unwrap();
    agent.start();
    // The addresses of the one server, the primary first.
    let listed = || -> Vec<u16> {
        let text = std::fs::read_to_string(agent.file("live.yml")).unwrap_or_default();
        let line =
            |line: &str| -> Option<u16> { line.trim().strip_prefix("127.0.0.1:")?.split(':').next()?.parse().ok() };
        text.lines().filter_map(line).collect()
    };
    let is = |primary: u16, replicas: &[u16]| {
        let all = listed();
        let mut rest: Vec<u16> = all.iter().skip(1).copied().collect();
        let mut wanted = replicas.to_vec();
        rest.sort_unstable();
        wanted.sort_unstable();
        all.first() == Some(&primary) && rest == wanted
    };
    wait_until("all are listed", SOON, || is(ports[0], &ports[1..]));
    let status = agent.wait_up_to_date();
    let child = status["delivering"]["outlet"]["child"]["pid"].clone();
    assert!(child.is_u64(), "{status}");
    group.at(ports[1]).kill();
    wait_until("the dead replica is not listed", FAILOVER, || is(ports[0], &ports[2..]));
    let status = agent.wait_up_to_date();
    assert_ne!(
        status["delivering"]["outlet"]["child"]["pid"], child,
        "it was restarted"
    );
    group.at(ports[1]).restart();
    wait_until("the returned replica is listed", FAILOVER, || is(ports[0], &ports[1..]));
    group.at(ports[0]).kill();
    let now = wait_for("the primary moves", FAILOVER, || {
        Some(cluster.nodes[0].primary_of("pool-one")).filter(|port| *port != ports[0])
    });
    let other: Vec<u16> = ports[1..].iter().copied().filter(|port| *port != now).collect();
    wait_until("the new primary and the other replica are listed", FAILOVER, || {
        is(now, &other)
    });
    group.at(ports[0]).restart();
    let mut both = other.clone();
    both.push(ports[0]);
    wait_until("the old primary is listed as a replica", FAILOVER, || is(now, &both));
    agent.wait_up_to_date();
}
