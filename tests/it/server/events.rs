//! Events on a connection: order, lookups between them, subscribers that do not keep up.

use std::sync::Arc;

use cfgserver::machine::{Command, Entry, State, apply};
use cfgserver::model::{Address, Event, EventKind, Group, GroupName, Revision, Timestamp};
use cfgserver::requests::{Write, WriteReply};
use cfgserver::server::ServerOptions;

use super::{Client, World, until};

const CONFIRMED: &str = "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n";

async fn subscriber(world: &World) -> Client {
    let mut client = world.connect().await;
    client.ask("PSUBSCRIBE *\r\n", CONFIRMED).await;
    client
}

fn epoch_event(revision: Option<Revision>, epoch: u64) -> Event {
    Event {
        revision,
        group: None,
        kind: EventKind::NewEpoch(epoch),
    }
}

/// A group whose primary's port follows the revision: one switch per revision.
pub(super) struct Switching {
    group: Group,
}

impl Switching {
    const NAME: &str = "shard-1";

    pub(super) fn new() -> Self {
        let mut state = State::default();
        let monitor = Command::Monitor {
            host: None,
            name: GroupName::new(Self::NAME).unwrap(),
            primary: Self::address(1),
            quorum: 1,
            settings: Vec::new(),
        };
        apply(
            &mut state,
            &Entry {
                command: monitor,
                at: Timestamp(1),
            },
        );
        let group = state.groups().next().expect("the group is there");
        Self {
            group: group.as_ref().clone(),
        }
    }

    fn address(revision: Revision) -> Address {
        Address::parse("10.0.0.1", &(10_000 + revision).to_string()).unwrap()
    }

    /// The state at `revision`, and the event of the switch that led to it.
    pub(super) fn switch(&mut self, revision: Revision) -> (Arc<State>, Vec<Event>) {
        let (from, to) = (self.group.primary, Self::address(revision));
        let member = self.group.members.remove(&from).unwrap_or_default();
        self.group.members.insert(to, member);
        self.group.primary = to;
        self.group.version = revision;
        self.group.switches.push(cfgserver::model::Switch {
            from_host: None,
            revision,
            from,
            to,
            epoch: revision,
            at: Timestamp(revision),
            automatic: false,
        });
        let extra = self.group.switches.len().saturating_sub(Group::SWITCHES_MAX);
        self.group.switches.drain(..extra);
        let header = cfgserver::machine::Header {
            revision,
            next_group: self.group.id.0 + 1,
            ..Default::default()
        };
        let mut key = b"g".to_vec();
        key.extend_from_slice(&self.group.id.0.to_be_bytes());
        let records = [
            (b"h".to_vec(), rmp_serde::to_vec_named(&header).unwrap()),
            (key, rmp_serde::to_vec_named(&self.group).unwrap()),
        ];
        let event = Event {
            revision: Some(revision),
            group: Some(self.group.id),
            kind: EventKind::Switch {
                group: self.group.name.clone(),
                from,
                to,
            },
        };
        (Arc::new(State::from_records(records).unwrap()), vec![event])
    }
}

#[tokio::test]
async fn events_come_in_order_and_once() {
    let world = World::start();
    let mut client = subscriber(&world).await;
    for epoch in 0..500 {
        world.hub.publish_local(epoch_event(None, epoch));
    }
    for epoch in 0..500 {
        assert_eq!(client.reply().await, format!("pmessage * +new-epoch {epoch}"));
    }
}

#[tokio::test]
async fn events_flow_while_a_write_is_made() {
    let mut world = World::start();
    let mut client = world.connect().await;
    client.send("HELLO 3\r\n").await;
    client.reply().await;
    client.send("PSUBSCRIBE *\r\n").await;
    client.reply().await;
    client
        .send("SENTINEL MONITOR shard-1 127.0.0.1 6379 2\r\nPING\r\n")
        .await;
    let (_, answer) = world.writes.recv().await.unwrap();
    world.hub.publish_local(epoch_event(None, 7));
    assert_eq!(client.reply().await, "pmessage * +new-epoch 7");
    answer.send(Ok(WriteReply::Accepted)).unwrap();
    client.line().await;
    client.expect("+PONG\r\n").await;
}

/// As Sentinel does: events, then the answer; MONITOR's answer, then its event.
#[tokio::test]
async fn an_answer_comes_after_the_events_of_its_write_and_before_that_of_monitor() {
    let mut world = World::start();
    let mut client = world.connect().await;
    client.send("HELLO 3\r\n").await;
    client.reply().await;
    client.send("PSUBSCRIBE *\r\n").await;
    client.reply().await;
    let mut state = State::default();
    let mut answered = Vec::new();
    for request in [
        "SENTINEL MONITOR a 127.0.0.1 1 2",
        "SENTINEL SET a quorum 3 parallel-syncs 4",
        "SENTINEL REMOVE a",
    ] {
        client.send(format!("{request}\r\n")).await;
        let (write, answer) = world.writes.recv().await.unwrap();
        let Write::Command(command) = write else {
            panic!("not a command: {write:?}");
        };
        let applied = apply(
            &mut state,
            &Entry {
                command,
                at: Timestamp(1),
            },
        );
        world.hub.publish(Arc::new(state.clone()), applied.events);
        // The connection takes the events before there is an answer.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let revision = state.revision();
        let outcome = applied.outcome;
        answer.send(Ok(WriteReply::Outcome { outcome, revision })).unwrap();
        client.send("PING\r\n").await;
        loop {
            let reply = client.reply().await;
            if reply == "+PONG" {
                break;
            }
            answered.push(reply);
        }
    }
    let master = "master a 127.0.0.1 1";
    let expected = [
        "+OK".to_owned(),
        format!("pmessage * +monitor {master} quorum 2"),
        format!("pmessage * +set {master} quorum 3"),
        format!("pmessage * +set {master} parallel-syncs 4"),
        "+OK".to_owned(),
        format!("pmessage * -monitor {master}"),
        "+OK".to_owned(),
    ];
    assert_eq!(answered, expected);
}

/// On one connection, what lookups and events say about a group is one chain: each event starts where the
/// connection was, and no lookup goes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn lookups_and_events_tell_one_story() {
    const SWITCHES: Revision = 2000;
    let world = World::start();
    let mut switching = Switching::new();
    let (state, _) = switching.switch(1);
    world.hub.publish(state, vec![]);
    let mut client = world.connect().await;
    let lookup = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {}\r\n", Switching::NAME);
    client
        .send(format!("HELLO 3\r\n{lookup}PSUBSCRIBE +switch-master\r\n"))
        .await;
    client.reply().await;
    assert_eq!(client.reply().await, "10.0.0.1 10001");
    client.reply().await;
    let hub = world.hub.clone();
    let publisher = std::thread::spawn(move || {
        for revision in 2..=SWITCHES {
            let (state, events) = switching.switch(revision);
            hub.publish(state, events);
            if revision % 10 == 0 {
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        }
    });
    let mut at = 10_001;
    let mut lookups = 0;
    client.send(&lookup).await;
    while at < 10_000 + SWITCHES {
        let reply = client.reply().await;
        let words: Vec<&str> = reply.split(' ').collect();
        let port = |word: &str| word.parse::<u64>().unwrap();
        match words[..] {
            ["pmessage", _, _, _, _, from, _, to] => {
                assert_eq!(port(from), at, "a gap or a return: {reply}");
                at = port(to);
            }
            [_, address] => {
                assert_eq!(port(address), at, "the lookup does not agree with the events");
                lookups += 1;
                client.send(&lookup).await;
            }
            _ => panic!("unexpected: {reply}"),
        }
    }
    assert!(lookups > 10, "only {lookups} lookups in between");
    publisher.join().unwrap();
}

/// No event falls between the lookup and the subscription, however they come.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_switch_is_lost_between_lookup_and_subscription() {
    let world = Arc::new(World::start());
    let mut switching = Switching::new();
    let (state, _) = switching.switch(1);
    world.hub.publish(state, vec![]);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let publisher = {
        let (hub, stop) = (world.hub.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut revision = 1;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) && revision < 50_000 {
                revision += 1;
                let (state, events) = switching.switch(revision);
                hub.publish(state, events);
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        })
    };
    for round in 0..50 {
        let mut client = world.connect().await;
        let lookup = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {}\r\n", Switching::NAME);
        client.send(format!("{lookup}PSUBSCRIBE +switch-master\r\n")).await;
        let known = client.reply().await;
        assert_eq!(client.reply().await, "psubscribe +switch-master :1", "round {round}");
        let event = client.reply().await;
        let words: Vec<&str> = event.split(' ').collect();
        assert_eq!(format!("{} {}", words[4], words[5]), known, "round {round}: {event}");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    publisher.join().unwrap();
}

/// Also to who hears of nothing but switches.
#[tokio::test]
async fn a_name_that_is_monitored_again_elsewhere_is_told_to_both_proxies() {
    let world = World::start();
    let mut state = State::default();
    let mut publish = |command| {
        let applied = apply(
            &mut state,
            &Entry {
                command,
                at: Timestamp(1),
            },
        );
        world.hub.publish(Arc::new(state.clone()), applied.events);
    };
    let name = GroupName::new(Switching::NAME).unwrap();
    let monitor = |port| Command::Monitor {
        host: None,
        name: name.clone(),
        primary: Switching::address(port),
        quorum: 1,
        settings: Vec::new(),
    };
    publish(monitor(1));
    let lookup = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {}\r\n", Switching::NAME);
    let mut clients = Vec::new();
    for question in ["INFO sentinel\r\n", &lookup] {
        let mut client = world.connect().await;
        client.send(format!("{question}PSUBSCRIBE +switch-master\r\n")).await;
        client.reply().await;
        assert_eq!(client.reply().await, "psubscribe +switch-master :1");
        clients.push(client);
    }
    publish(Command::Remove { name: name.clone() });
    publish(monitor(2));
    for client in &mut clients {
        let event = client.reply().await;
        assert!(
            event.starts_with("pmessage +switch-master +switch-master shard-1 "),
            "{event}"
        );
        assert!(event.ends_with(" 10.0.0.1 10002"), "{event}");
    }
}

#[tokio::test]
async fn a_slow_subscriber_is_disconnected_and_counted() {
    let options = ServerOptions {
        output_bytes_high: 16 << 10,
        ..ServerOptions::default()
    };
    let world = World::with_queue(options, 64 << 10);
    let mut slow = subscriber(&world).await;
    let mut fast = subscriber(&world).await;
    let mut sent = 0_u64;
    while world.hub.overflows() == 0 {
        assert!(sent < 2_000_000, "nothing overflowed");
        for _ in 0..100 {
            world.hub.publish_local(epoch_event(None, sent));
            sent += 1;
        }
        for epoch in sent - 100..sent {
            assert_eq!(fast.reply().await, format!("pmessage * +new-epoch {epoch}"));
        }
    }
    assert_eq!(world.hub.overflows(), 1);
    until("the slow one is gone", || world.hub.subscriptions() == 1).await;
    // What it did get is the beginning, without a hole.
    let mut next = 0;
    let read = async {
        loop {
            let event = slow.try_reply().await?;
            assert_eq!(event, format!("pmessage * +new-epoch {next}"));
            next += 1;
        }
    };
    let ended: Option<()> = tokio::time::timeout(super::LIMIT, read).await.expect("it ends");
    assert!(ended.is_none() && next < sent);
    world.hub.publish_local(epoch_event(None, 1));
    assert_eq!(fast.reply().await, "pmessage * +new-epoch 1");
}

#[tokio::test]
async fn who_unsubscribes_leaves_the_hub() {
    let world = World::start();
    let mut client = subscriber(&world).await;
    assert_eq!(world.hub.subscriptions(), 1);
    let mut other = world.connect().await;
    other.send("INFO stats\r\nINFO clients\r\n").await;
    assert!(other.reply().await.contains("pubsub_patterns:1\r\n"));
    assert!(other.reply().await.contains("pubsub_clients:1\r\n"));
    client.send("PUNSUBSCRIBE *\r\n").await;
    client.reply().await;
    client.ask("PING\r\n", "+PONG\r\n").await;
    until("the subscription is dropped", || world.hub.subscriptions() == 0).await;
    other.send("INFO stats\r\n").await;
    assert!(other.reply().await.contains("pubsub_patterns:0\r\n"));
    world.hub.publish_local(epoch_event(None, 1));
    client.ask("PING\r\n", "+PONG\r\n").await;
}

#[tokio::test]
async fn a_client_that_leaves_leaves_the_hub() {
    let world = World::start();
    drop(subscriber(&world).await);
    until("the subscription is dropped", || world.hub.subscriptions() == 0).await;
}
