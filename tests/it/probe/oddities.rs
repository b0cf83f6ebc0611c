//! What an instance may answer besides PONG.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cfgserver::detect::Judgement;
use cfgserver::model::{EventKind, RunId, Setting};
use cfgserver::requests::{NodeStatus, RaftRole};

use super::World;
use crate::fake_redis::{Deed, FakeRedis, healthy, info};
use crate::servers::{Server, redis_is_missing};

/// A primary whose process is another one and that only loads: `master_reboot`, and down after the period.
#[tokio::test]
async fn a_restarted_primary_that_only_loads_is_down_after_its_own_period() {
    const WELL: usize = 0;
    const LOADING: usize = 1;
    const BACK: usize = 2;
    let stage = Arc::new(AtomicUsize::new(WELL));
    let now = stage.clone();
    let fake = FakeRedis::start(move |_, _, name| match (now.load(Ordering::SeqCst), name) {
        (WELL, "INFO") => info("aa", "master"),
        (_, "INFO") => info("bb", "master"),
        (LOADING, "PING") => Deed::Say("-LOADING Redis is loading the dataset in memory\r\n".to_owned()),
        (_, name) => healthy(name),
    });
    let settings = [Setting::DownAfterMs(60_000), Setting::RebootDownAfterMs(400)];
    let world = World::watching_address(fake.address, &settings);
    world
        .wait_facts(fake.address, |facts| facts.run_id == RunId::new("aa"))
        .await;
    assert!(!world.wait_up(fake.address).await.rebooting);
    stage.store(LOADING, Ordering::SeqCst);
    world.board.request_info(world.group);
    world
        .wait_sighting("it is rebooting", fake.address, |seen| seen.rebooting)
        .await;
    let seen = world.wait_down(fake.address).await;
    assert!(seen.rebooting && !seen.locked);
    assert!(world.events().iter().any(|kind| matches!(kind, EventKind::Reboot(_))));
    world.wait_vote(Judgement::Down).await;
    stage.store(BACK, Ordering::SeqCst);
    assert!(!world.wait_up(fake.address).await.rebooting);
}

/// Without the period, loading is as good as PONG.
#[tokio::test]
async fn a_restarted_primary_that_loads_is_up_when_nobody_set_a_period() {
    let fake = FakeRedis::start(|_, number, name| match name {
        "INFO" if number == 0 => info("aa", "master"),
        "INFO" => info("bb", "master"),
        "PING" => Deed::Say("-LOADING Redis is loading the dataset in memory\r\n".to_owned()),
        _ => healthy(name),
    });
    let world = World::watching_address(fake.address, &[Setting::DownAfterMs(60_000)]);
    world.wait_up(fake.address).await;
    world.board.request_info(world.group);
    world
        .wait_facts(fake.address, |facts| facts.run_id == RunId::new("bb"))
        .await;
    assert!(!world.wait_up(fake.address).await.rebooting);
}

/// As Sentinel: a script that does not end keeps an instance down, and is told to end once.
#[tokio::test]
async fn a_script_that_does_not_end_is_told_to_by_the_leader() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&["lua-time-limit 50"]).await;
    let world = World::watching(&server, &[Setting::DownAfterMs(500)]);
    world.wait_up(server.address).await;
    let endless = server.call(["EVAL", "while true do end", "0"]);
    let watched = async {
        let seen = world.wait_down(server.address).await;
        assert!(seen.error.starts_with("BUSY"), "{}", seen.error);
        assert!(!seen.script_killed, "only the leader gives orders");
        world.board.set_status(NodeStatus {
            role: RaftRole::Leader,
            ..NodeStatus::default()
        });
        let seen = world.wait_up(server.address).await;
        assert!(!seen.script_killed, "shown while it is down only");
    };
    let (answer, ()) = tokio::join!(endless, watched);
    assert!(format!("{answer:?}").contains("killed"), "{answer:?}");
}

#[tokio::test]
async fn a_password_that_is_missing_or_not_enough_is_told_from_silence() {
    for refusal in ["NOAUTH Authentication required.", "NOPERM this user has no permissions"] {
        let fake = FakeRedis::start(move |_, _, name| match name {
            "CLIENT" => healthy(name),
            _ => Deed::Say(format!("-{refusal}\r\n")),
        });
        let world = World::watching_address(fake.address, &[Setting::DownAfterMs(300)]);
        let seen = world.wait_down(fake.address).await;
        assert!(seen.locked && *seen.error == *refusal, "{seen:?}");
        world.wait_vote(Judgement::Unknown).await;
    }
}
