//! Stage Reconfigure: the switch is committed. The old primary, if it can be reached, is turned first of all; then the
//! other replicas, at most parallel-syncs at a time; then the failover ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::failover::draft::{Draft, LinkView, OrderView};
use crate::failover::identity::{group_lineage, same_replid};
use crate::failover::soundness::is_worth_copying;
use crate::failover::{Order, OrderFault, learn};
use crate::machine::Command;
use crate::model::{Address, Age, Facts, Failover, FailoverKind, Instant, Mode, ReconfStep, Role, RunId, Verdict};

/// A replica that was told and does not follow within this long is given up (Sentinel's 10 s).
const SENT_MS_MAX: Age = 10_000;
/// How soon an order that failed is given again.
const RETRY_MS: Age = 1_000;
/// The promotion drops the probe's connection with those of all clients. For this long its INFO is fresh without one.
const RECONNECT_MS: Age = 200;
/// How often INFO is read while replicas are on their way.
const REFRESH_MS: Age = 200;

pub(super) fn plan(draft: &mut Draft<'_>, failover: &Failover, steps: &BTreeMap<Address, ReconfStep>) {
    let reached = reached(draft, steps);
    if !reached.is_empty() {
        let (group, on) = draft.target();
        draft.propose(Command::Reconfigured {
            group,
            on,
            epoch: failover.epoch,
            steps: reached.clone(),
        });
    }
    let now_at = |address: &Address, step: ReconfStep| reached.get(address).copied().unwrap_or(step);
    let steps: BTreeMap<Address, ReconfStep> = steps
        .iter()
        .map(|(address, step)| (*address, now_at(address, *step)))
        .collect();
    if draft.group.config.mode == Mode::Manage {
        turn_old_primary(draft, failover, &steps);
        turn_replicas(draft, failover, &steps);
    }
    if !draft.proposes() {
        end(draft, failover, &steps);
    }
    if !draft.proposes() {
        learn::plan(draft, learn::Emptiness::Suspicious);
    }
    watch_progress(draft, &steps);
}

/// Steps that were reached since the last commit.
fn reached(draft: &Draft<'_>, steps: &BTreeMap<Address, ReconfStep>) -> BTreeMap<Address, ReconfStep> {
    let mut reached = BTreeMap::new();
    for (address, step) in steps {
        let next = next_step(draft, *address, *step);
        if next > *step {
            reached.insert(*address, next);
        }
    }
    reached
}

fn next_step(draft: &Draft<'_>, address: Address, step: ReconfStep) -> ReconfStep {
    if matches!(step, ReconfStep::Done | ReconfStep::GivenUp) {
        return step;
    }
    if unreachable(draft, address) {
        return step;
    }
    // It stepped down before the switch, and still has clients that must be told to look again.
    let told_nothing = !matches!(told(draft, address), Told::Yes { .. } | Told::Refused);
    if step == ReconfStep::Waiting && told_nothing && stepped_down(draft, address) {
        return step;
    }
    let following = draft.facts(address).filter(|(facts, _)| follows(draft, facts));
    if let Some((facts, _)) = following {
        let synced = facts.primary_link_up && !facts.sync_in_progress;
        return if synced {
            ReconfStep::Done
        } else {
            ReconfStep::InProgress
        };
    }
    let entered_at = draft.attempt().entered_at;
    match told(draft, address) {
        Told::Refused => ReconfStep::GivenUp,
        Told::Yes { at } if draft.now.since(at) >= SENT_MS_MAX => ReconfStep::GivenUp,
        Told::Yes { .. } => step.max(ReconfStep::Sent),
        // Told by a leader before this one; or it followed once and does no more (a late order, or somebody else).
        Told::No | Told::Failed { .. } | Told::UnderWay
            if step > ReconfStep::Waiting && draft.now.since(entered_at) >= SENT_MS_MAX =>
        {
            ReconfStep::GivenUp
        }
        Told::No | Told::Failed { .. } | Told::UnderWay => step,
    }
}

/// The old primary of a coordinated failover.
fn stepped_down(draft: &Draft<'_>, address: Address) -> bool {
    let failover = draft.group.failover.as_ref();
    failover.is_some_and(|open| open.kind == FailoverKind::Coordinated && open.old_primary == address)
}

/// It copies from the new primary, or tries to.
fn follows(draft: &Draft<'_>, facts: &Facts) -> bool {
    // One whose own FAILOVER does not end only tries to, and holds writes back.
    if facts.role != Role::Replica || facts.failing_over == Some(true) {
        return false;
    }
    match facts.primary {
        Some(primary) => primary == draft.group.primary,
        // It was configured with a host name: its lineage must tell. The new primary has an id of its own; the older one
        // is also that of who still follows the old primary.
        None => facts.primary_link_up && same_replid(facts.lineage.as_ref(), group_lineage(draft.group)),
    }
}

/// What became of this leader's order to follow.
enum Told {
    No,
    UnderWay,
    Yes {
        at: Instant,
    },
    /// `maybe_done`: the answer was lost, not the order.
    Failed {
        at: Instant,
        maybe_done: bool,
    },
    Refused,
}

fn told(draft: &Draft<'_>, address: Address) -> Told {
    let primary = draft.group.primary;
    let is_follow = |order: &Order| matches!(order, Order::Follow { primary: followed, .. } if *followed == primary);
    match draft.last_order(address, draft.attempt().entered_at, is_follow) {
        OrderView::None => Told::No,
        OrderView::UnderWay => Told::UnderWay,
        OrderView::Ended(memory) => match &memory.answer {
            Some(Ok(_)) => Told::Yes { at: memory.at },
            Some(Err(OrderFault::Refused(_))) => Told::Refused,
            answer => Told::Failed {
                at: memory.at,
                maybe_done: matches!(answer, Some(Err(OrderFault::Unknown))),
            },
        },
    }
}

/// Down, gone or not ours: the failover does not wait for it.
fn unreachable(draft: &Draft<'_>, address: Address) -> bool {
    let Some(member) = draft.group.members.get(&address) else {
        return true;
    };
    let verdict = draft.sighting(address).map(|sighting| sighting.verdict);
    member.quarantine.is_some() || matches!(verdict, Some(Verdict::Down { .. }))
}

/// Rule 11: nobody is sent to a new primary that is not seen now, as master, as the process that was promoted: another
/// one may have come back without its data, and whoever follows it loses its own.
fn is_sound(draft: &mut Draft<'_>, address: Address) -> bool {
    let primary = draft.group.primary;
    let own = draft.facts(address).map(|(facts, _)| facts);
    let just_promoted = draft.now.since(draft.attempt().entered_at) <= RECONNECT_MS;
    let sound = draft.facts(primary).is_some_and(|(facts, _)| {
        let there = draft.sees_up(primary) && (draft.is_connected(primary) || just_promoted);
        there && is_worth_copying(draft.group, &facts, own.as_deref())
    });
    if !sound {
        // What a successor saw of it may be from before the promotion.
        draft.refresh_info_since(draft.attempt().entered_at);
    }
    sound
}

fn turn_old_primary(draft: &mut Draft<'_>, failover: &Failover, steps: &BTreeMap<Address, ReconfStep>) {
    let address = failover.old_primary;
    if let Some(step) = steps.get(&address) {
        turn(draft, failover, address, *step);
    }
    let Some(paused) = draft.memory.paused.clone().filter(|paused| paused.address == address) else {
        return;
    };
    // Its clients are gone with the order; what it may still hold back are its own links.
    let turned = steps.get(&address).is_none_or(|step| *step > ReconfStep::Waiting);
    let settled = turned || matches!(told(draft, address), Told::Refused);
    // A successor knows of the pause from the log, and may have no link yet.
    let reachable = failover.kind != FailoverKind::Coordinated
        || matches!(draft.link(address, &paused.run_id), LinkView::Ready { .. });
    if settled && reachable && draft.group.members.contains_key(&address) && !draft.order_under_way(address) {
        draft.order(address, &paused.run_id, Order::Unpause);
    }
}

fn turn_replicas(draft: &mut Draft<'_>, failover: &Failover, steps: &BTreeMap<Address, ReconfStep>) {
    let replicas = || steps.iter().filter(|(address, _)| **address != failover.old_primary);
    let on_its_way = |address: Address, step: ReconfStep| {
        let told = matches!(step, ReconfStep::Sent | ReconfStep::InProgress);
        (told && !unreachable(draft, address)) || draft.order_under_way(address)
    };
    // It may copy already: it keeps its slot, and is told again.
    let in_doubt = |address: Address, step: ReconfStep| {
        let maybe_done = matches!(told(draft, address), Told::Failed { maybe_done: true, .. });
        maybe_done && step == ReconfStep::Waiting && !unreachable(draft, address)
    };
    let again: Vec<Address> = replicas()
        .filter(|(address, step)| in_doubt(**address, **step))
        .map(|(address, _)| *address)
        .collect();
    let busy = replicas()
        .filter(|(address, step)| on_its_way(**address, **step))
        .count();
    let mut slots = (draft.group.config.parallel_syncs.max(1) as usize).saturating_sub(busy);
    let waiting: Vec<(Address, ReconfStep)> = replicas()
        .filter(|(address, step)| **step == ReconfStep::Waiting && !on_its_way(**address, **step))
        .filter(|(address, _)| !again.contains(address))
        .map(|(address, step)| (*address, *step))
        .collect();
    for address in again {
        // While it was out of reach others may have got its slot.
        if slots > 0 {
            turn(draft, failover, address, ReconfStep::Waiting);
            slots -= 1;
        }
    }
    for (address, step) in waiting {
        if slots > 0 && turn(draft, failover, address, step) == Turn::Given {
            slots -= 1;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Turn {
    Given,
    NotNow,
}

/// Orders one instance to follow the new primary, if that is due.
fn turn(draft: &mut Draft<'_>, failover: &Failover, address: Address, step: ReconfStep) -> Turn {
    if step != ReconfStep::Waiting || !draft.sees_up(address) || unreachable(draft, address) {
        return Turn::NotNow;
    }
    if draft.order_under_way(address) || !is_sound(draft, address) {
        return Turn::NotNow;
    }
    if let Told::Failed { at, .. } = told(draft, address) {
        let retry_at = at.plus(RETRY_MS);
        if draft.now < retry_at {
            draft.wake_by(retry_at);
            return Turn::NotNow;
        }
    }
    let Some(run_id) = process(draft, address) else {
        return Turn::NotNow;
    };
    let LinkView::Ready { .. } = draft.link(address, &run_id) else {
        return Turn::NotNow;
    };
    let is_master = draft
        .facts(address)
        .is_some_and(|(facts, _)| facts.role == Role::Primary);
    let order = draft.follow(address == failover.old_primary || is_master);
    draft.order(address, &run_id, order);
    Turn::Given
}

/// The process on record, unless another one was seen since: that one must be learnt first.
fn process(draft: &Draft<'_>, address: Address) -> Option<RunId> {
    let known = draft.group.members.get(&address)?.run_id.clone()?;
    let seen: Option<(Arc<Facts>, Instant)> = draft.facts(address);
    let other = seen.is_some_and(|(facts, _)| facts.run_id != known);
    (!other).then_some(known)
}

/// Ends the failover: all done, out of time, the new primary is itself down or lost its data, or no order may be given
/// any more.
fn end(draft: &mut Draft<'_>, failover: &Failover, steps: &BTreeMap<Address, ReconfStep>) {
    let deadline = draft.attempt().entered_at.plus(draft.group.config.failover_timeout_ms);
    let settled = |address: &Address, step: &ReconfStep| {
        matches!(step, ReconfStep::Done | ReconfStep::GivenUp) || unreachable(draft, *address)
    };
    let all_settled = steps.iter().all(|(address, step)| settled(address, step));
    let down_again = draft.scene.outage_agreed() || draft.memory.emptied_at.is_some();
    let out_of_time = draft.now >= deadline || draft.group.config.mode == Mode::Observe;
    if !all_settled && !down_again && !out_of_time {
        draft.wake_by(deadline);
        return;
    }
    if all_settled && draft.sees_down(draft.group.primary) && !down_again && !out_of_time {
        // Not over while the new primary is in doubt.
        draft.wake_by(deadline);
        return;
    }
    let (group, on) = draft.target();
    draft.propose(Command::EndFailover {
        group,
        on,
        epoch: failover.epoch,
        timed_out: !all_settled,
    });
}

/// Replicas on their way are looked at often.
fn watch_progress(draft: &mut Draft<'_>, steps: &BTreeMap<Address, ReconfStep>) {
    let moving = |step: &ReconfStep| matches!(step, ReconfStep::Sent | ReconfStep::InProgress);
    let any = steps
        .iter()
        .any(|(address, step)| moving(step) && !unreachable(draft, *address));
    if !any {
        return;
    }
    let asked_at = draft
        .memory
        .info_asked_at
        .unwrap_or_default()
        .max(draft.attempt().entered_at);
    let due = asked_at.plus(REFRESH_MS);
    if draft.now >= due {
        draft.act(crate::failover::Action::RefreshInfo);
    } else {
        draft.wake_by(due);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
