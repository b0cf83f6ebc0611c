//! Automatic failover is off: an operator works on the instances.
//!
//! Detection, votes, events and what the log must remember go on, and so does a failover whose candidate is committed.
//! No failover is opened but by an operator, and nobody is repaired. A switch that is made by hand is adopted: clients
//! must hear of it.

use crate::failover::adopt::{self, Adoption};
use crate::failover::draft::Draft;
use crate::failover::emptied::{self, Emptied};
use crate::failover::selection::Selection;
use crate::failover::{Scene, idle, learn};

/// What this leader would act on if automatic failover were not off.
pub(super) fn holds_back(scene: &Scene<'_>, demoted: bool) -> bool {
    is_on(scene) && (scene.outage_agreed() || demoted || emptied::suspected(scene))
}

/// Automatic failover is off now.
pub(super) fn is_on(scene: &Scene<'_>) -> bool {
    scene.group.config.automatic.is_off(scene.wall)
}

pub(super) fn plan(draft: &mut Draft<'_>) {
    if let Some(left_ms) = draft.group.config.automatic.left_ms(draft.scene.wall) {
        draft.wake_by(draft.now.plus(left_ms));
    }
    // While a replica still has what an emptied primary lost, nothing is put on record that would hide that.
    let emptiness = match emptied::plan(draft) {
        Emptied::Accepted => learn::Emptiness::Accepted,
        Emptied::Handled | Emptied::No => learn::Emptiness::Suspicious,
    };
    if let Some(command) = moved_by_hand(draft) {
        draft.propose(command);
        return;
    }
    if draft.scene.outage_agreed() {
        match idle::others_may_disagree(draft) {
            Some(settled) => draft.wake_by(settled),
            None => idle::announce_outage(draft, &Selection::default()),
        }
    } else {
        idle::end_outage(draft);
    }
    if !draft.proposes() {
        learn::plan(draft, emptiness);
    }
}

/// The recorded primary has been a replica of a member that is master, for as long as that is looked at in peace.
fn moved_by_hand(draft: &mut Draft<'_>) -> Option<crate::machine::Command> {
    match (idle::demoted(draft), adopt::followed_by_primary(draft)) {
        (idle::Demoted::Yes, Adoption::Adopt(command)) => Some(command),
        _ => None,
    }
}
