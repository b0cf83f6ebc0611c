//! Clients and instances with real nodes between them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cfgserver::machine::State;
use cfgserver::model::Event;
use cfgserver::net::weather;
use cfgserver::raft::{ApplySink, Tuning};

use super::{Clients, Plan};
use crate::core::START;
use crate::fact::Fact;
use crate::full::disk::Disk;
use crate::full::instances::Instances;
use crate::full::node::{self, Machine, Parts};
use crate::redis::{Fleet, Replica, Server};
use crate::world::group_name;

/// The newest state that any node has applied.
#[derive(Default)]
struct Newest(Mutex<Arc<State>>);

impl ApplySink for Newest {
    fn applied(&self, state: Arc<State>, _: Vec<Event>) {
        let mut newest = self.0.lock().unwrap();
        if state.revision() >= newest.revision() {
            *newest = state;
        }
    }

    fn replaced(&self, _: Arc<State>, after: Arc<State>) {
        self.applied(after, Vec::new());
    }
}

fn fleet() -> Fleet {
    let mut fleet = Fleet::default();
    let lineage = fleet.lineages.fresh();
    let address = |member: usize| format!("10.0.0.{}:6379", member + 1).parse().unwrap();
    for member in 0..3 {
        let mut server = Server::new(format!("A{member}"), address(member), Some(0), lineage);
        (server.offset, server.keys) = (1_000, 10);
        if member > 0 {
            server.follows = Some(address(0));
            server.saved_follows = server.follows;
            server.replica = Replica::Up { from: 0, stalled: None };
        }
        fleet.add(server);
    }
    fleet
}

/// A primary dies under real nodes: a replica is promoted over the wire, everybody is told.
pub(crate) fn a_dead_primary_is_replaced() {
    weather::clear();
    let mut sim = turmoil::Builder::new()
        .rng_seed(3)
        .epoch(std::time::UNIX_EPOCH)
        .simulation_duration(Duration::from_secs(86_400))
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(3))
        .tcp_capacity(4_096)
        .build();
    let newest: Arc<Newest> = Arc::default();
    for id in 1..=3 {
        let witness = newest.clone();
        let parts = Parts {
            founding: node::founders(3),
            probed_by: cfgserver::detect::Probing::default(),
            tuning: Tuning::default(),
            witness: Arc::new(move |_| witness.clone()),
        };
        let machine = Machine::new(id, id, Disk::new(3), parts);
        sim.host(node::address(id), move || {
            let machine = machine.clone();
            machine.host.clone().run(machine.run())
        });
    }
    let instances = Instances::new(fleet());
    instances.join(&mut sim);
    let name = group_name(0);
    let nodes = (1..=3).map(|id| SocketAddr::new(node::address(id), node::PORT));
    let clients = Clients::new(
        Plan {
            nodes: nodes.collect(),
            setup: vec![
                format!("SENTINEL MONITOR {name} 10.0.0.1 6379 2"),
                format!("SENTINEL SET {name} down-after-milliseconds 1000"),
            ],
            groups: vec![name.to_string()],
            subscribers: 3,
            proxies: 4,
            operators: 1,
            operator_every_ms: 600_000,
            seed: 5,
        },
        instances.clone(),
    );
    clients.join(&mut sim);
    let mut facts = Vec::new();
    for ms in 0..40_000 {
        sim.step().unwrap();
        instances.step(sim.elapsed());
        instances.know(&newest.0.lock().unwrap().clone());
        if ms == 15_000 {
            instances.crash(0);
        }
        if ms == 25_000 {
            instances.restart(0, true, 10);
        }
        facts.extend(instances.take_facts());
        facts.extend(clients.take_facts());
    }
    for (at, who, text) in clients.take_story() {
        println!("{:>6} {who:<12} {text}", at - START);
    }
    for (at, who, text) in instances.take_story() {
        println!("{:>6} A{who} {text}", at - START);
    }
    let state = newest.0.lock().unwrap().clone();
    let primary = state.group_named(name.as_str()).expect("it is monitored").primary;
    assert_ne!(primary.to_string(), "10.0.0.1:6379");
    assert!(clients.are_set_up());
    let told = facts
        .iter()
        .filter(|fact| matches!(fact, Fact::Told { to, .. } if *to == primary));
    assert!(told.count() >= 3 + 4, "{facts:?}");
    assert!(facts.iter().any(|fact| matches!(fact, Fact::OrderDone { .. })));
    assert!(clients.listeners().iter().all(|listener| listener.listens));
    for proxy in clients.proxies() {
        assert!(
            proxy.ready && proxy.addresses[name.as_str()] == primary.to_string(),
            "{proxy:?}"
        );
    }
    instances.look(|fleet| {
        assert!(
            fleet
                .servers
                .iter()
                .all(|server| server.is_primary() || server.link_up())
        );
        assert_eq!(fleet.servers.iter().filter(|server| server.is_primary()).count(), 1);
    });
}
