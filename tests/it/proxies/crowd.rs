//! A thousand proxies of each kind on three nodes, a hundred switches in ten seconds, the leader killed in between.
//! How long the news takes is printed, and no more than that: it says how busy the machine is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::driver::Proxy;
use super::history::{Cause, Happening};
use super::stage::{HEARTBEAT_MS, Stage};
use crate::world::cluster::set;
use crate::world::{Client, Cluster, FAILOVER, Group, Redis, World, now, wait_until};

const OF_EACH_KIND: usize = 1_000;
const GROUPS: usize = 20;
const SWITCHES: usize = 100;
/// One switch is due each time, which makes [`SWITCHES`] in ten seconds.
const PACE: Duration = Duration::from_millis(100);
/// Requests that may be under way at the same time.
const LANES: usize = 4;
/// Between two requests when switches are overdue.
const BREATH: Duration = Duration::from_millis(10);
/// The leader dies after so many switches, and comes back after so many more.
const KILL_AFTER: usize = 45;
const RESTART_AFTER: usize = 60;
/// Generous: a busy machine is slow, and that is no failure.
const ALL_SWITCHES: Duration = Duration::from_secs(60);
/// BDRP's interval; its default of 10 s would only make the test longer.
const RETRY_MS: u64 = 1_000;
const DOWN_AFTER_MS: u64 = 10_000;
/// Open files beside those of the proxies.
const OTHER_FILES: u64 = 300;

/// Where each group was switched to, in order, and when.
type Moves = BTreeMap<String, Vec<(String, Instant)>>;

#[test]
fn a_crowd_of_proxies_follows_a_hundred_switches_and_closes_nothing() {
    let Some(world) = World::open() else { return };
    let begun = now();
    let mut stage = Stage::around(Cluster::start(&world, 3));
    stage.groups = groups(&world);
    stage.expect_a_crowd();
    monitor(&mut stage);
    gather(&mut stage, proxies_of_each_kind());
    let settled = stage.wait_settled();
    eprintln!(
        "{} proxies are settled after {:?}",
        stage.proxies.len(),
        begun.elapsed()
    );

    let leader = stage.cluster.leader();
    let (on_leader, elsewhere) = stage.on_node(leader);
    let survivors: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    let refused = switch_all(&mut stage, leader, survivors[0]);
    let took = settled.elapsed();
    stage.wait_nodes();
    let names: Vec<String> = stage.groups.iter().map(|group| group.name.clone()).collect();
    for name in &names {
        stage.wait_healthy(name);
    }
    stage.wait_settled();

    // What a node that died and starts again causes is the only reason to close.
    stage.judge(settled, &[Cause::Loading, Cause::Late]);
    stage.undisturbed(&elsewhere, settled);
    let spread = spread(&stage, &elsewhere, &survivors, settled);
    let closes = |cause: Cause| {
        let of_cause = |what: &Happening| matches!(what, Happening::Closed { cause: its, .. } if *its == cause);
        let counts = stage.proxies.iter();
        counts
            .map(|proxy| proxy.with_history(|history| history.count_since(settled, of_cause)))
            .sum::<usize>()
    };
    eprintln!(
        "{} switches in {took:?} ({refused} requests were refused), from the first event to the last of {} proxies: \
         median {:?}, 99 of 100 {:?}, at most {:?}; {} proxies lost the leader's node: {} closes while it was not \
         ready, {} while they were slow; all in {:?}",
        spread.len(),
        elsewhere.len(),
        spread[spread.len() / 2],
        spread[spread.len() * 99 / 100],
        spread[spread.len() - 1],
        on_leader.len(),
        closes(Cause::Loading),
        closes(Cause::Late),
        begun.elapsed(),
    );
}

/// As many as the limit of open files allows; says so when they are fewer.
fn proxies_of_each_kind() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() {
        maximum
    } else {
        current
    };
    let allowed = limit.map_or(OF_EACH_KIND as u64, |limit| limit.saturating_sub(OTHER_FILES) / 2);
    let count = OF_EACH_KIND.min(allowed as usize);
    if count < OF_EACH_KIND {
        eprintln!("only {count} proxies of each kind: the limit of open files is {limit:?}");
    }
    count
}

/// All instances first, then the waiting: in a row they would take as long as everything else.
fn groups(world: &World) -> Vec<Group> {
    let start = |number: usize| {
        let primary = Redis::start(world, &[]);
        let replica = Redis::start(world, &[&format!("replicaof 127.0.0.1 {}", primary.port)]);
        Group {
            name: format!("pool-{number:02}"),
            members: vec![primary, replica],
        }
    };
    let groups: Vec<Group> = (0..GROUPS).map(start).collect();
    for group in &groups {
        let [primary, replica] = group.members.as_slice() else {
            unreachable!()
        };
        wait_until("the replica is in sync", FAILOVER, || replica.follows(primary.port));
        primary.call(&["SET", "born", &group.name]);
        wait_until("it has the first key", FAILOVER, || {
            replica.call(&["GET", "born"]).text() == group.name
        });
    }
    groups
}

fn monitor(stage: &mut Stage) {
    let leader = stage.cluster.leader();
    let mut client = stage.cluster.nodes[leader].client();
    for group in &stage.groups {
        let port = group.members[0].port.to_string();
        let answer = client.call(&["SENTINEL", "MONITOR", &group.name, "127.0.0.1", &port, "2"]);
        assert!(answer.is_ok(), "{answer}");
        set(&mut client, &group.name, "down-after-milliseconds", DOWN_AFTER_MS);
    }
    for group in &stage.groups {
        stage.cluster.wait_healthy(group);
    }
}

/// Proxies of both kinds, spread over the nodes, not all in one instant.
fn gather(stage: &mut Stage, of_each_kind: usize) {
    for number in 0..of_each_kind {
        let ports = stage.ports_from(number % stage.cluster.nodes.len());
        stage.bdrp_at(ports[0], RETRY_MS);
        stage.netease_at(&ports, HEARTBEAT_MS);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Switches group after group until a witness has heard enough; kills the leader and starts it again in between.
/// Answers how many requests were refused.
fn switch_all(stage: &mut Stage, leader: usize, survivor: usize) -> usize {
    let started = now();
    let (mut asked, mut refused) = (0, 0);
    let port = stage.cluster.nodes[survivor].port;
    let mut lanes: Vec<Lane> = (0..LANES).map(|_| Lane::new(port)).collect();
    loop {
        let heard = stage.witnesses[survivor].count("+switch-master", "pool-");
        if heard >= SWITCHES {
            return refused;
        }
        assert!(started.elapsed() < ALL_SWITCHES, "{heard} switches in {ALL_SWITCHES:?}");
        let node = &mut stage.cluster.nodes[leader];
        match (node.is_running(), heard) {
            (true, KILL_AFTER..RESTART_AFTER) => node.kill(),
            (false, RESTART_AFTER..) => node.start(),
            _ => {}
        }
        let due = started + PACE * u32::try_from(asked - refused).unwrap();
        std::thread::sleep(due.saturating_duration_since(now()).max(BREATH));
        let group = format!("pool-{:02}", asked % GROUPS);
        refused += usize::from(!lanes[asked % LANES].ask(&group));
        asked += 1;
    }
}

/// A connection for requests whose answers are looked at when it is needed again: switches of several groups are
/// under way at the same time.
struct Lane {
    port: u16,
    client: Option<Client>,
}

impl Lane {
    fn new(port: u16) -> Self {
        Self { port, client: None }
    }

    /// Asks for a switch; answers whether the one before was accepted.
    fn ask(&mut self, group: &str) -> bool {
        let (client, accepted) = match self.client.take() {
            None => (Client::connect(self.port), true),
            Some(mut client) => match client.read() {
                Ok(answer) => (Ok(client), answer.is_ok()),
                Err(error) => (Err(error), false),
            },
        };
        self.client = client.ok();
        if let Some(client) = &mut self.client
            && client.send(&["SENTINEL", "FAILOVER", group]).is_err()
        {
            self.client = None;
        }
        accepted
    }
}

/// The switches since then, in the order in which one listener heard them.
fn heard_by(stage: &Stage, witness: usize, since: Instant) -> Moves {
    let mut moves = Moves::new();
    for event in stage.witnesses[witness].heard() {
        if event.channel == "+switch-master" && event.at >= since {
            let words: Vec<&str> = event.payload.split(' ').collect();
            let to = format!("{}:{}", words[3], words[4]);
            moves.entry(words[0].to_owned()).or_default().push((to, event.at));
        }
    }
    moves
}

/// From the first event to the last of the proxies, for each switch, in order of length. The proxies must have
/// been moved exactly as the witnesses heard it: nothing missing, nothing twice, nothing in another order.
fn spread(stage: &Stage, proxies: &[Proxy], witnesses: &[usize], settled: Instant) -> Vec<Duration> {
    let heard = heard_by(stage, witnesses[0], settled);
    let other = heard_by(stage, witnesses[1], settled);
    let mut last: BTreeMap<&str, Vec<Instant>> = BTreeMap::new();
    for (group, moves) in &heard {
        last.insert(group, moves.iter().map(|(_, at)| *at).collect());
    }
    for proxy in proxies {
        let mut moved = Moves::new();
        for entry in proxy.history().since(settled) {
            if let Happening::Moved { group, to, .. } = &entry.what {
                moved.entry(group.clone()).or_default().push((to.clone(), entry.at));
            }
        }
        for (group, moves) in &heard {
            let its = moved.remove(group).unwrap_or_default();
            let to = |moves: &[(String, Instant)]| moves.iter().map(|(to, _)| to.clone()).collect::<Vec<_>>();
            assert_eq!(to(&its), to(moves), "{}: {group}", proxy.name);
            let last = last.get_mut(group.as_str()).unwrap();
            for (last, (_, at)) in last.iter_mut().zip(&its) {
                *last = (*last).max(*at);
            }
        }
        assert!(moved.is_empty(), "{}: {moved:?}", proxy.name);
    }
    let mut spread = Vec::new();
    for (group, moves) in &heard {
        for (number, (_, at)) in moves.iter().enumerate() {
            let first = other[group].get(number).map_or(*at, |(_, other)| *at.min(other));
            spread.push(last[group.as_str()][number].saturating_duration_since(first));
        }
    }
    spread.sort();
    spread
}
