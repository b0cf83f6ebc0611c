//! The fixtures keep their own promises.

use crate::world::{Group, Redis, Subscriber, World};

#[test]
fn worlds_do_not_share_ports() {
    let worlds = [World::bare(), World::bare()];
    let mut ports: Vec<u16> = (0..50).map(|turn| worlds[turn % 2].port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 50);
}

#[test]
fn a_group_is_in_sync_and_keeps_its_data_through_a_kill() {
    let Some(world) = World::open() else { return };
    let mut group = Group::start(&world, "alpha", 1);
    let primary = group.members[0].port;
    assert_eq!(group.members[1].call(&["GET", "born"]).text(), "alpha");
    group.at(primary).kill();
    assert!(!group.at(primary).is_running());
    group.at(primary).restart();
    assert_eq!(group.at(primary).call(&["GET", "born"]).text(), "alpha");
    group.wait_all_follow(primary);
}

#[test]
fn an_instance_restarted_empty_is_empty() {
    let Some(world) = World::open() else { return };
    let mut redis = Redis::start(&world, &[]);
    redis.call(&["SET", "key", "value"]);
    redis.kill();
    redis.restart_empty();
    assert_eq!(redis.call(&["DBSIZE"]).to_string(), "0");
}

#[test]
fn a_frozen_instance_does_not_answer_until_it_is_thawed() {
    let Some(world) = World::open() else { return };
    let mut redis = Redis::start(&world, &[]);
    let mut client = crate::world::Client::connect(redis.port).unwrap();
    redis.freeze();
    client.patience(std::time::Duration::from_millis(100));
    assert!(client.try_call(&["PING"]).is_err());
    redis.thaw();
    assert_eq!(redis.call(&["PING"]).text(), "PONG");
}

#[test]
fn a_subscriber_hears_what_is_published_after_it_subscribed() {
    let Some(world) = World::open() else { return };
    let redis = Redis::start(&world, &[]);
    let subscriber = Subscriber::everything(redis.port);
    redis.call(&["PUBLISH", "+switch-master", "alpha 127.0.0.1 1 127.0.0.1 2"]);
    let heard = subscriber.wait("+switch-master", "alpha ", crate::world::SOON);
    assert_eq!(heard.payload, "alpha 127.0.0.1 1 127.0.0.1 2");
    assert_eq!(subscriber.channels_about("alpha"), ["+switch-master"]);
}
