//! Failovers of real Redis by real nodes.

use std::time::Duration;

use cfgserver::stop::Point;

use crate::world::{Client, Cluster, FAILOVER, Group, SOON, Subscriber, World, holds_for, now, wait_for, wait_until};

const DOWN_AFTER_MS: u64 = 1_000;

/// A cluster of three with one monitored group of a primary and two replicas.
fn scene(world: &World) -> (Cluster, Group) {
    let mut cluster = Cluster::start(world, 3);
    let group = Group::start(world, "alpha", 2);
    cluster.monitor(&group, DOWN_AFTER_MS);
    (cluster, group)
}

/// The two ports of a `+switch-master` payload.
fn switch(payload: &str) -> (u16, u16) {
    let words: Vec<&str> = payload.split(' ').collect();
    (words[2].parse().unwrap(), words[4].parse().unwrap())
}

/// Waits for the switch of `group` on each subscriber; answers the new primary's port.
#[track_caller]
fn wait_switch(subscribers: &[Subscriber], group: &str, old: u16) -> u16 {
    let start = format!("{group} 127.0.0.1 {old} ");
    let ports: Vec<u16> = subscribers
        .iter()
        .map(|one| switch(&one.wait("+switch-master", &start, FAILOVER).payload).1)
        .collect();
    assert!(
        ports.windows(2).all(|pair| pair[0] == pair[1]),
        "the nodes tell different primaries: {ports:?}"
    );
    ports[0]
}

/// Every subscriber heard exactly one switch of the group.
#[track_caller]
fn one_switch_each(subscribers: &[Subscriber], group: &str) {
    for one in subscribers {
        assert_eq!(
            one.count("+switch-master", &format!("{group} ")),
            1,
            "{:?}",
            one.heard()
        );
    }
}

#[test]
fn a_killed_primary_is_replaced_and_every_node_tells_the_same_story_in_the_same_order() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let subscribers = cluster.subscribe();
    let old = group.members[0].port;
    let killed = now();
    group.members[0].kill();
    let new = wait_switch(&subscribers, "alpha", old);
    assert_eq!(group.at(new).info("role"), "master", "announced before it was one");
    let first = subscribers
        .iter()
        .map(|one| one.wait("+switch-master", "alpha", SOON).at)
        .min()
        .unwrap();
    // A bound for a busy machine; the figure itself is measured by the comparison.
    assert!(first - killed < SOON, "{:?}", first - killed);
    group.wait_all_follow(new);
    for one in &subscribers {
        one.wait("+failover-end", "master alpha", FAILOVER);
    }
    one_switch_each(&subscribers, "alpha");
    // What comes from the log has one order on every node.
    let story = [
        "+odown",
        "+new-epoch",
        "+try-failover",
        "+elected-leader",
        "+failover-state-select-slave",
        "+selected-slave",
        "+failover-state-send-slaveof-noone",
        "+failover-state-wait-promotion",
        "+promoted-slave",
        "+failover-state-reconf-slaves",
        "+switch-master",
        "+slave",
        "+slave",
    ];
    for one in &subscribers {
        let heard: Vec<String> = one
            .heard()
            .into_iter()
            .map(|event| event.channel)
            .filter(|channel| story.contains(&channel.as_str()))
            .collect();
        assert_eq!(heard, story);
        assert_eq!(
            one.count("+vote-for-leader", "") + one.count("+config-update-from", ""),
            0
        );
    }
    // The quorum; a node that had not noticed by then heard of the switch first.
    let judged = subscribers
        .iter()
        .filter(|one| one.count("+sdown", "master alpha") >= 1);
    assert!(judged.count() >= 2);
    cluster.wait_primary("alpha", new);
    // The old primary comes back and is turned.
    group.at(old).restart();
    group.wait_all_follow(new);
    wait_until("the old primary is listed as a healthy replica", FAILOVER, || {
        let listed = cluster.nodes[0].call(&["SENTINEL", "REPLICAS", "alpha"]);
        listed
            .items()
            .iter()
            .filter(|one| one.field("flags") == Some("slave"))
            .count()
            == 2
    });
    one_switch_each(&subscribers, "alpha");
}

#[test]
fn a_hung_primary_is_replaced_and_turned_when_it_wakes() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let subscribers = cluster.subscribe();
    let old = group.members[0].port;
    group.members[0].freeze();
    let new = wait_switch(&subscribers, "alpha", old);
    group.members[0].thaw();
    group.wait_all_follow(new);
    one_switch_each(&subscribers, "alpha");
    cluster.wait_primary("alpha", new);
}

#[test]
fn a_planned_switch_loses_no_acknowledged_write() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let subscribers = cluster.subscribe();
    let old = group.members[0].port;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = std::sync::Arc::clone(&stop);
    let node = cluster.nodes[0].port;
    let writer = std::thread::spawn(move || write_on(node, &told));
    std::thread::sleep(Duration::from_millis(300));
    let answer = cluster.nodes[1].call(&["SENTINEL", "FAILOVER", "alpha"]);
    assert!(answer.is_ok(), "{answer}");
    let new = wait_switch(&subscribers, "alpha", old);
    std::thread::sleep(Duration::from_millis(500));
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let acknowledged = writer.join().unwrap();
    group.wait_all_follow(new);
    let mut client = Client::connect(new).unwrap();
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|key| client.call(&["EXISTS", key]).to_string() != "1")
        .collect();
    assert!(
        acknowledged.len() > 100,
        "the writer hardly wrote: {}",
        acknowledged.len()
    );
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged writes are gone",
        lost.len(),
        acknowledged.len()
    );
    one_switch_each(&subscribers, "alpha");
}

/// Writes to whatever the node calls the primary, until told to stop; answers the acknowledged keys.
fn write_on(node: u16, stop: &std::sync::atomic::AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut connection: Option<Client> = None;
    let mut turn = 0_u64;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let Some(client) = connection.as_mut() else {
            let asked = Client::connect(node)
                .and_then(|mut client| client.try_call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "alpha"]));
            let port = asked
                .ok()
                .and_then(|answer| answer.items().get(1)?.text().parse::<u16>().ok());
            connection = port.and_then(|port| Client::connect(port).ok());
            continue;
        };
        turn += 1;
        let key = format!("write:{turn}");
        match client.try_call(&["SET", &key, "x"]) {
            Ok(answer) if answer.is_ok() => acknowledged.push(key),
            _ => connection = None,
        }
    }
    acknowledged
}

/// Why a group switches.
#[derive(Clone, Copy, PartialEq)]
enum Cause {
    Killed,
    Planned,
    Coordinated,
}

#[test]
fn a_leader_killed_at_any_stage_leaves_one_switch_for_its_successor() {
    leader_stops_at_each(&Point::ALL, Cause::Killed);
}

#[test]
fn a_leader_killed_at_any_stage_of_a_planned_switch_leaves_one_switch_for_its_successor() {
    let points = [
        Point::AfterOpen,
        Point::BeforePause,
        Point::AfterPause,
        Point::BeforePromote,
        Point::AfterPromote,
        Point::BeforeComplete,
        Point::AfterComplete,
        Point::AfterEnd,
    ];
    leader_stops_at_each(&points, Cause::Planned);
}

#[test]
fn a_leader_killed_at_any_stage_of_a_coordinated_switch_leaves_one_switch_and_nothing_paused() {
    let points = [
        Point::AfterOpen,
        Point::BeforePause,
        Point::AfterPause,
        Point::BeforeStepDown,
        Point::AfterStepDown,
        Point::BeforePromote,
        Point::AfterPromote,
        Point::BeforeComplete,
        Point::AfterComplete,
        Point::BeforeFollow,
        Point::AfterFollow,
        Point::AfterEnd,
    ];
    leader_stops_at_each(&points, Cause::Coordinated);
}

fn leader_stops_at_each(points: &[Point], cause: Cause) {
    let Some(world) = World::with_stop_points() else { return };
    let mut cluster = Cluster::start(&world, 3);
    for point in points {
        leader_stops_at(&world, &mut cluster, point.name(), cause);
    }
}

/// The leader ends at `point` of a switch: the others finish it, once, and the leader is told when it is back.
fn leader_stops_at(world: &World, cluster: &mut Cluster, point: &str, cause: Cause) {
    let mut group = Group::start(world, point, 2);
    cluster.monitor(&group, DOWN_AFTER_MS);
    let leader = cluster.leader();
    cluster.nodes[leader].stop_at(point);
    let others: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    let subscribers: Vec<Subscriber> = others
        .iter()
        .map(|at| Subscriber::everything(cluster.nodes[*at].port))
        .collect();
    let old = group.members[0].port;
    match cause {
        Cause::Killed => group.members[0].kill(),
        // The answer may die with the leader.
        Cause::Planned => _ = cluster.nodes[others[0]].try_call(&["SENTINEL", "FAILOVER", point]),
        Cause::Coordinated => {
            _ = cluster.nodes[others[0]].try_call(&["SENTINEL", "FAILOVER", point, "COORDINATED"]);
        }
    }
    wait_until(&format!("the leader stops at {point}"), FAILOVER, || {
        !cluster.nodes[leader].is_running()
    });
    let new = wait_switch(&subscribers, point, old);
    group.wait_all_follow(new);
    one_switch_each(&subscribers, point);
    // A pause that somebody left behind would hold this back; its clients have to wait no longer than for the switch.
    let mut client = Client::connect(new).unwrap();
    client.patience(Duration::from_millis(500));
    let written = client.try_call(&["SET", "after", "1"]);
    assert!(written.as_ref().is_ok_and(|answer| answer.is_ok()), "{written:?}");
    cluster.nodes[leader].disarm();
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_ready();
    cluster.wait_primary(point, new);
    if cause == Cause::Killed {
        group.at(old).restart();
    }
    group.wait_all_follow(new);
    one_switch_each(&subscribers, point);
    let answer = cluster.nodes[others[0]].call(&["SENTINEL", "REMOVE", point]);
    assert!(answer.is_ok(), "{answer}");
}

#[test]
fn leader_and_primary_killed_together() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let leader = cluster.leader();
    cluster.nodes[leader].kill();
    let old = group.members[0].port;
    group.members[0].kill();
    let subscribers = cluster.subscribe();
    let new = wait_switch(&subscribers, "alpha", old);
    group.wait_all_follow(new);
    one_switch_each(&subscribers, "alpha");
}

/// Stops the leader at `point` of a failover of `group`; answers who survives and the candidate, which is settled by
/// its priority: the survivors hear of it only from the next leader, too late to do anything to it.
fn stop_leader_at(cluster: &mut Cluster, group: &mut Group, point: Point) -> (Vec<Subscriber>, u16) {
    let leader = cluster.leader();
    cluster.nodes[leader].stop_at(point.name());
    let others: Vec<u16> = (0..3)
        .filter(|at| *at != leader)
        .map(|at| cluster.nodes[at].port)
        .collect();
    let subscribers: Vec<Subscriber> = others.into_iter().map(Subscriber::everything).collect();
    let answer = group.members[1].call(&["CONFIG", "SET", "replica-priority", "10"]);
    assert!(answer.is_ok(), "{answer}");
    group.members[0].kill();
    wait_until("the leader stops", FAILOVER, || !cluster.nodes[leader].is_running());
    (subscribers, group.members[1].port)
}

/// The candidate was committed before the leader stopped: the survivors were told of it first.
fn was_selected(subscribers: &[Subscriber], candidate: u16) {
    for subscriber in subscribers {
        let heard = subscriber.heard();
        let first = heard.iter().find(|event| event.channel == "+selected-slave");
        let first = first.unwrap_or_else(|| panic!("nobody was selected: {heard:?}"));
        assert!(first.payload.contains(&format!(":{candidate} ")), "{}", first.payload);
    }
}

#[test]
fn a_candidate_that_dies_after_it_was_committed_is_abandoned() {
    let Some(world) = World::with_stop_points() else { return };
    let (mut cluster, mut group) = scene(&world);
    let old = group.members[0].port;
    let (subscribers, candidate) = stop_leader_at(&mut cluster, &mut group, Point::BeforePromote);
    group.at(candidate).kill();
    let new = wait_switch(&subscribers, "alpha", old);
    was_selected(&subscribers, candidate);
    assert_ne!(new, candidate);
    group.wait_all_follow(new);
    one_switch_each(&subscribers, "alpha");
}

#[test]
fn a_candidate_that_was_restarted_empty_is_not_promoted() {
    let Some(world) = World::with_stop_points() else { return };
    let (mut cluster, mut group) = scene(&world);
    let old = group.members[0].port;
    let (subscribers, candidate) = stop_leader_at(&mut cluster, &mut group, Point::BeforePromote);
    group.at(candidate).kill();
    group.at(candidate).restart_empty();
    let new = wait_switch(&subscribers, "alpha", old);
    was_selected(&subscribers, candidate);
    assert_ne!(new, candidate);
    group.wait_all_follow(new);
    assert_eq!(group.at(new).call(&["GET", "born"]).text(), "alpha");
    assert_eq!(group.at(candidate).call(&["GET", "born"]).text(), "alpha");
}

#[test]
fn an_old_primary_that_is_back_during_the_promotion_is_turned() {
    let Some(world) = World::with_stop_points() else { return };
    let (mut cluster, mut group) = scene(&world);
    let old = group.members[0].port;
    let (subscribers, candidate) = stop_leader_at(&mut cluster, &mut group, Point::AfterPromote);
    group.at(old).restart();
    let new = wait_switch(&subscribers, "alpha", old);
    assert_eq!(new, candidate);
    group.wait_all_follow(new);
    one_switch_each(&subscribers, "alpha");
}

#[test]
fn a_node_that_slept_through_a_switch_tells_its_own_subscribers() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let leader = cluster.leader();
    let sleeper = cluster.followers()[0];
    let asleep = Subscriber::everything(cluster.nodes[sleeper].port);
    cluster.nodes[sleeper].freeze();
    let old = group.members[0].port;
    let awake = Subscriber::everything(cluster.nodes[leader].port);
    group.members[0].kill();
    let new = wait_switch(std::slice::from_ref(&awake), "alpha", old);
    cluster.nodes[sleeper].thaw();
    assert_eq!(wait_switch(std::slice::from_ref(&asleep), "alpha", old), new);
    one_switch_each(&[asleep], "alpha");
    cluster.wait_primary("alpha", new);
    group.wait_all_follow(new);
}

#[test]
fn a_node_that_was_down_knows_the_new_primary_when_it_answers_again() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let down = cluster.followers()[0];
    cluster.nodes[down].kill();
    let subscribers = cluster.subscribe();
    let old = group.members[0].port;
    group.members[0].kill();
    let new = wait_switch(&subscribers, "alpha", old);
    cluster.nodes[down].start();
    let port = cluster.nodes[down].port;
    // From the first answer on: never the old address.
    let first = wait_for("the node answers a lookup", SOON, || {
        let answer = Client::connect(port)
            .and_then(|mut client| client.try_call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "alpha"]));
        let answer = answer.ok().filter(|answer| !answer.is_error())?;
        Some(answer.items().get(1).map(|port| port.text().to_owned()))
    });
    assert_eq!(first, Some(new.to_string()));
}

#[test]
fn all_nodes_restarted_while_the_primary_is_dead_still_replace_it() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let old = group.members[0].port;
    for node in &mut cluster.nodes {
        node.kill();
    }
    group.members[0].kill();
    cluster.start_all();
    let new = wait_for("a new primary", FAILOVER, || {
        Some(cluster.nodes[0].primary_of("alpha")).filter(|port| *port != old && *port != 0)
    });
    cluster.wait_primary("alpha", new);
    group.wait_all_follow(new);
}

#[test]
fn a_primary_restarted_with_its_data_stays_primary() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let subscribers = cluster.subscribe();
    let primary = group.members[0].port;
    group.members[0].kill();
    group.members[0].restart();
    for one in &subscribers {
        one.wait("+reboot", "master alpha", FAILOVER);
    }
    group.wait_all_follow(primary);
    holds_for("no switch", Duration::from_secs(2), || {
        subscribers.iter().all(|one| one.count("+switch-master", "alpha") == 0)
    });
    cluster.wait_primary("alpha", primary);
    assert_eq!(group.members[1].call(&["GET", "born"]).text(), "alpha");
}

#[test]
fn a_primary_that_comes_back_without_its_data_after_its_replacement_gets_the_data_again() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let subscribers = cluster.subscribe();
    let old = group.members[0].port;
    group.members[0].kill();
    let new = wait_switch(&subscribers, "alpha", old);
    group.at(old).restart_empty();
    group.wait_all_follow(new);
    for member in &group.members {
        assert_eq!(member.call(&["GET", "born"]).text(), "alpha", "on {}", member.port);
    }
    one_switch_each(&subscribers, "alpha");
}

#[test]
fn many_groups_fail_over_at_once() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 3);
    let names: Vec<String> = (0..8).map(|number| format!("group{number}")).collect();
    let mut groups: Vec<Group> = names.iter().map(|name| Group::start(&world, name, 1)).collect();
    for group in &groups {
        cluster.monitor(group, DOWN_AFTER_MS);
    }
    let subscribers = cluster.subscribe();
    for group in &mut groups {
        group.members[0].kill();
    }
    for group in &groups {
        let new = wait_switch(&subscribers, &group.name, group.members[0].port);
        assert_eq!(new, group.members[1].port);
        one_switch_each(&subscribers, &group.name);
    }
}
