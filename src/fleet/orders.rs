//! What monitors order of a pretend instance: SLAVEOF, CLIENT, CONFIG.

use bytes::Bytes;

use crate::fleet::answer::Session;
use crate::fleet::client::{Client, Floor};
use crate::model::{Address, Instant};
use crate::resp::Reply;

const SYNTAX: &str = "ERR syntax error";

/// A word of a request as it is compared.
pub(super) fn word(argument: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(argument.as_ref()).to_ascii_uppercase()
}

/// SLAVEOF host port, or NO ONE.
pub(super) fn follow(floor: &mut Floor, place: usize, arguments: &[Bytes], now: Instant) -> Reply {
    let [host, port] = arguments else {
        return Reply::error("ERR wrong number of arguments for 'slaveof' command");
    };
    if (word(host), word(port)) == ("NO".to_owned(), "ONE".to_owned()) {
        floor.world.follow(place, None, now);
        return Reply::OK;
    }
    let address = Address::parse(&String::from_utf8_lossy(host), &String::from_utf8_lossy(port));
    match address {
        Ok(address) => {
            floor.world.follow(place, Some(address), now);
            Reply::OK
        }
        Err(_) => Reply::error("ERR Invalid master port"),
    }
}

/// CONFIG: there is no file, so that a rewrite succeeds; and no parameter that could be read.
pub(super) fn config(arguments: &[Bytes]) -> Reply {
    match arguments.first().map(word).as_deref() {
        Some("GET") => Reply::Array(Vec::new()),
        Some("REWRITE" | "SET" | "RESETSTAT") => Reply::OK,
        _ => Reply::error(SYNTAX),
    }
}

/// CLIENT, as far as monitors use it. A pause holds nobody up, because nobody writes.
pub(super) fn client(floor: &mut Floor, session: &Session, arguments: &[Bytes], now: Instant) -> Reply {
    let clients = &mut floor.clients[session.place];
    match arguments.first().map(word).as_deref() {
        Some("SETNAME") => {
            let name = arguments.get(1).map(|name| String::from_utf8_lossy(name).into_owned());
            if let (Some(client), Some(name)) = (clients.get_mut(&session.id), name) {
                client.name = name;
            }
            Reply::OK
        }
        Some("GETNAME") => clients
            .get(&session.id)
            .map_or(Reply::Null, |client| Reply::bulk(&client.name)),
        Some("ID") => Reply::Integer(i64::try_from(session.id).unwrap_or(i64::MAX)),
        Some("LIST") => {
            let lines = clients.iter().map(|(id, client)| line(*id, client, now));
            Reply::bulk(lines.collect::<String>())
        }
        Some("KILL") => kill(floor, session, &arguments[1..]),
        Some("PAUSE" | "UNPAUSE" | "SETINFO" | "REPLY" | "NO-EVICT") => Reply::OK,
        _ => Reply::error(SYNTAX),
    }
}

fn line(id: u64, client: &Client, now: Instant) -> String {
    let age_s = now.since(client.since) / 1_000;
    let (peer, name, channels) = (&client.peer, &client.name, client.channels.len());
    format!(
        "id={id} addr={peer} name={name} age={age_s} idle=0 flags=N db=0 sub={channels} psub=0 cmd=ping user=default\n"
    )
}

/// CLIENT KILL ID id, or TYPE normal|pubsub; whoever asks is spared.
fn kill(floor: &mut Floor, session: &Session, arguments: &[Bytes]) -> Reply {
    let [filter, value, ..] = arguments else {
        return Reply::error(SYNTAX);
    };
    let (filter, value) = (word(filter), word(value));
    let meant = |id: u64, client: &Client| match (filter.as_str(), value.as_str()) {
        ("ID", value) => value == id.to_string(),
        ("TYPE", "NORMAL") => client.channels.is_empty(),
        ("TYPE", "PUBSUB") => !client.channels.is_empty(),
        _ => false,
    };
    let clients = &mut floor.clients[session.place];
    let before = clients.len();
    clients.retain(|id, client| *id == session.id || !meant(*id, client));
    Reply::Integer(i64::try_from(before - clients.len()).unwrap_or(i64::MAX))
}
