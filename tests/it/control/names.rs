//! Host names: MONITOR, and an instance that is found elsewhere.

use cfgserver::machine::{Command, Outcome, Rejection, SharedSetting};
use cfgserver::model::{HostName, Setting};
use cfgserver::requests::{Monitoring, WriteError, WriteReply};

use super::fakes::{World, address};
use super::name;

fn wanted(group: &str, host: &str) -> Monitoring {
    Monitoring {
        name: name(group),
        host: HostName::new(host).unwrap(),
        port: 6379,
        quorum: 2,
        settings: vec![Setting::DownAfterMs(1_000)],
        configures: false,
    }
}

async fn outcome(world: &World, wanted: Monitoring) -> Outcome {
    match world.desk().monitor(wanted).await {
        Ok(WriteReply::Outcome { outcome, .. }) => outcome,
        other => panic!("{other:?}"),
    }
}

/// A group `g` of instance 1 alone, monitored by the name `redis-0`.
async fn monitored() -> World {
    let world = World::start();
    world.instance(1, None);
    world.host("redis-0", Some(1));
    world.lead(1);
    assert!(matches!(
        outcome(&world, wanted("g", "redis-0")).await,
        Outcome::Done { .. }
    ));
    world
        .until("the primary is on record", |state| {
            let group = state.group_named("g").unwrap();
            group.primary_member().unwrap().synced
        })
        .await;
    world
}

#[tokio::test]
async fn a_name_is_monitored_at_the_address_that_it_has() {
    let world = monitored().await;
    let state = world.state();
    let group = state.group_named("g").unwrap();
    assert_eq!((group.primary, group.config.down_after_ms), (address(1), 1_000));
    assert_eq!(group.hosts.get(&address(1)).unwrap().as_str(), "redis-0");
}

#[tokio::test]
async fn a_name_that_nobody_has_is_refused_unless_the_group_knows_it() {
    let world = monitored().await;
    assert_eq!(
        world.desk().monitor(wanted("h", "nobody")).await,
        Err(WriteError::Unresolved)
    );
    assert!(world.state().group_named("h").is_none());
    world.host("redis-0", None);
    // Automation that repeats itself while DNS is away.
    assert!(matches!(
        outcome(&world, wanted("g", "redis-0")).await,
        Outcome::Done { .. }
    ));
    world.host("other", Some(9));
    let duplicate = Outcome::Rejected(Rejection::DuplicateName);
    assert_eq!(outcome(&world, wanted("g", "other")).await, duplicate);
}

#[tokio::test]
async fn without_resolve_hostnames_no_name_is_taken() {
    let world = monitored().await;
    world.apply(&Command::Share {
        settings: vec![SharedSetting::ResolveHostnames(false)],
    });
    assert_eq!(
        world.desk().monitor(wanted("h", "redis-0")).await,
        Err(WriteError::Unresolved)
    );
}

/// There is no replica that could replace it.
#[tokio::test]
async fn a_primary_that_came_back_elsewhere_is_followed_there() {
    let world = monitored().await;
    world.moves(1, 7);
    world.host("redis-0", Some(7));
    world.until_primary("g", 7).await;
    let state = world.state();
    let group = state.group_named("g").unwrap();
    assert_eq!(group.members.keys().copied().collect::<Vec<_>>(), [address(7)]);
    world
        .until("the new process is on record", |state| {
            let member = state.group_named("g").unwrap().primary_member().unwrap().clone();
            member.run_id.is_some_and(|run_id| run_id.as_str() == "run-7")
        })
        .await;
}
