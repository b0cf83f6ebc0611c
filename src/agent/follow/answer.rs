//! What a node's answers and events say. Everything is checked: a stranger may sit behind an address.
//!
//! What does not live here: connections, and what is made of it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bytes::Bytes;

use crate::agent::Route;
use crate::model::{Address, Age, NodeId, Revision};
use crate::resp::Reply;

/// Why an answer is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Useless {
    /// The node is not ready.
    #[error("it answers -{0}")]
    Refused(String),
    /// It is no cfgserver.
    #[error("it is no cfgserver node: {0}")]
    Stranger(&'static str),
    /// It makes no sense.
    #[error("{0}")]
    Nonsense(&'static str),
}

/// A node about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeFacts {
    /// Its cluster.
    pub(super) cluster: String,
    /// Its number.
    pub(super) id: NodeId,
    /// Who leads, as far as it knows.
    pub(super) leader: Option<NodeId>,
    /// Age of its last contact with a leader; `None`: never.
    pub(super) contact_ms: Option<Age>,
    /// It answers lookups.
    pub(super) ready: bool,
    /// Revision of the state that it has applied.
    pub(super) revision: Revision,
}

/// The first answer about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupAnswer {
    /// Where it is; the replicas are not known yet.
    Found(Route),
    /// There is no group of this name.
    Missing,
}

impl NodeFacts {
    /// Reads the answer to INFO raft.
    pub(super) fn read(answer: &Reply) -> Result<Self, Useless> {
        let text = match answer {
            Reply::Bulk(text) => std::str::from_utf8(text).map_err(|_| Useless::Nonsense("INFO is no text"))?,
            Reply::Error(text) => return Err(Useless::Refused(shortened(text))),
            _ => return Err(Useless::Nonsense("INFO is no text")),
        };
        let line = |key: &str| {
            let value = |line: &'_ str| -> Option<String> {
                Some(line.strip_prefix(key)?.strip_prefix(':')?.trim_end().to_owned())
            };
            text.split('\n').find_map(value)
        };
        let number = |key: &str| line(key).and_then(|value| value.parse::<u64>().ok());
        let cluster = line("cluster_id").ok_or(Useless::Stranger("its INFO names no cluster"))?;
        Ok(Self {
            // A node that waits to be added has no cluster yet, and is not ready.
            ready: number("raft_ready") == Some(1) && !cluster.is_empty(),
            cluster: shortened(&cluster),
            id: number("raft_node_id").ok_or(Useless::Stranger("its INFO names no node"))?,
            leader: number("raft_leader").filter(|id| *id > 0),
            contact_ms: number("raft_contact_ms"),
            revision: number("revision").unwrap_or(0),
        })
    }
}

/// Reads the answer to SENTINEL MASTER.
pub(super) fn group(name: &str, answer: &Reply) -> Result<GroupAnswer, Useless> {
    if let Reply::Error(text) = answer {
        return match text.contains("No such master") {
            true => Ok(GroupAnswer::Missing),
            false => Err(Useless::Refused(shortened(text))),
        };
    }
    let fields = Fields::of(answer)?;
    if fields.get("name") != Some(name) {
        return Err(Useless::Nonsense("SENTINEL MASTER answers about another group"));
    }
    let version = fields.get("group-version");
    let version = version.ok_or(Useless::Stranger("its groups have no version"))?;
    let version: Revision = version
        .parse()
        .ok()
        .filter(|version| *version > 0)
        .ok_or(Useless::Nonsense("a group version is no number"))?;
    Ok(GroupAnswer::Found(Route {
        primary: fields.address().ok_or(Useless::Nonsense("a primary has no address"))?,
        version,
        replicas: BTreeSet::new(),
    }))
}

/// Reads the answer to SENTINEL REPLICAS: those that a client may be sent to.
pub(super) fn healthy_replicas(primary: Address, answer: &Reply) -> Result<BTreeSet<Address>, Useless> {
    let entries = match answer {
        Reply::Array(entries) => entries,
        // Removed since the first question: the next look-up says so.
        Reply::Error(text) if text.contains("No such master") => return Ok(BTreeSet::new()),
        Reply::Error(text) => return Err(Useless::Refused(shortened(text))),
        _ => return Err(Useless::Nonsense("SENTINEL REPLICAS is no list")),
    };
    let mut healthy = BTreeSet::new();
    for entry in entries {
        let fields = Fields::of(entry)?;
        let address = fields.address().ok_or(Useless::Nonsense("a replica has no address"))?;
        if address != primary && is_healthy(primary, &fields) {
            healthy.insert(address);
        }
    }
    Ok(healthy)
}

/// In reach, in sync with this primary, and not set aside.
fn is_healthy(primary: Address, fields: &Fields<'_>) -> bool {
    const BAD: [&str; 3] = ["s_down", "o_down", "disconnected"];
    let flags = fields.get("flags").unwrap_or("disconnected");
    let port = primary.port.to_string();
    // A host name may mean any address.
    let host: Option<IpAddr> = fields.get("master-host").and_then(|host| host.parse().ok());
    flags.split(',').all(|flag| !BAD.contains(&flag))
        && fields.get("master-link-status") == Some("ok")
        && host.is_none_or(|host| host.to_canonical() == primary.ip)
        && fields.get("master-port") == Some(port.as_str())
        && fields.get("quarantine").is_none_or(str::is_empty)
}

/// The events after which a group is looked up again.
pub(super) const SWITCHES: &[&str] = &["+switch-master", "+monitor", "-monitor"];

/// And those after which its replicas may be others.
pub(super) const REPLICA_EVENTS: &[&str] = &[
    "+slave",
    "+sdown",
    "-sdown",
    "+reset-master",
    "+slave-reconf-done",
    "+reboot",
    "+role-change",
    "-role-change",
];

/// What a subscribed connection says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A subscription holds.
    Confirmed,
    /// Something about this group.
    News(String),
    /// A sign of life, or something that is no concern of ours.
    Alive,
}

/// Reads what a subscribed connection says.
pub(super) fn heard(frame: &Reply) -> Result<Heard, Useless> {
    let parts: Option<Vec<&Bytes>> = match frame {
        Reply::Array(items) => items.iter().map(bulk).collect(),
        Reply::Error(text) => return Err(Useless::Refused(shortened(text))),
        Reply::Simple(_) => return Ok(Heard::Alive),
        _ => return Err(Useless::Nonsense("a subscription says what is no message")),
    };
    match parts.as_deref() {
        Some([kind, channel, payload]) if kind.as_ref() == b"message" => {
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            Ok(match concerned(&text(channel), &text(payload)) {
                Some(group) => Heard::News(group),
                None => Heard::Alive,
            })
        }
        Some([kind, _]) if kind.as_ref() == b"pong" => Ok(Heard::Alive),
        Some(_) => Err(Useless::Nonsense("a subscription says what is no message")),
        // The count of a confirmation is a number.
        None => match frame {
            Reply::Array(items) if items.first() == Some(&Reply::bulk("subscribe")) => Ok(Heard::Confirmed),
            _ => Err(Useless::Nonsense("a subscription says what is no message")),
        },
    }
}

/// The group that an event is about.
fn concerned(channel: &str, payload: &str) -> Option<String> {
    let words: Vec<&str> = payload.split(' ').collect();
    let group = match (channel, words.as_slice()) {
        ("+switch-master", [group, ..]) | (_, ["master", group, ..]) => group,
        (_, ["slave", _, _, _, "@", group, ..]) => group,
        _ => return None,
    };
    Some((*group).to_owned())
}

fn bulk(reply: &Reply) -> Option<&Bytes> {
    match reply {
        Reply::Bulk(bytes) => Some(bytes),
        _ => None,
    }
}

/// What a stranger says is repeated in our log and status: in one line, and not at length.
fn shortened(text: &str) -> String {
    const LETTERS_MAX: usize = 120;
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().take(LETTERS_MAX).map(printable).collect()
}

/// A flat array of names and values.
struct Fields<'a>(&'a [Reply]);

impl<'a> Fields<'a> {
    fn of(answer: &'a Reply) -> Result<Self, Useless> {
        match answer {
            Reply::Array(items) if items.len() % 2 == 0 => Ok(Self(items)),
            _ => Err(Useless::Nonsense("an instance is no list of names and values")),
        }
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let pair = self
            .0
            .chunks_exact(2)
            .find(|pair| bulk(&pair[0]).is_some_and(|known| known.as_ref() == name.as_bytes()))?;
        std::str::from_utf8(bulk(&pair[1])?).ok()
    }

    fn address(&self) -> Option<Address> {
        let address = Address::parse(self.get("ip")?, self.get("port")?).ok()?;
        (!address.ip.is_unspecified() && !address.ip.is_multicast()).then_some(address)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Reply {
        let items = pairs
            .iter()
            .flat_map(|(name, value)| [Reply::bulk(name), Reply::bulk(value)]);
        Reply::Array(items.collect())
    }

    fn at(port: u16) -> Address {
        Address::parse("10.0.0.1", &port.to_string()).unwrap()
    }

    #[test]
    fn a_node_tells_its_cluster_and_its_contact() {
        let info = "# Raft\r\nraft_node_id:2\r\nraft_leader:1\r\nraft_contact_ms:12\r\nraft_ready:1\r\n\
                    cluster_id:abc\r\nrevision:77\r\n";
        let facts = NodeFacts::read(&Reply::bulk(info)).unwrap();
        let expected = NodeFacts {
            cluster: "abc".to_owned(),
            id: 2,
            leader: Some(1),
            contact_ms: Some(12),
            ready: true,
            revision: 77,
        };
        assert_eq!(facts, expected);
        let alone = info
            .replace("contact_ms:12", "contact_ms:-1")
            .replace("leader:1", "leader:0");
        let facts = NodeFacts::read(&Reply::bulk(alone)).unwrap();
        assert_eq!((facts.leader, facts.contact_ms), (None, None));
    }

    #[test]
    fn a_node_that_belongs_to_no_cluster_yet_is_not_ready() {
        let info = "raft_node_id:2\r\nraft_ready:1\r\ncluster_id:\r\n";
        assert!(!NodeFacts::read(&Reply::bulk(info)).unwrap().ready);
    }

    #[test]
    fn a_redis_or_its_sentinel_is_told_from_a_node() {
        let fault = NodeFacts::read(&Reply::bulk("# Server\r\nredis_version:7.0.15\r\n")).unwrap_err();
        assert_eq!(fault.to_string(), "it is no cfgserver node: its INFO names no cluster");
        let sentinel = map(&[("name", "g"), ("ip", "10.0.0.1"), ("port", "1")]);
        assert_eq!(
            group("g", &sentinel).unwrap_err().to_string(),
            "it is no cfgserver node: its groups have no version"
        );
        assert!(NodeFacts::read(&Reply::error("NOAUTH Authentication required.")).is_err());
    }

    #[test]
    fn a_group_is_its_address_and_its_version() {
        let answer = map(&[("name", "g"), ("ip", "10.0.0.1"), ("port", "7"), ("group-version", "9")]);
        let route = Route {
            primary: at(7),
            version: 9,
            replicas: BTreeSet::new(),
        };
        assert_eq!(group("g", &answer), Ok(GroupAnswer::Found(route)));
        let missing = Reply::error("ERR No such master with that name");
        assert_eq!(group("g", &missing), Ok(GroupAnswer::Missing));
        let loading = Reply::error("LOADING not yet");
        assert_eq!(
            group("g", &loading),
            Err(Useless::Refused("LOADING not yet".to_owned()))
        );
    }

    #[test]
    fn an_answer_without_sense_is_no_address() {
        for pairs in [
            &[
                ("name", "other"),
                ("ip", "10.0.0.1"),
                ("port", "7"),
                ("group-version", "9"),
            ][..],
            &[("name", "g"), ("ip", "10.0.0.1"), ("port", "0"), ("group-version", "9")],
            &[
                ("name", "g"),
                ("ip", "10.0.0.1"),
                ("port", "65536"),
                ("group-version", "9"),
            ],
            &[("name", "g"), ("ip", "0.0.0.0"), ("port", "7"), ("group-version", "9")],
            &[("name", "g"), ("ip", "evil\n"), ("port", "7"), ("group-version", "9")],
            &[("name", "g"), ("port", "7"), ("group-version", "9")],
            &[
                ("name", "g"),
                ("ip", "10.0.0.1"),
                ("port", "7"),
                ("group-version", "-1"),
            ],
            &[("name", "g"), ("ip", "10.0.0.1"), ("port", "7"), ("group-version", "0")],
            &[],
        ] {
            assert!(group("g", &map(pairs)).is_err(), "{pairs:?}");
        }
        for answer in [
            Reply::Null,
            Reply::Integer(1),
            Reply::Array(vec![Reply::Null]),
            Reply::OK,
        ] {
            assert!(group("g", &answer).is_err());
            assert!(healthy_replicas(at(1), &answer).is_err() || answer == Reply::Null);
        }
    }

    #[test]
    fn only_replicas_that_serve_this_primary_are_healthy() {
        let replica = |port: &'static str, flags: &'static str, link: &'static str, of: &'static str| {
            let (host, of) = of.split_once(' ').unwrap_or(("10.0.0.1", of));
            map(&[
                ("master-host", host),
                ("ip", "10.0.0.1"),
                ("port", port),
                ("flags", flags),
                ("master-link-status", link),
                ("master-port", of),
            ])
        };
        let set_aside = map(&[
            ("ip", "10.0.0.1"),
            ("port", "8"),
            ("flags", "slave"),
            ("master-link-status", "ok"),
            ("master-port", "1"),
            ("quarantine", "foreign"),
        ]);
        let answer = Reply::Array(vec![
            replica("2", "slave", "ok", "1"),
            replica("3", "s_down,slave", "ok", "1"),
            replica("4", "slave,disconnected", "ok", "1"),
            replica("5", "slave", "err", "1"),
            replica("6", "slave", "ok", "9"),
            replica("7", "slave,reconf_done", "ok", "1"),
            replica("9", "slave", "ok", "10.0.0.2 1"),
            replica("10", "slave", "ok", "::ffff:10.0.0.1 1"),
            replica("11", "slave", "ok", "redis.example.com 1"),
            set_aside,
        ]);
        assert_eq!(healthy_replicas(at(1), &answer), Ok([2, 7, 10, 11].map(at).into()));
    }

    #[test]
    fn an_event_names_the_group_that_it_is_about() {
        let news = |channel: &str, payload: &str| {
            let parts = ["message", channel, payload].map(Reply::bulk);
            heard(&Reply::Array(parts.into()))
        };
        let about = |group: &str| Ok(Heard::News(group.to_owned()));
        assert_eq!(news("+switch-master", "g 10.0.0.1 1 10.0.0.1 2"), about("g"));
        assert_eq!(news("+monitor", "master g 10.0.0.1 1 quorum 2"), about("g"));
        assert_eq!(news("+sdown", "slave 10.0.0.1:2 10.0.0.1 2 @ g 10.0.0.1 1"), about("g"));
        assert_eq!(
            news("+sdown", "sentinel abc 10.0.0.1 2 @ g 10.0.0.1 1"),
            Ok(Heard::Alive)
        );
        assert_eq!(news("+sdown", ""), Ok(Heard::Alive));
    }

    #[test]
    fn a_subscription_confirms_lives_or_is_useless() {
        let confirmed = Reply::Array(vec![Reply::bulk("subscribe"), Reply::bulk("+x"), Reply::Integer(1)]);
        assert_eq!(heard(&confirmed), Ok(Heard::Confirmed));
        assert_eq!(
            heard(&Reply::Array(vec![Reply::bulk("pong"), Reply::bulk("")])),
            Ok(Heard::Alive)
        );
        for frame in [
            Reply::Null,
            Reply::Integer(4),
            Reply::Array(vec![]),
            Reply::Array(vec![Reply::bulk("subscribe")]),
            Reply::Array(vec![Reply::Array(vec![]), Reply::Null]),
            Reply::error("ERR max number of clients"),
        ] {
            assert!(heard(&frame).is_err(), "{frame:?}");
        }
    }
}
