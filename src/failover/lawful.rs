//! Which orders the committed state allows. Asked when one is planned, and again right before each write: between the
//! two an instance may have answered slowly, or refused the first form, while the group moved on.

use std::collections::BTreeMap;

use crate::failover::Order;
use crate::model::{Address, Group, RunId, Sighting, Stage, Timestamp, Verdict};

/// Whether an order that was planned may still be written, by what is committed now and what this node sees now. `wall` is
/// the time that an entry proposed now would get.
pub fn still_stands(
    group: &Group,
    sightings: &BTreeMap<Address, Sighting>,
    address: Address,
    run_id: &RunId,
    order: &Order,
    wall: Timestamp,
) -> bool {
    let sees_up = |address: &Address| {
        let sighting = sightings.get(address);
        sighting.is_some_and(|sighting| sighting.verdict == Verdict::Up)
    };
    // Rule 11: nobody is sent to a primary that is not seen.
    let primary_seen = !matches!(order, Order::Follow { .. }) || sees_up(&group.primary);
    primary_seen && broken_rule(group, address, run_id, order, wall).is_none()
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
            } else if promoting.is_some() {
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
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::failover::testing::{ADDRESSES, group, member};
    use crate::model::{Automatic, Failover, FailoverKind};

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
        still_stands(group, &BTreeMap::new(), address, &RunId::new(run_id), order, NOW)
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
