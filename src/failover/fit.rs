//! What this node would find if it led: told to the leader, which may have no candidate itself (rule 7).

use std::collections::BTreeSet;

use crate::failover::draft::Draft;
use crate::failover::selection::{Purpose, select};
use crate::failover::{Memory, Scene, learn};
use crate::model::{Address, Group, Instant};

/// Whether the group waits for a candidate: who has one is asked of all nodes.
pub fn lacks_candidate(group: &Group) -> bool {
    group.outage.is_some() && group.failover.is_none()
}

/// The replicas that this node would promote. What it would put on record first is counted: a replica that the leader
/// does not reach may have been restarted since it was recorded.
pub fn fit_replicas(scene: &Scene<'_>, now: Instant) -> BTreeSet<Address> {
    let memory = Memory::new(Instant::default());
    let mut group = scene.group.clone();
    let learnt = learn::known_members(&mut Draft::new(scene, &memory, now));
    group.members.extend(learnt);
    let scene = Scene {
        group: &group,
        ..*scene
    };
    let unfit = select(&scene, &memory, Purpose::Outage, now).unfit;
    let replicas = group.replicas().map(|(address, _)| *address);
    replicas.filter(|address| !unfit.contains_key(address)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::failover::testing::{ADDRESSES, facts, group, member, scene};
    use crate::model::{Facts, LinkState, Role, RunId, Sighting, Verdict};

    const NOW: Instant = Instant(1_000_000);

    fn is_fit(change: impl FnOnce(&mut Facts)) -> bool {
        let mut group = group();
        group.members.insert(ADDRESSES[1], member("b"));
        group.members.insert(ADDRESSES[2], member("c"));
        let mut facts = facts("b", Role::Replica);
        change(&mut facts);
        let seen = Sighting {
            verdict: Verdict::Up,
            link: LinkState::Connected,
            ok_reply_at: NOW,
            facts: Some(Arc::new(facts)),
            facts_at: Some(NOW),
            ..Sighting::default()
        };
        let scene = Scene {
            group: &group,
            sightings: &BTreeMap::from([(ADDRESSES[1], seen)]),
            ..scene()
        };
        let fit = fit_replicas(&scene, NOW);
        assert!(!fit.contains(&ADDRESSES[2]), "nobody sees that one");
        fit.contains(&ADDRESSES[1])
    }

    #[test]
    fn a_replica_that_is_only_seen_up_is_not_one_to_promote() {
        assert!(is_fit(|_| {}));
        assert!(!is_fit(|facts| facts.sync_in_progress = true));
        assert!(!is_fit(|facts| facts.priority = 0));
    }

    #[test]
    fn a_replica_that_was_restarted_since_it_was_recorded_would_be_put_on_record_first() {
        assert!(is_fit(|facts| facts.run_id = RunId::new("restarted")));
        assert!(!is_fit(|facts| {
            facts.run_id = RunId::new("restarted");
            facts.lineage.as_mut().unwrap().replid = "of another stream".into();
        }));
    }
}
