//! One cluster, and a group for each client that lives with it.

use std::collections::BTreeSet;
use std::process::Command;

use crate::haproxy::HaProxy;
use crate::installed::Installed;
use crate::program::{FOLLOW, Program, Traffic};
use crate::world::{Cluster, Group, Node, Redis, SOON, Value, World, cluster, wait_for, wait_until};

/// Silence after which a primary is down.
const DOWN_AFTER_MS: u64 = 1_000;
/// The key of the writer that runs through the whole story.
const KEY: &str = "written";

/// A client and its group.
pub(crate) struct Traveller {
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    pub(crate) group: Group,
    /// The port of its primary, as far as the story has come.
    pub(crate) primary: u16,
    /// Where the client looks: the nodes, or the proxy before it.
    ports: Vec<u16>,
    _proxy: Option<HaProxy>,
}

/// What happened to a client between two places of the story.
pub(crate) struct Outcome {
    pub(crate) traffic: Traffic,
    /// Acknowledged writes that the primary does not have.
    pub(crate) lost: usize,
}

impl Traveller {
    /// The members that run.
    fn running(&mut self) -> Vec<u16> {
        let members = self.group.members.iter_mut();
        members.filter_map(|one| one.is_running().then_some(one.port)).collect()
    }

    /// The replicas that run.
    fn replicas(&mut self) -> Vec<u16> {
        let mut ports = self.running();
        ports.retain(|port| *port != self.primary);
        ports
    }

    /// Waits until what it does after `mark` goes to the right instances. Who reads may be at the primary after a switch:
    /// it was sent away from the promoted replica, came back before the switch was known, and stays, as with Sentinel.
    #[track_caller]
    pub(crate) fn wait_traffic(&mut self, mark: usize) {
        let running = self.running();
        self.wait_reading_from(mark, &running);
    }

    /// The same of a client that begins: it reads from a replica.
    #[track_caller]
    pub(crate) fn wait_found(&mut self) {
        let replicas = self.replicas();
        self.wait_reading_from(0, &replicas);
    }

    #[track_caller]
    fn wait_reading_from(&mut self, mark: usize, ports: &[u16]) {
        self.program.wait_traffic(mark, self.primary, ports);
        let primary = self.group.at(self.primary);
        wait_until("what is acknowledged is at the primary", FOLLOW, || {
            let last = self.program.written_since(mark).last().map(u64::to_string);
            last.is_some_and(|value| primary.call(&["SISMEMBER", KEY, &value]) == Value::Integer(1))
        });
    }

    /// Compares what was acknowledged since `mark` with what the primary has.
    #[track_caller]
    pub(crate) fn outcome(&mut self, mark: usize) -> Outcome {
        let acknowledged = self.program.written_since(mark);
        let traffic = self.program.traffic(mark);
        let primary = self.primary;
        let answer = self.group.at(primary).call(&["SMEMBERS", KEY]);
        let stored: BTreeSet<u64> = answer
            .items()
            .iter()
            .filter_map(|one| one.text().parse().ok())
            .collect();
        Outcome {
            traffic,
            lost: acknowledged.difference(&stored).count(),
        }
    }
}

pub(crate) struct Fleet {
    pub(crate) cluster: Cluster,
    pub(crate) travellers: Vec<Traveller>,
    installed: Installed,
}

impl Fleet {
    /// Starts everything, the clients too; those that are not installed are left out.
    pub(crate) fn start(world: &World, clients: &[&'static str]) -> Self {
        let installed = Installed::find();
        let present = |name: &&&'static str| match **name {
            "haproxy-role" | "haproxy-lookup" => HaProxy::is_here() && installed.python("through-proxy.py").is_some(),
            name => installed.command(name).is_some(),
        };
        let clients: Vec<&'static str> = clients.iter().filter(present).copied().collect();
        let mut cluster = Cluster::start(world, 3);
        let nodes: Vec<u16> = cluster.nodes.iter().map(|node| node.port).collect();
        let groups = start_groups(world, &clients);
        monitor(&mut cluster, &groups);
        let mut fleet = Self {
            cluster,
            travellers: Vec::new(),
            installed,
        };
        for (name, group) in clients.into_iter().zip(groups) {
            let members: Vec<u16> = group.members.iter().map(|one| one.port).collect();
            let proxy = match name {
                "haproxy-role" => Some(HaProxy::by_role(world, &members)),
                "haproxy-lookup" => Some(HaProxy::by_lookup(world, &members, &nodes, &group.name)),
                _ => None,
            };
            let ports = proxy
                .as_ref()
                .map_or_else(|| nodes.clone(), |proxy| vec![proxy.primary, proxy.replica]);
            let mut command = fleet.command(name);
            let program = Program::start(name, arguments(&mut command, &group.name, KEY, &ports));
            fleet.travellers.push(Traveller {
                name,
                program,
                primary: members[0],
                group,
                ports,
                _proxy: proxy,
            });
        }
        fleet
    }

    fn command(&self, client: &str) -> Command {
        let command = match client {
            "haproxy-role" | "haproxy-lookup" => self.installed.python("through-proxy.py"),
            client => self.installed.command(client),
        };
        command.expect("it was there a moment ago")
    }

    /// A place in what each client said: now.
    pub(crate) fn marks(&self) -> Vec<usize> {
        self.travellers.iter().map(|one| one.program.mark()).collect()
    }

    /// Asks for a switch of every group; any node that runs will do.
    #[track_caller]
    pub(crate) fn fail_over(&mut self) {
        for traveller in &self.travellers {
            let words = ["SENTINEL", "FAILOVER", &traveller.group.name];
            wait_until(&format!("{words:?} is accepted"), FOLLOW, || {
                let asked = running(&mut self.cluster).find_map(|node| node.try_call(&words));
                asked.is_some_and(|answer| answer.is_ok())
            });
        }
        self.wait_switched();
    }

    /// Kills every primary, and answers where in each group it was.
    pub(crate) fn kill_primaries(&mut self) {
        for traveller in &mut self.travellers {
            let primary = traveller.primary;
            traveller.group.at(primary).kill();
        }
        self.wait_switched();
    }

    /// Waits until every node that runs tells another primary for every group.
    #[track_caller]
    fn wait_switched(&mut self) {
        for traveller in &mut self.travellers {
            let (old, name) = (traveller.primary, &traveller.group.name);
            let new = wait_for(&format!("a new primary of {name}"), FOLLOW, || {
                let port = running(&mut self.cluster).next()?.primary_of(name);
                (port != old && port != 0).then_some(port)
            });
            self.cluster.wait_primary(name, new);
            traveller.primary = new;
        }
    }

    /// Starts what does not run, and waits until all is well.
    #[track_caller]
    pub(crate) fn mend(&mut self) {
        for traveller in &mut self.travellers {
            for member in &mut traveller.group.members {
                if !member.is_running() {
                    member.restart();
                }
            }
        }
        for node in &mut self.cluster.nodes {
            if !node.is_running() {
                node.start();
                node.wait_ready();
            }
        }
        self.cluster.leader();
        for traveller in &mut self.travellers {
            let primary = traveller.primary;
            traveller.group.wait_all_follow(primary);
            self.cluster.wait_healthy(&traveller.group);
        }
    }

    /// A second program for each client, which begins now; it ends when it has found everything and written.
    #[track_caller]
    pub(crate) fn start_anew(&mut self) {
        let mut fresh = Vec::new();
        for traveller in &self.travellers {
            let mut command = self.command(traveller.name);
            let command = arguments(&mut command, &traveller.group.name, "written-anew", &traveller.ports);
            fresh.push(Program::start(traveller.name, command));
        }
        for (traveller, mut program) in self.travellers.iter_mut().zip(fresh) {
            let replicas = traveller.replicas();
            program.wait_traffic(0, traveller.primary, &replicas);
        }
    }
}

fn running(cluster: &mut Cluster) -> impl Iterator<Item = &Node> {
    let nodes = cluster.nodes.iter_mut();
    nodes.filter_map(|node| node.is_running().then_some(&*node))
}

fn arguments<'a>(command: &'a mut Command, group: &str, key: &str, ports: &[u16]) -> &'a mut Command {
    command.args([group, key]).args(ports.iter().map(u16::to_string))
}

/// A primary and two replicas for each client. All synchronise at the same time.
fn start_groups(world: &World, clients: &[&str]) -> Vec<Group> {
    let start = |name: &&str| {
        let primary = Redis::start(world, &[]);
        let follow = format!("replicaof 127.0.0.1 {}", primary.port);
        let replicas = [(); 2].map(|()| Redis::start(world, &[&follow]));
        Group {
            name: format!("of-{name}"),
            members: [primary].into_iter().chain(replicas).collect(),
        }
    };
    let groups: Vec<Group> = clients.iter().map(start).collect();
    for group in &groups {
        let first = group.members[0].port;
        wait_until("the replicas are in sync", SOON, || {
            group.members[1..].iter().all(|one| one.follows(first))
        });
    }
    groups
}

fn monitor(cluster: &mut Cluster, groups: &[Group]) {
    let leader = cluster.leader();
    let mut client = cluster.nodes[leader].client();
    for group in groups {
        let port = group.members[0].port.to_string();
        let answer = client.call(&["SENTINEL", "MONITOR", &group.name, "127.0.0.1", &port, "2"]);
        assert!(answer.is_ok(), "{answer}");
        cluster::set(&mut client, &group.name, "down-after-milliseconds", DOWN_AFTER_MS);
    }
    for group in groups {
        cluster.wait_healthy(group);
    }
}
