//! The control with the real probe and real order links, against redis-server.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cfgserver::failover::Wish;
use cfgserver::model::{Event, GroupName, MyId, NodeId, Term};
use cfgserver::probe::{Announce, Probe, ProbeParts, ProbeSettings, Votes};
use cfgserver::redis::{Answer, Link, request};
use cfgserver::{control::RedisLinks, detect::VoteAck, detect::VoteReport, requests::WriteError};
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::fakes::World;
use crate::servers::{SOON, Server, redis_is_missing};

/// The way to the leader, which is always this node.
struct Here {
    world: Arc<World>,
    leadership: watch::Sender<Option<(NodeId, Term)>>,
}

impl Votes for Here {
    fn report(&self, report: VoteReport) -> BoxFuture<'_, Result<VoteAck, WriteError>> {
        Box::pin(async move { Ok(self.world.desk().votes(1, report)) })
    }

    fn leadership(&self) -> watch::Receiver<Option<(NodeId, Term)>> {
        self.leadership.subscribe()
    }
}

/// Nobody subscribes.
struct Unheard;

impl Announce for Unheard {
    fn announce(&self, _: Event) {}
}

/// A primary and a replica, watched and learnt.
async fn watched() -> (Arc<World>, Server, Server) {
    let primary = Server::start(&[]).await;
    primary.call(["SET", "key", "value"]).await;
    let replica = Server::replica_of(&primary, &[]).await;
    let my_id = MyId("0123456789012345678901234567890123456789".into());
    let world = Arc::new(World::with_links(Arc::new(RedisLinks::new(my_id.clone()))));
    world.monitor_at("g", primary.address);
    world.lead(1);
    Probe::start(ProbeParts {
        board: world.board(),
        clock: world.clock(),
        tasks: world.tasks(),
        node: 1,
        my_id,
        votes: Arc::new(Here {
            world: world.clone(),
            leadership: watch::Sender::new(Some((1, 1))),
        }),
        announce: Arc::new(Unheard),
        settings: ProbeSettings {
            info_every_ms: 200,
            ..ProbeSettings::default()
        },
    })
    .unwrap();
    world
        .until("both are in sync on record", |state| {
            let group = state.group_named("g").unwrap();
            group.members.len() == 2 && group.members.values().all(|member| member.synced && member.non_empty)
        })
        .await;
    (world, primary, replica)
}

#[tokio::test]
async fn a_killed_redis_is_replaced_and_turned_when_it_returns() {
    if redis_is_missing() {
        return;
    }
    let (world, mut primary, replica) = watched().await;
    world.set_down_after("g", 300);
    primary.kill();
    world
        .until("the switch", |state| {
            state.group_named("g").unwrap().primary == replica.address
        })
        .await;
    assert!(replica.says("role:master").await);
    primary.restart().await;
    primary.wait_info("master_link_status:up").await;
}

#[tokio::test]
async fn an_operator_moves_a_living_redis() {
    if redis_is_missing() {
        return;
    }
    let (world, primary, replica) = watched().await;
    world
        .desk()
        .failover(GroupName::new("g").unwrap(), Wish::default())
        .await
        .unwrap();
    world
        .until("the switch", |state| {
            state.group_named("g").unwrap().primary == replica.address
        })
        .await;
    assert!(replica.says("role:master").await);
    primary.wait_info("master_link_status:up").await;
    world
        .until("the end", |state| state.group_named("g").unwrap().failover.is_none())
        .await;
    primary.call(["SET", "key", "not held back any more"]).await;
}

#[tokio::test]
async fn a_planned_switch_under_a_writer_loses_no_acknowledged_write() {
    if redis_is_missing() {
        return;
    }
    let (world, primary, replica) = watched().await;
    let mut link = Link::connect(&primary.target(), SOON).await.unwrap();
    let acknowledged = Arc::new(AtomicI64::new(0));
    let written = acknowledged.clone();
    world.tasks().spawn("writer", async move {
        // Until the switch disconnects it, or a read-only error says that it writes to a replica.
        while let Ok(answers) = link.call(&[request(["INCR", "counter"])], SOON).await {
            match answers.as_slice() {
                [Answer::Integer(value)] => written.store(*value, Ordering::SeqCst),
                _ => return,
            }
        }
    });
    world
        .until("some writes", |_| acknowledged.load(Ordering::SeqCst) > 100)
        .await;
    let asked_at = world.clock().now();
    world
        .desk()
        .failover(GroupName::new("g").unwrap(), Wish::default())
        .await
        .unwrap();
    world
        .until("the switch", |state| {
            state.group_named("g").unwrap().primary == replica.address
        })
        .await;
    println!("switched after {} ms", world.clock().now().since(asked_at));
    primary.wait_info("master_link_status:up").await;
    let kept = match replica.call(["GET", "counter"]).await {
        Answer::Bulk(text) => String::from_utf8(text.to_vec()).unwrap().parse::<i64>().unwrap(),
        other => panic!("{other:?}"),
    };
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    assert!(kept >= acknowledged, "{acknowledged} acknowledged, {kept} kept");
}
