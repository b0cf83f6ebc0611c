use std::collections::BTreeMap;

use super::fence::{EQUAL_OFFSETS_MS, EQUAL_OFFSETS_OUTAGE_MS, PAUSE_MS, pauses_writes};
use super::*;
use crate::detect::Tally;
use crate::failover::memory::{LinkMemory, Memory, Paused};
use crate::failover::testing::{ADDRESSES, facts, group, member, scene};
use crate::failover::{self, LinkFault, Scene};
use crate::model::{Group, LinkState, RunId, Sighting, Stage, Timestamp};

pub(super) const NOW: Instant = Instant(1_000_000);
pub(super) const PRIMARY: Address = ADDRESSES[0];
pub(super) const CANDIDATE: Address = ADDRESSES[1];

/// An operator's failover was opened a moment ago; the primary's writes are held back at offset 200.
pub(super) struct Stand {
    pub(super) group: Group,
    sightings: BTreeMap<Address, Sighting>,
    tally: Tally,
    pub(super) memory: Memory,
}

impl Stand {
    pub(super) fn new() -> Self {
        let mut group = group();
        group.members.insert(CANDIDATE, member("b"));
        group.epoch = 1;
        group.failover = Some(Failover {
            epoch: 1,
            kind: FailoverKind::Operator,
            candidate: CANDIDATE,
            candidate_run_id: RunId::new("b"),
            old_primary: PRIMARY,
            old_run_id: Some(RunId::new("a")),
            opened_at: Timestamp(0),
            stage: Stage::Promote,
        });
        let mut memory = Memory::new(NOW);
        memory.attempt = Some(Attempt {
            epoch: 1,
            promoting: true,
            entered_at: NOW,
            mine: true,
            promote_sent: false,
            sent_before: false,
        });
        let mut stand = Self {
            group,
            sightings: BTreeMap::new(),
            tally: Tally::default(),
            memory,
        };
        stand.memory.paused = Some(Paused {
            address: PRIMARY,
            run_id: RunId::new("a"),
            since: Some(NOW),
            offset: Some(200),
        });
        let primary = facts("a", Role::Primary);
        stand.answer(PRIMARY, "a", Order::Pause { ms: PAUSE_MS }, primary.clone());
        stand.sees(PRIMARY, Verdict::Up, primary);
        stand.sees(CANDIDATE, Verdict::Up, facts("b", Role::Replica));
        stand
    }

    pub(super) fn sees(&mut self, address: Address, verdict: Verdict, facts: Facts) {
        let sighting = Sighting {
            verdict,
            link: LinkState::Connected,
            facts: Some(Arc::new(facts)),
            facts_at: Some(NOW),
            ..Sighting::default()
        };
        self.sightings.insert(address, sighting);
    }

    pub(super) fn answer(&mut self, address: Address, run_id: &str, order: Order, facts: Facts) {
        let facts = Arc::new(facts);
        let run_id = RunId::new(run_id);
        assert_eq!(facts.run_id, run_id);
        let answered = OrderMemory {
            order,
            at: NOW,
            epoch: Some(1),
            answer: Some(Ok(Some(facts.clone()))),
        };
        self.memory.orders.insert(address, answered);
        self.link(address, facts, NOW);
    }

    pub(super) fn link(&mut self, address: Address, facts: Arc<Facts>, facts_at: Instant) {
        let open = LinkMemory::Open {
            facts,
            facts_at,
            reading: false,
        };
        self.memory.links.insert(address, open);
    }

    /// The candidate said at that time that it has this much.
    pub(super) fn candidate_has(&mut self, offset: u64, at: Instant) {
        let mut has = facts("b", Role::Replica);
        has.replica_offset = offset;
        self.link(CANDIDATE, Arc::new(has), at);
    }

    pub(super) fn plan(&self) -> Vec<Action> {
        self.plan_at(NOW.plus(10))
    }

    pub(super) fn plan_at(&self, now: Instant) -> Vec<Action> {
        let scene = Scene {
            group: &self.group,
            sightings: &self.sightings,
            tally: &self.tally,
            ..scene()
        };
        failover::plan(&scene, &self.memory, now).actions
    }

    fn promotes(&self) -> bool {
        self.promotes_at(NOW.plus(10))
    }

    fn promotes_at(&self, now: Instant) -> bool {
        self.orders_at(now).contains(&Order::Promote)
    }

    pub(super) fn orders_at(&self, now: Instant) -> Vec<Order> {
        let orders = self.plan_at(now).into_iter().filter_map(|action| match action {
            Action::Order { order, .. } => Some(order),
            _ => None,
        });
        orders.collect()
    }

    /// This node judges the primary Down, and so do as many in all.
    pub(super) fn primary_is_down(&mut self, votes: u32) {
        self.sees(PRIMARY, Verdict::Down { since: NOW }, facts("a", Role::Primary));
        self.tally.electorate = 3;
        self.tally.down = votes;
    }

    /// The order to hold back writes is as far as this.
    fn pause_is(&mut self, answer: Option<Result<Option<Arc<Facts>>, OrderFault>>) {
        self.memory.paused.as_mut().unwrap().offset = None;
        self.memory.orders.get_mut(&PRIMARY).unwrap().answer = answer;
    }
}

#[test]
fn the_order_waits_until_the_candidate_has_all_that_was_written() {
    let mut stand = Stand::new();
    stand.candidate_has(199, NOW);
    assert!(!stand.promotes());
    stand.candidate_has(200, NOW);
    assert!(stand.promotes());
}

/// Found by the simulator, seed 202308: the leader stood still between commit 1 and the order.
#[test]
fn what_the_order_rests_on_is_fresh() {
    let mut stand = Stand::new();
    stand.candidate_has(200, NOW);
    assert!(stand.promotes());
    let later = stand.plan_at(NOW.plus(FRESH_MS + 1));
    assert_eq!(later, [Action::ReadInfo(CANDIDATE)]);
}

/// Found by the simulator, seed 715: the candidate had been the primary before, and had written more then.
#[test]
fn an_offset_read_before_the_failover_may_be_of_a_stream_that_the_candidate_has_left() {
    let mut stand = Stand::new();
    stand.candidate_has(300, Instant(NOW.0 - 1));
    assert!(!stand.promotes());
    assert!(stand.plan().contains(&Action::ReadInfo(CANDIDATE)));
}

/// Found by the simulator, seed 205443: it was restarted, and its replica had only to connect again.
#[test]
fn a_paused_primary_that_is_lost_from_sight_still_sends_its_last_writes() {
    let mut stand = Stand::new();
    stand.sees(PRIMARY, Verdict::Down { since: NOW }, facts("a", Role::Primary));
    stand.candidate_has(199, NOW);
    assert!(!stand.promotes());
    stand.candidate_has(200, NOW);
    assert!(stand.promotes());
    stand.candidate_has(199, NOW);
    let refused = LinkMemory::Failed {
        at: NOW,
        fault: LinkFault::Refused,
    };
    stand.memory.links.insert(PRIMARY, refused);
    assert!(stand.promotes(), "nothing more will come");
}

/// One node alone may be mistaken, and nobody is in a hurry.
#[test]
fn an_operators_failover_fences_a_primary_that_is_not_agreed_to_be_down() {
    let mut stand = Stand::new();
    stand.group.config.quorum = 2;
    stand.memory.paused = None;
    stand.memory.orders.clear();
    stand.candidate_has(200, NOW);
    let pause = Order::Pause { ms: PAUSE_MS };
    let at_once = NOW.plus(10);
    stand.primary_is_down(1);
    assert_eq!(stand.orders_at(at_once), [pause]);
    assert!(stand.promotes_at(NOW.plus(EQUAL_OFFSETS_MS)), "its time is up");
    stand.memory.links.remove(&PRIMARY);
    assert_eq!(stand.orders_at(at_once), []);
    assert!(stand.plan().contains(&Action::OpenLink(PRIMARY)));
    stand.primary_is_down(2);
    assert_eq!(stand.orders_at(at_once), [Order::Promote], "agreed");
    stand.primary_is_down(1);
    stand.group.failover.as_mut().unwrap().kind = FailoverKind::Automatic;
    assert_eq!(stand.orders_at(at_once), [Order::Promote], "it was agreed once");
}

/// Found by the simulator, seed 2694 of an earlier build.
#[test]
fn a_primary_that_is_lost_from_sight_while_the_order_to_pause_is_on_its_way_is_waited_for() {
    for kind in [FailoverKind::Operator, FailoverKind::Automatic] {
        let mut stand = Stand::new();
        stand.group.failover.as_mut().unwrap().kind = kind;
        stand.primary_is_down(3);
        stand.candidate_has(200, NOW);
        let limit_ms = match kind {
            FailoverKind::Operator => EQUAL_OFFSETS_MS,
            _ => EQUAL_OFFSETS_OUTAGE_MS,
        };
        for answer in [None, Some(Err(OrderFault::Unknown))] {
            stand.pause_is(answer);
            assert!(!stand.promotes());
            assert!(!stand.promotes_at(NOW.plus(limit_ms - 1)));
            assert!(stand.promotes_at(NOW.plus(limit_ms)));
        }
        stand.pause_is(Some(Err(OrderFault::Unreachable)));
        assert!(stand.promotes(), "nothing more will come");
    }
}

/// The copy of a primary that came back empty was complete in the moment before the promotion.
#[test]
fn a_candidate_that_lost_its_data_just_before_its_promotion_is_given_up() {
    let proposed = |keys: u64, replid: &str| {
        let mut stand = Stand::new();
        let mut promoted = facts("b", Role::Primary);
        promoted.keys = keys;
        promoted.lineage.as_mut().unwrap().replid = replid.into();
        stand.answer(CANDIDATE, "b", Order::Promote, promoted);
        let mut commands = stand.plan().into_iter().filter_map(|action| match action {
            Action::Propose(command) => Some(command),
            _ => None,
        });
        commands.next().unwrap()
    };
    let given_up = |command: &Command| match command {
        Command::AbortFailover { fault, .. } => *fault == Fault::Candidate("lost its data".into()),
        _ => false,
    };
    assert!(given_up(&proposed(0, "of nothing")));
    let complete = |command: &Command| matches!(command, Command::CompletePromotion { .. });
    assert!(complete(&proposed(0, "data")), "its keys were deleted");
    assert!(complete(&proposed(1, "data")));
}

#[test]
fn writes_are_paused_from_redis_6_2_on() {
    for (version, pauses) in [
        ("7.0.15", true),
        ("6.2.0", true),
        ("6.0.16", false),
        ("10.0", true),
        ("2.8.24", false),
        ("", false),
    ] {
        assert_eq!(pauses_writes(version), pauses, "{version}");
    }
}

/// It had been the primary a second ago, and its link still said so.
#[test]
fn a_candidate_that_was_the_primary_before_this_stage_is_not_one_that_was_promoted_in_it() {
    let promotes = |read_at: Instant| {
        let mut stand = Stand::new();
        stand.link(CANDIDATE, Arc::new(facts("b", Role::Primary)), read_at);
        let is_promote = |action: &Action| matches!(action, Action::Order { order, .. } if *order == Order::Promote);
        stand.plan().iter().any(is_promote)
    };
    assert!(!promotes(Instant(NOW.0 - 1)));
    assert!(promotes(NOW), "a leader before this one got as far");
}

/// Found by the simulator, seed 2153067: INFO that was made before the primary's promotion arrived after it, and the next
/// failover did not fence it. Its link knew better.
#[test]
fn an_operators_failover_does_not_go_by_what_the_probe_read_of_the_primary() {
    let mut stand = Stand::new();
    stand.memory.paused = None;
    stand.memory.orders.clear();
    stand.candidate_has(200, NOW);
    stand.sees(PRIMARY, Verdict::Up, facts("a", Role::Replica));
    let pause = Order::Pause { ms: PAUSE_MS };
    let at_once = NOW.plus(10);
    stand.link(PRIMARY, Arc::new(facts("a", Role::Primary)), Instant(NOW.0 - 1));
    assert_eq!(stand.orders_at(at_once), std::slice::from_ref(&pause));
    stand.link(PRIMARY, Arc::new(facts("a", Role::Replica)), Instant(NOW.0 - 1));
    assert_eq!(stand.orders_at(at_once), [], "it may have been promoted since");
    assert!(stand.plan().contains(&Action::ReadInfo(PRIMARY)));
    stand.link(PRIMARY, Arc::new(facts("a", Role::Replica)), NOW);
    assert_eq!(
        stand.orders_at(at_once),
        [Order::Promote],
        "there is nothing to hold back"
    );
}

/// Found by the simulator, seed 3054398: the primary had been down a second ago, and was taken for one that still is.
#[test]
fn a_refused_link_of_a_while_ago_does_not_mean_that_the_primary_cannot_be_fenced() {
    let mut stand = Stand::new();
    stand.memory.paused = None;
    stand.memory.orders.clear();
    stand.candidate_has(200, NOW);
    let mut refused_at = |at: Instant| {
        let fault = LinkFault::Refused;
        stand.memory.links.insert(PRIMARY, LinkMemory::Failed { at, fault });
        stand.plan()
    };
    let before = refused_at(Instant(NOW.0 - 700));
    assert_eq!(before, [Action::OpenLink(PRIMARY)], "asked again");
    let promote = Action::Order {
        address: CANDIDATE,
        run_id: RunId::new("b"),
        order: Order::Promote,
    };
    assert!(refused_at(NOW).contains(&promote), "found out just now");
}

/// Found by the simulator, seeds 2177152 and 3400105: its writes, held back for the switch before, were being let through
/// again. That answer was taken for the answer to the promotion, which was given up while its order was on its way.
#[test]
fn a_candidate_that_still_has_to_answer_another_order_is_not_ordered_yet() {
    let mut stand = Stand::new();
    stand.candidate_has(200, NOW);
    let unpause = OrderMemory {
        order: Order::Unpause,
        at: Instant(NOW.0 - 10),
        epoch: None,
        answer: None,
    };
    stand.memory.orders.insert(CANDIDATE, unpause);
    assert_eq!(stand.plan(), []);
    stand
        .memory
        .answered(CANDIDATE, Ok(Some(facts("b", Role::Replica))), NOW.plus(5));
    // The primary says nothing: the order no longer waits for it.
    stand.candidate_has(200, NOW.plus(1_100));
    assert!(stand.promotes_at(NOW.plus(1_200)));
}

/// It came back as another's copy and was turned, or loaded what it had, and nothing was read on its link since: that
/// would hold the order back.
#[test]
fn a_candidate_whose_link_was_read_before_it_had_the_data_is_read_again() {
    let others: fn(&mut Facts) = |before| before.lineage.as_mut().unwrap().replid = "other".into();
    let loading: fn(&mut Facts) = |before| before.loading = true;
    for change in [others, loading] {
        let mut stand = Stand::new();
        let mut before = facts("b", Role::Replica);
        before.replica_offset = 200;
        change(&mut before);
        stand.link(CANDIDATE, Arc::new(before), Instant(NOW.0 - 1));
        stand.sees(CANDIDATE, Verdict::Up, facts("b", Role::Replica));
        assert!(stand.plan().contains(&Action::ReadInfo(CANDIDATE)));
        assert!(!stand.promotes());
        stand.candidate_has(200, NOW.plus(1_100));
        assert!(stand.promotes_at(NOW.plus(1_200)));
    }
}

/// Found by the simulator, seed 43001: the connection itself knew from the answer to an earlier order that the candidate
/// was loading, and the order was held back by that for ever.
#[test]
fn a_candidate_whose_order_was_held_back_is_read_again() {
    let mut stand = Stand::new();
    stand.candidate_has(200, NOW);
    let held_back = OrderMemory {
        order: Order::Promote,
        at: NOW.plus(5),
        epoch: Some(1),
        answer: Some(Err(OrderFault::LeaseLost)),
    };
    stand.memory.orders.insert(CANDIDATE, held_back);
    let retry = NOW.plus(5 + RETRY_MS);
    assert_eq!(stand.plan_at(retry), [Action::ReadInfo(CANDIDATE)]);
    stand.candidate_has(200, retry);
    assert!(stand.promotes_at(retry.plus(1)));
}

/// Found by the simulator, seed 6036339: the candidate of an emptied primary was loading the copy of nothing when the
/// order left, with the lineage that it had before.
#[test]
fn a_candidate_that_loads_a_copy_has_nothing_to_be_promoted_for() {
    let mut stand = Stand::new();
    let mut loads = facts("b", Role::Replica);
    (loads.loading, loads.keys) = (true, 0);
    stand.sees(CANDIDATE, Verdict::Up, loads.clone());
    stand.link(CANDIDATE, Arc::new(loads), NOW);
    let lost = stand.plan().into_iter().any(|action| {
        let fault = Fault::Candidate("loading its data".into());
        matches!(action, Action::Propose(Command::AbortFailover { fault: why, .. }) if why == fault)
    });
    assert!(lost, "{:?}", stand.plan());
}
