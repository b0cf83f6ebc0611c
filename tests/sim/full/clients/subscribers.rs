//! Sentinel clients: they look addresses up at any node, then listen for switches; when a connection ends or stays
//! silent they go to another node.

use std::collections::BTreeMap;
use std::io;

use cfgserver::model::{Address, GroupName};
use cfgserver::resp::Reply;

use super::Clients;
use super::line::{Line, sleep_ms, text};
use crate::chance::Chance;
use crate::fact::Fact;

/// An answer that does not come for so long does not come.
const ANSWER_MS: u64 = 2_000;
/// How often it is asked whether the node is still there.
const BEAT_MS: u64 = 1_500;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Looks up by name, then SUBSCRIBE +switch-master.
    Library,
    /// SENTINEL MASTERS, then PSUBSCRIBE +switch-master, again and again.
    Lister,
    /// Looks up by name, then listens to everything.
    Console,
}

/// How an address is told.
#[derive(Clone, Copy)]
enum Told {
    LookedUp,
    /// In a list of all groups.
    Listed,
    /// By an event, and from where.
    Moved(Address),
}

struct Subscriber {
    clients: Clients,
    number: usize,
    kind: Kind,
    chance: Chance,
    connection: u64,
    listens: bool,
}

/// A subscriber, for ever.
pub(super) async fn live(clients: Clients, number: usize, mut chance: Chance) {
    let kind = *chance.pick(&[Kind::Library, Kind::Lister, Kind::Console]);
    let mut subscriber = Subscriber {
        clients,
        number,
        kind,
        chance,
        connection: 0,
        listens: false,
    };
    loop {
        let nodes = subscriber.clients.notes().plan.nodes.clone();
        let node = *subscriber.chance.pick(&nodes);
        if let Ok(line) = Line::connect(node).await {
            subscriber.begins();
            if let Err(error) = subscriber.converse(line).await {
                subscriber.ends(&error);
            }
        }
        sleep_ms(subscriber.chance.within(10, 500)).await;
    }
}

impl Subscriber {
    fn begins(&mut self) {
        self.connection = self.clients.notes().connection();
        self.shows(false);
    }

    fn ends(&mut self, error: &io::Error) {
        self.shows(false);
        let mut notes = self.clients.notes();
        notes.coverage.mark("client: lost its node");
        notes.tell(&format!("client {}", self.number), format!("lost its node: {error}"));
    }

    fn shows(&mut self, listens: bool) {
        self.listens = listens;
        let listener = &mut self.clients.notes().listeners[self.number];
        listener.connection = self.connection;
        listener.listens = listens;
    }

    /// One connection; its end is an error.
    async fn converse(&mut self, mut line: Line) -> io::Result<()> {
        self.look_up(&mut line).await?;
        if self.chance.permille(500) {
            // What is committed between lookup and subscription is told with the subscription.
            sleep_ms(self.chance.within(1, 1_500)).await;
        }
        line.send(self.subscription()).await?;
        loop {
            match line.next_within(BEAT_MS).await {
                Ok(reply) => self.hears(&reply),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => self.beat(&mut line).await?,
                Err(error) => return Err(error),
            }
        }
    }

    fn subscription(&self) -> &'static str {
        match self.kind {
            Kind::Library => "SUBSCRIBE +switch-master",
            Kind::Lister => "PSUBSCRIBE +switch-master",
            Kind::Console => "PSUBSCRIBE *",
        }
    }

    /// Something must come back.
    async fn beat(&mut self, line: &mut Line) -> io::Result<()> {
        line.send(match self.kind {
            Kind::Lister => self.subscription(),
            _ => "PING",
        })
        .await?;
        let reply = line.next_within(ANSWER_MS).await?;
        self.hears(&reply);
        Ok(())
    }

    async fn look_up(&mut self, line: &mut Line) -> io::Result<()> {
        if self.kind == Kind::Lister {
            let reply = line.ask("SENTINEL MASTERS", ANSWER_MS).await?;
            let Reply::Array(maps) = reply else {
                return refused(&reply);
            };
            for map in maps {
                self.listed(&map);
            }
            return Ok(());
        }
        let groups = self.clients.notes().plan.groups.clone();
        for group in groups {
            let request = format!("SENTINEL get-master-addr-by-name {group}");
            match line.ask(&request, ANSWER_MS).await? {
                Reply::Null | Reply::NullArray => {}
                Reply::Array(parts) => {
                    if let [Some(ip), Some(port)] = parts.iter().map(text).collect::<Vec<_>>().as_slice() {
                        self.told(&group, Told::LookedUp, (ip, port));
                    }
                }
                other => return refused(&other),
            }
        }
        Ok(())
    }

    /// One group of SENTINEL MASTERS.
    fn listed(&mut self, map: &Reply) {
        let Reply::Array(parts) = map else { return };
        let pairs = parts.chunks_exact(2);
        let fields: BTreeMap<String, String> = pairs
            .filter_map(|pair| Some((text(&pair[0])?, text(&pair[1])?)))
            .collect();
        if let (Some(name), Some(ip), Some(port)) = (fields.get("name"), fields.get("ip"), fields.get("port")) {
            self.told(name, Told::Listed, (ip, port));
        }
    }

    /// A confirmation, a message, or a pong.
    fn hears(&mut self, reply: &Reply) {
        let Reply::Array(parts) = reply else { return };
        let words: Vec<Option<String>> = parts.iter().map(text).collect();
        let words: Vec<&str> = words.iter().map(|word| word.as_deref().unwrap_or_default()).collect();
        match words.as_slice() {
            ["subscribe" | "psubscribe", ..] if !self.listens => self.shows(true),
            ["message", "+switch-master", payload] | ["pmessage", _, "+switch-master", payload] => {
                let words: Vec<&str> = payload.split(' ').collect();
                if let [name, old_ip, old_port, ip, port] = words.as_slice() {
                    let from = Address::parse(old_ip, old_port).ok();
                    self.told(name, from.map_or(Told::LookedUp, Told::Moved), (ip, port));
                }
            }
            _ => {}
        }
    }

    fn told(&mut self, name: &str, told: Told, (ip, port): (&str, &str)) {
        let (Ok(group), Ok(to)) = (GroupName::new(name), Address::parse(ip, port)) else {
            return;
        };
        let from = match told {
            Told::Moved(from) => Some(from),
            Told::LookedUp | Told::Listed => None,
        };
        let mut notes = self.clients.notes();
        notes.coverage.mark(match from {
            Some(_) => "client: told of a switch",
            None => "client: told an address",
        });
        let text = format!("is told {group}: {from:?} -> {to}");
        notes.tell(&format!("client {}", self.number), text);
        notes.facts.push(Fact::Told {
            client: self.number,
            connection: self.connection,
            group,
            from,
            to,
            subscribed: self.listens,
            listed: matches!(told, Told::Listed),
        });
    }
}

fn refused(reply: &Reply) -> io::Result<()> {
    Err(io::Error::other(format!("{reply:?}")))
}
