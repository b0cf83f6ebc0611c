//! Clients of a primary that was replaced are disconnected as soon as it can be reached, so that they look again.

use std::time::Duration;

use super::scene;
use crate::world::{Client, FAILOVER, Group, SOON, Subscriber, World};

/// A connection that asks and one that listens, both at rest.
struct Pair {
    normal: Client,
    listening: Client,
}

impl Pair {
    fn of(port: u16) -> Self {
        let (mut normal, mut listening) = (Client::connect(port).unwrap(), Client::connect(port).unwrap());
        assert_eq!(normal.call(&["GET", "born"]).text(), "alpha");
        assert_eq!(listening.call(&["SUBSCRIBE", "news"]).items()[0].text(), "subscribe");
        Self { normal, listening }
    }

    #[track_caller]
    fn are_cut(&mut self, within: Duration) {
        for (name, client) in [("normal", &mut self.normal), ("pubsub", &mut self.listening)] {
            let cut = client.read_to_close(within);
            assert_eq!(cut.unwrap_or_else(|error| panic!("{name}: {error}")), "", "{name}");
        }
    }

    #[track_caller]
    fn are_kept(&mut self) {
        assert_eq!(self.normal.call(&["GET", "born"]).text(), "alpha");
        assert_eq!(self.listening.call(&["PING"]).items()[0].text(), "pong");
    }
}

fn wait_switch(subscribers: &[Subscriber], group: &Group) {
    for one in subscribers {
        one.wait(
            "+switch-master",
            &format!("alpha 127.0.0.1 {} ", group.members[0].port),
            FAILOVER,
        );
    }
}

#[test]
fn a_planned_switch_disconnects_the_clients_of_the_old_primary() {
    let Some(world) = World::open() else { return };
    let (cluster, mut group, subscribers) = scene(&world, 2, 1_000);
    let mut clients = Pair::of(group.members[0].port);
    // Its replicas stay, and so do those who read from them.
    let mut readers = Pair::of(group.members[2].port);
    assert!(
        group.members[1]
            .call(&["CONFIG", "SET", "replica-priority", "10"])
            .is_ok()
    );
    crate::world::wait_until("the nodes know whom to promote", SOON, || {
        super::replica(&cluster, "alpha", group.members[1].port).field("slave-priority") == Some("10")
    });
    let answer = cluster.nodes[0].call(&["SENTINEL", "FAILOVER", "alpha"]);
    assert!(answer.is_ok(), "{answer}");
    wait_switch(&subscribers, &group);
    clients.are_cut(SOON);
    let new = group.members[1].port;
    assert_eq!(cluster.nodes[0].primary_of("alpha"), new);
    group.wait_all_follow(new);
    readers.are_kept();
}

#[test]
fn a_primary_that_hung_disconnects_its_clients_when_it_is_back() {
    let Some(world) = World::open() else { return };
    let (_cluster, mut group, subscribers) = scene(&world, 1, 1_000);
    let mut clients = Pair::of(group.members[0].port);
    group.members[0].freeze();
    wait_switch(&subscribers, &group);
    group.members[0].thaw();
    clients.are_cut(FAILOVER);
    let new = group.members[1].port;
    group.wait_all_follow(new);
}
