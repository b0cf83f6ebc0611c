//! Coordinated failovers of real Redis by real nodes: no acknowledged write is lost, or nothing changes.

mod stranded;
mod writer;

use std::time::Duration;

use cfgserver::stop::Point;

use crate::world::{Client, Cluster, FAILOVER, Group, SOON, Subscriber, Value, World, holds_for, now, wait_until};

use writer::{PIPELINE, Writer, lost};

const DOWN_AFTER_MS: u64 = 3_000;
/// How a coordinated failover says that it was given up.
const ABORTS: [&str; 2] = ["-failover-abort-master-timeout", "-failover-abort-slave-timeout"];
/// How often a switch is asked for.
const ATTEMPTS_MAX: usize = 5;
/// After this long no pause holds any more.
const PAUSE: Duration = Duration::from_millis(3_000);

fn scene(world: &World) -> (Cluster, Group) {
    let mut cluster = Cluster::start(world, 3);
    let group = Group::start(world, "alpha", 2);
    cluster.monitor(&group, DOWN_AFTER_MS);
    (cluster, group)
}

fn number_from_environment(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn ended(subscriber: &Subscriber) -> usize {
    subscriber.count("+failover-end", "master alpha")
}

fn given_up(subscriber: &Subscriber) -> usize {
    let channels = ABORTS.iter();
    channels.map(|channel| subscriber.count(channel, "master alpha")).sum()
}

/// A coordinated switch of `group`, asked for at one of the nodes, until everybody follows the new primary.
#[track_caller]
fn switch(cluster: &mut Cluster, group: &mut Group, subscriber: &Subscriber, words: &[&str]) -> u16 {
    let old = cluster.nodes[0].primary_of("alpha");
    for attempt in 1.. {
        let before = [ended(subscriber), given_up(subscriber)];
        let answer = cluster.nodes[1].call(&[&["SENTINEL", "FAILOVER", "alpha"][..], words].concat());
        assert!(answer.is_ok(), "{answer}");
        wait_until("the failover ends", 2 * FAILOVER, || {
            [ended(subscriber), given_up(subscriber)] != before
        });
        if ended(subscriber) > before[0] {
            break;
        }
        // On a machine that does other things too its time may run out: then nothing has changed.
        let listed = cluster.nodes[0].call(&["SENTINEL", "MASTER", "alpha"]);
        let why = listed.field("last-abort").unwrap_or_default().to_owned();
        assert_eq!(cluster.nodes[0].primary_of("alpha"), old);
        assert!(attempt < ATTEMPTS_MAX, "given up again: {why}");
        println!("coordinated: nothing changed: {why}");
    }
    let new = cluster.nodes[0].primary_of("alpha");
    assert_ne!(new, old, "it switched");
    cluster.wait_primary("alpha", new);
    group.wait_all_follow(new);
    cluster.wait_healthy(group);
    new
}

/// By default a short run. `CFGSERVER_COORDINATED_SWITCHES=20 CFGSERVER_COORDINATED_WRITES=100000` for the whole one, and
/// `CFGSERVER_COORDINATED_CONNECTIONS=50 CFGSERVER_COORDINATED_PIPELINE=16` for one that gives the replicas no rest; the
/// figures are printed.
#[test]
fn a_coordinated_switch_under_a_writer_at_full_speed_loses_nothing() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    for member in &group.members {
        assert!(member.call(&["CONFIG", "SET", "appendonly", "no"]).is_ok());
    }
    let subscriber = cluster.subscribe().remove(0);
    let switches = number_from_environment("CFGSERVER_COORDINATED_SWITCHES", 3);
    let writes = number_from_environment("CFGSERVER_COORDINATED_WRITES", 3_000);
    let connections = number_from_environment("CFGSERVER_COORDINATED_CONNECTIONS", 1);
    let pipeline = number_from_environment("CFGSERVER_COORDINATED_PIPELINE", PIPELINE);
    let nodes: Vec<u16> = cluster.nodes.iter().map(|node| node.port).collect();
    let writer = Writer::with_connections(&nodes, "alpha", connections, pipeline);
    let mut primary = 0;
    for _ in 0..switches {
        writer.wait_more(writes / switches);
        primary = switch(&mut cluster, &mut group, &subscriber, &["COORDINATED"]);
    }
    writer.wait_more(writes / switches);
    let written = writer.end();
    let (count, lost) = (written.acknowledged.len(), lost(primary, &written.acknowledged));
    println!(
        "coordinated: {switches} switches, {} undone, {count} acknowledged writes, {lost} lost, longest pause {} ms",
        given_up(&subscriber),
        written.longest_pause.as_millis()
    );
    assert!(count >= writes, "the writer hardly wrote: {count}");
    assert_eq!(lost, 0, "of {count} acknowledged writes");
}

#[test]
fn the_replica_that_is_named_is_promoted() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let subscriber = cluster.subscribe().remove(0);
    let ports: Vec<u16> = group.members.iter().map(|member| member.port).collect();
    for (place, coordinated) in [(2, true), (1, false), (0, true)] {
        let to = format!("127.0.0.1:{}", ports[place]);
        let words = if coordinated {
            vec!["COORDINATED", "TO", &to]
        } else {
            vec!["TO", &to]
        };
        let new = switch(&mut cluster, &mut group, &subscriber, &words);
        assert_eq!(new, ports[place]);
    }
    let refused = |words: &[&str]| {
        let answer = cluster.nodes[2].call(&[&["SENTINEL", "FAILOVER", "alpha"][..], words].concat());
        answer.text().to_owned()
    };
    let primary = format!("127.0.0.1:{}", ports[0]);
    assert_eq!(refused(&["TO", &primary]), "ERR That instance is the primary already");
    assert_eq!(refused(&["TO", "127.0.0.1:1"]), "ERR No such replica with that address");
    assert!(
        group.members[1]
            .call(&["CONFIG", "SET", "replica-priority", "0"])
            .is_ok()
    );
    let other = format!("127.0.0.1:{}", ports[1]);
    let unfit = format!("NOGOODSLAVE No suitable replica to promote: {other} priority 0");
    for node in &cluster.nodes {
        wait_until("its priority is known", FAILOVER, || {
            let listed = node.call(&["SENTINEL", "REPLICAS", "alpha"]);
            let zero = |one: &&Value| one.field("slave-priority") == Some("0");
            listed.items().iter().filter(zero).count() == 1
        });
    }
    assert_eq!(refused(&["TO", &other]), unfit);
    assert_eq!(cluster.nodes[0].primary_of("alpha"), ports[0]);
}

/// The candidate stands still: it never has everything.
#[test]
fn a_coordinated_failover_that_cannot_be_done_changes_nothing() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let subscribers = cluster.subscribe();
    let old = group.members[0].port;
    let stopped = group.members[1].port;
    group.members[1].freeze();
    assert!(group.members[0].call(&["SET", "late", "1"]).is_ok());
    let to = format!("127.0.0.1:{stopped}");
    let answer = cluster.nodes[0].call(&["SENTINEL", "FAILOVER", "alpha", "COORDINATED", "TO", &to]);
    assert!(answer.is_ok(), "{answer}");
    for one in &subscribers {
        wait_until("it is given up", FAILOVER, || given_up(one) == 1);
    }
    takes_writes_at_once(old);
    group.members[1].thaw();
    group.wait_all_follow(old);
    for one in &subscribers {
        assert_eq!(one.count("+switch-master", "alpha "), 0);
    }
    cluster.wait_primary("alpha", old);
}

/// Not only when a pause has run out.
#[track_caller]
fn takes_writes_at_once(port: u16) {
    let mut client = Client::connect(port).unwrap();
    client.patience(Duration::from_millis(500));
    let answer = client.try_call(&["SET", "after", "1"]);
    assert!(
        answer.as_ref().is_ok_and(Value::is_ok),
        "writes are held back: {answer:?}"
    );
}

#[test]
fn a_primary_that_may_not_be_paused_fails_over_by_itself_and_without_that_nothing_changes() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group) = scene(&world);
    let subscriber = cluster.subscribe().remove(0);
    let first = &group.members[0];
    assert!(first.call(&["ACL", "SETUSER", "default", "-client|pause"]).is_ok());
    let new = switch(&mut cluster, &mut group, &subscriber, &["COORDINATED"]);
    let calls = group.members[0].call(&["INFO", "commandstats"]);
    assert!(
        calls.text().contains("cmdstat_failover:"),
        "its own FAILOVER was not asked for"
    );
    let second = group.at(new);
    let forbidden = ["ACL", "SETUSER", "default", "-client|pause", "-failover"];
    assert!(second.call(&forbidden).is_ok());
    let answer = cluster.nodes[0].call(&["SENTINEL", "FAILOVER", "alpha", "COORDINATED"]);
    assert!(answer.is_ok(), "{answer}");
    subscriber.wait("-failover-abort-master-timeout", "master alpha", FAILOVER);
    takes_writes_at_once(new);
    let listed = cluster.nodes[0].call(&["SENTINEL", "MASTER", "alpha"]);
    let why = listed.field("last-abort").unwrap_or_default().to_owned();
    assert!(why.starts_with("primary: NOPERM"), "{why}");
    holds_for("the primary stays", Duration::from_secs(1), || {
        cluster.nodes[0].primary_of("alpha") == new
    });
}

/// The primary may be paused, but steps down for nobody: what was begun must be undone.
#[test]
fn a_leader_killed_while_it_undoes_a_coordinated_failover_leaves_nothing_paused() {
    let Some(world) = World::with_stop_points() else { return };
    let mut cluster = Cluster::start(&world, 3);
    for point in [
        Point::AfterPause,
        Point::BeforeUndo,
        Point::AfterUndo,
        Point::BeforeTakeBack,
        Point::AfterTakeBack,
    ] {
        let name = point.name();
        let mut group = Group::start(&world, name, 1);
        cluster.monitor(&group, DOWN_AFTER_MS);
        let leader = cluster.leader();
        cluster.nodes[leader].stop_at(name);
        let others: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
        let subscriber = Subscriber::everything(cluster.nodes[others[0]].port);
        let forbidden = ["ACL", "SETUSER", "default", "-slaveof", "-replicaof", "-failover"];
        assert!(group.members[0].call(&forbidden).is_ok());
        let asked_at = now();
        // The answer may die with the leader.
        _ = cluster.nodes[others[0]].try_call(&["SENTINEL", "FAILOVER", name, "COORDINATED"]);
        wait_until(&format!("the leader stops at {name}"), FAILOVER, || {
            !cluster.nodes[leader].is_running()
        });
        wait_until("the failover is given up", FAILOVER, || {
            ABORTS
                .iter()
                .any(|channel| subscriber.count(channel, &format!("master {name}")) == 1)
        });
        takes_writes_at_once(group.members[0].port);
        println!("{name}: undone after {} ms", asked_at.elapsed().as_millis());
        assert_eq!(subscriber.count("+switch-master", &format!("{name} ")), 0);
        let old = group.members[0].port;
        group.wait_all_follow(old);
        cluster.nodes[leader].disarm();
        cluster.nodes[leader].start();
        cluster.nodes[leader].wait_ready();
        cluster.wait_primary(name, old);
        holds_for("no pause comes after it", PAUSE.min(SOON) / 6, || {
            group.members[0].call(&["SET", "again", "1"]).is_ok()
        });
        let answer = cluster.nodes[others[0]].call(&["SENTINEL", "REMOVE", name]);
        assert!(answer.is_ok(), "{answer}");
    }
}
