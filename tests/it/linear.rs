//! The linearizability checker of the simulators, held against histories that have an order and histories that have none.

#[path = "../sim/linear/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the simulators use what is not used here")]
mod checker;

use std::collections::BTreeMap;

use cfgserver::resp::Reply;
use cfgserver::sentinel::errors;

use checker::words::{Said, said};
use checker::{Answer, Call, Group, GroupSpec, Histories, Operation, QUORUM, Seen, Shape, Specification, asked, check};

/// A register, for the search alone.
struct Register;

impl Specification for Register {
    type Call = Option<u32>;
    type Answer = u32;
    type State = u32;

    fn only_looks(call: &Option<u32>, _: &u32) -> bool {
        call.is_none()
    }

    fn step(state: &u32, call: &Option<u32>, answer: Option<&u32>) -> Option<u32> {
        match (call, answer) {
            (Some(value), _) => Some(*value),
            (None, Some(answer)) => (answer == state).then_some(*state),
            (None, None) => Some(*state),
        }
    }
}

fn operation<C, A>(call: C, answer: Option<A>, (invoked_at, answered_at): (u64, u64)) -> Operation<C, A> {
    Operation {
        call,
        answer,
        invoked_at,
        answered_at,
        place: 1,
        may_be_behind: false,
        is_applied: true,
    }
}

fn write(value: u32, at: (u64, u64)) -> Operation<Option<u32>, u32> {
    operation(Some(value), Some(value), at)
}

fn lost(value: u32, at: (u64, u64)) -> Operation<Option<u32>, u32> {
    operation(Some(value), None, at)
}

fn read(value: u32, at: (u64, u64)) -> Operation<Option<u32>, u32> {
    operation(None, Some(value), at)
}

fn behind(value: u32, at: (u64, u64), place: u64) -> Operation<Option<u32>, u32> {
    Operation {
        place,
        may_be_behind: true,
        ..read(value, at)
    }
}

fn has_order(history: &[Operation<Option<u32>, u32>]) -> bool {
    check::<Register>(&0, history).is_ok()
}

#[test]
fn one_after_the_other_each_sees_the_last_write() {
    assert!(has_order(&[
        write(1, (0, 1)),
        read(1, (2, 3)),
        write(2, (4, 5)),
        read(2, (6, 7))
    ]));
    assert!(!has_order(&[write(1, (0, 1)), write(2, (4, 5)), read(1, (6, 7))]));
    assert!(!has_order(&[write(1, (0, 1)), read(0, (2, 3))]));
}

#[test]
fn a_write_that_would_change_nothing_now_may_come_later() {
    let again = |seen| {
        [
            write(1, (0, 1)),
            write(1, (2, 9)),
            write(2, (2, 8)),
            read(seen, (10, 11)),
        ]
    };
    assert!(has_order(&again(1)));
    assert!(has_order(&again(2)));
}

#[test]
fn what_overlaps_may_come_in_either_order() {
    let overlapping = [write(1, (0, 10)), write(2, (0, 10))];
    for last in [1, 2] {
        let history: Vec<_> = overlapping.iter().cloned().chain([read(last, (11, 12))]).collect();
        assert!(has_order(&history), "{last}");
    }
    // But in one order, for everybody.
    let history: Vec<_> = overlapping
        .into_iter()
        .chain([read(1, (11, 12)), read(2, (13, 14))])
        .collect();
    assert!(!has_order(&history));
}

#[test]
fn a_write_without_an_answer_takes_effect_later_or_never() {
    assert!(has_order(&[lost(1, (0, 1)), read(0, (2, 3)), read(0, (4, 5))]));
    assert!(has_order(&[lost(1, (0, 1)), read(0, (2, 3)), read(1, (4, 5))]));
    assert!(!has_order(&[lost(1, (0, 1)), read(1, (2, 3)), read(0, (4, 5))]));
    assert!(!has_order(&[read(1, (0, 1)), lost(1, (2, 3))]));
}

#[test]
fn a_read_may_be_behind_but_not_behind_what_its_place_has_answered() {
    // Another place has not heard of it yet.
    assert!(has_order(&[write(1, (0, 1)), behind(0, (2, 3), 2)]));
    // The place that answered the write has.
    assert!(!has_order(&[write(1, (0, 1)), behind(0, (2, 3), 1)]));
    // It never goes back.
    assert!(!has_order(&[
        write(1, (0, 1)),
        behind(1, (2, 3), 2),
        behind(0, (4, 5), 2)
    ]));
    // What began after the answer cannot have been seen.
    assert!(!has_order(&[behind(1, (0, 1), 2), write(1, (2, 3))]));
    // Two places may be behind by different amounts.
    assert!(has_order(&[
        write(1, (0, 1)),
        write(2, (2, 3)),
        behind(0, (4, 5), 2),
        behind(1, (4, 5), 3),
        behind(2, (6, 7), 2),
    ]));
}

#[test]
fn the_longest_attempt_is_told() {
    let history = [write(1, (0, 1)), write(2, (2, 3)), read(1, (4, 5))];
    let violation = check::<Register>(&0, &history).unwrap_err();
    assert_eq!(violation.explained, [0, 1]);
    assert!(violation.text.contains("[4..5]"), "{}", violation.text);
}

/// Twenty overlapping writes and a read that only one of them explains: without memory this never ends.
#[test]
fn many_overlapping_writes_are_looked_at_once() {
    let mut history: Vec<_> = (1..=20).map(|value| lost(value, (0, 100))).collect();
    history.push(read(7, (200, 201)));
    assert!(has_order(&history));
    history.push(read(21, (300, 301)));
    history.truncate(12);
    history.push(read(21, (300, 301)));
    assert!(!has_order(&history));
}

const P: &str = "10.0.0.1:6379";
const R: &str = "10.0.0.2:6379";

type Step = (Call, Option<Answer>, (u64, u64));

fn monitor(primary: &str, quorum: u32) -> Call {
    Call::Monitor {
        primary: primary.to_owned(),
        quorum,
    }
}

fn set(name: &str, value: &str) -> Call {
    Call::Set(BTreeMap::from([(name.to_owned(), value.to_owned())]))
}

fn shape(primary: &str, epoch: u64, open: bool) -> Shape {
    Shape {
        primary: primary.to_owned(),
        epoch,
        open,
    }
}

fn moves(before: Shape, after: Shape) -> Call {
    Call::Moves { before, after }
}

fn seen(primary: &str, settings: &[(&str, &str)]) -> Option<Answer> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Some(Answer::Seen(Some(Seen {
        primary: Some(primary.to_owned()),
        settings: settings.iter().map(pair).collect(),
    })))
}

fn explained(start: Option<Group>, steps: Vec<Step>) -> bool {
    let history: Vec<_> = steps
        .into_iter()
        .map(|(call, answer, at)| Operation {
            may_be_behind: call == Call::Read,
            ..operation(call, answer, at)
        })
        .collect();
    check::<GroupSpec>(&start, &history).is_ok()
}

#[test]
fn a_name_is_monitored_set_and_removed_in_one_order() {
    let done = || Some(Answer::Done);
    assert!(explained(
        None,
        vec![
            (set("parallel-syncs", "2"), Some(Answer::NoSuchGroup), (0, 1)),
            (monitor(P, 2), done(), (2, 3)),
            (monitor(P, 2), done(), (4, 5)),
            (monitor(P, 1), Some(Answer::Duplicate), (4, 5)),
            (set("parallel-syncs", "2"), done(), (6, 7)),
            (Call::Read, seen(P, &[(QUORUM, "2"), ("parallel-syncs", "2")]), (8, 9)),
            (Call::Remove, done(), (10, 11)),
            (Call::Remove, Some(Answer::NoSuchGroup), (12, 13)),
            (Call::Read, Some(Answer::Seen(None)), (14, 15)),
        ]
    ));
    // The second MONITOR and the removal overlap: there is a new group, as MONITOR makes it, or none.
    let overlap = |seen: Option<Answer>| {
        explained(
            None,
            vec![
                (monitor(P, 2), done(), (0, 1)),
                (set("parallel-syncs", "2"), done(), (2, 3)),
                (monitor(P, 2), done(), (4, 9)),
                (Call::Remove, done(), (5, 8)),
                (Call::Read, seen, (10, 11)),
            ],
        )
    };
    assert!(overlap(seen(P, &[("parallel-syncs", "1")])));
    assert!(overlap(Some(Answer::Seen(None))));
    assert!(!overlap(seen(P, &[("parallel-syncs", "2")])));
    // An acknowledged setting is gone.
    assert!(!explained(
        Some(Group::new(P, 1)),
        vec![
            (set("parallel-syncs", "2"), done(), (0, 1)),
            (set("parallel-syncs", "3"), done(), (2, 3)),
            (Call::Read, seen(P, &[("parallel-syncs", "2")]), (4, 5)),
        ]
    ));
    // An acknowledged removal is gone.
    assert!(!explained(
        Some(Group::new(P, 1)),
        vec![(Call::Remove, done(), (0, 1)), (set(QUORUM, "1"), done(), (2, 3))]
    ));
    // Removed twice, with nobody who monitored it in between.
    assert!(!explained(
        Some(Group::new(P, 1)),
        vec![(Call::Remove, done(), (0, 5)), (Call::Remove, done(), (0, 5))]
    ));
}

#[test]
fn a_failover_that_was_answered_has_opened_an_epoch_of_its_own() {
    let done = || Some(Answer::Done);
    let switched = |epoch| moves(shape(P, epoch, true), shape(R, epoch, true));
    let ended = |epoch| moves(shape(R, epoch, true), shape(R, epoch, false));
    let whole = || {
        vec![
            (Call::Failover, done(), (0, 10)),
            (Call::Failover, Some(Answer::InProgress), (11, 12)),
            (switched(1), done(), (15, 15)),
            (ended(1), done(), (20, 20)),
            (Call::Read, seen(R, &[]), (21, 22)),
        ]
    };
    assert!(explained(Some(Group::new(P, 1)), whole()));
    // Two were taken, one was opened.
    let mut steps = whole();
    steps.push((Call::Failover, done(), (0, 10)));
    steps.push((moves(shape(R, 1, false), shape(R, 2, true)), done(), (30, 30)));
    assert!(!explained(Some(Group::new(P, 1)), steps));
    // A switch in an epoch that nobody opened.
    let mut steps = whole();
    steps.remove(0);
    assert!(!explained(Some(Group::new(P, 1)), steps));
    // It was opened before it was asked for.
    let mut steps = whole();
    steps[0].2 = (16, 18);
    assert!(!explained(Some(Group::new(P, 1)), steps));
    // Nobody knows whether it was taken: the switch says so.
    let mut steps = whole();
    steps[0].1 = None;
    assert!(explained(Some(Group::new(P, 1)), steps));
}

#[test]
fn what_said_that_nothing_was_done_has_done_nothing() {
    for void in [false, true] {
        let mut histories = Histories::default();
        histories.starts_with("a", Group::new(P, 1));
        let ticket = histories.begin("a", set("parallel-syncs", "4"), 1, 0);
        if void {
            histories.nothing_done(&ticket);
        }
        let first = histories.begin("a", set("parallel-syncs", "3"), 1, 2);
        histories.end(&first, Answer::Done, 3);
        let read = histories.begin("a", Call::Read, 2, 10);
        histories.end(&read, seen(P, &[("parallel-syncs", "4")]).unwrap(), 11);
        assert_eq!(histories.check().is_ok(), !void);
    }
}

#[test]
fn requests_and_replies_are_read_as_operators_mean_them() {
    let read = |request: &str| asked(request);
    assert_eq!(
        read("SENTINEL MONITOR a 10.0.0.1 6379 2"),
        Some(("a".to_owned(), monitor(P, 2)))
    );
    assert_eq!(
        read("SENTINEL SET a quorum 3"),
        Some(("a".to_owned(), set(QUORUM, "3")))
    );
    assert_eq!(read("SENTINEL RESET a"), None);
    assert_eq!(read("CFG LEADER TRANSFER"), None);
    let says = |call: &Call, reply: Reply| said(call, &reply);
    assert_eq!(says(&Call::Failover, Reply::OK), Said::Answer(Answer::Done));
    assert_eq!(
        says(&Call::Failover, Reply::error(errors::FAILOVER_IN_PROGRESS)),
        Said::Answer(Answer::InProgress)
    );
    assert_eq!(
        says(&Call::Remove, Reply::error(errors::OUTCOME_UNKNOWN)),
        Said::Unknown
    );
    assert_eq!(says(&Call::Remove, Reply::error(errors::NO_LEADER)), Said::NothingDone);
    assert_eq!(says(&Call::Read, Reply::error(errors::LOADING)), Said::NothingDone);
    assert_eq!(says(&Call::Read, Reply::NullArray), Said::Answer(Answer::Seen(None)));
    let fields = ["ip", "10.0.0.1", "port", "6379", "flags", "master", QUORUM, "2"];
    let flat = Reply::Array(fields.iter().map(Reply::bulk).collect());
    let seen = seen(P, &[(QUORUM, "2")]).unwrap();
    assert_eq!(says(&Call::Read, flat), Said::Answer(seen));
}
