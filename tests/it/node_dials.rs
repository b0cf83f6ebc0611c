//! What operators turn on a running node: SHUTDOWN, CONFIG, DEBUG, SIMULATE-FAILURE, against real processes.
//! Ports 11 and 12 of loopback stand for instances that do not exist: nobody listens there.

use crate::world::{Cluster, FAILOVER, Group, Node, SOON, Value, World, wait_for, wait_until};

/// What a process that simulates a failure ends with.
const SIMULATED_STATUS: i32 = 99;

#[track_caller]
fn ok(answer: &Value) {
    assert!(answer.is_ok(), "{answer}");
}

#[test]
fn shutdown_ends_one_node_as_a_signal_does_and_the_others_go_on() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    let leader = cluster.leader();
    let answer = cluster.nodes[leader].client().try_call(&["SHUTDOWN", "NOSAVE"]);
    assert!(answer.is_err(), "it is not answered: {answer:?}");
    let status = cluster.nodes[leader].wait_ended(SOON);
    assert_eq!(status.code(), Some(0));
    assert!(cluster.nodes[leader].log_text().contains("SHUTDOWN"));
    let other = cluster.leader();
    ok(&cluster.nodes[other].call(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", "11", "2"]));
}

/// The leader's end at this point of a failover, which the others complete.
#[track_caller]
fn leader_ends_simulating(failure: &str, flags: &str) {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 3);
    let mut group = Group::start(&world, "alpha", 2);
    cluster.monitor(&group, 1_000);
    let old = group.members[0].port;
    let leader = cluster.leader();
    ok(&cluster.nodes[leader].call(&["SENTINEL", "SIMULATE-FAILURE", failure]));
    assert_eq!(cluster.nodes[leader].info("sentinel_simulate_failure_flags"), flags);
    group.members[0].kill();
    let status = cluster.nodes[leader].wait_ended(FAILOVER);
    assert_eq!(status.code(), Some(SIMULATED_STATUS));
    let new = wait_for("the others complete the failover", FAILOVER, || {
        let mut told = cluster.nodes.iter_mut().filter_map(|node| {
            let running = node.is_running();
            running.then(|| node.primary_of("alpha"))
        });
        let first = told.next()?;
        (first != old && first != 0 && told.all(|port| port == first)).then_some(first)
    });
    group.wait_all_follow(new);
    // The next process knows nothing of it.
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_ready();
    assert_eq!(cluster.nodes[leader].info("sentinel_simulate_failure_flags"), "0");
}

#[test]
fn a_leader_that_simulates_a_crash_after_election_ends_when_the_failover_is_committed() {
    leader_ends_simulating("crash-after-election", "1");
}

#[test]
fn a_leader_that_simulates_a_crash_after_promotion_ends_when_the_candidate_was_told() {
    leader_ends_simulating("crash-after-promotion", "2");
}

#[test]
fn the_log_level_is_changed_while_the_node_runs() {
    let world = World::bare();
    let node = Node::alone(&world);
    let monitor = |name: &str, port: &str| node.call(&["SENTINEL", "MONITOR", name, "127.0.0.1", port, "1"]);
    let level = |word: &str| ok(&node.call(&["SENTINEL", "CONFIG", "SET", "loglevel", word]));
    let told = |name: &str| node.log_text().contains(&format!("+monitor master {name} "));
    level("warning");
    ok(&monitor("quiet", "11"));
    level("notice");
    ok(&monitor("loud", "12"));
    wait_until("the second is logged", SOON, || told("loud"));
    assert!(!told("quiet"), "it was logged before the second");
    let answer = node.call(&["SENTINEL", "CONFIG", "GET", "loglevel"]);
    assert_eq!(answer.field("loglevel"), Some("notice"));
}

#[test]
fn what_a_node_announces_is_told_by_the_others_also_after_a_restart() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    ok(&cluster.nodes[0].call(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", "11", "2"]));
    let announced = [
        "announce-ip",
        "db.example",
        "announce-port",
        "7000",
        "resolve-hostnames",
        "yes",
    ];
    ok(&cluster.nodes[1].call(&[&["SENTINEL", "CONFIG", "SET"][..], &announced].concat()));
    let listed = |node: &Node| {
        let entries = node.try_call(&["SENTINEL", "SENTINELS", "alpha"]);
        let second = |one: &&Value| one.field("node-id") == Some("2");
        let entries = entries.unwrap_or(Value::Null);
        let entry = entries.items().iter().find(second).cloned();
        entry.is_some_and(|entry| (entry.field("ip"), entry.field("port")) == (Some("db.example"), Some("7000")))
    };
    let shared = |node: &Node| {
        let answer = node.try_call(&["SENTINEL", "CONFIG", "GET", "resolve-hostnames"]);
        answer.is_some_and(|answer| answer.field("resolve-hostnames") == Some("yes"))
    };
    for at in [0, 2] {
        wait_until("the others tell it", SOON, || {
            listed(&cluster.nodes[at]) && shared(&cluster.nodes[at])
        });
    }
    cluster.nodes[0].terminate();
    cluster.nodes[0].start();
    cluster.nodes[0].wait_ready();
    wait_until("it is told after a restart", SOON, || {
        listed(&cluster.nodes[0]) && shared(&cluster.nodes[0])
    });
}

#[test]
fn debug_changes_the_period_of_info_and_what_new_groups_begin_with() {
    let Some(world) = World::open() else { return };
    let mut cluster = Cluster::start(&world, 1);
    let group = Group::start(&world, "alpha", 1);
    cluster.monitor(&group, 1_000);
    let node = &cluster.nodes[0];
    // As it was configured, not as Sentinel has it.
    assert_eq!(node.call(&["SENTINEL", "DEBUG"]).field("TILT-TRIGGER"), Some("500"));
    ok(&node.call(&["SENTINEL", "DEBUG", "info-period", "100", "default-down-after", "700"]));
    // The age of what is cached stays below the new period and what a busy machine adds.
    let cached = || {
        let answer = node.call(&["SENTINEL", "INFO-CACHE", "alpha"]);
        let entries = answer.items().get(1).map(|entries| entries.items().to_vec());
        entries.unwrap_or_default()
    };
    let age = |entry: &Value| match entry.items() {
        [Value::Integer(age), Value::Bulk(text)] => {
            assert!(text.contains("run_id:"), "{text}");
            *age
        }
        other => panic!("{other:?}"),
    };
    wait_until("both are cached", SOON, || {
        cached()
            .iter()
            .filter(|entry| entry.items().get(1) != Some(&Value::Null))
            .count()
            == 2
    });
    let mut seen_younger = 0;
    let mut last = [i64::MAX; 2];
    wait_until("info comes again and again", SOON, || {
        for (entry, last) in cached().iter().zip(&mut last) {
            let age = age(entry);
            seen_younger += usize::from(age < *last);
            *last = age;
        }
        seen_younger > 20
    });
    ok(&node.call(&["SENTINEL", "MONITOR", "beta", "127.0.0.1", "11", "1"]));
    let beta = node.call(&["SENTINEL", "MASTER", "beta"]);
    assert_eq!(beta.field("down-after-milliseconds"), Some("700"));
    assert_eq!(beta.field("failover-timeout"), Some("180000"));
}

#[test]
fn scripts_are_set_only_where_the_operator_of_the_node_allows_it_and_hold_everywhere() {
    let world = World::bare();
    let mut cluster = Cluster::prepare(&world, 3);
    cluster.nodes[1].add_words(&["--deny-scripts-reconfig", "no"]);
    cluster.start_all();
    ok(&cluster.nodes[0].call(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", "11", "2"]));
    cluster.wait_primary("alpha", 11);
    let set = |at: usize, path: &str| {
        let words = ["SENTINEL", "SET", "alpha", "notification-script", path];
        cluster.nodes[at].call(&words).to_string()
    };
    assert!(set(0, "/bin/true").contains("denied for security reasons"));
    assert!(set(1, "/nowhere").contains("Notification script seems non existing or non executable"));
    assert!(set(1, "/bin").contains("Notification script seems non existing or non executable"));
    assert_eq!(set(1, "/bin/true"), "OK");
    for node in &cluster.nodes {
        wait_until("every node shows it", SOON, || {
            let answer = node.call(&["SENTINEL", "MASTER", "alpha"]);
            answer.field("notification-script") == Some("/bin/true")
        });
    }
}

#[test]
fn a_foreign_sentinel_is_warned_of_once() {
    let world = World::bare();
    let node = Node::alone(&world);
    ok(&node.call(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", "11", "1"]));
    let hello = "127.0.0.1,12,abcdefabcdefabcdefabcdefabcdefabcdefabcd,7,alpha,127.0.0.1,12,9";
    for _ in 0..3 {
        let answer = node.call(&["PUBLISH", "__sentinel__:hello", hello]);
        assert_eq!(answer, Value::Integer(1));
    }
    let master = node.call(&["SENTINEL", "MASTER", "alpha"]);
    assert_eq!(master.field("foreign-sentinels"), Some("127.0.0.1:12"));
    assert_eq!(node.primary_of("alpha"), 11, "nothing is adopted");
    let warnings = || node.log_text().matches("a Sentinel that is not ours").count();
    wait_until("there is a warning", SOON, || warnings() > 0);
    assert_eq!(warnings(), 1);
}
