//! Which orders the committed state allows. Asked when one is planned, and again right before each write: between the
//! two an instance may have answered slowly, or refused the first form, while it or the group moved on.

use std::collections::BTreeMap;

use crate::failover::{Order, identity};
use crate::model::{Address, Facts, Failover, FailoverKind, Group, RunId, Sighting, Stage, Timestamp, Verdict};

/// What is known in the moment in which an order leaves.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// What was read last on the very link.
    pub facts: &'a Facts,
    /// The time that an entry proposed now would get.
    pub wall: Timestamp,
}

/// Whether an order that was planned may still be written, by what is committed now, what this node sees now, and what
/// it has `read`.
pub fn still_stands(
    group: &Group,
    sightings: &BTreeMap<Address, Sighting>,
    address: Address,
    read: Read<'_>,
    run_id: &RunId,
    order: &Order,
) -> bool {
    if broken_rule(group, address, run_id, order, read.wall).is_some() {
        return false;
    }
    match order {
        // Rule 10: it was chosen for the data that it had, and may have copied others' since.
        Order::Promote => {
            let seen = sightings.get(&address).and_then(|sighting| sighting.facts.as_deref());
            let known = [Some(read.facts), seen].into_iter().flatten();
            let member = group.members.get(&address);
            let mut itself = known.filter(|facts| facts.run_id == *run_id);
            !itself.any(|facts| identity::copied_other_data(group, member, facts) || identity::loads_a_copy(facts))
        }
        // Rule 11: nobody is sent to a primary that is not seen.
        Order::Follow { .. } => {
            let primary = sightings.get(&group.primary);
            primary.is_some_and(|sighting| sighting.verdict == Verdict::Up)
        }
        Order::Pause { .. } | Order::Unpause | Order::StepDown { .. } | Order::Yield { .. } | Order::TakeBack => true,
    }
}

/// The rule that an order would break, in words; `None` when it is lawful.
pub(super) fn broken_rule(
    group: &Group,
    address: Address,
    run_id: &RunId,
    order: &Order,
    wall: Timestamp,
) -> Option<&'static str> {
    let Some(member) = group.members.get(&address) else {
        return Some("an order goes to a member");
    };
    let promoting = group.failover.as_ref().filter(|open| open.stage == Stage::Promote);
    match order {
        Order::Promote => {
            let committed = promoting.is_some_and(|open| open.candidate == address && open.candidate_run_id == *run_id);
            (!committed).then_some("only the committed candidate is ever promoted")
        }
        Order::Follow { primary, .. } => {
            if member.quarantine.is_some() {
                Some("a quarantined instance is never ordered")
            } else if *primary != group.primary {
                Some("only the committed primary is ever followed")
            } else if address == *primary {
                Some("the committed primary follows nobody")
            } else if group.failover.as_ref().is_some_and(Failover::is_undecided) {
                Some("nobody is turned while the address may still change")
            } else if group.failover.is_none() && group.config.automatic.is_off(wall) {
                Some("nobody is repaired while automatic failover is off")
            } else {
                None
            }
        }
        Order::Pause { .. } if address != group.primary => Some("only the primary's writes are paused"),
        Order::Pause { .. } if promoting.is_none() => Some("writes are paused before a promotion only"),
        Order::Pause { .. } | Order::Unpause => None,
        Order::StepDown { to } | Order::Yield { to, .. } => {
            let coordinated = promoting.filter(|open| open.kind == FailoverKind::Coordinated);
            let wanted = |open: &Failover| {
                let candidate = open.candidate == *to && address != *to;
                candidate && open.old_primary == address && open.old_run_id.as_ref() == Some(run_id)
            };
            (!coordinated.is_some_and(wanted))
                .then_some("only the primary of a coordinated failover steps down, for its candidate")
        }
        Order::TakeBack => {
            let undone = group
                .failover
                .as_ref()
                .filter(|open| matches!(open.stage, Stage::Undo { .. }));
            let wanted = |open: &Failover| open.old_primary == address && open.old_run_id.as_ref() == Some(run_id);
            (!undone.is_some_and(wanted)).then_some("only a failover that is undone gives its primary the role back")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::failover::testing::{ADDRESSES, facts, group, member};
    use crate::model::{Automatic, Role};

    const NOW: Timestamp = Timestamp(1_000);

    fn promoting(candidate: Address, run_id: &str) -> Group {
        let mut group = group();
        group.members.insert(ADDRESSES[1], member("b"));
        group.members.insert(ADDRESSES[2], member("c"));
        group.failover = Some(Failover {
            epoch: 1,
            kind: FailoverKind::Automatic,
            candidate,
            candidate_run_id: RunId::new(run_id),
            old_primary: ADDRESSES[0],
            old_run_id: None,
            opened_at: crate::model::Timestamp(0),
            stage: Stage::Promote,
        });
        group
    }

    fn stands(group: &Group, address: Address, run_id: &str, order: &Order) -> bool {
        let read = facts(run_id, Role::Replica);
        let read = Read {
            facts: &read,
            wall: NOW,
        };
        still_stands(group, &BTreeMap::new(), address, read, &RunId::new(run_id), order)
    }

    /// Found by the simulator, seed 3247869: the first form was held on its way for a second and refused for its frills;
    /// when the bare form left, the candidate had copied the primary that had lost its data.
    #[test]
    fn a_candidate_that_copied_other_data_is_not_promoted_with_the_second_form() {
        let open = promoting(ADDRESSES[1], "b");
        let (own, mut other) = (facts("b", Role::Replica), facts("b", Role::Replica));
        other.lineage.as_mut().unwrap().replid = "fresh".into();
        let stands = |read: &Facts, probed: &Facts| {
            let seen = Sighting {
                facts: Some(Arc::new(probed.clone())),
                ..Sighting::default()
            };
            let sightings = BTreeMap::from([(ADDRESSES[1], seen)]);
            let read = Read { facts: read, wall: NOW };
            still_stands(&open, &sightings, ADDRESSES[1], read, &RunId::new("b"), &Order::Promote)
        };
        assert!(stands(&own, &own));
        assert!(!stands(&other, &own), "read on the link");
        assert!(!stands(&own, &other), "seen by the probe");
        let mut loads = own.clone();
        loads.loading = true;
        assert!(!stands(&loads, &own), "the copy that it loads may be of anything");
        other.run_id = RunId::new("before");
        assert!(stands(&own, &other), "what another process had says nothing");
    }

    /// Found by the simulator: a candidate that was slow to refuse the first form of the order got the second one after
    /// the failover had been given up.
    #[test]
    fn an_order_to_promote_stands_as_long_as_its_failover_is_open() {
        let open = promoting(ADDRESSES[1], "b");
        assert!(stands(&open, ADDRESSES[1], "b", &Order::Promote));
        assert!(!stands(&open, ADDRESSES[1], "restarted", &Order::Promote));
        assert!(!stands(&open, ADDRESSES[2], "c", &Order::Promote));
        let mut aborted = open;
        aborted.failover = None;
        assert!(!stands(&aborted, ADDRESSES[1], "b", &Order::Promote));
    }

    #[test]
    fn nobody_is_sent_to_a_primary_that_is_not_seen() {
        let mut group = promoting(ADDRESSES[1], "b");
        group.failover = None;
        let follow = Order::Follow {
            host: None,
            primary: ADDRESSES[0],
            disconnect_clients: false,
        };
        assert!(broken_rule(&group, ADDRESSES[1], &RunId::new("b"), &follow, NOW).is_none());
        assert!(!stands(&group, ADDRESSES[1], "b", &follow));
    }

    #[test]
    fn nobody_is_repaired_while_automatic_failover_is_off() {
        let follow = Order::Follow {
            primary: ADDRESSES[0],
            host: None,
            disconnect_clients: true,
        };
        let lawful = |automatic| {
            let mut group = promoting(ADDRESSES[1], "b");
            group.failover = None;
            group.config.automatic = automatic;
            broken_rule(&group, ADDRESSES[1], &RunId::new("b"), &follow, NOW).is_none()
        };
        assert!(lawful(Automatic::On));
        assert!(!lawful(Automatic::Off));
        assert!(!lawful(Automatic::OffUntil(Timestamp(NOW.0 + 1))));
        assert!(lawful(Automatic::OffUntil(NOW)), "it is over");
    }
}
