//! Stage Promote: the candidate is committed. Fence the old primary, wait for the offsets, give the order, see the
//! proof, commit 2. Or give the candidate up.
//!
//! The order may have been sent by a leader before this one. So this stage only goes forward, with one exception: the
//! leader that opened the failover and has not sent the order may cancel it when the primary is back (rule 6).

use std::sync::Arc;

use crate::failover::draft::{Draft, LinkView, OrderView};
use crate::failover::identity::{group_lineage, related};
use crate::failover::memory::{Attempt, OrderMemory};
use crate::failover::selection::{Purpose, select};
use crate::failover::{Action, Order, OrderFault, reach};
use crate::machine::{Command, SwitchProof};
use crate::model::{Address, Age, Facts, Failover, FailoverKind, Fault, Instant, Role, RunId, Verdict};
use crate::mutation::{self, Mutation};

/// How long writes may be held back: longer than the fence and both effects after it take, short enough that a
/// leader that dies leaves no lasting harm.
const PAUSE_MS: Age = 3_000;
/// How long an operator's failover waits for equal offsets while writes are paused.
const EQUAL_OFFSETS_MS: Age = 1_000;
/// The same where writes cannot be paused: more waiting does not help.
const EQUAL_OFFSETS_UNPAUSED_MS: Age = 100;
/// The same when the primary is agreed to be down, but this node happens to reach it.
const EQUAL_OFFSETS_OUTAGE_MS: Age = 200;
/// What is known of the candidate when the order leaves is at most this old.
const FRESH_MS: Age = 2_000;
/// How soon an order whose effect is unknown is given again.
const RETRY_MS: Age = 100;
/// How long a candidate must be out of reach before a peer that still claims to reach it is believed.
const REACH_SETTLE_MS: Age = 1_000;

pub(super) fn plan(draft: &mut Draft<'_>, failover: &Failover) {
    let attempt = draft.attempt();
    draft.open_links_early();
    match state_of_candidate(draft, failover, &attempt) {
        Candidate::Promoted(facts) => complete(draft, failover, &facts),
        Candidate::Lost(why) => abort(draft, failover, Fault::Candidate(why)),
        Candidate::OutOfReach { why, since } => out_of_reach(draft, failover, why, since),
        Candidate::Wait => expire(draft, failover, &attempt),
        Candidate::Ready => {
            if may_cancel(draft, failover, &attempt) {
                abort(draft, failover, Fault::PrimaryBack);
            } else if fence(draft, failover, &attempt) == Gate::Open {
                draft.order(failover.candidate, &failover.candidate_run_id, Order::Promote);
            } else {
                expire(draft, failover, &attempt);
            }
        }
    }
}

/// What the committed candidate is good for now.
enum Candidate {
    /// Seen as master, with the committed run id, on the connection of the order.
    Promoted(Arc<Facts>),
    /// The order may be given as soon as the fence is up.
    Ready,
    /// A link or an answer is awaited.
    Wait,
    /// Seen Down: but maybe only from here.
    OutOfReach { why: Arc<str>, since: Instant },
    /// It died, changed or refused.
    Lost(Arc<str>),
}

fn state_of_candidate(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt) -> Candidate {
    let candidate = failover.candidate;
    let is_promote = |order: &Order| *order == Order::Promote;
    let last = draft.last_order(candidate, attempt.entered_at, is_promote);
    if let OrderView::Ended(memory) = &last
        && let Some(verdict) = answer_of_candidate(draft, failover, memory)
    {
        return verdict;
    }
    if let Some(since) = away_since(draft, failover) {
        let why = "down".into();
        return Candidate::OutOfReach { why, since };
    }
    if mutation::is_on(Mutation::AnyProcessCompletes)
        && let Some((facts, at)) = draft.facts(candidate)
        && at > attempt.entered_at
        && facts.role == Role::Primary
    {
        return Candidate::Promoted(facts);
    }
    if restarted(draft, failover, attempt) {
        return Candidate::Lost("restarted".into());
    }
    if matches!(last, OrderView::UnderWay) {
        return Candidate::Wait;
    }
    if copied_other_data(draft, failover) {
        return Candidate::Lost("copied other data".into());
    }
    match draft.link(candidate, &failover.candidate_run_id) {
        LinkView::Ready { reading, .. } if stale(draft, candidate) => {
            if !reading {
                draft.act(Action::ReadInfo(candidate));
            }
            Candidate::Wait
        }
        LinkView::Ready { .. } => Candidate::Ready,
        LinkView::NotYet => {
            // The fence goes up meanwhile.
            fence(draft, failover, attempt);
            Candidate::Wait
        }
        LinkView::Refused => Candidate::Lost("connection refused".into()),
        LinkView::OtherProcess => Candidate::Lost("restarted".into()),
    }
}

/// Since when the candidate is Down. A primary that is to be reinstated is Down for its role alone, and answers.
fn away_since(draft: &Draft<'_>, failover: &Failover) -> Option<Instant> {
    let reinstated = failover.candidate == failover.old_primary && draft.is_connected(failover.candidate);
    match draft.sighting(failover.candidate)?.verdict {
        Verdict::Down { since } if !reinstated => Some(since),
        _ => None,
    }
}

/// What is known of it is of before this node stood still, or before the order was held up: it is asked once more.
fn stale(draft: &Draft<'_>, candidate: Address) -> bool {
    let newest = draft.facts(candidate);
    newest.is_none_or(|(_, at)| draft.now.since(at) > FRESH_MS)
}

/// It was chosen for the data that it had. While the order was held up, or lost, it may have copied a primary that came
/// back without.
fn copied_other_data(draft: &Draft<'_>, failover: &Failover) -> bool {
    let newest = draft.facts(failover.candidate);
    let Some((facts, _)) = newest.filter(|(facts, _)| facts.run_id == failover.candidate_run_id) else {
        return false;
    };
    let member = draft.group.members.get(&failover.candidate);
    let known = [
        member.and_then(|member| member.lineage.as_ref()),
        group_lineage(draft.group),
    ];
    let its = facts.lineage.as_ref();
    let kept = known.into_iter().any(|known| related(its, known));
    facts.role == Role::Replica && its.is_some() && known.iter().any(Option::is_some) && !kept
}

/// A copy of a primary without data was complete in the moment before the promotion.
fn lost_its_data(draft: &Draft<'_>, failover: &Failover, facts: &Facts) -> bool {
    let Some(member) = draft.group.members.get(&failover.candidate) else {
        return false;
    };
    let its = facts.lineage.as_ref();
    let known = [member.lineage.as_ref(), group_lineage(draft.group)];
    let kept = its.is_none() || known.into_iter().any(|known| related(its, known));
    member.non_empty && facts.keys == 0 && !kept
}

/// What the answer to Promote means; `None`: give the order again.
fn answer_of_candidate(draft: &mut Draft<'_>, failover: &Failover, memory: &OrderMemory) -> Option<Candidate> {
    match memory.answer.as_ref()? {
        Ok(Some(facts)) if is_other_process(failover, facts) => Some(Candidate::Lost("restarted".into())),
        // A master of a burnt epoch is a stray: whoever still has the data is next.
        Ok(Some(facts)) if lost_its_data(draft, failover, facts) => Some(Candidate::Lost("lost its data".into())),
        Ok(Some(facts)) if facts.role == Role::Primary => Some(Candidate::Promoted(facts.clone())),
        Ok(Some(_)) => Some(Candidate::Lost("stayed a replica".into())),
        Err(OrderFault::OtherProcess) => Some(Candidate::Lost("restarted".into())),
        Err(OrderFault::Unreachable) => Some(Candidate::Lost("connection refused".into())),
        Err(OrderFault::Refused(text)) => Some(Candidate::Lost(format!("refused: {text}").into())),
        Ok(None) | Err(OrderFault::LeaseLost | OrderFault::Unknown) => {
            let retry_at = memory.at.plus(RETRY_MS);
            if draft.now < retry_at && away_since(draft, failover).is_none() {
                draft.wake_by(retry_at);
                return Some(Candidate::Wait);
            }
            None
        }
    }
}

/// The probe has seen another process there since this leader met the stage.
fn restarted(draft: &Draft<'_>, failover: &Failover, attempt: &Attempt) -> bool {
    draft.sighting(failover.candidate).is_some_and(|sighting| {
        let other = |facts: &Arc<Facts>| facts.run_id != failover.candidate_run_id;
        let fresh = sighting.facts_at.is_some_and(|at| at > attempt.entered_at);
        fresh && sighting.facts.as_ref().is_some_and(other)
    })
}

fn complete(draft: &mut Draft<'_>, failover: &Failover, facts: &Facts) {
    assert!(
        !is_other_process(failover, facts),
        "only the committed process completes a promotion"
    );
    let (group, on) = draft.target();
    draft.propose(Command::CompletePromotion {
        group,
        on,
        epoch: failover.epoch,
        proof: SwitchProof {
            run_id: facts.run_id.clone(),
            lineage: facts.lineage.clone(),
        },
    });
}

fn is_other_process(failover: &Failover, facts: &Facts) -> bool {
    facts.run_id != failover.candidate_run_id && !mutation::is_on(Mutation::AnyProcessCompletes)
}

fn abort(draft: &mut Draft<'_>, failover: &Failover, fault: Fault) {
    let (group, on) = draft.target();
    draft.propose(Command::AbortFailover {
        group,
        on,
        epoch: failover.epoch,
        fault,
    });
}

/// Gives the stage up when it has lasted for failover-timeout; counted from this leader's own start.
fn expire(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt) {
    let deadline = attempt.entered_at.plus(draft.group.config.failover_timeout_ms);
    if draft.now >= deadline {
        abort(draft, failover, Fault::Timeout);
    } else {
        draft.wake_by(deadline);
    }
}

/// The candidate is Down for this node. Another candidate is the quickest way on; without one, a node that still
/// reaches this one should lead.
fn out_of_reach(draft: &mut Draft<'_>, failover: &Failover, why: Arc<str>, since: Instant) {
    let others = select(draft.scene, draft.memory, Purpose::Outage, draft.now);
    if others.chosen.is_none()
        && let reach::Better::Node(node) = reach::node_for_candidate(draft, failover.candidate)
    {
        let settled = since.plus(REACH_SETTLE_MS);
        if draft.now < settled {
            draft.wake_by(settled);
        } else {
            draft.act(Action::HandOver(node));
        }
        return;
    }
    abort(draft, failover, Fault::Candidate(why));
}

/// Rule 6: the primary is back, and this leader knows that the order was never sent.
fn may_cancel(draft: &Draft<'_>, failover: &Failover, attempt: &Attempt) -> bool {
    let untouched = attempt.mine && !attempt.promote_sent && failover.kind == FailoverKind::Automatic;
    let agreed_down = draft.scene.tally.down >= draft.group.config.quorum;
    if !untouched || agreed_down || !draft.sees_up(failover.old_primary) {
        return false;
    }
    draft.facts(failover.old_primary).is_some_and(|(facts, _)| {
        let same = failover.old_run_id.as_ref() == Some(&facts.run_id);
        same && facts.role == Role::Primary
    })
}

/// Whether the promotion may go out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    Shut,
}

/// Rule 12: while the old primary can be reached, hold back its writes and wait until the candidate has all of them.
fn fence(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt) -> Gate {
    let primary = failover.old_primary;
    let Some(run_id) = fenceable(draft, failover, attempt) else {
        return catches_up(draft, failover, attempt);
    };
    if promoted_before(draft, failover) {
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

/// The old primary is out of sight again, but its writes are held back, and the candidate may still be sent the rest: for
/// as long as the fence lasts anyway, unless the process that has them is gone.
fn catches_up(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt) -> Gate {
    let memory = draft.memory;
    let paused = memory.paused.as_ref();
    let paused = paused.filter(|paused| paused.address == failover.old_primary && !attempt.promote_sent);
    let Some((offset, run_id)) = paused.and_then(|paused| paused.offset.zip(Some(&paused.run_id))) else {
        return Gate::Open;
    };
    let limit_ms = match failover.kind {
        FailoverKind::Operator => EQUAL_OFFSETS_MS,
        _ => EQUAL_OFFSETS_OUTAGE_MS,
    };
    let deadline = attempt.entered_at.plus(limit_ms);
    let link = draft.link(failover.old_primary, run_id);
    let gone = matches!(link, LinkView::Refused | LinkView::OtherProcess);
    if draft.now >= deadline || gone {
        return Gate::Open;
    }
    draft.wake_by(deadline);
    has_all(draft, failover, attempt, offset)
}

/// A leader before this one got as far as the order: waiting for offsets would only lengthen the time with two masters.
fn promoted_before(draft: &mut Draft<'_>, failover: &Failover) -> bool {
    let link = draft.link(failover.candidate, &failover.candidate_run_id);
    matches!(link, LinkView::Ready { facts, .. } if facts.role == Role::Primary)
}

/// The process whose writes can be held back. `None`: there is nothing to fence.
fn fenceable(draft: &Draft<'_>, failover: &Failover, attempt: &Attempt) -> Option<RunId> {
    let member = draft.group.members.get(&failover.old_primary)?;
    let reinstated = failover.candidate == failover.old_primary;
    let lost = failover.kind == FailoverKind::Emptied || attempt.promote_sent || reinstated;
    if lost || member.quarantine.is_some() || !draft.sees_up(failover.old_primary) {
        return None;
    }
    let (facts, _) = draft.facts(failover.old_primary)?;
    let known = facts.role == Role::Primary && failover.old_run_id.as_ref() == Some(&facts.run_id);
    known.then(|| facts.run_id.clone())
}

/// How far the pause of the old primary's writes is.
#[derive(Clone, Copy)]
enum Pausing {
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

fn pause(draft: &mut Draft<'_>, primary: Address, run_id: &RunId, attempt: &Attempt) -> Pausing {
    let facts = match draft.link(primary, run_id) {
        LinkView::Ready { facts, .. } => facts,
        LinkView::NotYet => return Pausing::UnderWay,
        LinkView::Refused | LinkView::OtherProcess => return Pausing::Hopeless,
    };
    if !pauses_writes(&facts.version) {
        return Pausing::Impossible;
    }
    let is_pause = |order: &Order| matches!(order, Order::Pause { .. });
    match draft.last_order(primary, attempt.entered_at, is_pause) {
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
fn pauses_writes(version: &str) -> bool {
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    version >= (6, 2)
}

/// What is known of how much the old primary has written.
enum Written {
    Offset(u64),
    Unknown,
    Hopeless,
}

fn written(draft: &mut Draft<'_>, primary: Address, run_id: &RunId, since: Instant) -> Written {
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
fn has_all(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt, offset: u64) -> Gate {
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
fn read_meanwhile(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
