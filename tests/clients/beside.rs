//! A cluster beside real Sentinels, each with a real group: what client libraries parse has the same shape, under both
//! protocols, before and while a primary is replaced.

use std::collections::{BTreeMap, BTreeSet};

use crate::program::FOLLOW;
use crate::sentinel::Sentinel;
use crate::world::{Client, Cluster, Group, Subscriber, Value, World, cluster, wait_until};

const NAME: &str = "mymaster";
/// Lookups that answer entries, and the flags of healthy ones.
const LOOKUPS: &[(&str, &str)] = &[
    ("MASTER", "master"),
    ("MASTERS", "master"),
    ("REPLICAS", "slave"),
    ("SLAVES", "slave"),
    ("SENTINELS", "sentinel"),
];
/// What some client acts on, of the events that both send in a switch that was asked for.
const EVENTS: &[&str] = &[
    "+try-failover",
    "+elected-leader",
    "+failover-state-select-slave",
    "+failover-state-send-slaveof-noone",
    "+failover-state-wait-promotion",
    "+failover-state-reconf-slaves",
    "+promoted-slave",
    "+switch-master",
    "+slave",
];

/// Two Sentinels with a group, and three nodes with another one.
struct Beside {
    cluster: Cluster,
    sentinels: [Sentinel; 2],
    /// Of the Sentinels, of the nodes.
    groups: [Group; 2],
}

impl Beside {
    fn start(world: &World) -> Self {
        let groups = [(); 2].map(|()| Group::start(world, NAME, 1));
        let mut nodes = Cluster::start(world, 3);
        nodes.monitor(&groups[1], 5_000);
        let sentinels = [(); 2].map(|()| Sentinel::start(world));
        let port = groups[0].members[0].port.to_string();
        for sentinel in &sentinels {
            let mut client = sentinel.client();
            let answer = client.call(&["SENTINEL", "MONITOR", NAME, "127.0.0.1", &port, "2"]);
            assert!(answer.is_ok(), "{answer}");
            cluster::set(&mut client, NAME, "down-after-milliseconds", 5_000);
        }
        let beside = Self {
            cluster: nodes,
            sentinels,
            groups,
        };
        for protocol in ["2", "3"] {
            for connection in [0, 1] {
                wait_until("everything is found and healthy", FOLLOW, || {
                    let mut client = beside.clients(protocol).swap_remove(connection);
                    LOOKUPS.iter().all(|(lookup, flags)| {
                        let entries = entries(&ask(&mut client, lookup));
                        !entries.is_empty() && entries.iter().all(|entry| entry.field("flags") == Some(flags))
                    })
                });
            }
        }
        beside
    }

    /// A connection to a Sentinel and one to a node.
    fn clients(&self, protocol: &str) -> Vec<Client> {
        let mut clients = vec![self.sentinels[0].client(), self.cluster.nodes[0].client()];
        for client in &mut clients {
            client.call(&["HELLO", protocol]);
        }
        clients
    }
}

fn ask(client: &mut Client, lookup: &str) -> Value {
    match lookup {
        "MASTERS" => client.call(&["SENTINEL", lookup]),
        _ => client.call(&["SENTINEL", lookup, NAME]),
    }
}

/// The entries of an answer: one, or a list of them.
fn entries(answer: &Value) -> Vec<Value> {
    match answer {
        Value::Array(items) if !matches!(items.first(), Some(Value::Bulk(_))) => items.clone(),
        entry => vec![entry.clone()],
    }
}

/// The names of the fields. Names and values are bulk strings, numbers too.
fn names(entry: &Value) -> Vec<String> {
    let texts: Vec<&Value> = match entry {
        Value::Map(pairs) => pairs.iter().flat_map(|(name, value)| [name, value]).collect(),
        flat => flat.items().iter().collect(),
    };
    assert!(texts.iter().all(|text| matches!(text, Value::Bulk(_))), "{entry}");
    texts.iter().step_by(2).map(|name| name.text().to_owned()).collect()
}

#[test]
fn entries_begin_with_the_fields_of_sentinel_and_healthy_ones_have_its_flags() {
    let Some(world) = World::open() else { return };
    let beside = Beside::start(&world);
    for protocol in ["2", "3"] {
        let mut clients = beside.clients(protocol);
        for (lookup, _) in LOOKUPS {
            let [theirs, ours] = [0, 1].map(|at| ask(&mut clients[at], lookup));
            assert_eq!(
                matches!(theirs, Value::Map(_)),
                matches!(ours, Value::Map(_)),
                "{lookup}: {ours}"
            );
            let wanted = names(&entries(&theirs)[0]);
            for entry in entries(&ours) {
                let maps = matches!(entry, Value::Map(_));
                assert_eq!(maps, protocol == "3", "{lookup} under protocol {protocol}: {entry}");
                let got = names(&entry);
                assert_eq!(
                    got.get(..wanted.len()),
                    Some(&wanted[..]),
                    "{lookup} under protocol {protocol}"
                );
            }
        }
    }
}

/// What was told about a group, by channel, with names for its two ports.
fn told(subscriber: &Subscriber, [primary, replica]: [u16; 2]) -> BTreeMap<String, BTreeSet<String>> {
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in subscriber.heard() {
        let payload = event
            .payload
            .replace(&primary.to_string(), "OLD")
            .replace(&replica.to_string(), "NEW");
        told.entry(event.channel).or_default().insert(payload);
    }
    told
}

#[test]
fn the_events_of_a_switch_read_as_those_of_sentinel() {
    let Some(world) = World::open() else { return };
    let beside = Beside::start(&world);
    let ports = [0, 1].map(|at| [0, 1].map(|member: usize| beside.groups[at].members[member].port));
    for protocol in ["2", "3"] {
        // From one protocol to the other the group has changed over.
        let ports = if protocol == "2" {
            ports
        } else {
            ports.map(|[old, new]| [new, old])
        };
        let subscribers: Vec<Subscriber> = beside
            .clients(protocol)
            .into_iter()
            .map(|client| Subscriber::open(client, "*"))
            .collect();
        for client in &mut beside.clients(protocol) {
            wait_until("the switch is accepted", FOLLOW, || {
                client.call(&["SENTINEL", "FAILOVER", NAME]).is_ok()
            });
        }
        for subscriber in &subscribers {
            subscriber.wait("+switch-master", NAME, FOLLOW);
            subscriber.wait("+slave", "slave ", FOLLOW);
        }
        let [theirs, ours] = [0, 1].map(|at| told(&subscribers[at], ports[at]));
        for event in EVENTS {
            assert!(theirs.contains_key(*event), "a Sentinel tells {event}: {theirs:?}");
            assert_eq!(
                ours.get(*event),
                theirs.get(*event),
                "{event} under protocol {protocol}"
            );
        }
        drop(subscribers);
    }
}
