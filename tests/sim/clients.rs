//! Clients of the nodes: subscribers, lookers and operators, each over a real session and real requests.

mod operators;
mod proxies;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use cfgserver::model::{Address, GroupName, Instant, NodeId};
use cfgserver::requests::{Effect, Face, Render, Session, Write, dispatch};
use cfgserver::resp::{Reply, Request};
use cfgserver::sentinel::{Published, publish};

use crate::core::Core;
use crate::event::Event;
use crate::fact::Fact;
use crate::linear::{Group, Histories, Ticket};
use crate::world::{World, group_name};

pub(crate) use proxies::{Proxy, Step};
use view::with_view;

/// How long a write of a client may take.
const WRITE_MS: u64 = 5_000;
const RETRY_MS: u64 = 10;

#[derive(Default)]
pub(crate) struct Clients {
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) proxies: Vec<Proxy>,
    operators: Vec<Operator>,
    writes: BTreeMap<u64, Writing>,
    /// What operators asked and heard.
    pub(crate) histories: Histories,
}

/// A client that looks addresses up and then listens for switches.
pub(crate) struct Subscriber {
    pub(crate) node: Option<NodeId>,
    pub(crate) connection: u64,
    session: Session,
    queue: VecDeque<Arc<Published>>,
    /// A turn is planned.
    planned: bool,
    pub(crate) subscribed: bool,
    told: BTreeMap<GroupName, Address>,
    /// How many names it has looked up, when it looks up one per turn.
    looked_up: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Looks up by name, then SUBSCRIBE +switch-master.
    Library,
    /// INFO, then PSUBSCRIBE +switch-master again and again.
    Proxy,
    /// RESP3: looks up while it listens to everything.
    Modern,
}

struct Operator {
    session: Session,
    busy: bool,
    /// What it has on its list, if it has one; how often it asked for the first.
    script: VecDeque<String>,
    tries: u32,
}

struct Writing {
    operator: usize,
    node: NodeId,
    life: u32,
    write: Write,
    render: Option<Render>,
    until: u64,
    sent: bool,
    text: String,
    ticket: Option<Ticket>,
}

fn session(core: &Core, id: u64) -> Session {
    Session::new(
        Face::Open,
        id,
        "10.8.8.8:50000".into(),
        "10.9.9.1:26379".into(),
        Instant(core.now),
    )
}

fn words(text: &str) -> Request {
    Request(
        text.split(' ')
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect(),
    )
}

/// Subscribers.
impl World {
    pub(crate) fn clients_begin(&mut self) {
        for group in self.core.log.state().groups() {
            self.clients
                .histories
                .starts_with(group.name.as_str(), Group::known(group));
        }
        for number in 0..self.core.settings.subscribers as usize {
            let kind = *self.core.chance.pick(&[Kind::Library, Kind::Proxy, Kind::Modern]);
            self.clients.subscribers.push(Subscriber {
                node: None,
                connection: 0,
                session: session(&self.core, 0),
                queue: VecDeque::new(),
                planned: true,
                subscribed: false,
                told: BTreeMap::new(),
                looked_up: 0,
                kind,
            });
            let ms = self.core.chance.within(100, 2_000);
            self.core.after(
                ms,
                Event::ClientTurn {
                    client: number,
                    connection: 0,
                },
            );
        }
        self.proxies_begin();
        for id in [1_000, 1_001] {
            let session = session(&self.core, id);
            self.clients.operators.push(Operator {
                session,
                busy: false,
                script: VecDeque::new(),
                tries: 0,
            });
        }
        if self.core.settings.operator_every_ms > 0 {
            let ms = self.core.settings.operator_every_ms;
            self.core.after(ms, Event::OperatorTurn { operator: 1 });
        }
    }

    /// Events of nodes go into the queues of their subscribers.
    pub(crate) fn publish(&mut self) {
        if !std::mem::take(&mut self.core.publishing) {
            return;
        }
        for place in 0..self.nodes.len() {
            let node = &mut self.nodes[place];
            if node.published.is_empty() {
                continue;
            }
            let (id, events) = (node.id, std::mem::take(&mut node.published));
            let mut rendered: Option<Vec<Arc<Published>>> = None;
            for (number, client) in self.clients.subscribers.iter_mut().enumerate() {
                if client.node != Some(id) || !client.subscribed {
                    continue;
                }
                let rendered =
                    rendered.get_or_insert_with(|| events.iter().map(|event| Arc::new(publish(event))).collect());
                client.queue.extend(rendered.iter().cloned());
                if !client.planned {
                    client.planned = true;
                    let ms = self.core.chance.within(0, 3);
                    let connection = client.connection;
                    self.core.after(
                        ms,
                        Event::ClientTurn {
                            client: number,
                            connection,
                        },
                    );
                }
            }
            for number in 0..self.clients.proxies.len() {
                if self.clients.proxies[number].listens_at(id) {
                    let rendered =
                        rendered.get_or_insert_with(|| events.iter().map(|event| Arc::new(publish(event))).collect());
                    self.proxy_is_told(number, rendered);
                }
            }
        }
    }

    /// Their node is gone: they connect anew, somewhere.
    pub(crate) fn clients_lost(&mut self, id: NodeId) {
        for number in 0..self.clients.proxies.len() {
            if self.clients.proxies[number].node == Some(id) {
                self.proxy_lost(number);
            }
        }
        for number in 0..self.clients.subscribers.len() {
            let client = &mut self.clients.subscribers[number];
            if client.node == Some(id) {
                client.node = None;
                client.planned = true;
                client.connection += 1;
                let connection = client.connection;
                let ms = self.core.chance.within(10, 500);
                self.core.after(
                    ms,
                    Event::ClientTurn {
                        client: number,
                        connection,
                    },
                );
            }
        }
    }

    pub(crate) fn client_turn(&mut self, number: usize, connection: u64) {
        if self.clients.subscribers[number].connection != connection {
            return;
        }
        self.clients.subscribers[number].planned = false;
        let Some(id) = self.clients.subscribers[number].node else {
            return self.client_connects(number);
        };
        let node = &self.nodes[id as usize - 1];
        if node.paused_until > self.core.now {
            let at = node.paused_until;
            self.clients.subscribers[number].planned = true;
            self.core.push(
                at,
                Event::ClientTurn {
                    client: number,
                    connection,
                },
            );
            return;
        }
        self.client_delivers(number, id);
        let asks = self.core.chance.permille(60);
        let kind = self.clients.subscribers[number].kind;
        let subscribed = self.clients.subscribers[number].subscribed;
        if !subscribed {
            self.client_subscribes(number, id);
        } else if asks && kind == Kind::Proxy {
            self.client_asks(number, id, "PSUBSCRIBE +switch-master");
        } else if asks && kind == Kind::Modern {
            let group = group_name(self.core.chance.index(self.core.settings.groups.len()));
            self.client_asks(number, id, &format!("SENTINEL get-master-addr-by-name {group}"));
        }
        let client = &mut self.clients.subscribers[number];
        if !client.planned {
            client.planned = true;
            let ms = self.core.chance.within(200, 2_000);
            self.core.after(
                ms,
                Event::ClientTurn {
                    client: number,
                    connection,
                },
            );
        }
    }

    fn client_connects(&mut self, number: usize) {
        let up: Vec<NodeId> = self
            .nodes
            .iter()
            .filter(|node| node.running)
            .map(|node| node.id)
            .collect();
        let client = &mut self.clients.subscribers[number];
        client.connection += 1;
        client.planned = true;
        let connection = client.connection;
        self.core.after(
            50,
            Event::ClientTurn {
                client: number,
                connection,
            },
        );
        if up.is_empty() {
            return;
        }
        client.node = Some(*self.core.chance.pick(&up));
        client.session = session(&self.core, connection);
        client.queue.clear();
        client.subscribed = false;
        client.told.clear();
        client.looked_up = 0;
    }

    /// First the addresses; the subscription follows a little later, or at once.
    fn client_subscribes(&mut self, number: usize, id: NodeId) {
        let kind = self.clients.subscribers[number].kind;
        if !self.nodes[id as usize - 1].status.ready {
            return;
        }
        if self.client_looks_up_one(number, id) {
            return;
        }
        let knows = !self.clients.subscribers[number].told.is_empty();
        if kind == Kind::Modern && !knows {
            self.client_asks(number, id, "HELLO 3");
        }
        if !knows {
            if kind == Kind::Proxy {
                self.client_asks(number, id, "SENTINEL MASTERS");
            } else {
                for group in 0..self.core.settings.groups.len() {
                    let name = group_name(group);
                    self.client_asks(number, id, &format!("SENTINEL get-master-addr-by-name {name}"));
                }
            }
            if self.core.chance.permille(600) {
                return;
            }
        }
        self.clients.subscribers[number].subscribed = true;
        self.client_asks(
            number,
            id,
            match kind {
                Kind::Library => "SUBSCRIBE +switch-master",
                Kind::Proxy => "PSUBSCRIBE +switch-master",
                Kind::Modern => "PSUBSCRIBE *",
            },
        );
    }

    /// On some connections a name is looked up per turn, so that groups move in between. False: all are.
    fn client_looks_up_one(&mut self, number: usize, id: NodeId) -> bool {
        let groups = self.core.settings.groups.len();
        let client = &mut self.clients.subscribers[number];
        let paced = client.kind != Kind::Proxy && groups > 1 && (client.connection + number as u64) % 2 == 1;
        if !paced || client.looked_up == groups {
            return false;
        }
        let state = &self.nodes[id as usize - 1].state;
        let moved = |(name, told): (&GroupName, &Address)| {
            state
                .group_named(name.as_str())
                .is_some_and(|group| group.primary != *told)
        };
        if client.told.iter().any(moved) {
            self.core.coverage.mark("client: a group moved between two lookups");
        }
        let name = group_name(client.looked_up);
        client.looked_up += 1;
        if client.looked_up == 1 && client.kind == Kind::Modern {
            self.client_asks(number, id, "HELLO 3");
        }
        self.client_asks(number, id, &format!("SENTINEL get-master-addr-by-name {name}"));
        true
    }

    fn client_delivers(&mut self, number: usize, id: NodeId) {
        let revision = self.nodes[id as usize - 1].state.revision();
        let mut replies = Vec::new();
        let client = &mut self.clients.subscribers[number];
        with_view(&self.core, &self.nodes[id as usize - 1], |view| {
            while client
                .queue
                .front()
                .is_some_and(|event| event.revision.is_none_or(|at| at <= revision))
            {
                let Some(event) = client.queue.pop_front() else { break };
                replies.extend(client.session.deliver(&event, view));
            }
        });
        for reply in replies {
            self.client_hears(number, &reply, None);
        }
    }

    fn client_asks(&mut self, number: usize, id: NodeId, text: &str) {
        self.client_delivers(number, id);
        let request = words(text);
        let client = &mut self.clients.subscribers[number];
        let effect = with_view(&self.core, &self.nodes[id as usize - 1], |view| {
            dispatch(&mut client.session, view, &request)
        });
        if let Effect::Reply(reply) = effect {
            let asked = text.strip_prefix("SENTINEL get-master-addr-by-name ");
            self.client_hears(number, &reply, asked);
            let node = &self.nodes[id as usize - 1];
            if node.status.ready && text.contains("SUBSCRIBE ") {
                self.core.fact(Fact::Subscribed {
                    client: number,
                    connection: self.clients.subscribers[number].connection,
                    applied: node.state.clone(),
                });
            }
        }
    }

    fn client_hears(&mut self, number: usize, reply: &Reply, asked: Option<&str>) {
        match reply {
            Reply::Many(replies) => replies.iter().for_each(|reply| self.client_hears(number, reply, None)),
            Reply::Push(parts) => self.client_pushed(number, parts),
            Reply::Endpoint(place) => {
                let (ip, port) = (place.ip().to_string(), place.port().to_string());
                if let Some(name) = asked {
                    self.client_told(number, name, None, ip.as_bytes(), port.as_bytes(), false);
                }
            }
            Reply::Array(parts) => {
                if let (Some(name), [Reply::Bulk(ip), Reply::Bulk(port)]) = (asked, parts.as_slice()) {
                    self.client_told(number, name, None, ip, port, false);
                } else {
                    parts.iter().for_each(|part| self.client_listed(number, part));
                }
            }
            _ => {}
        }
    }

    /// One group of SENTINEL MASTERS.
    fn client_listed(&mut self, number: usize, part: &Reply) {
        let Reply::Map(pairs) = part else { return };
        let field = |name: &str| {
            pairs.iter().find_map(|(key, value)| match (key, value) {
                (Reply::Bulk(key), Reply::Bulk(value)) if key.as_ref() == name.as_bytes() => Some(value.clone()),
                _ => None,
            })
        };
        if let (Some(name), Some(ip), Some(port)) = (field("name"), field("ip"), field("port")) {
            let name = String::from_utf8_lossy(&name).into_owned();
            self.client_told(number, &name, None, &ip, &port, true);
        }
    }

    fn client_pushed(&mut self, number: usize, parts: &[Reply]) {
        let (channel, payload) = match parts {
            [Reply::Bulk(verb), Reply::Bulk(channel), Reply::Bulk(payload)] if verb.as_ref() == b"message" => {
                (channel, payload)
            }
            [Reply::Bulk(verb), _, Reply::Bulk(channel), Reply::Bulk(payload)] if verb.as_ref() == b"pmessage" => {
                (channel, payload)
            }
            _ => return,
        };
        if channel.as_ref() != b"+switch-master" {
            return;
        }
        let text = String::from_utf8_lossy(payload).into_owned();
        let words: Vec<&str> = text.split(' ').collect();
        if let [name, old_ip, old_port, ip, port] = words.as_slice() {
            let from = Address::parse(old_ip, old_port).ok();
            self.client_told(number, name, from, ip.as_bytes(), port.as_bytes(), false);
        }
    }

    fn client_told(&mut self, number: usize, name: &str, from: Option<Address>, ip: &[u8], port: &[u8], listed: bool) {
        let (ip, port) = (String::from_utf8_lossy(ip), String::from_utf8_lossy(port));
        let (Ok(group), Ok(to)) = (GroupName::new(name), Address::parse(&ip, &port)) else {
            return;
        };
        let client = &mut self.clients.subscribers[number];

        client.told.insert(group.clone(), to);
        let (connection, subscribed) = (client.connection, client.subscribed);
        self.core.coverage.mark(if from.is_some() {
            "client: told of a switch"
        } else {
            "client: told an address"
        });
        if self.core.story.is_kept() {
            let text = self.core.named(&format!("is told {group}: {from:?} -> {to}"));
            self.core.tell(&format!("client {number}"), || text);
        }
        self.core.fact(Fact::Told {
            client: number,
            connection,
            group,
            from,
            to,
            subscribed,
            listed,
        });
    }
}
