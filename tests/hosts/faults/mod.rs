//! The faults: each strikes, lasts a while, and is healed by [`Scene::heal`].

mod partitions;
mod processes;
mod resources;
pub(crate) mod sabotage;

use crate::node::clock_library;
use crate::scene::Scene;

/// One kind of fault.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// Makes it; answers what was done to whom.
    pub(crate) strike: fn(&mut Scene) -> String,
    /// How long it lasts, from and to, in milliseconds.
    pub(crate) lasts_ms: (u64, u64),
}

/// Shorter than anybody's patience: nothing should happen, or the worst has just begun.
const BLINK: (u64, u64) = (200, 2_500);
/// Around the moment at which a switch is decided.
const RACE: (u64, u64) = (1_800, 5_000);
/// Long enough for a switch and what follows.
const LONG: (u64, u64) = (7_000, 15_000);

const fn fault(name: &'static str, lasts_ms: (u64, u64), strike: fn(&mut Scene) -> String) -> Fault {
    Fault { name, strike, lasts_ms }
}

/// Every kind, in the order of the report's table.
pub(crate) const ALL: &[Fault] = &[
    fault("part-leader-from-nodes", LONG, partitions::leader_from_nodes),
    fault("part-follower-from-nodes", LONG, partitions::follower_from_nodes),
    fault("part-nodes-from-each-other", LONG, partitions::nodes_from_each_other),
    fault("part-node-from-redis", LONG, partitions::node_from_redis),
    fault("part-leader-from-redis", LONG, partitions::leader_from_redis),
    fault("part-primary", LONG, partitions::primary),
    fault("part-primary-blink", RACE, partitions::primary),
    fault("part-primary-from-nodes", LONG, partitions::primary_from_nodes),
    fault("part-primary-with-minority", LONG, partitions::primary_with_minority),
    fault("part-primary-with-leader", LONG, partitions::primary_with_leader),
    fault("part-replica", LONG, partitions::replica),
    fault("bridge-of-nodes", LONG, partitions::bridge),
    fault("one-way-leader-to-followers", LONG, partitions::leader_unheard),
    fault("one-way-followers-to-leader", LONG, partitions::leader_deaf),
    fault("one-way-nodes-to-primary", LONG, partitions::nodes_unheard_by_primary),
    fault("one-way-primary-to-nodes", LONG, partitions::primary_unheard_by_nodes),
    fault("lossy-everywhere", LONG, partitions::lossy),
    fault("narrow-leader", LONG, partitions::narrow_leader),
    fault("narrow-nodes", LONG, partitions::narrow_nodes),
    fault("kill-leader", LONG, processes::kill_leader),
    fault("kill-follower", LONG, processes::kill_follower),
    fault("kill-two-nodes", LONG, processes::kill_two_nodes),
    fault("kill-all-nodes", BLINK, processes::kill_all_nodes),
    fault("kill-primary", LONG, processes::kill_primary),
    fault("kill-primary-blink", BLINK, processes::kill_primary),
    fault("kill-primary-race", RACE, processes::kill_primary),
    fault("kill-all-primaries", LONG, processes::kill_all_primaries),
    fault("kill-replica", LONG, processes::kill_replica),
    fault("kill-primary-and-replica", LONG, processes::kill_primary_and_replica),
    fault("kill-leader-and-primary", LONG, processes::kill_leader_and_primary),
    fault("kill-leader-amid-switch", LONG, processes::kill_leader_amid_switch),
    fault("freeze-leader", LONG, processes::freeze_leader),
    fault("freeze-leader-blink", BLINK, processes::freeze_leader),
    fault("freeze-follower", LONG, processes::freeze_follower),
    fault("freeze-two-nodes", LONG, processes::freeze_two_nodes),
    fault("freeze-primary", LONG, processes::freeze_primary),
    fault("freeze-primary-race", RACE, processes::freeze_primary),
    fault("freeze-replica", LONG, processes::freeze_replica),
    fault(
        "freeze-primary-and-replica",
        LONG,
        processes::freeze_primary_and_replica,
    ),
    fault("freeze-leader-and-primary", LONG, processes::freeze_leader_and_primary),
    fault("disk-full-leader", BLINK, resources::disk_full_leader),
    fault("disk-full-follower", BLINK, resources::disk_full_follower),
    fault("disk-read-only", LONG, resources::disk_read_only),
    fault("descriptors-leader", LONG, resources::descriptors_leader),
    fault("descriptors-follower", LONG, resources::descriptors_follower),
    fault(CLOCK_BACK, LONG, resources::clock_back),
];

const CLOCK_BACK: &str = "clock-back";

/// The fixed sequence of the tests: one of each family.
pub(crate) const SHORT: &[&str] = &[
    "part-primary",
    "part-primary-with-minority",
    "kill-leader-amid-switch",
    "kill-leader-and-primary",
    "freeze-primary-race",
    "disk-full-follower",
    CLOCK_BACK,
];

/// The kinds that can be made on this machine; says why others cannot.
pub(crate) fn possible() -> (Vec<Fault>, Vec<String>) {
    let mut not = Vec::new();
    let has_clock = clock_library().is_some();
    if !has_clock {
        not.push(format!("{CLOCK_BACK}: libfaketime is not installed"));
    }
    let kinds = ALL.iter().filter(|fault| has_clock || fault.name != CLOCK_BACK);
    (kinds.copied().collect(), not)
}
