//! A committed primary that was made a replica (a late order of a dead leader, somebody's mistake), and nobody else may
//! be promoted: it is itself the candidate. Everything else is as in any failover: one committed candidate, its process,
//! one order, one proof; only the address stays.
//!
//! Refused: ordering it back without a commit (rule 1), and preferring it to its replicas. They have the same data, and
//! who made it a replica may mean it. With one exception: a primary that is held up in its own FAILOVER, because the
//! target is gone. It has every write, its clients wait there, and what it waits for never comes.

use crate::failover::draft::Draft;
use crate::failover::identity::{evidence, related};
use crate::failover::idle::DEMOTED_MS;
use crate::model::{Address, Age, Facts, Member, Role, RunId};

/// INFO that this rests on is at most this old.
const FRESH_MS: Age = 2_000;

/// The recorded primary and its process, when it is held up in a FAILOVER of its own.
pub(super) fn held_up_primary(draft: &mut Draft<'_>) -> Option<(Address, RunId)> {
    let (facts, _) = draft.facts(draft.group.primary)?;
    let held_up = facts.failing_over == Some(true);
    held_up.then(|| still_good(draft, DEMOTED_MS)).flatten()
}

/// The recorded primary and its process, when it has said for down-after that it is a replica, and still has the data.
pub(super) fn demoted_primary(draft: &mut Draft<'_>) -> Option<(Address, RunId)> {
    let patience_ms = draft.group.config.down_after_ms;
    still_good(draft, patience_ms)
}

fn still_good(draft: &mut Draft<'_>, patience_ms: Age) -> Option<(Address, RunId)> {
    let primary = draft.group.primary;
    let (_, since) = draft.memory.demoted.filter(|(address, _)| *address == primary)?;
    // It counts as Down because of its role; what it answers is asked for below.
    if !draft.is_connected(primary) {
        return None;
    }
    let due = since.plus(patience_ms);
    if draft.now < due {
        draft.wake_by(due);
        return None;
    }
    let (facts, at) = draft.facts(primary)?;
    if at < due || draft.now.since(at) > FRESH_MS {
        draft.refresh_info_since(due.max(crate::model::Instant(draft.now.0.saturating_sub(FRESH_MS))));
        draft.wake_by(draft.now.plus(FRESH_MS));
        return None;
    }
    let shunned = draft.memory.shunned.get(&primary);
    if let Some(shunned) = shunned.filter(|shunned| shunned.run_id == facts.run_id && draft.now < shunned.until) {
        draft.wake_by(shunned.until);
        return None;
    }
    let member = draft.group.primary_member()?;
    let foreign = evidence(draft.group, draft.scene.elsewhere, primary, member, &facts).is_some();
    let ours = member.quarantine.is_none() && member.synced && !foreign;
    (ours && has_its_data(member, &facts)).then(|| (primary, facts.run_id.clone()))
}

/// Rule 10, for the one that the group's data is measured by.
fn has_its_data(member: &Member, facts: &Facts) -> bool {
    let same_process = member.run_id.as_ref() == Some(&facts.run_id);
    let kept = match (&member.lineage, &facts.lineage) {
        (Some(_), Some(_)) => related(member.lineage.as_ref(), facts.lineage.as_ref()),
        // A server too old for replication ids: unless it copied another's.
        _ => !facts.primary_link_up,
    };
    let has_keys = facts.keys > 0 || !member.non_empty;
    same_process && kept && has_keys && facts.role == Role::Replica && !facts.loading
}
