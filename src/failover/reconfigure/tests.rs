use super::*;
use crate::failover::memory::{Attempt, LinkMemory, Memory, OrderMemory};
use crate::failover::testing::{ADDRESSES, facts, group, member, scene};
use crate::failover::{self, Action, Scene};
use crate::model::{FailoverKind, LinkState, Sighting, Stage, Timestamp};

const NOW: Instant = Instant(1_000_000);

/// Who is told to follow, one at a time, a moment after the order to the first of two replicas ended like this.
fn told_after(fault: OrderFault, waited: Age) -> Vec<Address> {
    told_beside(ReconfStep::Waiting, fault, waited)
}

/// The same while the second one is as far as this.
fn told_beside(second_is: ReconfStep, fault: OrderFault, waited: Age) -> Vec<Address> {
    let [primary, first, second] = ADDRESSES;
    let old_primary: Address = "10.0.0.9:6379".parse().unwrap();
    let mut group = group();
    group.config.parallel_syncs = 1;
    let mut memory = Memory::new(NOW);
    let mut sightings = BTreeMap::new();
    for (address, run_id) in [(primary, "a"), (first, "b"), (second, "c")] {
        let role = if address == primary {
            Role::Primary
        } else {
            Role::Replica
        };
        let mut facts = facts(run_id, role);
        facts.primary = (address != primary).then_some(old_primary);
        let facts = Arc::new(facts);
        let sighting = Sighting {
            verdict: Verdict::Up,
            link: LinkState::Connected,
            facts: Some(facts.clone()),
            facts_at: Some(NOW),
            ..Sighting::default()
        };
        let open = LinkMemory::Open {
            facts,
            facts_at: NOW,
            reading: false,
        };
        group.members.insert(address, member(run_id));
        sightings.insert(address, sighting);
        memory.links.insert(address, open);
    }
    group.epoch = 1;
    group.failover = Some(Failover {
        epoch: 1,
        kind: FailoverKind::Automatic,
        candidate: primary,
        candidate_run_id: RunId::new("a"),
        old_primary,
        old_run_id: None,
        opened_at: Timestamp(0),
        stage: Stage::Reconfigure {
            steps: [(first, ReconfStep::Waiting), (second, second_is)].into(),
        },
    });
    memory.attempt = Some(Attempt {
        epoch: 1,
        promoting: false,
        entered_at: NOW,
        mine: true,
        promote_sent: true,
        sent_before: true,
    });
    let order = OrderMemory {
        order: Order::Follow {
            host: None,
            primary,
            disconnect_clients: false,
        },
        at: NOW,
        epoch: Some(1),
        answer: Some(Err(fault)),
    };
    memory.orders.insert(first, order);
    let scene = Scene {
        group: &group,
        sightings: &sightings,
        ..scene()
    };
    let actions = failover::plan(&scene, &memory, NOW.plus(waited)).actions;
    let told = actions.into_iter().filter_map(|action| match action {
        Action::Order { address, .. } => Some(address),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_replica_whose_answer_was_lost_may_copy_already_and_keeps_its_slot() {
    assert_eq!(told_after(OrderFault::Unknown, 10), []);
    assert_eq!(told_after(OrderFault::Unknown, RETRY_MS), [ADDRESSES[1]]);
}

/// Found by the simulator, seed 1029939: it was out of reach for a while, and another one was told meanwhile.
#[test]
fn a_replica_whose_answer_was_lost_is_not_told_again_while_another_has_its_slot() {
    assert_eq!(told_beside(ReconfStep::InProgress, OrderFault::Unknown, RETRY_MS), []);
    assert_eq!(
        told_beside(ReconfStep::Done, OrderFault::Unknown, RETRY_MS),
        [ADDRESSES[1]]
    );
}

#[test]
fn an_order_that_was_never_sent_keeps_no_slot() {
    assert_eq!(told_after(OrderFault::Unreachable, 10), [ADDRESSES[2]]);
}
