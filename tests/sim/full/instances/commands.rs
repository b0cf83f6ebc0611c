//! What an instance does with a request, and what it says, as Redis does.

use std::fmt::Write as _;

use cfgserver::failover::Order;
use cfgserver::model::Address;
use cfgserver::redis::Answer;
use cfgserver::resp::{Protocol, Reply};

use super::stage::{Stage, Wire};
use super::talk::Talk;
use crate::redis::{Index, Replica};

/// Which connections CLIENT KILL means.
type Picks = Box<dyn Fn(u64, &Wire) -> bool>;

/// What instances know: name, smallest and largest number of words, answered while loading.
const KNOWN: &[(&str, usize, usize, bool)] = &[
    ("AUTH", 2, 3, true),
    ("CLIENT", 2, usize::MAX, true),
    ("CONFIG", 2, usize::MAX, true),
    ("ECHO", 2, 2, false),
    ("FAILOVER", 2, 6, false),
    ("HELLO", 1, usize::MAX, true),
    ("INFO", 1, usize::MAX, true),
    ("PING", 1, 2, false),
    ("PSUBSCRIBE", 2, usize::MAX, true),
    ("PUBLISH", 3, 3, true),
    ("QUIT", 1, usize::MAX, true),
    ("REPLICAOF", 3, 3, false),
    ("ROLE", 1, 1, true),
    ("SELECT", 2, 2, true),
    ("SLAVEOF", 3, 3, false),
    ("SUBSCRIBE", 2, usize::MAX, true),
];

impl Stage {
    /// Why a request is turned down before anything is done.
    pub(super) fn refusal(&mut self, wire: u64, words: &[String]) -> Option<Reply> {
        let now = self.clock();
        let server = &self.fleet.servers[self.wires[&wire].who];
        let name = words[0].as_str();
        let hidden = match name {
            "CONFIG" => server.no_config_command,
            "FAILOVER" => !server.pauses_writes(),
            "HELLO" => !at_least(server.version, (6, 0)),
            "REPLICAOF" => !at_least(server.version, (5, 0)),
            _ => false,
        };
        let Some((_, low, high, in_loading)) = KNOWN.iter().find(|known| known.0 == name && !hidden) else {
            self.coverage.mark("instance: unknown command");
            let text = match at_least(server.version, (5, 0)) {
                true => format!(
                    "ERR unknown command '{name}', with args beginning with: {}",
                    quoted(&words[1..])
                ),
                false => format!("ERR unknown command '{name}'"),
            };
            return Some(Reply::error(text));
        };
        if words.len() < *low || words.len() > *high {
            let text = format!("ERR wrong number of arguments for '{}' command", name.to_lowercase());
            return Some(Reply::error(text));
        }
        let pauses = name == "CLIENT" && words[1].eq_ignore_ascii_case("pause");
        if pauses && server.no_pause_command {
            self.coverage.mark("instance: pauses for nobody");
            return Some(Reply::error(
                "NOPERM this user has no permissions to run the 'client|pause' command",
            ));
        }
        if server.loading(now) && !in_loading {
            self.coverage.mark("instance: says LOADING");
            return Some(Reply::error("LOADING Redis is loading the dataset in memory"));
        }
        None
    }

    /// `kills`: the same transaction disconnects clients.
    pub(super) fn carry_out(&mut self, wire: u64, talk: &mut Talk, words: &[String], kills: bool) -> Reply {
        let now = self.clock();
        let who = self.wires[&wire].who;
        match words[0].as_str() {
            "PING" if !self.wires[&wire].subscriptions.is_empty() && talk.protocol == Protocol::Resp2 => {
                let text = words.get(1).map_or("", String::as_str);
                Reply::Array(vec![Reply::bulk("pong"), Reply::bulk(text)])
            }
            "PING" => words.get(1).map_or(Reply::Simple("PONG".into()), Reply::bulk),
            "ECHO" => Reply::bulk(&words[1]),
            "INFO" => Reply::bulk(self.fleet.info(who, now)),
            "ROLE" => self.role(who, now),
            "SLAVEOF" | "REPLICAOF" => self.follow(wire, &words[1], &words[2], kills),
            "CONFIG" => self.config(who, words),
            "FAILOVER" => self.fail_over(wire, words),
            "CLIENT" => self.client(wire, words),
            "AUTH" => Reply::error(if at_least(self.fleet.servers[who].version, (6, 0)) {
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?"
            } else {
                "ERR Client sent AUTH, but no password is set"
            }),
            "HELLO" => self.hello(wire, talk, words),
            "SUBSCRIBE" | "PSUBSCRIBE" => self.subscribe(wire, words),
            "PUBLISH" => Reply::Integer(0),
            "QUIT" => {
                talk.quits = true;
                Reply::OK
            }
            _ => Reply::OK,
        }
    }

    fn follow(&mut self, wire: u64, host: &str, port: &str, kills: bool) -> Reply {
        let now = self.clock();
        let Wire { who, name, .. } = &self.wires[&wire];
        let (who, leader) = (*who, name.contains("-leader-"));
        if self.fleet.servers[who].failing_over.is_some() {
            return Reply::error("ERR REPLICAOF not allowed while failing over.");
        }
        let (was_primary, keys) = (self.fleet.servers[who].is_primary(), self.fleet.keys(who));
        let order = if host.eq_ignore_ascii_case("no") && port.eq_ignore_ascii_case("one") {
            self.fleet.become_primary(who, now);
            Order::Promote
        } else {
            let Ok(primary) = Address::parse(host, port) else {
                return Reply::error("ERR Invalid master port");
            };
            let already = self.fleet.servers[who].follows == Some(primary);
            self.fleet.become_replica(who, primary, leader, now);
            if already {
                return Reply::Simple("OK Already connected to specified master".into());
            }
            Order::Follow {
                host: None,
                primary,
                disconnect_clients: kills,
            }
        };
        if leader {
            let order = self.meant(who, order);
            self.ordered(wire, order, was_primary, keys);
        }
        Reply::OK
    }

    fn fail_over(&mut self, wire: u64, words: &[String]) -> Reply {
        let now = self.clock();
        let words: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
        let parts: Vec<&str> = words.iter().map(String::as_str).collect();
        let (who, leader) = self.ordering(wire);
        match parts.as_slice() {
            [_, "ABORT"] => match self.fleet.servers[who].failing_over.take() {
                Some(_) => Reply::OK,
                None => Reply::error("ERR No failover in progress."),
            },
            [_, "TO", ip, port, "TIMEOUT", ms] => {
                let (Ok(to), Ok(ms)) = (Address::parse(ip, port), ms.parse::<u64>()) else {
                    return Reply::error("ERR FAILOVER target HOST and PORT is not a replica.");
                };
                let keys = self.fleet.keys(who);
                match self.fleet.fail_over(who, to, ms, now) {
                    Answer::Error(text) => Reply::error(text.to_string()),
                    _ => {
                        self.coverage.mark("instance: fails over by itself");
                        if leader {
                            self.ordered(wire, Order::Yield { to, host: None, ms }, true, keys);
                        }
                        Reply::OK
                    }
                }
            }
            _ => Reply::error("ERR syntax error"),
        }
    }

    fn config(&mut self, who: Index, words: &[String]) -> Reply {
        let server = &mut self.fleet.servers[who];
        match words[1].to_ascii_uppercase().as_str() {
            "REWRITE" if server.no_config_file => Reply::error("ERR The server is running without a config file"),
            "REWRITE" => {
                server.saved_follows = server.follows;
                Reply::OK
            }
            "GET" => Reply::Array(Vec::new()),
            "SET" => Reply::OK,
            other => unknown_subcommand(other, "CONFIG"),
        }
    }

    fn role(&self, who: Index, now: u64) -> Reply {
        let server = &self.fleet.servers[who];
        let offset = |of: Index| self.fleet.offset(of, now);
        let number = |number: u64| Reply::bulk(number.to_string());
        let Some(primary) = server.follows else {
            let copies = |replica: &Replica| matches!(replica, Replica::Up { from, .. } if *from == who);
            let replicas = self.fleet.servers.iter().enumerate();
            let replicas = replicas.filter(|(_, other)| other.running && copies(&other.replica));
            let line = |(index, other): (Index, &crate::redis::Server)| {
                let (ip, port) = (other.address.ip.to_string(), u64::from(other.address.port));
                Reply::Array(vec![Reply::bulk(ip), number(port), number(offset(index))])
            };
            let lines = replicas.map(line).collect();
            return Reply::Array(vec![
                Reply::bulk("master"),
                Reply::Integer(offset(who) as i64),
                Reply::Array(lines),
            ]);
        };
        let state = match server.replica {
            Replica::Up { .. } => "connected",
            Replica::Transfer { .. } | Replica::Loading { .. } => "sync",
            Replica::Down => "connect",
        };
        Reply::Array(vec![
            Reply::bulk("slave"),
            Reply::bulk(primary.ip.to_string()),
            Reply::Integer(i64::from(primary.port)),
            Reply::bulk(state),
            Reply::Integer(if state == "connected" { offset(who) as i64 } else { -1 }),
        ])
    }

    fn hello(&mut self, wire: u64, talk: &mut Talk, words: &[String]) -> Reply {
        match words.get(1).map(String::as_str) {
            None => {}
            Some("2") => talk.protocol = Protocol::Resp2,
            Some("3") => talk.protocol = Protocol::Resp3,
            Some(_) => return Reply::error("NOPROTO unsupported protocol version"),
        }
        let server = &self.fleet.servers[self.wires[&wire].who];
        let version = if talk.protocol == Protocol::Resp3 { 3 } else { 2 };
        let role = if server.is_primary() { "master" } else { "replica" };
        Reply::Map(vec![
            (Reply::bulk("server"), Reply::bulk("redis")),
            (Reply::bulk("version"), Reply::bulk(server.version)),
            (Reply::bulk("proto"), Reply::Integer(version)),
            (Reply::bulk("id"), Reply::Integer(wire as i64)),
            (Reply::bulk("mode"), Reply::bulk("standalone")),
            (Reply::bulk("role"), Reply::bulk(role)),
            (Reply::bulk("modules"), Reply::Array(Vec::new())),
        ])
    }

    fn subscribe(&mut self, wire: u64, words: &[String]) -> Reply {
        let Some(wire) = self.wires.get_mut(&wire) else {
            return Reply::Null;
        };
        let verb = words[0].to_lowercase();
        let confirm = |channel: &String| {
            wire.subscriptions.insert(format!("{verb} {channel}"));
            let count = wire.subscriptions.len() as i64;
            Reply::Push(vec![Reply::bulk(&verb), Reply::bulk(channel), Reply::Integer(count)])
        };
        Reply::Many(words[1..].iter().map(confirm).collect())
    }
}

/// CLIENT
impl Stage {
    fn client(&mut self, wire: u64, words: &[String]) -> Reply {
        let sub = words[1].to_ascii_uppercase();
        let rest: Vec<&str> = words[2..].iter().map(String::as_str).collect();
        let version = self.fleet.servers[self.wires[&wire].who].version;
        match (sub.as_str(), rest.as_slice()) {
            ("SETNAME", [name]) => {
                if let Some(wire) = self.wires.get_mut(&wire) {
                    (*name).clone_into(&mut wire.name);
                }
                Reply::OK
            }
            ("GETNAME", []) => match self.wires[&wire].name.as_str() {
                "" => Reply::Null,
                name => Reply::bulk(name),
            },
            ("ID", []) if at_least(version, (5, 0)) => Reply::Integer(wire as i64),
            ("LIST", _) => Reply::bulk(self.client_list(self.wires[&wire].who)),
            ("KILL", filters) => self.client_kill(wire, filters),
            ("PAUSE", [ms]) => self.pause(wire, ms),
            ("PAUSE", [ms, mode]) if at_least(version, (6, 2)) && mode.eq_ignore_ascii_case("write") => {
                self.pause(wire, ms)
            }
            ("UNPAUSE", []) if at_least(version, (6, 2)) => {
                let (who, leader) = self.ordering(wire);
                let (was_primary, keys) = (self.fleet.servers[who].is_primary(), self.fleet.keys(who));
                self.fleet.servers[who].paused_until = 0;
                if leader {
                    self.ordered(wire, Order::Unpause, was_primary, keys);
                }
                Reply::OK
            }
            _ => unknown_subcommand(&sub, "CLIENT"),
        }
    }

    fn ordering(&self, wire: u64) -> (Index, bool) {
        let Wire { who, name, .. } = &self.wires[&wire];
        (*who, name.contains("-leader-"))
    }

    fn pause(&mut self, wire: u64, ms: &str) -> Reply {
        let now = self.clock();
        let Ok(ms) = ms.parse::<u64>() else {
            return Reply::error("ERR timeout is not an integer or out of range");
        };
        let (who, leader) = self.ordering(wire);
        let (was_primary, keys) = (self.fleet.servers[who].is_primary(), self.fleet.keys(who));
        let server = &mut self.fleet.servers[who];
        server.paused_until = server.paused_until.max(now + ms);
        if leader {
            self.ordered(wire, Order::Pause { ms }, was_primary, keys);
        }
        Reply::OK
    }

    fn client_list(&mut self, who: Index) -> String {
        let now = self.clock();
        let port = self.fleet.servers[who].address.to_string();
        let mut text = String::new();
        for (id, wire) in self.wires.iter().filter(|(_, wire)| wire.who == who && !wire.closed) {
            let age = now.saturating_sub(wire.since) / 1_000;
            let flags = if wire.subscriptions.is_empty() { "N" } else { "P" };
            _ = writeln!(
                text,
                "id={id} addr={} laddr={port} fd=8 name={} age={age} idle=0 flags={flags} db=0 sub={} psub=0 multi=-1 \
                 cmd=client user=default",
                wire.peer,
                wire.name,
                wire.subscriptions.len()
            );
        }
        text
    }

    /// CLIENT KILL with filters, or with an address alone. Never the connection that asks.
    fn client_kill(&mut self, own: u64, filters: &[&str]) -> Reply {
        let who = self.wires[&own].who;
        let picks: Picks = match filters {
            [filter, id] if filter.eq_ignore_ascii_case("id") => match id.parse::<u64>() {
                Ok(id) => Box::new(move |other, _| other == id),
                Err(_) => return Reply::error("ERR client-id should be greater than 0"),
            },
            [filter, kind] if filter.eq_ignore_ascii_case("type") => match *kind {
                "normal" => Box::new(|_, wire: &Wire| wire.subscriptions.is_empty()),
                "pubsub" => Box::new(|_, wire: &Wire| !wire.subscriptions.is_empty()),
                // Links of replication are no connections here.
                "slave" | "replica" | "master" => Box::new(|_, _| false),
                other => return Reply::error(format!("ERR Unknown client type '{other}'")),
            },
            [filter, address] if filter.eq_ignore_ascii_case("addr") => {
                let address = (*address).to_owned();
                Box::new(move |_, wire: &Wire| wire.peer.to_string() == address)
            }
            _ => return Reply::error("ERR syntax error"),
        };
        let wires = self.wires.iter();
        let picked = wires.filter(|(id, wire)| wire.who == who && **id != own && picks(**id, wire));
        let picked: Vec<u64> = picked.map(|(id, _)| *id).collect();
        let killed = picked.into_iter().filter(|id| self.close(*id)).count();
        if killed > 0 {
            self.coverage.add("instance: closes connections", killed as u64);
        }
        Reply::Integer(killed as i64)
    }
}

fn unknown_subcommand(sub: &str, command: &str) -> Reply {
    let text = format!("ERR Unknown subcommand or wrong number of arguments for '{sub}'. Try {command} HELP.");
    Reply::error(text)
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("'{word}' ")).collect()
}

fn at_least(version: &str, wanted: (u32, u32)) -> bool {
    let mut parts = version.split('.').map_while(|part| part.parse().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= wanted
}
