//! Rule 12: while the old primary can be reached, hold back its writes and wait until the candidate has all of them.

use std::sync::Arc;

use crate::failover::draft::{Draft, LinkView, OrderView};
use crate::failover::memory::Attempt;
use crate::failover::{Action, Order, OrderFault};
use crate::model::{Address, Age, Failover, FailoverKind, Instant, Role, RunId};
use crate::mutation::{self, Mutation};

use super::RETRY_MS;

/// How long writes may be held back: longer than the fence and both effects after it take, short enough that a
/// leader that dies leaves no lasting harm.
pub(in crate::failover) const PAUSE_MS: Age = 3_000;
/// How long an operator's failover waits for equal offsets while writes are paused.
pub(super) const EQUAL_OFFSETS_MS: Age = 1_000;
/// The same where writes cannot be paused: more waiting does not help.
const EQUAL_OFFSETS_UNPAUSED_MS: Age = 100;
/// The same when the primary is agreed to be down, but this node happens to reach it.
pub(super) const EQUAL_OFFSETS_OUTAGE_MS: Age = 200;

/// Whether the promotion may go out.
#[derive(PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    Shut,
    /// Not in this failover, for this reason.
    Hopeless(Arc<str>),
}

/// Puts the fence up, and says whether it has served its purpose.
pub(super) fn fence(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt) -> Gate {
    let primary = failover.old_primary;
    let Some(run_id) = fenceable(draft, failover, attempt) else {
        return Gate::Open;
    };
    if promoted_before(draft, failover, attempt) {
        return Gate::Open;
    }
    let pausing = pause(draft, primary, &run_id, attempt);
    let limit_ms = match (failover.kind, pausing) {
        (FailoverKind::Operator, Pausing::Impossible) => EQUAL_OFFSETS_UNPAUSED_MS,
        (FailoverKind::Operator, _) => EQUAL_OFFSETS_MS,
        _ => EQUAL_OFFSETS_OUTAGE_MS,
    };
    let deadline = attempt.entered_at.plus(limit_ms);
    if draft.now >= deadline {
        return Gate::Open;
    }
    draft.wake_by(deadline);
    let read_since = match pausing {
        Pausing::Hopeless => return Gate::Open,
        Pausing::UnderWay if mutation::is_on(Mutation::UnpausedOffsets) => attempt.entered_at,
        Pausing::UnderWay => {
            read_meanwhile(draft, failover, attempt);
            return Gate::Shut;
        }
        Pausing::Done { at } => at,
        Pausing::Impossible => attempt.entered_at,
    };
    match written(draft, primary, &run_id, read_since) {
        Written::Unknown => Gate::Shut,
        Written::Hopeless => Gate::Open,
        Written::Offset(offset) => has_all(draft, failover, attempt, offset),
    }
}

/// A leader before this one got as far as the order: waiting for offsets would only lengthen the time with two masters.
/// What was read before this stage may be of a time when the candidate was the primary.
pub(super) fn promoted_before(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt) -> bool {
    let link = draft.link(failover.candidate, &failover.candidate_run_id);
    matches!(link, LinkView::Ready { facts, facts_at, .. } if facts.role == Role::Primary && facts_at >= attempt.entered_at)
}

/// The process whose writes can be held back. `None`: there is nothing to fence.
///
/// What the probe has read may be of the time before the primary was promoted, and arrive after that. An operator's
/// failover does not go by it: the order link is asked.
fn fenceable(draft: &Draft<'_>, failover: &Failover, attempt: &Attempt) -> Option<RunId> {
    let member = draft.group.members.get(&failover.old_primary)?;
    let reinstated = failover.candidate == failover.old_primary;
    let lost = failover.kind == FailoverKind::Emptied || attempt.promote_sent || reinstated;
    if lost || member.quarantine.is_some() || !worth_asking(draft, failover, attempt) {
        return None;
    }
    let run_id = failover.old_run_id.clone()?;
    let seen = draft.facts(failover.old_primary);
    let itself = seen.is_none_or(|(facts, _)| facts.role == Role::Primary && facts.run_id == run_id);
    (itself || planned(draft, failover)).then_some(run_id)
}

/// An operator asked for it, and the primary is not agreed to be down: there is time.
fn planned(draft: &Draft<'_>, failover: &Failover) -> bool {
    failover.kind == FailoverKind::Operator && !draft.scene.outage_agreed()
}

/// This node sees the primary; or it is alone in not seeing it, and an operator's failover has the time to ask on a
/// connection of its own; or its writes are being held back already, and the candidate may still be sent the rest.
fn worth_asking(draft: &Draft<'_>, failover: &Failover, attempt: &Attempt) -> bool {
    let is_pause = |order: &Order| matches!(order, Order::Pause { .. });
    let last = draft.last_order(failover.old_primary, attempt.entered_at, is_pause);
    draft.sees_up(failover.old_primary) || planned(draft, failover) || !matches!(last, OrderView::None)
}

/// How far the pause of the old primary's writes is.
#[derive(Clone, Copy)]
pub(super) enum Pausing {
    /// The primary cannot be reached after all.
    Hopeless,
    /// It has no such request, or refused it.
    Impossible,
    UnderWay,
    /// Held back since an order of this moment.
    Done {
        at: Instant,
    },
}

pub(super) fn pause(draft: &mut Draft<'_>, primary: Address, run_id: &RunId, attempt: &Attempt) -> Pausing {
    let is_pause = |order: &Order| matches!(order, Order::Pause { .. });
    let last = draft.last_order(primary, attempt.entered_at, is_pause);
    let facts = match draft.link(primary, run_id) {
        LinkView::Ready {
            facts,
            facts_at,
            reading,
        } if facts.role == Role::Replica => {
            if facts_at >= attempt.entered_at {
                return Pausing::Hopeless;
            }
            // It may have been promoted since that was read.
            if !reading {
                draft.act(Action::ReadInfo(primary));
            }
            return Pausing::UnderWay;
        }
        LinkView::Ready { facts, .. } => facts,
        LinkView::Refused | LinkView::OtherProcess => return Pausing::Hopeless,
        // What was held back stays so when the link breaks.
        LinkView::NotYet => {
            return match last {
                OrderView::Ended(memory) if matches!(memory.answer, Some(Ok(_))) => Pausing::Done { at: memory.at },
                _ => Pausing::UnderWay,
            };
        }
    };
    if !pauses_writes(&facts.version) {
        return Pausing::Impossible;
    }
    match last {
        OrderView::UnderWay => Pausing::UnderWay,
        OrderView::Ended(memory) => match &memory.answer {
            Some(Ok(_)) => Pausing::Done { at: memory.at },
            Some(Err(OrderFault::Refused(_))) => Pausing::Impossible,
            Some(Err(OrderFault::Unknown | OrderFault::LeaseLost)) => {
                let retry_at = memory.at.plus(RETRY_MS);
                if draft.now < retry_at {
                    draft.wake_by(retry_at);
                } else {
                    draft.order(primary, run_id, Order::Pause { ms: PAUSE_MS });
                }
                Pausing::UnderWay
            }
            _ => Pausing::Hopeless,
        },
        OrderView::None if draft.order_under_way(primary) => Pausing::UnderWay,
        OrderView::None => {
            draft.order(primary, run_id, Order::Pause { ms: PAUSE_MS });
            Pausing::UnderWay
        }
    }
}

/// CLIENT PAUSE with WRITE exists since Redis 6.2.
pub(in crate::failover) fn pauses_writes(version: &str) -> bool {
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    version >= (6, 2)
}

/// What is known of how much the old primary has written.
pub(super) enum Written {
    Offset(u64),
    Unknown,
    Hopeless,
}

pub(super) fn written(draft: &mut Draft<'_>, primary: Address, run_id: &RunId, since: Instant) -> Written {
    let paused = draft.memory.paused.as_ref().filter(|paused| paused.address == primary);
    if let Some(offset) = paused.and_then(|paused| paused.offset) {
        return Written::Offset(offset);
    }
    match draft.link(primary, run_id) {
        LinkView::Ready { facts, facts_at, .. } if facts_at > since => Written::Offset(facts.primary_offset),
        LinkView::Ready { reading, .. } => {
            if !reading {
                draft.act(Action::ReadInfo(primary));
            }
            Written::Unknown
        }
        LinkView::NotYet => Written::Unknown,
        LinkView::Refused | LinkView::OtherProcess => Written::Hopeless,
    }
}

/// Whether the candidate has everything up to `offset`. INFO is read again and again on its link until it has:
/// nothing here waits for a probe. What was read before this stage may be of a stream that it has left since.
pub(super) fn has_all(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt, offset: u64) -> Gate {
    match draft.link(failover.candidate, &failover.candidate_run_id) {
        LinkView::Ready { facts, facts_at, .. } if facts_at >= attempt.entered_at && facts.replica_offset >= offset => {
            Gate::Open
        }
        LinkView::Ready { reading: false, .. } => {
            draft.act(Action::ReadInfo(failover.candidate));
            Gate::Shut
        }
        _ => Gate::Shut,
    }
}

/// While the pause is on its way INFO of the candidate is read for the first time.
pub(super) fn read_meanwhile(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt) {
    if let LinkView::Ready {
        facts_at,
        reading: false,
        ..
    } = draft.link(failover.candidate, &failover.candidate_run_id)
        && facts_at < attempt.entered_at
    {
        draft.act(Action::ReadInfo(failover.candidate));
    }
}
