//! What a pretend instance answers.

use bytes::Bytes;

use crate::fleet::client::Floor;
use crate::fleet::orders::word;
use crate::fleet::{info, orders};
use crate::model::Instant;
use crate::resp::{Reply, Request};

/// One connection to an instance.
pub(super) struct Session {
    pub(super) place: usize,
    pub(super) id: u64,
    queued: Option<Queue>,
}

/// What was said since MULTI.
#[derive(Default)]
struct Queue {
    requests: Vec<(&'static str, Request)>,
    spoilt: bool,
}

/// Requests that are known; the name under which each is counted.
const KNOWN: &[&str] = &[
    "AUTH",
    "CLIENT",
    "COMMAND",
    "CONFIG",
    "DISCARD",
    "EXEC",
    "INFO",
    "MULTI",
    "PING",
    "PUBLISH",
    "QUIT",
    "REPLICAOF",
    "ROLE",
    "SCRIPT",
    "SELECT",
    "SLAVEOF",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
];

impl Session {
    pub(super) fn new(place: usize, id: u64) -> Self {
        Self {
            place,
            id,
            queued: None,
        }
    }
}

/// Answers one request.
pub(super) fn answer(floor: &mut Floor, session: &mut Session, request: Request, now: Instant) -> Reply {
    let Ok(found) = KNOWN.binary_search(&word(request.name()).as_str()) else {
        if let Some(queue) = &mut session.queued {
            queue.spoilt = true;
        }
        let name = String::from_utf8_lossy(request.name()).into_owned();
        return Reply::error(format!("ERR unknown command '{name}', with args beginning with: "));
    };
    let name = KNOWN[found];
    *floor.counters.commands.entry(name).or_default() += 1;
    match (name, session.queued.take()) {
        ("MULTI", None) => {
            session.queued = Some(Queue::default());
            Reply::OK
        }
        ("MULTI", Some(queue)) => {
            session.queued = Some(queue);
            Reply::error("ERR MULTI calls can not be nested")
        }
        ("EXEC", None) => Reply::error("ERR EXEC without MULTI"),
        ("EXEC", Some(queue)) if queue.spoilt => {
            Reply::error("EXECABORT Transaction discarded because of previous errors.")
        }
        ("EXEC", Some(queue)) => {
            let requests = queue.requests.into_iter();
            Reply::Array(
                requests
                    .map(|(name, request)| carry_out(floor, session, name, &request, now))
                    .collect(),
            )
        }
        ("DISCARD", None) => Reply::error("ERR DISCARD without MULTI"),
        ("DISCARD", Some(_)) => Reply::OK,
        (_, Some(mut queue)) => {
            queue.requests.push((name, request));
            session.queued = Some(queue);
            Reply::Simple("QUEUED".into())
        }
        (_, None) => carry_out(floor, session, name, &request, now),
    }
}

fn carry_out(floor: &mut Floor, session: &Session, name: &str, request: &Request, now: Instant) -> Reply {
    let (place, arguments) = (session.place, &request.0[1..]);
    match name {
        "PING" => arguments
            .first()
            .map_or(Reply::Simple("PONG".into()), |text| Reply::Bulk(text.clone())),
        "INFO" => {
            let clients = floor.clients[place].len();
            Reply::bulk(info::info(&mut floor.world, place, clients, now))
        }
        "ROLE" => info::role(&mut floor.world, place, now),
        "SLAVEOF" | "REPLICAOF" => orders::follow(floor, place, arguments, now),
        "CLIENT" => orders::client(floor, session, arguments, now),
        "CONFIG" => orders::config(arguments),
        "SUBSCRIBE" => subscribe(floor, session, arguments),
        "UNSUBSCRIBE" => unsubscribe(floor, session, arguments),
        "PUBLISH" => publish(floor, place, arguments),
        "AUTH" => Reply::error(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        ),
        "SCRIPT" => Reply::error("NOTBUSY No scripts in execution right now."),
        // COMMAND DOCS of an interactive redis-cli.
        "COMMAND" => Reply::Array(Vec::new()),
        _ => Reply::OK,
    }
}

/// One confirmation per channel: its kind, the channel, and how many channels there are now.
fn confirmation(kind: &str, channel: Option<&Bytes>, count: usize) -> Reply {
    let channel = channel.map_or(Reply::Null, |channel| Reply::Bulk(channel.clone()));
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    Reply::Array(vec![Reply::bulk(kind), channel, Reply::Integer(count)])
}

fn subscribe(floor: &mut Floor, session: &Session, channels: &[Bytes]) -> Reply {
    let Some(client) = floor.clients[session.place].get_mut(&session.id) else {
        return Reply::NOTHING;
    };
    let one = |channel: &Bytes| {
        client.channels.insert(channel.clone());
        confirmation("subscribe", Some(channel), client.channels.len())
    };
    Reply::Many(channels.iter().map(one).collect())
}

fn unsubscribe(floor: &mut Floor, session: &Session, channels: &[Bytes]) -> Reply {
    let Some(client) = floor.clients[session.place].get_mut(&session.id) else {
        return Reply::NOTHING;
    };
    let all: Vec<Bytes> = match channels {
        [] => client.channels.iter().cloned().collect(),
        named => named.to_vec(),
    };
    if all.is_empty() {
        return confirmation("unsubscribe", None, 0);
    }
    let one = |channel: &Bytes| {
        client.channels.remove(channel);
        confirmation("unsubscribe", Some(channel), client.channels.len())
    };
    Reply::Many(all.iter().map(one).collect())
}

/// Hands a message to whoever subscribed to its channel at this instance.
fn publish(floor: &mut Floor, place: usize, arguments: &[Bytes]) -> Reply {
    let [channel, text] = arguments else {
        return Reply::error("ERR wrong number of arguments for 'publish' command");
    };
    let message = Reply::Array(vec![
        Reply::bulk("message"),
        Reply::Bulk(channel.clone()),
        Reply::Bulk(text.clone()),
    ]);
    let mut bytes = bytes::BytesMut::new();
    crate::resp::encode(&message, crate::resp::Protocol::Resp2, &mut bytes);
    let bytes = bytes.freeze();
    let mut told = 0;
    floor.clients[place].retain(|_, client| {
        if !client.channels.contains(channel) {
            return true;
        }
        told += 1;
        client.outbox.try_send(bytes.clone()).is_ok()
    });
    Reply::Integer(told)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::fleet::instance::Upstream;
    use crate::fleet::world::tests::world;
    use crate::resp::split_line;

    const NOW: Instant = Instant(1_000_000);

    struct Scene {
        floor: Floor,
        sessions: Vec<Session>,
        outboxes: Vec<tokio::sync::mpsc::Receiver<Bytes>>,
    }

    impl Scene {
        /// One connection to each instance of a group with one replica.
        fn new() -> Self {
            let mut floor = Floor::new(world(1, 1));
            let (mut sessions, mut outboxes) = (Vec::new(), Vec::new());
            for place in 0..2 {
                let (id, outbox) = floor.enter(place, "127.0.0.1:1".to_owned(), NOW);
                sessions.push(Session::new(place, id));
                outboxes.push(outbox);
            }
            Self {
                floor,
                sessions,
                outboxes,
            }
        }

        fn say(&mut self, session: usize, line: &str) -> Reply {
            let request = Request(split_line(line.as_bytes()).unwrap());
            answer(&mut self.floor, &mut self.sessions[session], request, NOW)
        }
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(KNOWN.is_sorted());
    }

    #[test]
    fn an_order_in_a_transaction_turns_an_instance() {
        let mut scene = Scene::new();
        assert_eq!(scene.say(1, "MULTI"), Reply::OK);
        assert_eq!(scene.say(1, "slaveof no one"), Reply::Simple("QUEUED".into()));
        assert_eq!(scene.say(1, "CONFIG REWRITE"), Reply::Simple("QUEUED".into()));
        assert!(!scene.floor.world.instances[1].is_primary());
        assert_eq!(scene.say(1, "EXEC"), Reply::Array(vec![Reply::OK, Reply::OK]));
        assert!(scene.floor.world.instances[1].is_primary());
        assert_eq!(scene.say(0, "SLAVEOF 127.101.0.1 7000"), Reply::OK);
        assert_eq!(scene.floor.world.instances[0].link, Upstream::Up);
        assert_eq!(scene.floor.world.count().well, 1);
    }

    #[test]
    fn a_transaction_with_an_unknown_command_does_nothing() {
        let mut scene = Scene::new();
        scene.say(1, "MULTI");
        scene.say(1, "SLAVEOF NO ONE");
        assert!(matches!(scene.say(1, "NONSENSE"), Reply::Error(_)));
        assert!(matches!(scene.say(1, "EXEC"), Reply::Error(text) if text.starts_with("EXECABORT")));
        assert!(!scene.floor.world.instances[1].is_primary());
    }

    #[test]
    fn hellos_reach_whoever_listens_at_the_same_instance() {
        let mut scene = Scene::new();
        let (other, mut outbox) = scene.floor.enter(0, "127.0.0.1:2".to_owned(), NOW);
        let mut listening = Session::new(0, other);
        let subscribe = Request(split_line(b"SUBSCRIBE __sentinel__:hello").unwrap());
        answer(&mut scene.floor, &mut listening, subscribe, NOW);
        assert_eq!(scene.say(0, "PUBLISH __sentinel__:hello hi"), Reply::Integer(1));
        assert_eq!(scene.say(1, "PUBLISH __sentinel__:hello hi"), Reply::Integer(0));
        assert!(outbox.try_recv().unwrap().ends_with(b"$2\r\nhi\r\n"));
        assert!(scene.outboxes[0].try_recv().is_err());
    }

    #[test]
    fn clients_of_a_type_are_closed_but_for_the_one_who_asks() {
        let mut scene = Scene::new();
        let (_, mut outbox) = scene.floor.enter(0, "127.0.0.1:2".to_owned(), NOW);
        assert_eq!(scene.say(0, "CLIENT KILL TYPE pubsub"), Reply::Integer(0));
        assert_eq!(scene.say(0, "CLIENT KILL TYPE normal"), Reply::Integer(1));
        assert_eq!(
            outbox.try_recv(),
            Err(tokio::sync::mpsc::error::TryRecvError::Disconnected)
        );
        assert_eq!(scene.floor.connected(), 2);
    }
}
