//! Stage Promote: the candidate is committed. Fence the old primary, wait for the offsets, give the order, see the
//! proof, commit 2. Or give the candidate up.
//!
//! The order may have been sent by a leader before this one. So this stage only goes forward, with one exception: the
//! leader that opened the failover and has not sent the order may cancel it when the primary is back (rule 6).

mod coordinated;
mod fence;

use std::sync::Arc;

use crate::failover::draft::{Draft, LinkView, OrderView};
use crate::failover::identity::{group_lineage, related};
use crate::failover::memory::{Attempt, OrderMemory};
use crate::failover::selection::{Purpose, select};
use crate::failover::{Action, Order, OrderFault, identity, reach};
use crate::machine::{Command, SwitchProof};
use crate::model::{Address, Age, Facts, Failover, FailoverKind, Fault, Instant, Role, Verdict};
use crate::mutation::{self, Mutation};

use fence::{Gate, fence};

pub(super) use fence::{PAUSE_MS, pauses_writes};

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
        // Nobody is in a hurry: everything can be as before.
        Candidate::OutOfReach { why, .. } if is_coordinated(failover) => abort(draft, failover, Fault::Candidate(why)),
        Candidate::OutOfReach { why, since } => out_of_reach(draft, failover, why, since),
        Candidate::Wait => expire(draft, failover, &attempt),
        Candidate::Ready => {
            if may_cancel(draft, failover, &attempt) {
                return abort(draft, failover, Fault::PrimaryBack);
            }
            let gate = if is_coordinated(failover) {
                coordinated::gate(draft, failover, &attempt)
            } else {
                fence(draft, failover, &attempt)
            };
            match gate {
                Gate::Open => draft.order(failover.candidate, &failover.candidate_run_id, Order::Promote),
                Gate::Shut => expire(draft, failover, &attempt),
                Gate::Hopeless(why) => abort(draft, failover, Fault::Primary(why)),
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
    // Also one of before this stage: writes that were held back there while it was a primary, and are let through.
    if draft.order_under_way(candidate) {
        return Candidate::Wait;
    }
    if copied_other_data(draft, failover) {
        return Candidate::Lost("copied other data".into());
    }
    // Its data has made room for what it copies.
    let newest = draft.facts(candidate);
    if newest.is_some_and(|(facts, _)| identity::loads_a_copy(&facts)) {
        return Candidate::Lost("loading its data".into());
    }
    match draft.link(candidate, &failover.candidate_run_id) {
        LinkView::Ready {
            facts,
            facts_at,
            reading,
        } if stale(draft, candidate) || says_otherwise(draft, failover, &facts) || was_not_written(&last, facts_at) => {
            if !reading {
                draft.act(Action::ReadInfo(candidate));
            }
            Candidate::Wait
        }
        LinkView::Ready { .. } => Candidate::Ready,
        LinkView::NotYet => {
            // The fence goes up meanwhile. A coordinated failover holds nothing back before it is sure of its candidate.
            if !is_coordinated(failover) {
                fence(draft, failover, attempt);
            }
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

/// The order was not written: what is known of the candidate on the connection itself, of after an earlier refusal
/// perhaps, was against it. It is asked what it is now.
fn was_not_written(last: &OrderView<'_>, read_at: Instant) -> bool {
    matches!(last, OrderView::Ended(memory) if matches!(memory.answer, Some(Err(OrderFault::LeaseLost))) && read_at <= memory.at)
}

/// What was read last on its link is of before it had the group's data: it came back, was turned or loaded what it had,
/// and nothing was read there since. The order would be held back by that (`lawful`), though the probe knows better.
fn says_otherwise(draft: &Draft<'_>, failover: &Failover, read: &Facts) -> bool {
    let member = draft.group.members.get(&failover.candidate);
    identity::copied_other_data(draft.group, member, read) || identity::loads_a_copy(read)
}

/// It was chosen for the data that it had. While the order was held up, or lost, it may have copied a primary that came
/// back without.
fn copied_other_data(draft: &Draft<'_>, failover: &Failover) -> bool {
    let newest = draft.facts(failover.candidate);
    let Some((facts, _)) = newest.filter(|(facts, _)| facts.run_id == failover.candidate_run_id) else {
        return false;
    };
    let member = draft.group.members.get(&failover.candidate);
    identity::copied_other_data(draft.group, member, &facts)
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

fn is_coordinated(failover: &Failover) -> bool {
    failover.kind == FailoverKind::Coordinated
}

fn abort(draft: &mut Draft<'_>, failover: &Failover, fault: Fault) {
    let (group, on) = draft.target();
    let epoch = failover.epoch;
    draft.propose(if is_coordinated(failover) {
        Command::UndoFailover {
            group,
            on,
            epoch,
            fault,
        }
    } else {
        Command::AbortFailover {
            group,
            on,
            epoch,
            fault,
        }
    });
}

/// Gives the stage up when it has lasted for failover-timeout; counted from this leader's own start.
fn expire(draft: &mut Draft<'_>, failover: &Failover, attempt: &Attempt) {
    if is_coordinated(failover) && !attempt.promote_sent {
        return coordinated::expire(draft, failover, attempt);
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
