//! Stage Undo: a coordinated failover is given up, and that is committed. The old primary gets its role and its writes
//! back, and only then the failover ends: a leader that dies in between leaves its successor something to do.

use crate::failover::draft::{Draft, LinkView, OrderView};
use crate::failover::promote::PAUSE_MS;
use crate::failover::{Order, OrderFault};
use crate::machine::Command;
use crate::model::{Age, Facts, Failover, Fault, Role};

/// After this long a pause has run out by itself, and who does not answer is left to repair, or to a new primary.
const UNDO_MS: Age = PAUSE_MS + 1_000;
/// How soon it is ordered again.
const RETRY_MS: Age = 100;

pub(super) fn plan(draft: &mut Draft<'_>, failover: &Failover, fault: &Fault) {
    match undo(draft, failover) {
        Undone::Yes => end(draft, failover, fault),
        Undone::NotYet => {
            let deadline = draft.attempt().entered_at.plus(UNDO_MS);
            if draft.now >= deadline {
                end(draft, failover, fault);
            } else {
                draft.wake_by(deadline);
            }
        }
    }
}

enum Undone {
    Yes,
    NotYet,
}

fn undo(draft: &mut Draft<'_>, failover: &Failover) -> Undone {
    let primary = failover.old_primary;
    let known = failover.old_run_id.clone();
    let Some(run_id) = known.filter(|_| draft.group.members.contains_key(&primary)) else {
        return Undone::Yes;
    };
    match draft.link(primary, &run_id) {
        LinkView::Ready { .. } => {}
        // What was held back is gone with the process.
        LinkView::Refused | LinkView::OtherProcess => return Undone::Yes,
        // The next failover does not wait for who may be dead.
        LinkView::NotYet if draft.scene.outage_agreed() => return Undone::Yes,
        LinkView::NotYet => return Undone::NotYet,
    }
    let is_take_back = |order: &Order| *order == Order::TakeBack;
    match draft.last_order(primary, draft.attempt().entered_at, is_take_back) {
        OrderView::UnderWay => return Undone::NotYet,
        OrderView::Ended(memory) => match &memory.answer {
            Some(Ok(Some(facts))) if takes_writes(facts) => return Undone::Yes,
            Some(Err(OrderFault::OtherProcess | OrderFault::Unreachable)) => return Undone::Yes,
            _ => {
                let retry_at = memory.at.plus(RETRY_MS);
                if draft.now < retry_at {
                    draft.wake_by(retry_at);
                    return Undone::NotYet;
                }
            }
        },
        OrderView::None => {}
    }
    if !draft.order_under_way(primary) {
        draft.order(primary, &run_id, Order::TakeBack);
    }
    Undone::NotYet
}

fn takes_writes(facts: &Facts) -> bool {
    facts.role == Role::Primary && facts.failing_over != Some(true)
}

fn end(draft: &mut Draft<'_>, failover: &Failover, fault: &Fault) {
    let (group, on) = draft.target();
    draft.propose(Command::AbortFailover {
        group,
        on,
        epoch: failover.epoch,
        fault: fault.clone(),
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::detect::Tally;
    use crate::failover::memory::{LinkMemory, OrderMemory};
    use crate::failover::testing::{ADDRESSES, facts, group, member, scene};
    use crate::failover::{self, Action, LinkFault, Memory, Scene};
    use crate::model::{FailoverKind, Group, Instant, RunId, Stage, Timestamp};

    const NOW: Instant = Instant(1_000_000);

    struct Stand {
        group: Group,
        tally: Tally,
        memory: Memory,
    }

    impl Stand {
        fn new() -> Self {
            let mut group = group();
            group.members.insert(ADDRESSES[1], member("b"));
            group.epoch = 1;
            group.failover = Some(Failover {
                epoch: 1,
                kind: FailoverKind::Coordinated,
                candidate: ADDRESSES[1],
                candidate_run_id: RunId::new("b"),
                old_primary: ADDRESSES[0],
                old_run_id: Some(RunId::new("a")),
                opened_at: Timestamp(0),
                stage: Stage::Undo { fault: Fault::Timeout },
            });
            Self {
                group,
                tally: Tally::default(),
                memory: Memory::new(NOW),
            }
        }

        fn plan_at(&mut self, now: Instant) -> Vec<Action> {
            let scene = Scene {
                group: &self.group,
                tally: &self.tally,
                ..scene()
            };
            self.memory.observe(&scene, NOW);
            failover::plan(&scene, &self.memory, now).actions
        }

        fn ends_at(&mut self, now: Instant) -> bool {
            let mut actions = self.plan_at(now).into_iter();
            actions.any(|action| {
                matches!(
                    action,
                    Action::Propose(Command::AbortFailover {
                        fault: Fault::Timeout,
                        ..
                    })
                )
            })
        }

        fn open(&mut self, role: Role) {
            let open = LinkMemory::Open {
                facts: Arc::new(facts("a", role)),
                facts_at: NOW,
                reading: false,
            };
            self.memory.links.insert(ADDRESSES[0], open);
        }

        fn answered(&mut self, role: Role) {
            let answered = OrderMemory {
                order: Order::TakeBack,
                at: NOW,
                epoch: Some(1),
                answer: Some(Ok(Some(Arc::new(facts("a", role))))),
            };
            self.memory.orders.insert(ADDRESSES[0], answered);
        }
    }

    #[test]
    fn it_ends_when_the_old_primary_takes_writes_again() {
        let mut stand = Stand::new();
        assert_eq!(stand.plan_at(NOW), [Action::OpenLink(ADDRESSES[0])]);
        stand.open(Role::Replica);
        let ordered = |actions: &[Action]| matches!(actions, [Action::Order { address, order: Order::TakeBack, .. }] if *address == ADDRESSES[0]);
        assert!(ordered(&stand.plan_at(NOW)));
        stand.answered(Role::Replica);
        assert_eq!(stand.plan_at(NOW), [], "in a moment");
        assert!(ordered(&stand.plan_at(NOW.plus(RETRY_MS))), "it is told again");
        stand.answered(Role::Primary);
        assert!(stand.ends_at(NOW));
    }

    #[test]
    fn who_does_not_answer_is_waited_for_until_no_pause_can_last() {
        let mut stand = Stand::new();
        stand.memory.links.insert(ADDRESSES[0], LinkMemory::Opening);
        assert!(!stand.ends_at(NOW.plus(UNDO_MS - 1)));
        assert!(stand.ends_at(NOW.plus(UNDO_MS)));
        stand.tally.down = 1;
        assert!(stand.ends_at(NOW), "its successor is wanted");
    }

    #[test]
    fn what_a_process_held_back_ends_with_it() {
        let mut stand = Stand::new();
        let refused = LinkMemory::Failed {
            at: NOW,
            fault: LinkFault::Refused,
        };
        stand.memory.links.insert(ADDRESSES[0], refused);
        assert!(stand.ends_at(NOW));
    }
}
