//! Three Sentinels are replaced by three nodes, and come back: the steps of the README, on one fleet.

use std::time::Duration;

use super::sentinel::Sentinel;
use super::{import, said, shown};
use crate::world::{Cluster, FAILOVER, Group, SOON, Subscriber, World, cfgserver, holds_for, wait_until};

const NAME: &str = "orders-1";
/// A Sentinel turns an old primary that is back only after some eight seconds. One that stood still for two seconds, on a
/// busy machine, does nothing at all for thirty more.
const TURNED: Duration = Duration::from_secs(90);

/// The fleet, its Sentinels and its nodes.
struct Scene {
    cluster: Cluster,
    group: Group,
    sentinels: Vec<Sentinel>,
    subscribers: Vec<Subscriber>,
    /// Those of the Sentinels.
    theirs: Vec<Subscriber>,
}

/// Who is expected to replace a primary.
#[derive(Clone, Copy, PartialEq)]
enum Manager {
    Sentinel,
    Nodes,
}

impl Manager {
    /// How long a switch may take.
    fn limit(self) -> Duration {
        match self {
            Self::Sentinel => TURNED,
            Self::Nodes => FAILOVER,
        }
    }
}

impl Scene {
    fn primary(&self) -> u16 {
        self.cluster.nodes[0].primary_of(NAME)
    }

    fn heard(&self, channel: &str) -> usize {
        self.subscribers.iter().map(|one| one.count(channel, "")).sum()
    }

    /// What nodes say when they act.
    fn deeds(&self) -> usize {
        let channels = [
            "+try-failover",
            "+convert-to-slave",
            "+fix-slave-config",
            "+slave-reconf-sent",
        ];
        channels.iter().map(|channel| self.heard(channel)).sum()
    }

    /// Kills the primary; `manager` replaces it, and everybody tells the new one. Then it comes back and is turned.
    fn replace(&mut self, manager: Manager) {
        let (old, deeds) = (self.primary(), self.deeds());
        let before = self.switches();
        self.group.at(old).kill();
        wait_until("every node tells another primary", manager.limit(), || {
            let told: Vec<u16> = self.cluster.nodes.iter().map(|node| node.primary_of(NAME)).collect();
            told[0] != old && told[0] != 0 && told.iter().all(|port| *port == told[0])
        });
        self.is_settled_after(manager, deeds, &before, old);
    }

    /// How often each subscriber of a node heard of a switch.
    fn switches(&self) -> Vec<usize> {
        let count = |one: &Subscriber| one.count("+switch-master", NAME);
        self.subscribers.iter().map(count).collect()
    }

    fn is_settled_after(&mut self, manager: Manager, deeds: usize, before: &[usize], old: u16) {
        let new = self.primary();
        let once: Vec<usize> = before.iter().map(|count| count + 1).collect();
        wait_until("every subscriber of a node heard of it", SOON, || {
            self.switches() == once
        });
        let payload = format!("{NAME} 127.0.0.1 {old} 127.0.0.1 {new}");
        let told = |one: &Subscriber| one.count("+switch-master", &payload) >= 1;
        assert!(self.subscribers.iter().all(told), "{payload}");
        if manager == Manager::Sentinel {
            self.print_delay(&payload);
        }
        let value = format!("{new} after {old}");
        assert!(self.group.at(new).call(&["SET", "written", &value]).is_ok());
        if !self.group.at(old).is_running() {
            self.group.at(old).restart();
        }
        wait_until("the old primary is turned", TURNED, || self.group.at(old).follows(new));
        self.group.wait_all_follow(new);
        wait_until("the write is everywhere", SOON, || {
            let members = &self.group.members;
            members.iter().all(|one| one.call(&["GET", "written"]).text() == value)
        });
        self.cluster.wait_healthy(&self.group);
        assert_eq!(self.switches(), once, "told more than once");
        match manager {
            Manager::Sentinel => assert_eq!(self.deeds(), deeds, "a node acted in mode observe"),
            Manager::Nodes => assert!(self.deeds() > deeds, "nobody says who did it"),
        }
    }

    /// How long after the first Sentinel the last node told of a switch; for the README.
    fn print_delay(&self, payload: &str) {
        let at = |all: &[Subscriber]| -> Vec<_> {
            let one = |subscriber: &Subscriber| subscriber.wait("+switch-master", payload, FAILOVER).at;
            all.iter().map(one).collect()
        };
        let (first, last) = (
            at(&self.theirs).into_iter().min(),
            at(&self.subscribers).into_iter().max(),
        );
        if let (Some(first), Some(last)) = (first, last) {
            match last.checked_duration_since(first) {
                Some(later) => eprintln!("{payload}: the last node {later:?} after the first Sentinel"),
                None => eprintln!("{payload}: the last node {:?} before the first Sentinel", first - last),
            }
        }
    }

    fn start_sentinels(&mut self, world: &World, lines: &str) {
        self.sentinels = (0..3).map(|_| Sentinel::start(world, lines)).collect();
        self.sentinels_settle();
        let listening = self.sentinels.iter().map(|one| Subscriber::everything(one.port));
        self.theirs = listening.collect();
    }

    fn sentinels_settle(&self) {
        let replicas = self.group.members.len() - 1;
        for sentinel in &self.sentinels {
            let what = format!("the Sentinel {} knows everybody", sentinel.port);
            wait_until(&what, TURNED, || sentinel.is_settled(NAME, replicas, 2));
        }
    }

    /// Every node has found every Sentinel on the instances.
    fn sentinels_are_seen(&self) {
        for node in &self.cluster.nodes {
            wait_until(&format!("node {} sees the Sentinels", node.id), TURNED, || {
                let entry = node.call(&["SENTINEL", "MASTER", NAME]);
                let seen = entry.field("foreign-sentinels").unwrap_or_default().to_owned();
                seen.split(',').filter(|place| *place == "127.0.0.1").count() == self.sentinels.len()
            });
        }
    }

    fn stop_sentinels(&mut self) {
        for sentinel in &mut self.sentinels {
            sentinel.terminate();
        }
        self.sentinels.clear();
        self.theirs.clear();
    }

    fn mode(&self) -> Vec<String> {
        let master = |port: u16| {
            crate::world::Client::connect(port)
                .unwrap()
                .call(&["SENTINEL", "MASTER", NAME])
        };
        let mode = |port| master(port).field("mode").unwrap_or_default().to_owned();
        self.cluster.nodes.iter().map(|node| mode(node.port)).collect()
    }
}

#[test]
fn three_sentinels_are_replaced_without_an_outage_and_come_back() {
    let Some(world) = World::open() else { return };
    let group = Group::start(&world, NAME, 2);
    let first = group.members[0].port;
    let lines = format!(
        "sentinel monitor {NAME} 127.0.0.1 {first} 2\nsentinel down-after-milliseconds {NAME} 1000\n\
         sentinel failover-timeout {NAME} 5000"
    );
    let mut cluster = Cluster::start(&world, 3);
    let subscribers = cluster.subscribe();
    let to: Vec<u16> = cluster.nodes.iter().map(|node| node.port).collect();
    let mut scene = Scene {
        cluster,
        group,
        sentinels: Vec::new(),
        subscribers,
        theirs: Vec::new(),
    };
    scene.start_sentinels(&world, &lines);

    // 1. Shown, then done, in mode observe; from then on there is nothing to do, from the file and from the live ones.
    let file = scene.sentinels[0].file.clone();
    let plan = said(&import(to[0], &[shown(&file)]));
    let expected =
        format!("+ {NAME}: monitor 127.0.0.1:{first}, quorum 2\n    mode observe, down-after-milliseconds 1000");
    assert!(
        plan.contains(&expected) && plan.ends_with("Nothing was done: --apply does it.\n"),
        "{plan}"
    );
    assert!(plan.contains("Sentinels that have it: 3;"), "{plan}");
    assert!(scene.cluster.nodes[0].call(&["CFG", "GROUPS"]).items().is_empty());
    assert!(said(&import(to[1], &[shown(&file), "--apply"])).ends_with("Done.\n"));
    for sentinel in &scene.sentinels {
        assert!(said(&import(to[2], &[shown(&sentinel.file), "--apply"])).ends_with("There is nothing to do.\n"));
        let from = format!("127.0.0.1:{}", sentinel.port);
        let live = said(&import(to[0], &["--from", &from, "--apply"]));
        assert!(live.ends_with("There is nothing to do.\n"), "{live}");
    }
    assert_eq!(scene.mode(), ["observe"; 3]);
    scene.cluster.wait_healthy(&scene.group);
    scene.sentinels_are_seen();

    // 2. Observing: what Sentinel does, unplanned and planned, is adopted and told.
    scene.replace(Manager::Sentinel);
    scene.sentinels_settle();
    let (old, deeds) = (scene.primary(), scene.deeds());
    let before = scene.switches();
    assert!(scene.sentinels[1].call(&["SENTINEL", "FAILOVER", NAME]).is_ok());
    scene.cluster.wait_primary(NAME, wait_other(&scene, old));
    scene.is_settled_after(Manager::Sentinel, deeds, &before, old);

    // 3. The Sentinels end, and the nodes take over. What dies in between is replaced as soon as they do.
    scene.stop_sentinels();
    let taken = said(&import(to[0], &["--mode", "manage", "--apply"]));
    assert!(
        taken.contains("mode observe -> manage") && taken.ends_with("Done.\n"),
        "{taken}"
    );
    assert!(said(&import(to[1], &["--mode", "manage", "--apply"])).ends_with("There is nothing to do.\n"));
    scene.replace(Manager::Nodes);

    // 4. And back: the nodes let go, and fresh Sentinels start from what the nodes have.
    assert!(said(&import(to[2], &["--mode", "observe", "--apply"])).ends_with("Done.\n"));
    let node = format!("127.0.0.1:{}", to[1]);
    let exported = said(&cfgserver().args(["export", "--from", &node]).output().unwrap());
    scene.start_sentinels(&world, &exported);
    for sentinel in &scene.sentinels {
        assert_eq!(sentinel.primary_of(NAME), scene.primary());
        assert!(said(&import(to[0], &[shown(&sentinel.file)])).ends_with("There is nothing to do.\n"));
    }
    scene.replace(Manager::Sentinel);
    let last = scene.primary();
    for node in &mut scene.cluster.nodes {
        node.terminate();
    }
    holds_for("the Sentinels keep the primary", Duration::from_secs(2), || {
        scene.sentinels.iter().all(|one| one.primary_of(NAME) == last)
    });
}

/// The primary that the Sentinels moved to.
fn wait_other(scene: &Scene, old: u16) -> u16 {
    crate::world::wait_for("the Sentinels have moved", TURNED, || {
        let told: Vec<u16> = scene.sentinels.iter().map(|one| one.primary_of(NAME)).collect();
        (told[0] != old && told.iter().all(|port| *port == told[0])).then_some(told[0])
    })
}
