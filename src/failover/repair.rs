//! Rule 11: a stray master, a replica of the wrong primary, or a returned old primary is turned to the committed
//! primary, but only while that one is beyond doubt. Otherwise the returning instance may be the last copy of the data.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::failover::draft::{Draft, LinkView};
use crate::failover::identity::{group_lineage, same_replid, was_primary};
use crate::failover::soundness::is_worth_copying;
use crate::failover::{Order, Scene};
use crate::machine::Command;
use crate::model::{Address, Age, Facts, Instant, Role, RunId, Verdict};
use crate::mutation::{self, Mutation};

/// How long a member that was no primary lately must have been a master before it is turned (Sentinel's four
/// publish periods): an operator who moves the group by hand gets the time to finish.
const STRAY_MS: Age = 8_000;
/// How long a replica must have followed a wrong primary that was never ours.
const WRONG_PRIMARY_MS: Age = 10_000;
/// The sightings that a repair rests on are at most this old.
const FRESH_MS: Age = 2_000;
/// How long an alarm has to become an outage before the word of this node is enough: one node that cannot reach the
/// primary must not keep strays as they are for ever.
const ALARM_MS: Age = 5_000;
/// How long the effect of a repair is waited for.
const REPAIR_MS: Age = 10_000;
/// How soon an order that failed is given again.
const RETRY_MS: Age = 2_000;

/// What is wrong with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// It says that it is a master. Or it was one until a FAILOVER of its own that does not end: it holds writes back, and
    /// would let them through again as a master.
    Master,
    /// It follows somebody else.
    Follower,
}

/// The members that do not follow the committed primary, as this node sees them.
pub(super) fn wrong_members(scene: &Scene<'_>) -> BTreeSet<Address> {
    let wrong = |address: &Address| {
        let sighting = scene.sightings.get(address)?;
        let facts = sighting.facts.as_ref().filter(|_| sighting.verdict == Verdict::Up)?;
        what_is_wrong(scene, &scene.with_names_found(facts.clone()))
    };
    let ours = |address: &Address| {
        let member = scene.group.members.get(address);
        member.is_some_and(|member| member.quarantine.is_none())
    };
    scene
        .group
        .replicas()
        .map(|(address, _)| *address)
        .filter(|address| ours(address) && wrong(address).is_some())
        .collect()
}

fn what_is_wrong(scene: &Scene<'_>, facts: &Facts) -> Option<Wrong> {
    let group = scene.group;
    if facts.role == Role::Primary || facts.failing_over == Some(true) {
        return Some(Wrong::Master);
    }
    let followed = facts.primary?;
    if followed == group.primary {
        return None;
    }
    // In sync through an address that is on no record: the same primary under another name. A chain through a replica of
    // ours is turned, as Sentinel does, and so is one through an instance of another group.
    // Its older id is also that of who still follows a former primary that was forgotten since.
    let by_another_way = facts.primary_link_up && same_replid(facts.lineage.as_ref(), group_lineage(group));
    let known = group.members.contains_key(&followed) || scene.elsewhere.address(group.id, followed).is_some();
    (known || !by_another_way).then_some(Wrong::Follower)
}

pub(super) fn plan(draft: &mut Draft<'_>) {
    let wrong: Vec<(Address, Instant)> = draft
        .memory
        .wrong_since
        .iter()
        .map(|(at, since)| (*at, *since))
        .collect();
    if wrong.is_empty() || draft.group.failover.is_some() {
        return;
    }
    let settled = draft.memory.alarm_at.map(|at| at.plus(ALARM_MS));
    if let Some(settled) = settled.filter(|at| *at > draft.now) {
        draft.wake_by(settled);
    } else {
        let mut slots = slots(draft);
        for (address, since) in wrong {
            repair(draft, address, since, &mut slots);
        }
    }
}

/// How many more replicas may be turned now: each may copy the whole data from the primary.
fn slots(draft: &Draft<'_>) -> usize {
    let copying = |address: &Address, at: &Instant| {
        let synced = draft.facts(*address).is_some_and(|(facts, _)| facts.primary_link_up);
        draft.now.since(*at) < REPAIR_MS && !synced
    };
    let busy = draft
        .memory
        .repaired_at
        .iter()
        .filter(|(address, at)| copying(address, at))
        .count();
    (draft.group.config.parallel_syncs.max(1) as usize).saturating_sub(busy)
}

fn repair(draft: &mut Draft<'_>, address: Address, since: Instant, slots: &mut usize) {
    let Some((facts, facts_at)) = draft.facts(address) else {
        return;
    };
    if answered(draft, address) == Answered::NothingMoreNow {
        return;
    }
    let Some(wrong) = what_is_wrong(draft.scene, &facts) else {
        return;
    };
    let due = due(draft, address, wrong, since, &facts);
    if draft.now < due {
        draft.wake_by(due);
        return;
    }
    let Some(run_id) = on_record(draft, address, &facts) else {
        return;
    };
    let stale = draft.now.since(facts_at) > FRESH_MS || !primary_beyond_doubt(draft, &facts, since);
    if stale {
        let freshness = Instant(draft.now.0.saturating_sub(FRESH_MS)).max(since);
        draft.refresh_info_since(freshness);
        draft.wake_by(draft.now.plus(RETRY_MS));
        return;
    }
    if wrong == Wrong::Follower && *slots == 0 {
        draft.wake_by(draft.now.plus(RETRY_MS));
        return;
    }
    if draft.order_under_way(address) {
        return;
    }
    if let LinkView::Ready { .. } = draft.link(address, &run_id) {
        let order = draft.follow(wrong == Wrong::Master);
        draft.order(address, &run_id, order);
        *slots = slots.saturating_sub(1);
    }
}

#[derive(PartialEq, Eq)]
enum Answered {
    /// No order of this repair was answered.
    No,
    /// It was: what is to be done about that is planned.
    NothingMoreNow,
}

/// The order was answered: say so on every node.
fn answered(draft: &mut Draft<'_>, address: Address) -> Answered {
    let primary = draft.group.primary;
    let Some(memory) = draft
        .memory
        .orders
        .get(&address)
        .filter(|memory| memory.epoch.is_none())
    else {
        return Answered::No;
    };
    let Order::Follow {
        primary: followed,
        disconnect_clients: was_primary,
        ..
    } = memory.order
    else {
        return Answered::No;
    };
    match &memory.answer {
        Some(Ok(_)) if followed == primary && memory.at.plus(REPAIR_MS) > draft.now => {
            if !draft.proposes() {
                let (group, on) = draft.target();
                draft.propose(Command::Repaired {
                    group,
                    on,
                    member: address,
                    was_primary,
                });
                draft.refresh_info_since(draft.now);
            }
            Answered::NothingMoreNow
        }
        Some(Err(_)) if memory.at.plus(RETRY_MS) > draft.now => {
            draft.wake_by(memory.at.plus(RETRY_MS));
            Answered::NothingMoreNow
        }
        _ => Answered::No,
    }
}

/// When the repair is due.
fn due(draft: &Draft<'_>, address: Address, wrong: Wrong, since: Instant, facts: &Facts) -> Instant {
    let patience_ms = match wrong {
        Wrong::Master if was_primary(draft.group, address) => 0,
        Wrong::Master => STRAY_MS,
        Wrong::Follower if facts.primary.is_some_and(|followed| was_primary(draft.group, followed)) => 0,
        Wrong::Follower => WRONG_PRIMARY_MS,
    };
    let repaired = draft.memory.repaired_at.get(&address);
    let again = repaired.map_or(Instant(0), |at| at.plus(REPAIR_MS));
    since.plus(patience_ms).max(again)
}

/// Its process, when that is the one on record.
fn on_record(draft: &Draft<'_>, address: Address, facts: &Facts) -> Option<RunId> {
    let member = draft.group.members.get(&address)?;
    let known = member.run_id.as_ref() == Some(&facts.run_id) && member.quarantine.is_none();
    known.then(|| facts.run_id.clone())
}

/// The committed primary is freshly seen Up, as master, with its identity, and not without data that the other has.
fn primary_beyond_doubt(draft: &Draft<'_>, other: &Arc<Facts>, since: Instant) -> bool {
    let primary = draft.group.primary;
    if mutation::is_on(Mutation::CarelessRepair) {
        return true;
    }
    let Some((facts, at)) = draft.facts(primary) else {
        return false;
    };
    let fresh = at >= since && draft.now.since(at) <= FRESH_MS && draft.sees_up(primary) && draft.is_connected(primary);
    fresh && is_worth_copying(draft.group, &facts, Some(other))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::failover::testing::{ADDRESSES, Other, facts, group, scene};

    const UNKNOWN: &str = "192.168.0.9:6379";

    /// What is wrong with a replica in sync that follows `followed`.
    fn wrong(followed: &str, replid: &str, replid2: Option<&str>) -> Option<Wrong> {
        let mut group = group();
        let lineage = group.members.values_mut().next().unwrap().lineage.as_mut().unwrap();
        lineage.replid = "new".into();
        lineage.replid2 = Some("old".into());
        let mut facts = facts("b", Role::Replica);
        facts.primary = followed.parse().ok();
        let lineage = facts.lineage.as_mut().unwrap();
        lineage.replid = replid.into();
        lineage.replid2 = replid2.map(Into::into);
        let scene = Scene {
            group: &group,
            elsewhere: &Other,
            ..scene()
        };
        what_is_wrong(&scene, &facts)
    }

    #[test]
    fn a_replica_in_sync_under_another_name_of_the_primary_is_left_alone() {
        assert_eq!(wrong(UNKNOWN, "new", Some("old")), None);
        assert_eq!(wrong(UNKNOWN, "new", None), None);
    }

    /// Found by the simulator, seed 8453406: nobody would have turned it ever again.
    #[test]
    fn a_replica_in_sync_through_an_instance_of_another_group_is_turned() {
        let theirs = ADDRESSES[2].to_string();
        assert_eq!(wrong(&theirs, "new", Some("old")), Some(Wrong::Follower));
    }

    #[test]
    fn a_former_primary_whose_own_failover_does_not_end_is_turned_whomever_it_names() {
        let mut facts = facts("b", Role::Replica);
        facts.primary = Some(group().primary);
        assert_eq!(what_is_wrong(&scene(), &facts), None);
        facts.failing_over = Some(true);
        assert_eq!(what_is_wrong(&scene(), &facts), Some(Wrong::Master));
    }

    /// Found by the simulator, seed 18676: RESET had forgotten the former primary, which came back.
    #[test]
    fn a_replica_of_a_former_primary_that_was_forgotten_is_turned() {
        assert_eq!(wrong(UNKNOWN, "old", None), Some(Wrong::Follower));
        assert_eq!(wrong(UNKNOWN, "old", Some("older")), Some(Wrong::Follower));
    }
}
