//! Rule 7: a leader that cannot reach is not the right leader.

use std::collections::{BTreeMap, BTreeSet};

use crate::failover::draft::Draft;
use crate::failover::selection::{Selection, Unfit};
use crate::model::{Address, Age, Instant, NodeId};
use crate::mutation::{self, Mutation};

/// How long a leader keeps leadership before it may hand it over, so that it does not travel in circles.
const COOL_DOWN_MS: Age = 5_000;
/// How long an alarm must last before what peers claim to reach is believed: a host that died with all its instances
/// is reached by nobody, but not all notice in the same moment.
const SETTLE_MS: Age = 1_000;

/// Whether another node should lead.
pub(super) enum Better {
    /// No other node reaches more.
    None,
    /// One does, but leadership moved too recently.
    NotBefore(Instant),
    /// This one.
    Node(NodeId),
}

/// The node that would promote most of the replicas that this node does not reach, when this node has no candidate at
/// all. That it sees them Up is not enough: it may find them unfit for another reason, and so would hand leadership back
/// when this node sees some Up that it does not reach itself.
pub(super) fn better_node(draft: &Draft<'_>, selection: &Selection) -> Better {
    let unreached = |unfit: &Unfit| {
        matches!(
            unfit,
            Unfit::Down | Unfit::Unseen | Unfit::Disconnected | Unfit::Silent | Unfit::NoInfo | Unfit::InfoTooOld
        )
    };
    let wanted: Vec<Address> = selection
        .unfit
        .iter()
        .filter(|(address, unfit)| unreached(unfit) && on_record(draft, **address))
        .map(|(address, _)| *address)
        .collect();
    let settled = draft
        .memory
        .alarm_at
        .unwrap_or(draft.memory.took_over_at)
        .plus(SETTLE_MS);
    match to_node_with_most(draft, &draft.scene.tally.fit, &wanted) {
        Better::Node(_) if draft.now < settled => Better::NotBefore(settled),
        better => better,
    }
}

/// The node that reaches the committed candidate, when this node does not.
pub(super) fn node_for_candidate(draft: &Draft<'_>, candidate: Address) -> Better {
    to_node_with_most(draft, &draft.scene.tally.reach, &[candidate])
}

/// What is on record about it speaks for it.
fn on_record(draft: &Draft<'_>, address: Address) -> bool {
    let member = draft.group.members.get(&address);
    member.is_some_and(|member| member.synced && member.quarantine.is_none())
}

/// The peer of which `told` says most of the wanted ones.
fn to_node_with_most(draft: &Draft<'_>, told: &BTreeMap<NodeId, BTreeSet<Address>>, wanted: &[Address]) -> Better {
    let own = draft.scene.node;
    let has = |node: &NodeId| {
        let told = told.get(node);
        told.map_or(0, |told| wanted.iter().filter(|address| told.contains(address)).count())
    };
    let peers = told.keys().filter(|node| **node != own);
    let Some(best) = peers.max_by_key(|node| (has(node), std::cmp::Reverse(**node))) else {
        return Better::None;
    };
    if has(best) == 0 {
        return Better::None;
    }
    let since = draft
        .memory
        .offered_at
        .unwrap_or_default()
        .max(draft.memory.took_over_at);
    let cool_down_ms = if mutation::is_on(Mutation::NoCoolDown) {
        0
    } else {
        COOL_DOWN_MS
    };
    let due = since.plus(cool_down_ms);
    if draft.now < due {
        Better::NotBefore(due)
    } else {
        Better::Node(*best)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::detect::Tally;
    use crate::failover::testing::{ADDRESSES, group, member, scene};
    use crate::failover::{Memory, Scene};

    const TOOK_OVER: Instant = Instant(1_000_000);

    /// Node 2 reaches what node 1, which leads, does not: who should lead?
    fn better(memory: &Memory, now: Instant) -> Better {
        let (group, sightings) = (group(), BTreeMap::new());
        let mut tally = Tally::default();
        tally.reach.insert(2, [ADDRESSES[1]].into());
        let scene = Scene {
            group: &group,
            sightings: &sightings,
            tally: &tally,
            ..scene()
        };
        node_for_candidate(&Draft::new(&scene, memory, now), ADDRESSES[1])
    }

    /// Two nodes that each saw a replica Up which the other found unfit handed leadership to and fro for ever.
    #[test]
    fn a_peer_that_sees_a_replica_up_and_would_not_promote_it_does_not_get_the_leadership() {
        let mut group = group();
        group.members.insert(ADDRESSES[1], member("b"));
        let selection = Selection {
            chosen: None,
            unfit: BTreeMap::from([(ADDRESSES[1], Unfit::Down)]),
        };
        let better = |fit: BTreeSet<Address>| {
            let mut tally = Tally::default();
            tally.reach.insert(2, [ADDRESSES[1]].into());
            tally.fit.insert(2, fit);
            let scene = Scene {
                group: &group,
                tally: &tally,
                ..scene()
            };
            let memory = Memory::new(TOOK_OVER);
            better_node(&Draft::new(&scene, &memory, TOOK_OVER.plus(60_000)), &selection)
        };
        assert!(matches!(better([ADDRESSES[1]].into()), Better::Node(2)));
        assert!(matches!(better(BTreeSet::new()), Better::None));
    }

    #[test]
    fn leadership_offered_for_whatever_group_is_kept_for_the_cool_down() {
        let mut memory = Memory::new(TOOK_OVER);
        let due = TOOK_OVER.plus(COOL_DOWN_MS);
        assert!(matches!(better(&memory, TOOK_OVER), Better::NotBefore(at) if at == due));
        assert!(matches!(better(&memory, due), Better::Node(2)));
        memory.leadership_offered(due);
        let again = due.plus(COOL_DOWN_MS);
        assert!(matches!(better(&memory, due.plus(1)), Better::NotBefore(at) if at == again));
        assert!(matches!(better(&memory, again), Better::Node(2)));
    }
}
