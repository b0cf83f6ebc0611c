//! A coordinated failover: no acknowledged write is lost, or nothing changes.
//!
//! ```text
//! candidate: nearly as far as the old primary
//! old primary: pause writes -> candidate has all of them -> old primary steps down (SLAVEOF candidate)
//!              -> read as a replica, with not a byte more than the candidate has -> the gate is open
//! where it refuses to pause or to follow, and has FAILOVER: it is asked to do all that by itself
//! ```
//!
//! The old primary is no primary any more before the candidate is one: whoever dies at whatever moment, and however
//! late an order lands, nobody acknowledges a write that the next primary does not have. What the pause is for is that
//! the two are equal at that moment; when it ran out, they are not, and all is taken back. So the pause may be short.
//! Its own steps come first because FAILOVER waits for what the replica tells once a second, up to a second of
//! held back writes; these take milliseconds, INFO being read from both sides.

use std::sync::Arc;

use crate::failover::draft::{Draft, LinkView, OrderView};
use crate::failover::memory::{Attempt, LinkMemory, OrderMemory};
use crate::failover::{Action, Order, OrderFault};
use crate::model::{Address, Age, Facts, Failover, Fault, HostName, Instant, NamedReplica, Role, RunId};
use crate::mutation::{self, Mutation};

use super::fence::{Gate, PAUSE_MS, Pausing, Written, has_all, pause, promoted_before, read_meanwhile, written};
use super::{RETRY_MS, abort};

/// How long it may take until the old primary has stepped down. Its writes are held back for that long at most; longer
/// than FAILOVER waits for the replica's next word, shorter than the pause.
pub(in crate::failover) const STEP_DOWN_MS: Age = 2_500;
/// How far the candidate may be behind when writes are held back. It catches up with that while everybody waits.
const BEHIND_BYTES_MAX: u64 = 1 << 20;
/// How long a candidate that is further behind is waited for while writes go on. After that they are held back all the
/// same: it may be their speed that it cannot keep up with.
const CATCH_UP_MS: Age = 10_000;
/// What the old primary is known to be when the order to promote leaves is at most this old.
const FRESH_MS: Age = 500;
/// How often both are asked how far they are, or how far the primary's own FAILOVER is.
const POLL_MS: Age = 20;
/// How long an old primary that is out of reach is waited for, when its candidate is a master already.
const GONE_MS: Age = 1_000;

/// Whether the promotion may go out.
pub(super) fn gate(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt) -> Gate {
    let primary = failover.old_primary;
    let Some(run_id) = failover.old_run_id.clone() else {
        return Gate::Hopeless("not on record".into());
    };
    let promoted = promoted_before(draft, failover, attempt);
    let by_us = promoted && may_be_ours(draft, failover, attempt);
    let (facts, facts_at, reading) = match draft.link(primary, &run_id) {
        LinkView::Ready {
            facts,
            facts_at,
            reading,
        } => (facts, facts_at, reading),
        // As far as can be known it stepped down, and the candidate is a master for that reason; it needs nothing more
        // from it.
        LinkView::Refused | LinkView::OtherProcess if by_us => return Gate::Open,
        LinkView::NotYet if by_us && (draft.sees_down(primary) || waited(draft, attempt)) => return Gate::Open,
        LinkView::Refused => return Gate::Hopeless("connection refused".into()),
        LinkView::OtherProcess => return Gate::Hopeless("restarted".into()),
        LinkView::NotYet => return Gate::Shut,
    };
    let facts = draft.scene.with_names_found(facts);
    let fresh_since = if facts.role == Role::Replica {
        attempt.entered_at.max(Instant(draft.now.0.saturating_sub(FRESH_MS)))
    } else {
        attempt.entered_at
    };
    if facts_at < fresh_since {
        if !reading {
            draft.act(Action::ReadInfo(primary));
        }
        read_meanwhile(draft, failover, attempt);
        return Gate::Shut;
    }
    if facts.failing_over == Some(true) {
        watch(draft, primary);
        watch(draft, failover.candidate);
        return Gate::Shut;
    }
    match facts.role {
        Role::Replica if facts.primary == Some(failover.candidate) && promoted => Gate::Open,
        Role::Replica if facts.primary == Some(failover.candidate) => {
            let written = facts.primary_offset;
            match has_all(draft, failover, attempt, written) {
                Gate::Shut if gets_no_more(draft, failover, facts_at) => {
                    Gate::Hopeless("wrote more than its candidate has".into())
                }
                gate => gate,
            }
        }
        Role::Replica => Gate::Hopeless("follows somebody else".into()),
        Role::Primary if promoted => Gate::Hopeless("somebody else promoted the candidate".into()),
        // That it is given up may take its time to be committed. Nothing is held back any more meanwhile.
        Role::Primary if !attempt.promote_sent && draft.now >= deadline(draft, failover, attempt) => Gate::Shut,
        Role::Primary => step_down(draft, failover, attempt, &run_id, &facts),
    }
}

/// The candidate lost its link to the old primary, which had stepped down by `stepped_down_at`: it has all that it
/// ever gets. The pause ran out before; what was acknowledged then is only there, and a full copy would wipe it out.
fn gets_no_more(draft: &mut Draft<'_>, failover: &Failover, stepped_down_at: Instant) -> bool {
    let link = draft.link(failover.candidate, &failover.candidate_run_id);
    matches!(link, LinkView::Ready { facts, facts_at, .. } if facts_at > stepped_down_at && !facts.primary_link_up)
}

/// Gives it up when the old primary has not stepped down in time.
pub(super) fn expire(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt) {
    let deadline = deadline(draft, failover, attempt);
    if draft.now >= deadline {
        abort(draft, failover, Fault::Primary("did not step down in time".into()));
    } else {
        draft.wake_by(deadline);
    }
}

/// By when the old primary must have stepped down; counted from when its writes were held back, or from this leader's
/// own start.
fn deadline(draft: &Draft<'_>, failover: &Failover, attempt: &Attempt) -> Instant {
    let paused = draft.memory.paused.as_ref();
    let since = paused
        .and_then(|paused| paused.since)
        .filter(|since| *since >= attempt.entered_at);
    let deadline = match since {
        Some(since) => since.plus(STEP_DOWN_MS),
        // The candidate catches up, or did so until now.
        None if behind(draft, failover, attempt).is_some() => attempt.entered_at.plus(CATCH_UP_MS + STEP_DOWN_MS),
        None => attempt.entered_at.plus(STEP_DOWN_MS),
    };
    deadline.min(attempt.entered_at.plus(draft.group.config.failover_timeout_ms))
}

/// That the candidate is a master may be the work of this failover: a leader before this one saw the old primary step
/// down and gave the order, or the old primary was asked to do it by itself. Otherwise somebody promoted it by hand, and
/// the old primary may still acknowledge writes.
fn may_be_ours(draft: &Draft<'_>, failover: &Failover, attempt: &Attempt) -> bool {
    let yields = |order: &Order| matches!(order, Order::Yield { .. });
    let asked = match draft.last_order(failover.old_primary, attempt.entered_at, yields) {
        OrderView::None => false,
        OrderView::UnderWay => true,
        // Not one that was refused, or never written.
        OrderView::Ended(order) => matches!(order.answer, Some(Ok(_) | Err(OrderFault::Unknown))),
    };
    !attempt.mine || attempt.promote_sent || asked
}

fn waited(draft: &mut Draft<'_>, attempt: &Attempt) -> bool {
    let until = attempt.entered_at.plus(GONE_MS);
    if draft.now < until {
        draft.wake_by(until);
    }
    draft.now >= until
}

/// Reads INFO on a link, now and then.
fn watch(draft: &mut Draft<'_>, address: Address) {
    let Some(LinkMemory::Open { facts_at, reading, .. }) = draft.memory.links.get(&address) else {
        return;
    };
    let due = facts_at.plus(POLL_MS);
    if *reading {
        return;
    }
    if draft.now >= due {
        draft.act(Action::ReadInfo(address));
    } else {
        draft.wake_by(due);
    }
}

/// It is a primary that takes writes, as far as is known.
fn step_down(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt, run_id: &RunId, facts: &Facts) -> Gate {
    let primary = failover.old_primary;
    let is_any = |_: &Order| true;
    let (order, answer) = match draft.last_order(primary, attempt.entered_at, is_any) {
        OrderView::None if catches_up(draft, failover, attempt) => {
            read_meanwhile(draft, failover, attempt);
            watch(draft, primary);
            watch(draft, failover.candidate);
            return Gate::Shut;
        }
        OrderView::None => return hold_back(draft, failover, attempt, run_id, facts),
        OrderView::UnderWay => {
            read_meanwhile(draft, failover, attempt);
            return Gate::Shut;
        }
        OrderView::Ended(OrderMemory { order, answer, at, .. }) => {
            if let Some(Err(OrderFault::Unknown | OrderFault::LeaseLost)) = answer
                && draft.now < at.plus(RETRY_MS)
            {
                draft.wake_by(at.plus(RETRY_MS));
                return Gate::Shut;
            }
            (order.clone(), answer.clone())
        }
    };
    match (order, answer) {
        (Order::Pause { .. }, _) => hold_back(draft, failover, attempt, run_id, facts),
        (_, Some(Err(OrderFault::OtherProcess))) => Gate::Hopeless("restarted".into()),
        (_, Some(Err(OrderFault::Unreachable))) => Gate::Hopeless("connection refused".into()),
        (Order::StepDown { .. }, Some(Err(OrderFault::Refused(text)))) => {
            yield_role(draft, failover, run_id, facts, &text)
        }
        (Order::Yield { .. }, Some(Err(OrderFault::Refused(text)))) => Gate::Hopeless(text),
        (Order::Yield { .. }, Some(Err(_))) => yield_role(draft, failover, run_id, facts, "no answer"),
        // Not known to have been done, and it was not: from the beginning, the pause may have run out.
        (Order::StepDown { .. }, Some(Err(_))) => {
            draft.order(primary, run_id, Order::Pause { ms: PAUSE_MS });
            Gate::Shut
        }
        (Order::Yield { .. }, _) => Gate::Hopeless("gave its FAILOVER up".into()),
        _ => Gate::Hopeless("is a master again".into()),
    }
}

/// The candidate is too far behind for writes to be held back already, or has not said how far it is.
fn catches_up(draft: &Draft<'_>, failover: &Failover, attempt: &Attempt) -> bool {
    let waits = draft.now < attempt.entered_at.plus(CATCH_UP_MS);
    let behind = behind(draft, failover, attempt);
    waits && behind.is_none_or(|bytes| bytes > BEHIND_BYTES_MAX)
}

/// How many bytes the candidate lacks, as far as both have said in this stage how far they are.
fn behind(draft: &Draft<'_>, failover: &Failover, attempt: &Attempt) -> Option<u64> {
    let said = |address: Address| match draft.memory.links.get(&address) {
        Some(LinkMemory::Open { facts, facts_at, .. }) if *facts_at >= attempt.entered_at => Some(facts.clone()),
        _ => None,
    };
    let (primary, candidate) = (said(failover.old_primary)?, said(failover.candidate)?);
    Some(primary.primary_offset.saturating_sub(candidate.replica_offset))
}

/// Writes are held back; when the candidate has all of them, the primary steps down.
fn hold_back(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt, run_id: &RunId, facts: &Facts) -> Gate {
    let primary = failover.old_primary;
    let since = match pause(draft, primary, run_id, attempt) {
        Pausing::Done { at } => at,
        Pausing::UnderWay => {
            read_meanwhile(draft, failover, attempt);
            return Gate::Shut;
        }
        Pausing::Impossible => return yield_role(draft, failover, run_id, facts, "does not pause writes"),
        Pausing::Hopeless => return Gate::Hopeless("connection refused".into()),
    };
    match written(draft, primary, run_id, since) {
        Written::Unknown => Gate::Shut,
        Written::Hopeless => Gate::Hopeless("connection refused".into()),
        Written::Offset(offset) => match has_all(draft, failover, attempt, offset) {
            Gate::Open if mutation::is_on(Mutation::PromotedBeside) => Gate::Open,
            Gate::Open => {
                let to = failover.candidate;
                draft.order(primary, run_id, Order::StepDown { to });
                Gate::Shut
            }
            waits => waits,
        },
    }
}

/// It does not let itself be led. Where it has FAILOVER it may do the same by itself.
fn yield_role(draft: &mut Draft<'_>, failover: &Failover, run_id: &RunId, facts: &Facts, why: &str) -> Gate {
    if facts.failing_over.is_none() {
        let why: Arc<str> = format!("{why}, and has no FAILOVER").into();
        return Gate::Hopeless(why);
    }
    let order = Order::Yield {
        to: failover.candidate,
        host: announced(draft, failover),
        ms: PAUSE_MS,
    };
    draft.order(failover.old_primary, run_id, order);
    Gate::Shut
}

/// The host name by which the candidate is known to the old primary, if it has announced one.
fn announced(draft: &Draft<'_>, failover: &Failover) -> Option<HostName> {
    let Some(LinkMemory::Open { facts, .. }) = draft.memory.links.get(&failover.old_primary) else {
        return None;
    };
    let is_it = |line: &&NamedReplica| draft.group.member_named(&line.host, line.port) == Some(failover.candidate);
    facts.named_replicas.iter().find(is_it).map(|line| line.host.clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
