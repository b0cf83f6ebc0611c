//! A primary that was restarted and came back without its data: its replicas would copy the emptiness within about a
//! second, so the best of them is promoted at once.

use crate::failover::draft::Draft;
use crate::failover::selection::{Purpose, select};
use crate::failover::{Scene, identity};
use crate::machine::Command;
use crate::model::{Address, Age, Facts, FailoverKind, Group, Role};

/// How long replicas have to show that they still have the data.
const FRESH_WITHIN_MS: Age = 500;

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
        return Emptied::Accepted;
    };
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
