//! A primary that was restarted and came back without its data: its replicas would copy the emptiness within about a
//! second, so the best of them is promoted at once.

use std::collections::BTreeMap;

use crate::failover::draft::Draft;
use crate::failover::selection::{Purpose, Unfit, select};
use crate::failover::{Scene, identity, maintenance};
use crate::machine::Command;
use crate::model::{Address, Age, Facts, FailoverKind, Group, Instant, Role};

/// How long replicas have to show that they still have the data.
const FRESH_WITHIN_MS: Age = 500;
/// How long a replica is waited for that may have the data and cannot be promoted just now.
const UNSETTLED_MS: Age = 30_000;
/// How soon it is looked at again.
const LOOK_MS: Age = 500;

/// The primary answers as a new process, without the group's lineage and without keys, while the group has some.
pub(super) fn is_emptied(group: &Group, facts: &Facts) -> bool {
    let Some(member) = group.primary_member() else {
        return false;
    };
    let restarted = member.run_id.as_ref().is_some_and(|known| *known != facts.run_id);
    let lineage_kept = identity::related(member.lineage.as_ref(), facts.lineage.as_ref());
    let empty = facts.keys == 0 && !facts.loading && facts.role == Role::Primary;
    restarted && member.non_empty && empty && !lineage_kept
}

/// This node sees the primary emptied.
pub(super) fn suspected(scene: &Scene<'_>) -> bool {
    let sighting = scene.sightings.get(&scene.group.primary);
    let facts = sighting.and_then(|sighting| sighting.facts.as_ref());
    facts.is_some_and(|facts| is_emptied(scene.group, facts))
}

/// What to do about an emptied primary.
pub(super) enum Emptied {
    /// It is not.
    No,
    /// A failover is on its way, or being thought about: nothing else is to be learnt or repaired.
    Handled,
    /// Nobody has the data: the emptiness is accepted.
    Accepted,
}

/// Fails over from an emptied primary while some replica still has the data. The brake on flapping does not hold
/// this: within a second its replicas would copy the emptiness.
pub(super) fn plan(draft: &mut Draft<'_>) -> Emptied {
    let Some(emptied_at) = draft.memory.emptied_at else {
        return Emptied::No;
    };
    draft.open_links_early();
    draft.refresh_info_since(emptied_at);
    let fresh = |address: Address| draft.facts(address).is_some_and(|(_, at)| at >= emptied_at);
    let waiting = draft
        .group
        .replicas()
        .any(|(address, member)| member.quarantine.is_none() && draft.sees_up(*address) && !fresh(*address));
    let deadline = emptied_at.plus(FRESH_WITHIN_MS);
    if waiting && draft.now < deadline {
        draft.wake_by(deadline);
        return Emptied::Handled;
    }
    let selection = select(
        draft.scene,
        draft.memory,
        Purpose::Emptied { since: emptied_at },
        draft.now,
    );
    let Some((candidate, run_id)) = selection.chosen else {
        let limit = emptied_at.plus(UNSETTLED_MS);
        if draft.now >= limit || !somebody_may_have_data(draft, &selection.unfit) {
            return Emptied::Accepted;
        }
        draft.refresh_info_since(Instant(draft.now.0.saturating_sub(LOOK_MS)).max(emptied_at));
        draft.wake_by(draft.now.plus(LOOK_MS).min(limit));
        return Emptied::Handled;
    };
    if maintenance::is_on(draft.scene) {
        return Emptied::Handled;
    }
    let (group, on) = draft.target();
    draft.propose(Command::OpenFailover {
        group,
        on,
        kind: FailoverKind::Emptied,
        votes: draft.scene.tally.down,
        candidate,
        run_id,
    });
    Emptied::Handled
}

/// A replica loads data, copies some, or failed as a candidate while it had some: what it has then is not known yet.
fn somebody_may_have_data(draft: &Draft<'_>, unfit: &BTreeMap<Address, Unfit>) -> bool {
    unfit.iter().any(|(address, why)| {
        let Some((facts, _)) = draft.facts(*address).filter(|_| draft.sees_up(*address)) else {
            return false;
        };
        match why {
            Unfit::Loading => true,
            Unfit::Resyncing | Unfit::Failed(_) => facts.keys > 0,
            _ => false,
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::failover::Memory;
    use crate::failover::testing::{ADDRESSES, facts, group, member, scene};
    use crate::model::{Lineage, LinkState, Sighting, Verdict};

    const EMPTIED_AT: Instant = Instant(1_000_000);

    fn seen(facts: Facts, at: Instant) -> Sighting {
        Sighting {
            verdict: Verdict::Up,
            link: LinkState::Connected,
            ok_reply_at: at,
            facts: Some(Arc::new(facts)),
            facts_at: Some(at),
            ..Sighting::default()
        }
    }

    /// What becomes of an emptied primary some time after it was noticed, with one replica.
    fn planned(after_ms: Age, change: impl FnOnce(&mut Facts)) -> Emptied {
        let mut group = group();
        group.members.insert(ADDRESSES[1], member("b"));
        let (mut primary, mut replica) = (facts("restarted", Role::Primary), facts("b", Role::Replica));
        (primary.keys, primary.primary_offset) = (0, 0);
        primary.lineage = Some(Lineage {
            replid: "fresh".into(),
            replid2: None,
        });
        change(&mut replica);
        let now = EMPTIED_AT.plus(after_ms);
        let sightings = BTreeMap::from([(ADDRESSES[0], seen(primary, now)), (ADDRESSES[1], seen(replica, now))]);
        let scene = Scene {
            group: &group,
            sightings: &sightings,
            ..scene()
        };
        let mut memory = Memory::new(Instant(0));
        memory.observe(&scene, EMPTIED_AT);
        plan(&mut Draft::new(&scene, &memory, now))
    }

    /// Found by the simulator, seed 10042 of an earlier day: the candidate refused because it was loading, and the
    /// emptiness was on record before anybody knew what it had loaded.
    #[test]
    fn emptiness_is_not_accepted_while_a_replica_loads_or_copies() {
        let loading = |facts: &mut Facts| (facts.loading, facts.keys) = (true, 0);
        assert!(matches!(planned(1_000, loading), Emptied::Handled));
        let copies = |facts: &mut Facts| {
            facts.sync_in_progress = true;
            facts.lineage.as_mut().unwrap().replid = "of another stream".into();
        };
        assert!(matches!(planned(1_000, copies), Emptied::Handled));
        assert!(
            matches!(planned(UNSETTLED_MS, loading), Emptied::Accepted),
            "not for ever"
        );
    }

    #[test]
    fn emptiness_is_accepted_when_nobody_can_have_the_data() {
        let empty = |facts: &mut Facts| {
            (facts.keys, facts.lineage) = (0, None);
        };
        assert!(matches!(planned(1_000, empty), Emptied::Accepted));
        let copies = |facts: &mut Facts| (facts.keys, facts.sync_in_progress, facts.lineage) = (0, true, None);
        assert!(matches!(planned(1_000, copies), Emptied::Accepted));
    }
}
