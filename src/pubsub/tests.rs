//! Tests of the hub.

use std::time::Duration;

use super::*;
use crate::machine::Header;
use crate::model::{Address, EventKind, GroupName};
use crate::requests::NodeStatus;

/// A state that has nothing but a revision.
fn state(revision: Revision) -> Arc<State> {
    let header = Header {
        revision,
        ..Header::default()
    };
    let value = rmp_serde::to_vec_named(&header).unwrap();
    Arc::new(State::from_records([(b"h".to_vec(), value)]).unwrap())
}

fn event(revision: Option<Revision>, epoch: u64) -> Event {
    Event {
        revision,
        group: None,
        kind: EventKind::NewEpoch(epoch),
    }
}

fn hub() -> (Arc<Board>, Hub) {
    let board = Arc::new(Board::new(NodeStatus::default()));
    (board.clone(), Hub::new(board))
}

fn payloads(subscription: &mut Subscription, up_to: Revision) -> Vec<String> {
    std::iter::from_fn(|| subscription.try_next(up_to))
        .map(|event| String::from_utf8_lossy(&event.payload).into_owned())
        .collect()
}

#[test]
fn every_subscription_gets_every_event_in_order() {
    let (board, hub) = hub();
    let mut first = hub.subscribe();
    hub.publish(state(1), vec![event(Some(1), 10), event(Some(1), 11)]);
    let mut second = hub.subscribe();
    hub.publish_local(event(None, 12));
    hub.publish(state(2), vec![event(Some(2), 13)]);
    assert_eq!(board.state().revision(), 2);
    assert_eq!(payloads(&mut first, 2), ["10", "11", "12", "13"]);
    assert_eq!(payloads(&mut second, 2), ["12", "13"]);
}

fn switch(revision: Revision) -> Event {
    let at = |port| Address::parse("10.0.0.1", port).unwrap();
    Event {
        revision: Some(revision),
        group: None,
        kind: EventKind::Switch {
            group: GroupName::new("g").unwrap(),
            from: at("1"),
            to: at("2"),
        },
    }
}

#[test]
fn who_wants_only_switches_is_handed_only_switches_and_nothing_else_fills_its_queue() {
    let board = Arc::new(Board::new(NodeStatus::default()));
    let hub = Hub::with_bound(board, 1000);
    let mut subscription = hub.subscribe();
    subscription.want(Wanted::Switches);
    for number in 0..100 {
        hub.publish_local(event(None, number));
    }
    hub.publish(state(1), vec![event(Some(1), 100), switch(1)]);
    assert_eq!(payloads(&mut subscription, 1), ["g 10.0.0.1 1 10.0.0.1 2"]);
    assert!(!subscription.overflowed());
    subscription.want(Wanted::Everything);
    hub.publish_local(event(None, 101));
    assert_eq!(payloads(&mut subscription, 1), ["101"]);
}

#[tokio::test]
async fn who_wants_only_switches_sleeps_until_there_is_one() {
    let (_, hub) = hub();
    let mut subscription = hub.subscribe();
    subscription.want(Wanted::Switches);
    hub.publish(state(1), vec![event(Some(1), 1)]);
    let early = tokio::time::timeout(Duration::from_millis(20), subscription.queue.woken()).await;
    assert!(early.is_err(), "woken for an event that it did not want");
    hub.publish(state(2), vec![switch(2)]);
    let woken = tokio::time::timeout(Duration::from_secs(10), subscription.queue.woken()).await;
    assert!(woken.is_ok());
}

#[test]
fn an_event_waits_for_its_state() {
    let (_, hub) = hub();
    let mut subscription = hub.subscribe();
    hub.publish(state(1), vec![event(Some(1), 10)]);
    hub.publish(state(2), vec![event(Some(2), 11)]);
    hub.publish_local(event(None, 12));
    assert_eq!(payloads(&mut subscription, 0), [""; 0]);
    assert_eq!(payloads(&mut subscription, 1), ["10"]);
    assert_eq!(payloads(&mut subscription, 2), ["11", "12"]);
}

#[test]
fn a_full_queue_is_closed_and_counted() {
    let board = Arc::new(Board::new(NodeStatus::default()));
    let hub = Hub::with_bound(board, 1000);
    let mut slow = hub.subscribe();
    let mut fast = hub.subscribe();
    for number in 0..100 {
        hub.publish_local(event(None, number));
        assert_eq!(payloads(&mut fast, 0), [number.to_string()]);
    }
    assert!(slow.overflowed());
    assert!(!fast.overflowed());
    assert_eq!(payloads(&mut slow, 0), [""; 0]);
    assert_eq!((hub.overflows(), hub.subscriptions()), (1, 1));
}

#[test]
fn a_dropped_subscription_is_forgotten() {
    let (_, hub) = hub();
    let subscription = hub.subscribe();
    assert_eq!(hub.subscriptions(), 1);
    drop(subscription);
    assert_eq!(hub.subscriptions(), 0);
}

#[tokio::test]
async fn waiting_ends_with_an_event_or_with_the_subscription() {
    let board = Arc::new(Board::new(NodeStatus::default()));
    let hub = Hub::with_bound(board, 200);
    let mut subscription = hub.subscribe();
    let limit = Duration::from_secs(10);
    hub.publish(state(1), vec![event(Some(1), 10)]);
    let got = tokio::time::timeout(limit, subscription.next()).await.unwrap().unwrap();
    assert_eq!(got.payload, "10");
    assert_eq!(got.revision, Some(1));
    let none = tokio::time::timeout(Duration::from_millis(20), subscription.next()).await;
    assert!(none.is_err(), "nothing to give");
    (0..5).for_each(|number| hub.publish_local(event(None, number)));
    assert!(
        tokio::time::timeout(limit, subscription.next())
            .await
            .unwrap()
            .is_none()
    );
}

/// The promise that sessions are built on: whoever sees a revision on the board has its events in the queue.
#[test]
fn the_board_is_never_ahead_of_a_queue() {
    let (board, hub) = hub();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for revision in 1..=2000 {
                hub.publish(state(revision), vec![event(Some(revision), revision)]);
            }
        });
        while board.state().revision() < 2000 {
            let mut subscription = hub.subscribe();
            let start = board.state().revision();
            while board.state().revision() < (start + 20).min(2000) {
                std::thread::yield_now();
            }
            let seen = board.state().revision();
            let events = payloads(&mut subscription, seen);
            let numbers: Vec<u64> = events.iter().map(|text| text.parse().unwrap()).collect();
            let missing = (start + 1..=seen).find(|revision| !numbers.contains(revision));
            assert_eq!(missing, None, "between {start} and {seen}: {numbers:?}");
        }
    });
}
