//! What no cluster can survive, done by hand: the judge must see each. A net that catches nothing holds nothing.

use crate::faults::Fault;
use crate::scene::Scene;

/// Each with a word of the violation that it must cause.
pub(crate) const ALL: &[(Fault, &str)] = &[
    (super::fault("second-primary", MOMENT, second_primary), "two primaries"),
    (
        super::fault("forgotten-writes", MOMENT, forgotten_writes),
        "writes lost",
    ),
    (
        super::fault("undone-names", MOMENT, undone_names),
        "an operator's acknowledged write",
    ),
];

const MOMENT: (u64, u64) = (300, 300);

fn second_primary(scene: &mut Scene) -> String {
    let group = scene.any_group();
    let replica = scene.replica(group);
    scene.groups[replica.0].members[replica.1].call(&["REPLICAOF", "NO", "ONE"]);
    scene.name(replica)
}

fn forgotten_writes(scene: &mut Scene) -> String {
    let group = scene.any_group();
    let primary = scene.primary(group);
    scene.groups[primary.0].members[primary.1].call(&["FLUSHALL"]);
    scene.name(primary)
}

fn undone_names(scene: &mut Scene) -> String {
    let leader = scene.leader();
    let listed = scene.nodes[leader].call(&["SENTINEL", "MASTERS"]);
    let listed = listed.map(|listed| listed.items().to_vec()).unwrap_or_default();
    let names = listed.iter().filter_map(|one| one.field("name"));
    for name in names.filter(|name| name.starts_with("op-")) {
        scene.nodes[leader].call(&["SENTINEL", "REMOVE", name]);
    }
    "every name of an operator".to_owned()
}
