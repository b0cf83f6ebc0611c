//! Scripts of groups, run by real nodes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::world::{
    Cluster, FAILOVER, Group, Node, NodeOptions, SOON, Subscriber, Value, World, holds_for, wait_for, wait_until,
};

/// A program in the world's folder, and the file that it writes a line to each time.
struct Script {
    path: String,
    told: PathBuf,
}

impl Script {
    /// Writes down its arguments, `|` between them; then does `rest`, where `$told` is the file.
    fn new(world: &World, name: &str, rest: &str) -> Self {
        let path = world.folder().join(format!("{name}.sh"));
        let told = world.folder().join(format!("{name}.told"));
        let text = format!(
            "#!/bin/sh\ntold='{}'\n(IFS='|'; echo \"$*\" >> \"$told\")\n{rest}\n",
            told.display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let path = path.to_string_lossy().into_owned();
        Self { path, told }
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.told).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|one| *one == line).count()
    }

    /// Waits until it was told this so many times.
    #[track_caller]
    fn wait(&self, line: &str, times: usize) {
        wait_until(&format!("{times} times {line} in {:?}", self.lines()), FAILOVER, || {
            self.count(line) >= times
        });
    }
}

/// Three nodes that may run scripts, and a group with both.
fn cluster(world: &World, words: &[&str], notify: &Script, reconfig: &Script) -> (Cluster, Group) {
    let mut cluster = Cluster::prepare(world, 3);
    for node in &mut cluster.nodes {
        node.add_words(&["--deny-scripts-reconfig", "no"]);
        node.add_words(words);
    }
    cluster.start_all();
    let group = Group::start(world, "alpha", 1);
    cluster.monitor(&group, 1_000);
    set(&cluster.nodes[0], "client-reconfig-script", &reconfig.path);
    set(&cluster.nodes[0], "notification-script", &notify.path);
    (cluster, group)
}

#[track_caller]
fn set(node: &Node, option: &str, value: &str) {
    let answer = node.call(&["SENTINEL", "SET", "alpha", option, value]);
    assert!(answer.is_ok(), "{answer}");
}

/// A node alone, with a group that nobody serves, and a script for its events.
fn alone(world: &World, notify: &Script) -> Node {
    let options = NodeOptions {
        id: 1,
        port: world.port(),
        words: ["--deny-scripts-reconfig", "no"].map(str::to_owned).into(),
    };
    let mut node = Node::new(world, options);
    node.start();
    node.wait_ready();
    let port = world.port().to_string();
    assert!(
        node.call(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", &port, "1"])
            .is_ok()
    );
    set(&node, "notification-script", &notify.path);
    node
}

#[track_caller]
fn debug(node: &Node, period: &str, ms: u64) {
    assert!(node.call(&["SENTINEL", "DEBUG", period, &ms.to_string()]).is_ok());
}

fn pending(node: &Node) -> Vec<Value> {
    node.call(&["SENTINEL", "PENDING-SCRIPTS"]).items().to_vec()
}

#[test]
fn each_event_is_told_by_the_leader_alone() {
    let Some(world) = World::open() else { return };
    let (notify, reconfig) = (Script::new(&world, "notify", ""), Script::new(&world, "reconfig", ""));
    let (mut cluster, group) = cluster(&world, &[], &notify, &reconfig);
    let (old, new) = (group.members[0].port, group.members[1].port);
    assert!(cluster.nodes[1].call(&["SENTINEL", "FAILOVER", "alpha"]).is_ok());
    cluster.wait_primary("alpha", new);
    let switch = format!("+switch-master|alpha 127.0.0.1 {old} 127.0.0.1 {new}");
    let start = format!("alpha|leader|start|127.0.0.1|{old}|127.0.0.1|{new}");
    notify.wait(&switch, 1);
    reconfig.wait(&start, 1);
    notify.wait(&format!("+failover-end|master alpha 127.0.0.1 {new}"), 1);
    // The group is gone when that is told.
    assert!(cluster.nodes[2].call(&["SENTINEL", "REMOVE", "alpha"]).is_ok());
    notify.wait(&format!("-monitor|master alpha 127.0.0.1 {new}"), 1);
    let told = notify.lines();
    let mut once = told.clone();
    once.sort();
    once.dedup();
    assert_eq!(told.len(), once.len(), "{told:?}");
    assert_eq!(reconfig.lines(), [start]);
    // Louder than notice only.
    assert!(told.iter().all(|line| !line.starts_with("+slave")), "{told:?}");
    let channels = ["+new-epoch", "+try-failover", "+elected-leader", "+promoted-slave"];
    for channel in channels {
        assert!(
            told.iter().any(|line| line.starts_with(&format!("{channel}|"))),
            "{channel}: {told:?}"
        );
    }
}

#[test]
fn every_node_tells_it_when_that_is_wanted() {
    let Some(world) = World::open() else { return };
    let (notify, reconfig) = (Script::new(&world, "notify", ""), Script::new(&world, "reconfig", ""));
    let (mut cluster, group) = cluster(&world, &["--run-scripts", "always"], &notify, &reconfig);
    let (old, new) = (group.members[0].port, group.members[1].port);
    assert!(cluster.nodes[1].call(&["SENTINEL", "FAILOVER", "alpha"]).is_ok());
    cluster.wait_primary("alpha", new);
    let start = |part| format!("alpha|{part}|start|127.0.0.1|{old}|127.0.0.1|{new}");
    reconfig.wait(&start("leader"), 1);
    reconfig.wait(&start("observer"), 2);
    notify.wait(&format!("+switch-master|alpha 127.0.0.1 {old} 127.0.0.1 {new}"), 3);
}

#[test]
fn a_switch_whose_teller_dies_is_told_by_its_successor() {
    let Some(world) = World::open() else { return };
    let notify = Script::new(&world, "notify", "");
    let reconfig = Script::new(&world, "reconfig", "exit 1");
    let (mut cluster, group) = cluster(&world, &[], &notify, &reconfig);
    let (old, new) = (group.members[0].port, group.members[1].port);
    assert!(cluster.nodes[1].call(&["SENTINEL", "FAILOVER", "alpha"]).is_ok());
    cluster.wait_primary("alpha", new);
    let start = format!("alpha|leader|start|127.0.0.1|{old}|127.0.0.1|{new}");
    reconfig.wait(&start, 1);
    let at = cluster.leader();
    wait_until("it waits for its next try", SOON, || {
        let pending = pending(&cluster.nodes[at]);
        pending.iter().any(|one| one.field("flags") == Some("scheduled"))
    });
    cluster.nodes[at].kill();
    reconfig.wait(&start, 2);
    // What is no switch is not told again.
    assert_eq!(
        notify.count(&format!("+switch-master|alpha 127.0.0.1 {old} 127.0.0.1 {new}")),
        1
    );
}

#[test]
fn a_node_that_refuses_scripts_runs_none() {
    let Some(world) = World::open() else { return };
    let notify = Script::new(&world, "notify", "");
    let mut cluster = Cluster::prepare(&world, 3);
    cluster.nodes[0].add_words(&["--deny-scripts-reconfig", "no"]);
    cluster.start_all();
    let group = Group::start(&world, "alpha", 0);
    cluster.monitor(&group, 60_000);
    if cluster.leader() == 0 {
        assert!(cluster.nodes[0].call(&["CFG", "LEADER", "TRANSFER", "2"]).is_ok());
        wait_until("another node leads", SOON, || cluster.leader() != 0);
    }
    let refused = cluster.nodes[1].call(&["SENTINEL", "SET", "alpha", "notification-script", &notify.path]);
    assert!(refused.text().contains("denied for security reasons"), "{refused}");
    set(&cluster.nodes[0], "notification-script", &notify.path);
    set(&cluster.nodes[0], "quorum", "1");
    let at = cluster.leader();
    wait_until("the leader says why", SOON, || {
        cluster.nodes[at]
            .log_text()
            .contains("scripts are not run by this node")
    });
    assert_eq!(notify.lines(), Vec::<String>::new());
}

#[test]
fn a_script_that_fails_for_a_moment_is_tried_again_and_shown() {
    let world = World::bare();
    // The setting of itself, then twice no and a yes.
    let notify = Script::new(
        &world,
        "notify",
        "case $1$2 in *quorum*) [ $(grep -c quorum \"$told\") -ge 3 ];; esac",
    );
    let node = alone(&world, &notify);
    debug(&node, "script-retry-delay", 400);
    set(&node, "quorum", "2");
    let shown = wait_for("it is shown while it waits", SOON, || {
        let pending = pending(&node);
        pending.into_iter().find(|one| one.field("flags") == Some("scheduled"))
    });
    assert!(
        shown.field("run-delay").unwrap().parse::<u64>().unwrap() <= 800,
        "{shown}"
    );
    assert!(["1", "2"].contains(&shown.field("retry-num").unwrap()), "{shown}");
    assert_eq!(shown.field("pid"), Some("0"));
    assert_eq!(node.info("sentinel_scripts_queue_length"), "1");
    wait_until("it is content", SOON, || pending(&node).is_empty());
    let told = notify.lines();
    assert_eq!(
        told.iter().filter(|line| line.contains("quorum 2")).count(),
        3,
        "{told:?}"
    );
}

#[test]
fn a_script_that_fails_for_good_is_given_up_with_an_event() {
    let world = World::bare();
    let notify = Script::new(&world, "notify", "exit 2");
    let node = alone(&world, &notify);
    let subscriber = Subscriber::everything(node.port);
    set(&node, "quorum", "2");
    subscriber.wait("-script-error", &format!("{} 0 2", notify.path), SOON);
    wait_until("nothing waits", SOON, || pending(&node).is_empty());
    fs::remove_file(&notify.path).unwrap();
    let before = subscriber.count("-script-error", "");
    set(&node, "quorum", "3");
    wait_until("a missing program is an error, too", SOON, || {
        subscriber.count("-script-error", &format!("{} 0 2", notify.path)) > before
    });
}

#[test]
fn a_script_that_takes_too_long_is_killed_with_what_it_started() {
    let world = World::bare();
    let notify = Script::new(&world, "notify", "sleep 300 & echo pid $! >> \"$told\"; wait");
    let node = alone(&world, &notify);
    let subscriber = Subscriber::everything(node.port);
    let child = sleeper(&notify);
    let shown = pending(&node);
    assert_eq!(shown[0].field("flags"), Some("running"), "{shown:?}");
    assert!(shown[0].field("pid").unwrap().parse::<u32>().unwrap() > 1, "{shown:?}");
    assert!(shown[0].field("run-time").is_some(), "{shown:?}");
    assert_eq!(node.info("sentinel_running_scripts"), "1");
    debug(&node, "script-max-runtime", 50);
    // The period holds from the next turn of the queue on.
    set(&node, "quorum", "2");
    subscriber.wait("-script-timeout", &format!("{} ", notify.path), SOON);
    wait_until("what it started has ended", SOON, || !lives(child));
}

#[test]
fn scripts_end_with_their_node() {
    let world = World::bare();
    let notify = Script::new(&world, "notify", "sleep 300 & echo pid $! >> \"$told\"; wait");
    let mut node = alone(&world, &notify);
    let child = sleeper(&notify);
    assert!(lives(child));
    node.terminate();
    wait_until("what it started has ended", SOON, || !lives(child));
}

/// The process that the script says it started.
fn sleeper(script: &Script) -> u32 {
    wait_for("the script has started something", SOON, || {
        let told = script.lines();
        told.iter().find_map(|line| line.strip_prefix("pid ")?.parse().ok())
    })
}

fn lives(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // A zombie that nobody collects has ended, too.
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[test]
fn a_restarted_node_tells_no_old_events() {
    let world = World::bare();
    let notify = Script::new(&world, "notify", "");
    let mut node = alone(&world, &notify);
    set(&node, "quorum", "2");
    wait_until("the setting is told", SOON, || {
        notify.lines().iter().any(|line| line.contains("quorum 2"))
    });
    let told = notify.lines().len();
    node.terminate();
    node.start();
    node.wait_ready();
    set(&node, "quorum", "3");
    wait_until("the new setting is told", SOON, || {
        notify.lines().iter().any(|line| line.contains("quorum 3"))
    });
    let new: Vec<String> = notify.lines().split_off(told);
    assert!(new.iter().all(|line| !line.contains("quorum 2")), "{new:?}");
    holds_for("nothing waits", std::time::Duration::from_millis(100), || {
        pending(&node).is_empty()
    });
}
