//! What is lost in the middle of a switch: the candidate, after the old primary stepped down for it; or the target of the
//! primary's own FAILOVER.

use cfgserver::stop::Point;

use super::writer::{Writer, lost};
use super::{ABORTS, DOWN_AFTER_MS, scene, takes_writes_at_once};
use crate::world::{Cluster, FAILOVER, Group, SOON, Subscriber, World, wait_until};

/// Nobody is a primary in that moment, and whoever knows it is gone too.
#[test]
fn a_candidate_killed_after_the_step_down_leaves_the_old_primary_with_its_role_and_all_writes() {
    let Some(world) = World::with_stop_points() else { return };
    let mut cluster = Cluster::start(&world, 3);
    for replicas in [1, 2] {
        let name = format!("left-with-{replicas}");
        let mut group = Group::start(&world, &name, replicas);
        cluster.monitor(&group, DOWN_AFTER_MS);
        let leader = cluster.leader();
        cluster.nodes[leader].stop_at(Point::AfterStepDown.name());
        let nodes: Vec<u16> = (0..3)
            .filter(|at| *at != leader)
            .map(|at| cluster.nodes[at].port)
            .collect();
        let subscriber = Subscriber::everything(nodes[0]);
        let writer = Writer::start(&nodes, &name);
        writer.wait_more(1_000);
        let (old, candidate) = (group.members[0].port, group.members[1].port);
        let to = format!("127.0.0.1:{candidate}");
        // The answer may die with the leader.
        let follower = (0..3).find(|at| *at != leader).unwrap();
        _ = cluster.nodes[follower].try_call(&["SENTINEL", "FAILOVER", &name, "COORDINATED", "TO", &to]);
        wait_until("the leader stops", FAILOVER, || !cluster.nodes[leader].is_running());
        group.at(candidate).kill();
        assert_eq!(group.members[0].info("role"), "slave", "it has stepped down");
        wait_until("the failover is given up", FAILOVER, || {
            let given_up = |channel: &&str| subscriber.count(channel, &format!("master {name}")) == 1;
            ABORTS.iter().any(given_up)
        });
        takes_writes_at_once(old);
        assert_eq!(subscriber.count("+switch-master", &format!("{name} ")), 0);
        cluster.wait_primary(&name, old);
        group.wait_all_follow(old);
        writer.wait_more(1_000);
        group.at(candidate).restart();
        group.wait_all_follow(old);
        let written = writer.end();
        println!(
            "{name}: {} acknowledged writes, longest pause {} ms",
            written.acknowledged.len(),
            written.longest_pause.as_millis()
        );
        assert_eq!(lost(old, &written.acknowledged), 0);
        cluster.nodes[leader].disarm();
        cluster.nodes[leader].start();
        cluster.nodes[leader].wait_ready();
        let answer = cluster.nodes[follower].call(&["SENTINEL", "REMOVE", &name]);
        assert!(answer.is_ok(), "{answer}");
    }
}

/// The primary gives its role to a replica that stands still: Redis comes as far as `failover-in-progress`, and stays
/// there. It is a replica then, and its clients wait.
fn held_up_in_its_own_failover(group: &mut Group) {
    let target = group.members[1].port;
    group.members[1].freeze();
    let words = [
        "FAILOVER",
        "TO",
        "127.0.0.1",
        &target.to_string(),
        "FORCE",
        "TIMEOUT",
        "100",
    ];
    let answer = group.members[0].call(&words);
    assert!(answer.is_ok(), "{answer}");
    wait_until("it is held up", SOON, || {
        group.members[0].info("master_failover_state") == "failover-in-progress"
    });
    assert_eq!(group.members[0].info("role"), "slave");
}

#[test]
fn a_primary_that_is_held_up_in_its_own_failover_gets_its_role_back() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let subscriber = cluster.subscribe().remove(0);
    let old = group.members[0].port;
    held_up_in_its_own_failover(&mut group);
    wait_until("it is a primary again", FAILOVER, || {
        group.members[0].info("role") == "master"
    });
    takes_writes_at_once(old);
    assert_eq!(group.members[0].info("master_failover_state"), "no-failover");
    subscriber.wait("+failover-end", "master alpha", FAILOVER);
    assert_eq!(subscriber.count("+switch-master", "alpha "), 0);
    group.members[1].thaw();
    group.wait_all_follow(old);
    cluster.wait_primary("alpha", old);
    cluster.wait_healthy(&group);
}

/// Nobody reaches it meanwhile: there is another primary when it is seen again.
#[test]
fn a_former_primary_that_is_held_up_in_its_own_failover_gives_that_up_and_follows() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let (old, new) = (group.members[0].port, group.members[2].port);
    held_up_in_its_own_failover(&mut group);
    group.members[0].freeze();
    cluster.wait_primary("alpha", new);
    group.members[0].thaw();
    wait_until("it follows", FAILOVER, || group.at(old).follows(new));
    assert_eq!(group.at(old).info("master_failover_state"), "no-failover");
    group.members[1].thaw();
    group.wait_all_follow(new);
    cluster.wait_healthy(&group);
}
