use super::*;
use crate::failover::memory::{LinkMemory, Memory};
use crate::failover::promote::tests::{CANDIDATE, NOW, PRIMARY, Stand};
use crate::failover::testing::{facts, scene};
use crate::machine::Command;
use crate::model::{FailoverKind, Verdict};

const SOON: Instant = Instant(NOW.0 + 10);
const STEP_DOWN: Order = Order::StepDown { to: CANDIDATE };
const PAUSE: Order = Order::Pause { ms: PAUSE_MS };
const YIELD: Order = Order::Yield {
    to: CANDIDATE,
    host: None,
    ms: PAUSE_MS,
};

/// A coordinated failover was opened a moment ago; the primary's writes are held back at offset 200.
fn stand() -> Stand {
    let mut stand = Stand::new();
    stand.group.failover.as_mut().unwrap().kind = FailoverKind::Coordinated;
    stand
}

/// What the old primary said last on its link, at that time.
fn primary_says(stand: &mut Stand, at: Instant, change: impl FnOnce(&mut Facts)) {
    let mut says = facts("a", Role::Primary);
    change(&mut says);
    stand.link(PRIMARY, Arc::new(says), at);
}

fn stepped_down(written: u64) -> impl FnOnce(&mut Facts) {
    move |says| {
        says.role = Role::Replica;
        says.primary = Some(CANDIDATE);
        says.primary_offset = written;
    }
}

fn last_order(stand: &mut Stand, order: Order, answer: Result<Option<Arc<Facts>>, OrderFault>) {
    let ended = OrderMemory {
        order,
        at: NOW,
        epoch: Some(1),
        answer: Some(answer),
    };
    stand.memory.orders.insert(PRIMARY, ended);
}

/// Why it is given up, if it is.
fn given_up(stand: &Stand, now: Instant) -> Option<Fault> {
    stand.plan_at(now).into_iter().find_map(|action| match action {
        Action::Propose(Command::UndoFailover { fault, .. }) => Some(fault),
        Action::Propose(other) => panic!("{other:?}"),
        _ => None,
    })
}

fn no_longer(why: &str) -> Option<Fault> {
    Some(Fault::Primary(why.into()))
}

#[test]
fn the_primary_is_paused_first_and_steps_down_when_its_candidate_has_everything() {
    let mut stand = stand();
    stand.memory.orders.clear();
    stand.memory.paused = None;
    stand.candidate_has(200, NOW);
    assert_eq!(stand.orders_at(SOON), [PAUSE]);
    let mut stand = self::stand();
    stand.candidate_has(199, NOW);
    assert_eq!(stand.orders_at(SOON), []);
    stand.candidate_has(200, NOW);
    assert_eq!(
        stand.orders_at(SOON),
        [STEP_DOWN],
        "nobody is promoted beside a primary"
    );
}

#[test]
fn nothing_is_held_back_for_a_candidate_that_is_not_reached() {
    let mut stand = stand();
    stand.memory.orders.clear();
    stand.memory.paused = None;
    stand.memory.links.remove(&CANDIDATE);
    assert_eq!(stand.orders_at(SOON), []);
}

#[test]
fn the_candidate_is_promoted_when_the_primary_is_none_any_more_and_has_not_a_byte_more() {
    let mut stand = stand();
    stand.candidate_has(200, NOW);
    last_order(&mut stand, STEP_DOWN, Ok(None));
    primary_says(&mut stand, NOW, stepped_down(201));
    assert_eq!(stand.orders_at(SOON), [], "the pause had run out");
    let deadline = NOW.plus(STEP_DOWN_MS);
    primary_says(&mut stand, deadline, stepped_down(201));
    stand.candidate_has(200, deadline);
    assert_eq!(given_up(&stand, deadline), no_longer("did not step down in time"));
    primary_says(&mut stand, NOW, stepped_down(200));
    stand.candidate_has(200, NOW);
    assert_eq!(stand.orders_at(SOON), [Order::Promote]);
}

/// It may have been made a primary again since.
#[test]
fn that_the_primary_stepped_down_is_fresh_news() {
    let mut stand = stand();
    primary_says(&mut stand, NOW, stepped_down(200));
    let later = NOW.plus(FRESH_MS + 1);
    stand.candidate_has(200, later);
    assert_eq!(stand.plan_at(later), [Action::ReadInfo(PRIMARY)]);
}

/// A successor knows from the log that writes may be held back, and asks the primary how far it is.
#[test]
fn a_successor_begins_anew_or_goes_on_from_where_the_primary_is() {
    let mut stand = stand();
    stand.candidate_has(200, NOW);
    stand.memory.orders.clear();
    let attempt = stand.memory.attempt.as_mut().unwrap();
    attempt.mine = false;
    stand.memory.paused.as_mut().unwrap().offset = None;
    primary_says(&mut stand, NOW, |_| {});
    assert_eq!(stand.orders_at(SOON), [PAUSE]);
    primary_says(&mut stand, NOW, stepped_down(200));
    assert_eq!(stand.orders_at(SOON), [Order::Promote]);
    let before = Instant(NOW.0 - 1);
    primary_says(&mut stand, before, stepped_down(200));
    assert_eq!(stand.orders_at(SOON), [], "that was before it took over");
}

#[test]
fn the_log_tells_a_successor_whose_writes_may_be_held_back() {
    let stand = stand();
    for (kind, paused) in [(FailoverKind::Coordinated, true), (FailoverKind::Operator, false)] {
        let mut group = stand.group.clone();
        group.failover.as_mut().unwrap().kind = kind;
        let scene = crate::failover::Scene {
            group: &group,
            ..scene()
        };
        let mut memory = Memory::new(NOW);
        memory.observe(&scene, NOW);
        assert_eq!(memory.paused.is_some_and(|paused| paused.address == PRIMARY), paused);
    }
}

#[test]
fn a_primary_that_refuses_is_asked_to_do_it_by_itself_and_then_it_is_given_up() {
    let refused = || Err(OrderFault::Refused("NOPERM".into()));
    for order in [PAUSE, STEP_DOWN] {
        let mut stand = stand();
        stand.candidate_has(200, NOW);
        last_order(&mut stand, order, refused());
        assert_eq!(stand.orders_at(SOON), [YIELD]);
        primary_says(&mut stand, NOW, |says| says.failing_over = None);
        assert!(given_up(&stand, SOON).is_some(), "it has no FAILOVER");
        primary_says(&mut stand, NOW, |_| {});
        last_order(&mut stand, YIELD, refused());
        assert_eq!(given_up(&stand, SOON), no_longer("NOPERM"));
    }
}

#[test]
fn while_the_primary_fails_over_by_itself_its_candidate_is_left_alone() {
    let mut stand = stand();
    stand.candidate_has(200, NOW);
    last_order(&mut stand, YIELD, Ok(None));
    for role in [Role::Primary, Role::Replica] {
        primary_says(&mut stand, NOW, |says| {
            stepped_down(200)(says);
            says.role = role;
            says.failing_over = Some(true);
        });
        assert_eq!(stand.orders_at(SOON), []);
    }
    primary_says(&mut stand, NOW, stepped_down(200));
    stand.link(CANDIDATE, Arc::new(facts("b", Role::Primary)), NOW);
    assert_eq!(stand.orders_at(SOON), [Order::Promote], "for its clients and its file");
    primary_says(&mut stand, NOW, |_| {});
    stand.candidate_has(200, NOW);
    assert_eq!(given_up(&stand, SOON), no_longer("gave its FAILOVER up"));
}

/// An operator, by hand: whatever the primary acknowledges meanwhile the candidate does not have.
#[test]
fn a_candidate_that_is_a_primary_beside_its_primary_is_not_announced() {
    let mut stand = stand();
    stand.link(CANDIDATE, Arc::new(facts("b", Role::Primary)), NOW);
    assert_eq!(
        given_up(&stand, SOON),
        no_longer("somebody else promoted the candidate")
    );
    let refused = LinkMemory::Failed {
        at: NOW,
        fault: crate::failover::LinkFault::Refused,
    };
    stand.memory.links.insert(PRIMARY, refused);
    assert_eq!(given_up(&stand, SOON), no_longer("connection refused"));
    stand.memory.attempt.as_mut().unwrap().mine = false;
    assert_eq!(
        stand.orders_at(SOON),
        [Order::Promote],
        "a leader before this one got as far"
    );
    stand.candidate_has(200, NOW);
    assert_eq!(given_up(&stand, SOON), no_longer("connection refused"));
}

/// Found by the simulator, seed 6116897: somebody had made the candidate a master by hand, and the old primary hung.
#[test]
fn a_candidate_that_somebody_else_promoted_does_not_prove_that_the_primary_stepped_down() {
    let mut stand = stand();
    stand.memory.orders.clear();
    stand.link(CANDIDATE, Arc::new(facts("b", Role::Primary)), NOW);
    stand.memory.links.remove(&PRIMARY);
    stand.primary_is_down(3);
    assert_eq!(stand.orders_at(SOON), []);
    for (answer, may_be_ours) in [
        (OrderFault::LeaseLost, false),
        (OrderFault::Refused("no".into()), false),
        (OrderFault::Unknown, true),
    ] {
        last_order(&mut stand, YIELD, Err(answer.clone()));
        assert_eq!(stand.orders_at(SOON) == [Order::Promote], may_be_ours, "{answer:?}");
    }
    stand.memory.orders.clear();
    stand.memory.attempt.as_mut().unwrap().mine = false;
    assert_eq!(
        stand.orders_at(SOON),
        [Order::Promote],
        "a leader before may have done it"
    );
}

#[test]
fn a_candidate_that_is_lost_ends_it() {
    let mut stand = stand();
    stand.sees(CANDIDATE, Verdict::Down { since: NOW }, facts("b", Role::Replica));
    let fault = given_up(&stand, SOON);
    assert_eq!(fault, Some(Fault::Candidate("down".into())));
}

#[test]
fn it_is_given_up_in_time_unless_the_promotion_is_on_its_way() {
    let mut stand = stand();
    let deadline = NOW.plus(STEP_DOWN_MS);
    stand.candidate_has(199, deadline);
    assert_eq!(given_up(&stand, Instant(deadline.0 - 1)), None);
    assert_eq!(given_up(&stand, deadline), no_longer("did not step down in time"));
    const { assert!(PAUSE_MS > STEP_DOWN_MS, "the pause outlasts the waiting") };
    stand.memory.attempt.as_mut().unwrap().promote_sent = true;
    assert_eq!(given_up(&stand, deadline), None);
}

/// Found by the simulator, seed 7404728: the end was proposed in time, and the log moved on before it was committed.
#[test]
fn nothing_is_held_back_after_the_time_to_step_down() {
    let mut stand = stand();
    let fault = Err(OrderFault::Unknown);
    last_order(&mut stand, STEP_DOWN, fault);
    let late = NOW.plus(STEP_DOWN_MS);
    primary_says(&mut stand, late, |_| {});
    stand.candidate_has(150, late);
    assert_eq!(stand.orders_at(Instant(late.0 - 1)), [PAUSE]);
    assert_eq!(stand.orders_at(late), []);
    assert_eq!(given_up(&stand, late), no_longer("did not step down in time"));
    // It had stepped down, and was made a master again while the promotion was on its way: nothing to wait for.
    last_order(&mut stand, STEP_DOWN, Ok(None));
    stand.memory.attempt.as_mut().unwrap().promote_sent = true;
    assert_eq!(given_up(&stand, late), no_longer("is a master again"));
}

/// Its writes are not held back yet; it has written up to there, and its candidate has `has`.
fn not_paused(written: u64, has: u64) -> Stand {
    let mut stand = stand();
    stand.memory.orders.clear();
    stand.memory.paused = None;
    primary_says(&mut stand, NOW, |says| says.primary_offset = written);
    stand.candidate_has(has, NOW);
    stand
}

#[test]
fn writes_go_on_while_the_candidate_is_far_behind() {
    let stand = not_paused(BEHIND_BYTES_MAX + 201, 200);
    assert_eq!(stand.orders_at(SOON), []);
    let later = NOW.plus(POLL_MS);
    let reads = [Action::ReadInfo(PRIMARY), Action::ReadInfo(CANDIDATE)];
    assert_eq!(stand.plan_at(later), reads, "both are asked again");
    assert_eq!(not_paused(BEHIND_BYTES_MAX + 200, 200).orders_at(SOON), [PAUSE]);
    let limit = NOW.plus(CATCH_UP_MS);
    let mut stand = not_paused(BEHIND_BYTES_MAX + 201, 200);
    stand.candidate_has(200, limit);
    assert_eq!(given_up(&stand, Instant(limit.0 - 1)), None);
    assert_eq!(stand.orders_at(limit), [PAUSE], "without writes it may catch up");
}

#[test]
fn the_time_to_step_down_begins_with_the_pause() {
    let mut stand = stand();
    let paused_at = NOW.plus(CATCH_UP_MS);
    stand.memory.paused.as_mut().unwrap().since = Some(paused_at);
    let deadline = paused_at.plus(STEP_DOWN_MS);
    stand.candidate_has(199, deadline);
    assert_eq!(given_up(&stand, Instant(deadline.0 - 1)), None);
    assert_eq!(given_up(&stand, deadline), no_longer("did not step down in time"));
}

/// A pause that is ordered again for want of an answer is no new one.
#[test]
fn the_pause_began_with_its_first_order() {
    let stand = not_paused(200, 200);
    let mut memory = stand.memory.clone();
    let pause = Action::Order {
        address: PRIMARY,
        run_id: RunId::new("a"),
        order: PAUSE,
    };
    let scene = crate::failover::Scene {
        group: &stand.group,
        ..scene()
    };
    for at in [SOON, SOON.plus(100)] {
        memory.started(&scene, &pause, at);
        assert_eq!(memory.paused.as_ref().unwrap().since, Some(SOON));
    }
}

/// What it acknowledged after its pause had run out is only there: it must not be left to copy its candidate.
#[test]
fn a_primary_that_wrote_more_than_its_candidate_ever_gets_has_its_role_back_at_once() {
    let mut stand = stand();
    last_order(&mut stand, STEP_DOWN, Ok(None));
    primary_says(&mut stand, NOW, stepped_down(201));
    stand.candidate_has(200, SOON);
    assert_eq!(given_up(&stand, SOON), None, "the rest may be on its way");
    let mut cut = facts("b", Role::Replica);
    (cut.replica_offset, cut.primary_link_up) = (200, false);
    stand.link(CANDIDATE, Arc::new(cut.clone()), NOW);
    assert_eq!(given_up(&stand, SOON), None, "that was before");
    stand.link(CANDIDATE, Arc::new(cut.clone()), SOON);
    assert_eq!(given_up(&stand, SOON), no_longer("wrote more than its candidate has"));
    cut.replica_offset = 201;
    stand.link(CANDIDATE, Arc::new(cut), SOON);
    assert_eq!(stand.orders_at(SOON), [Order::Promote]);
}

#[test]
fn a_candidate_that_announces_a_name_is_failed_over_to_by_that() {
    let mut stand = stand();
    let name = HostName::new("redis-b").unwrap();
    stand.group.hosts.insert(CANDIDATE, name.clone());
    stand.candidate_has(200, NOW);
    last_order(&mut stand, PAUSE, Err(OrderFault::Refused("NOPERM".into())));
    let line = NamedReplica {
        host: name.clone(),
        port: CANDIDATE.port,
        online: true,
        offset: 200,
    };
    primary_says(&mut stand, NOW, |says| says.named_replicas = vec![line]);
    let by_name = Order::Yield {
        to: CANDIDATE,
        host: Some(name),
        ms: PAUSE_MS,
    };
    assert_eq!(stand.orders_at(SOON), [by_name]);
    // That is how it says then whom it follows.
    primary_says(&mut stand, NOW, |says| {
        stepped_down(200)(says);
        says.primary = None;
        (says.primary_host, says.primary_port) = ("redis-b".to_owned(), CANDIDATE.port);
    });
    assert_eq!(stand.orders_at(SOON), [Order::Promote]);
}
