//! The control with fakes around it: an in-memory log with the real state machine, and instances in a map.

mod fakes;
mod names;
mod ports;
mod real;

use std::collections::BTreeSet;

use cfgserver::failover::Wish;
use cfgserver::machine::{Command, Outcome};
use cfgserver::model::{EventKind, GroupName, NodeId};
use cfgserver::requests::{WriteError, WriteReply};

use fakes::{World, address};

fn name(text: &str) -> GroupName {
    GroupName::new(text).unwrap()
}

/// A group `g` with primary 1 and replicas 2 and 3, learnt.
async fn watched() -> World {
    let world = World::start();
    world.instance(1, None);
    world.instance(2, Some(1));
    world.instance(3, Some(1));
    world.monitor("g", 1);
    world.lead(1);
    world
        .until("all members are in sync on record", |state| {
            let group = state.group_named("g").unwrap();
            group.members.len() == 3 && group.members.values().all(|member| member.synced)
        })
        .await;
    world
}

#[tokio::test]
async fn a_dead_primary_is_replaced_and_told_in_order() {
    let world = watched().await;
    world.kill(1);
    world.until_primary("g", 2).await;
    world
        .until("the failover is over", |state| {
            state.group_named("g").unwrap().failover.is_none()
        })
        .await;
    assert_eq!(world.follows(3), Some(address(2)));
    let kinds = world.events();
    let place = |what: &dyn Fn(&EventKind) -> bool| kinds.iter().position(what).expect("the event was told");
    let outage = place(&|kind| matches!(kind, EventKind::Outage { .. }));
    let selected = place(&|kind| matches!(kind, EventKind::SelectedReplica(_)));
    let switch = place(&|kind| matches!(kind, EventKind::Switch { .. }));
    let sent = place(&|kind| matches!(kind, EventKind::ReconfSent(_)));
    let end = place(&|kind| matches!(kind, EventKind::FailoverEnd(_)));
    assert!(outage < selected && selected < switch && switch < sent && sent < end);
}

#[tokio::test]
async fn no_promotion_goes_out_before_its_commit() {
    let world = watched().await;
    world.kill(1);
    world.until_primary("g", 2).await;
    let diary = world.diary();
    let opened = diary.iter().position(|line| line == "commit open").expect("opened");
    let promoted = diary.iter().position(|line| line == "promote 2").expect("promoted");
    let switched = diary
        .iter()
        .position(|line| line == "commit complete")
        .expect("completed");
    assert!(opened < promoted && promoted < switched, "{diary:?}");
}

#[tokio::test]
async fn an_operators_failover_is_answered_at_its_first_commit_and_pauses_writes_first() {
    let world = watched().await;
    let reply = world.desk().failover(name("g"), Wish::default()).await.unwrap();
    assert!(matches!(
        reply,
        WriteReply::Outcome {
            outcome: Outcome::Done { .. },
            ..
        }
    ));
    assert_eq!(
        world.desk().failover(name("g"), Wish::default()).await,
        Err(WriteError::InProgress)
    );
    world.until_primary("g", 2).await;
    let diary = world.diary();
    let paused = diary.iter().position(|line| line == "pause 1").expect("paused");
    let promoted = diary.iter().position(|line| line == "promote 2").expect("promoted");
    assert!(paused < promoted, "{diary:?}");
    world
        .until("the old primary follows", |_| world.follows(1) == Some(address(2)))
        .await;
    world
        .until("the failover is over", |state| {
            state.group_named("g").unwrap().failover.is_none()
        })
        .await;
    assert!(!world.state().group_named("g").unwrap().switches[0].automatic);
}

#[tokio::test]
async fn refusals_of_a_failover_say_why() {
    let world = watched().await;
    assert_eq!(
        world.desk().failover(name("nobody"), Wish::default()).await,
        Err(WriteError::NoSuchGroup)
    );
    world.kill(2);
    world.kill(3);
    world.until_down(&[2, 3]).await;
    match world.desk().failover(name("g"), Wish::default()).await {
        Err(WriteError::NoGoodReplica(reasons)) => {
            assert_eq!(reasons.len(), 2);
            assert!(reasons.iter().all(|(_, why)| why == "down"), "{reasons:?}");
        }
        other => panic!("{other:?}"),
    }
    world.follow(2);
    assert_eq!(
        world.desk().failover(name("g"), Wish::default()).await,
        Err(WriteError::NoLeader)
    );
}

#[tokio::test]
async fn reset_forgets_the_unreachable_and_waits_for_no_failover() {
    let world = watched().await;
    world.kill(3);
    world.until_down(&[3]).await;
    let reply = world.desk().reset(b"g*".to_vec()).await.unwrap();
    assert!(matches!(
        reply,
        WriteReply::Outcome {
            outcome: Outcome::Count(1),
            ..
        }
    ));
    let members: BTreeSet<_> = world
        .state()
        .group_named("g")
        .unwrap()
        .members
        .keys()
        .copied()
        .collect();
    assert_eq!(members, BTreeSet::from([address(1), address(2)]));
    world.set_lease(false);
    world.desk().failover(name("g"), Wish::default()).await.unwrap();
    assert_eq!(world.desk().reset(b"*".to_vec()).await, Err(WriteError::InProgress));
}

#[tokio::test]
async fn without_the_lease_no_failover_is_refused_for_what_this_node_knows() {
    let world = watched().await;
    world.set_lease(false);
    assert_eq!(
        world.desk().failover(name("nobody"), Wish::default()).await,
        Err(WriteError::NoLeader)
    );
    world.kill(2);
    world.kill(3);
    world.until_down(&[2, 3]).await;
    assert_eq!(
        world.desk().failover(name("g"), Wish::default()).await,
        Err(WriteError::NoLeader)
    );
}

#[tokio::test]
async fn without_the_lease_no_order_goes_out() {
    let world = watched().await;
    world.set_lease(false);
    world.kill(1);
    world
        .until("the failover is open", |state| {
            state.group_named("g").unwrap().failover.is_some()
        })
        .await;
    world
        .until("the fence was asked", |_| world.fence_refusals() >= 2)
        .await;
    assert!(!world.diary().iter().any(|line| line.starts_with("promote")));
    world.set_lease(true);
    world.until_primary("g", 2).await;
}

#[tokio::test]
async fn the_end_of_leadership_drops_links_and_orders() {
    let world = watched().await;
    world.stall_orders(true);
    world.kill(1);
    world
        .until("an order is on its way", |_| world.orders_on_their_way() > 0)
        .await;
    assert!(world.open_links() > 0);
    world.follow(2);
    world
        .until("links and orders are gone", |_| {
            world.open_links() == 0 && world.orders_on_their_way() == 0
        })
        .await;
}

#[tokio::test]
async fn a_group_that_is_removed_under_an_order_leaves_no_link_behind() {
    let world = watched().await;
    world.stall_orders(true);
    world.kill(1);
    world
        .until("an order is on its way", |_| world.orders_on_their_way() > 0)
        .await;
    world.remove("g");
    world.until("idle links are gone", |_| world.open_links() == 1).await;
    world.stall_orders(false);
    world.until("links are gone", |_| world.open_links() == 0).await;
}

#[tokio::test]
async fn a_successor_goes_on_from_the_committed_stage() {
    let world = watched().await;
    world.stall_orders(true);
    world.kill(1);
    world
        .until("the failover is open", |state| {
            state.group_named("g").unwrap().failover.is_some()
        })
        .await;
    world.follow(2);
    world.until("links are gone", |_| world.open_links() == 0).await;
    let epoch = world.state().group_named("g").unwrap().epoch;
    world.stall_orders(false);
    world.lead(3);
    world.until_primary("g", 2).await;
    assert_eq!(
        world.state().group_named("g").unwrap().config_epoch,
        epoch,
        "no epoch was burnt"
    );
}

#[tokio::test]
async fn votes_of_another_term_do_not_count() {
    let world = watched().await;
    let whole = world.report(true);
    world.follow(2);
    assert_eq!(world.desk().votes(1, whole), cfgserver::detect::VoteAck::NotLeader);
    world.lead(5);
    let refresh = world.report(false);
    assert_eq!(world.desk().votes(1, refresh), cfgserver::detect::VoteAck::WantWhole);
}

#[tokio::test]
async fn groups_fail_over_at_the_same_time() {
    const GROUPS: u32 = 200;
    let world = World::start();
    for group in 0..GROUPS {
        world.instance(10 + group * 2, None);
        world.instance(11 + group * 2, Some(10 + group * 2));
        world.monitor(&format!("g{group}"), 10 + group * 2);
    }
    world.lead(1);
    world
        .until("all replicas are in sync on record", |state| {
            let synced = |group: &cfgserver::model::Group| group.replicas().filter(|(_, member)| member.synced).count();
            state.groups().all(|group| synced(group) == 1)
        })
        .await;
    world.slow_log(20);
    for group in 0..GROUPS {
        world.kill(10 + group * 2);
    }
    world
        .until("every group has switched", |state| {
            state.groups().all(|group| group.config_epoch == 1)
        })
        .await;
    let most = world.most_proposals_at_once();
    assert!(most > GROUPS as usize / 4, "only {most} proposals at once");
}

#[tokio::test]
async fn a_proposal_that_came_too_late_is_planned_again() {
    let world = watched().await;
    world.before_next(|command| matches!(command, Command::OpenFailover { .. }), "g");
    world.kill(1);
    world.until_primary("g", 2).await;
    let group = world.state().group_named("g").unwrap().clone();
    assert_eq!(
        group.config.failover_timeout_ms, 60_000,
        "the change that came before was made"
    );
    assert_eq!(group.epoch, 1);
}

#[tokio::test]
async fn leadership_goes_to_a_node_that_reaches_what_this_one_does_not() {
    let world = watched().await;
    world.kill(2);
    world.kill(3);
    world.until_down(&[2, 3]).await;
    world.peer_reaches(2, &[2]);
    world.kill(1);
    world
        .until("leadership was handed over", |_| {
            world.handed_over_to() == Some(2 as NodeId)
        })
        .await;
    assert_eq!(world.orders_on_their_way(), 0);
    assert_eq!(world.open_links(), 0);
}
