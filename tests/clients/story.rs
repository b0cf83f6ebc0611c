//! What all clients live through at the same time.

use crate::fleet::Fleet;
use crate::world::World;

const CLIENTS: &[&str] = &[
    "redis-py",
    "redis-py-asyncio",
    "ioredis",
    "node-redis",
    "redis-rs",
    "redis-cli",
    "haproxy-role",
    "haproxy-lookup",
];

/// Runs one chapter: after it every client writes to the new primary and reads from the group. What was lost is told, not
/// judged: Redis replicates asynchronously, and a switch waits for the replica only so long.
fn chapter(fleet: &mut Fleet, title: &str, happen: impl FnOnce(&mut Fleet)) {
    let marks = fleet.marks();
    happen(fleet);
    eprintln!("{title}");
    let settled = fleet.marks();
    for (traveller, mark) in fleet.travellers.iter_mut().zip(settled) {
        traveller.wait_traffic(mark);
    }
    for (traveller, mark) in fleet.travellers.iter_mut().zip(marks) {
        let outcome = traveller.outcome(mark);
        let traffic = outcome.traffic;
        eprintln!(
            "  {:<16} {:<22} acknowledged {:>5}, failed {:>4}, lost {:>3}, longest gap {:>5} ms",
            traveller.name,
            traveller.program.version(),
            traffic.acknowledged,
            traffic.failed,
            outcome.lost,
            traffic.gap.as_millis(),
        );
    }
}

/// `CFGSERVER_TEST_CLIENTS=ioredis,redis-rs` runs it with these only.
#[test]
fn clients_follow_every_switch_by_themselves() {
    let Some(world) = World::open() else { return };
    let only = std::env::var("CFGSERVER_TEST_CLIENTS").ok();
    let wanted = |name: &&&str| {
        only.as_deref()
            .is_none_or(|only| only.split(',').any(|one| one == **name))
    };
    let clients: Vec<&str> = CLIENTS.iter().filter(wanted).copied().collect();
    let mut fleet = Fleet::start(&world, &clients);
    chapter(&mut fleet, "discovery", |fleet| {
        for traveller in &mut fleet.travellers {
            traveller.wait_found();
        }
    });
    chapter(&mut fleet, "a switch that was asked for", Fleet::fail_over);
    fleet.mend();
    chapter(&mut fleet, "the primary killed", Fleet::kill_primaries);
    fleet.mend();
    for node in 0..fleet.cluster.nodes.len() {
        let title = format!("node {} killed, then a switch that was asked for", node + 1);
        chapter(&mut fleet, &title, |fleet| {
            fleet.cluster.nodes[node].kill();
            fleet.fail_over();
        });
        if node == 0 {
            fleet.start_anew();
        }
        fleet.mend();
    }
}
