//! The proxies of both forks as clients: their doubles talk in bytes with real sessions and real requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cfgserver::model::{Address, GroupName, NodeId};
use cfgserver::requests::{Effect, Session, dispatch};
use cfgserver::resp::{Decoder, Limits, encode};
use cfgserver::sentinel::Published;

use super::{session, with_view};
use crate::doubles::{Action, Bdrp, Double, Netease};
use crate::event::Event;
use crate::fact::{Cause, Fact};
use crate::world::{World, group_name};

const BDRP_RETRY_MS: u64 = 2_000;
/// What a proxy is called among clients.
pub(crate) const FIRST_NUMBER: usize = 1_000;

pub(crate) struct Proxy {
    double: Box<dyn Double>,
    pub(crate) name: &'static str,
    /// The nodes of its configuration, in its order.
    sentinels: Vec<NodeId>,
    pub(crate) node: Option<NodeId>,
    pub(crate) connection: u64,
    session: Session,
    decoder: Decoder,
    input: BytesMut,
    queue: VecDeque<Arc<Published>>,
    planned: bool,
    /// Bytes arrive in the order in which they were sent: not before these.
    asks_until: u64,
    hears_until: u64,
}

/// What happens to a proxy.
#[derive(Debug)]
pub(crate) enum Step {
    Connects,
    /// Its bytes arrive at the node.
    Asks(Vec<u8>),
    /// Bytes of the node arrive.
    Hears(Bytes),
    /// Events wait for it at the node.
    Events,
    /// The instances have answered which role they have.
    Roles(BTreeMap<String, String>),
    Timer,
}

impl Proxy {
    pub(crate) fn ready(&self) -> bool {
        self.double.ready()
    }

    /// Where it believes each group to be, as `ip:port`.
    pub(crate) fn addresses(&self) -> BTreeMap<String, String> {
        self.double.addresses()
    }

    pub(super) fn listens_at(&self, node: NodeId) -> bool {
        self.node == Some(node) && self.session.subscribed()
    }
}

impl World {
    pub(super) fn proxies_begin(&mut self) {
        for number in 0..self.core.settings.proxies as usize {
            let nodes: Vec<NodeId> = (1..=self.core.settings.nodes).collect();
            let groups: Vec<String> = (0..self.core.settings.groups.len())
                .map(|group| group_name(group).to_string())
                .collect();
            let names: Vec<&str> = groups.iter().map(String::as_str).collect();
            let (double, name, sentinels): (Box<dyn Double>, _, _) = if self.core.chance.permille(500) {
                let heartbeat_ms = *self.core.chance.pick(&[1_000, 3_000]);
                (
                    Box::new(Netease::new(&names, nodes.len(), heartbeat_ms)),
                    "netease",
                    nodes,
                )
            } else {
                let primaries = (0..names.len()).map(|group| format!("10.0.{group}.1:6379"));
                let servers: Vec<(&str, String)> = names.into_iter().zip(primaries).collect();
                let node = *self.core.chance.pick(&nodes);
                (Box::new(Bdrp::new(&servers, BDRP_RETRY_MS)), "bdrp", vec![node])
            };
            self.clients.proxies.push(Proxy {
                double,
                name,
                sentinels,
                node: None,
                connection: 0,
                session: session(&self.core, 0),
                decoder: Decoder::new(Limits::CLIENT),
                input: BytesMut::new(),
                queue: VecDeque::new(),
                planned: false,
                asks_until: 0,
                hears_until: 0,
            });
            let ms = self.core.chance.within(1, 2_000);
            self.proxy_later(number, ms, Step::Connects);
        }
    }

    fn proxy_later(&mut self, proxy: usize, ms: u64, step: Step) {
        let connection = self.clients.proxies[proxy].connection;
        let event = Event::Proxy {
            proxy,
            connection,
            step: Box::new(step),
        };
        self.core.after(ms, event);
    }

    pub(crate) fn proxy_step(&mut self, number: usize, connection: u64, step: Step) {
        let proxy = &self.clients.proxies[number];
        if proxy.connection != connection {
            return;
        }
        let node = proxy.node.map(|id| &self.nodes[id as usize - 1]);
        if let (Step::Asks(_) | Step::Events, Some(node)) = (&step, node)
            && node.paused_until > self.core.now
        {
            let ms = node.paused_until - self.core.now;
            return self.proxy_later(number, ms, step);
        }
        match step {
            Step::Connects => self.proxy_connects(number),
            Step::Asks(bytes) => self.proxy_asks(number, &bytes),
            Step::Events => {
                self.clients.proxies[number].planned = false;
                self.proxy_delivers(number);
            }
            Step::Hears(bytes) => self.proxy_hears(number, &bytes),
            Step::Roles(addresses) => {
                let is_master = |address: &String| {
                    let address = address.parse::<Address>().ok();
                    let server = address.and_then(|address| self.core.server_at(address));
                    server.is_some_and(|who| {
                        let server = &self.core.fleet.servers[who];
                        server.alive() && !server.hung(self.core.now) && server.is_primary()
                    })
                };
                let masters = addresses.iter().map(|(group, at)| (group.clone(), is_master(at)));
                let masters = masters.collect();
                let actions = self.clients.proxies[number].double.roles(&masters);
                self.proxy_does(number, actions, None, Cause::Sent);
            }
            Step::Timer => {
                let actions = self.clients.proxies[number].double.timer();
                let timer_ms = self.clients.proxies[number].double.timer_ms();
                self.proxy_does(number, actions, None, Cause::Late);
                if let Some(ms) = timer_ms.filter(|_| self.clients.proxies[number].connection == connection) {
                    self.proxy_later(number, ms, Step::Timer);
                }
            }
        }
    }

    fn proxy_connects(&mut self, number: usize) {
        let proxy = &mut self.clients.proxies[number];
        let place = proxy.double.sentinel() % proxy.sentinels.len();
        let id = proxy.sentinels[place];
        if !self.nodes[id as usize - 1].running {
            if self.nodes[id as usize - 1].gone {
                // Its operator gives it another one.
                let there: Vec<NodeId> = self
                    .nodes
                    .iter()
                    .filter(|node| !node.gone)
                    .map(|node| node.id)
                    .collect();
                self.clients.proxies[number].sentinels[place] = *self.core.chance.pick(&there);
            }
            return self.proxy_lost(number);
        }
        proxy.connection += 1;
        proxy.node = Some(id);
        proxy.session = session(&self.core, proxy.connection);
        proxy.decoder = Decoder::new(Limits::CLIENT);
        proxy.input.clear();
        proxy.queue.clear();
        proxy.planned = false;
        (proxy.asks_until, proxy.hears_until) = (0, 0);
        let actions = proxy.double.connected();
        let timer_ms = proxy.double.timer_ms();
        let connection = proxy.connection;
        self.core.coverage.mark("proxy: connected");
        self.proxy_does(number, actions, None, Cause::Sent);
        if let Some(ms) = timer_ms.filter(|_| self.clients.proxies[number].connection == connection) {
            self.proxy_later(number, ms, Step::Timer);
        }
    }

    /// The node ended the connection, or there was none.
    pub(super) fn proxy_lost(&mut self, number: usize) {
        let actions = self.clients.proxies[number].double.disconnected();
        self.proxy_does(number, actions, None, Cause::Sent);
        self.proxy_leaves(number);
    }

    fn proxy_leaves(&mut self, number: usize) {
        let proxy = &mut self.clients.proxies[number];
        proxy.node = None;
        proxy.connection += 1;
        let ms = proxy.double.retry_ms().max(10);
        self.proxy_later(number, ms, Step::Connects);
    }

    /// The node reads what came, answers, and tells what it has to tell before each answer.
    fn proxy_asks(&mut self, number: usize, bytes: &[u8]) {
        let Some(id) = self.clients.proxies[number].node else {
            return;
        };
        self.clients.proxies[number].input.extend_from_slice(bytes);
        loop {
            let proxy = &mut self.clients.proxies[number];
            let request = match proxy.decoder.decode(&mut proxy.input) {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(error) => panic!("a proxy's request: {error}"),
            };
            self.proxy_delivers(number);
            let proxy = &mut self.clients.proxies[number];
            let effect = with_view(&self.core, &self.nodes[id as usize - 1], |view| {
                dispatch(&mut proxy.session, view, &request)
            });
            let Effect::Reply(reply) = effect else {
                panic!("a proxy asks for nothing but answers");
            };
            let mut output = BytesMut::new();
            encode(&reply, proxy.session.protocol(), &mut output);
            self.proxy_is_sent(number, output);
        }
    }

    fn proxy_delivers(&mut self, number: usize) {
        let proxy = &mut self.clients.proxies[number];
        let Some(id) = proxy.node.filter(|_| !proxy.queue.is_empty()) else {
            return;
        };
        let node = &self.nodes[id as usize - 1];
        let revision = node.state.revision();
        let mut output = BytesMut::new();
        with_view(&self.core, node, |view| {
            let due = |event: &Arc<Published>| event.revision.is_none_or(|at| at <= revision);
            while proxy.queue.front().is_some_and(due) {
                let Some(event) = proxy.queue.pop_front() else { break };
                if let Some(reply) = proxy.session.deliver(&event, view) {
                    encode(&reply, proxy.session.protocol(), &mut output);
                }
            }
        });
        self.proxy_is_sent(number, output);
    }

    fn proxy_is_sent(&mut self, number: usize, output: BytesMut) {
        if output.is_empty() {
            return;
        }
        let (now, ms) = (self.core.now, self.core.delay());
        let proxy = &mut self.clients.proxies[number];
        let at = (now + ms).max(proxy.hears_until);
        proxy.hears_until = at;
        self.proxy_later(number, at - now, Step::Hears(output.freeze()));
    }

    /// Events that a node has told.
    pub(super) fn proxy_is_told(&mut self, number: usize, events: &[Arc<Published>]) {
        let proxy = &mut self.clients.proxies[number];
        proxy.queue.extend(events.iter().cloned());
        if !proxy.planned {
            proxy.planned = true;
            let ms = self.core.chance.within(0, 3);
            self.proxy_later(number, ms, Step::Events);
        }
    }

    /// Bytes come as they were sent, or cut somewhere.
    fn proxy_hears(&mut self, number: usize, bytes: &[u8]) {
        let connection = self.clients.proxies[number].connection;
        let cut = if self.core.chance.permille(100) {
            self.core.chance.index(bytes.len())
        } else {
            0
        };
        let (first, second) = bytes.split_at(cut);
        for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
            if self.clients.proxies[number].connection == connection {
                let actions = self.clients.proxies[number].double.received(part);
                self.proxy_does(number, actions, Some(bytes), Cause::Sent);
            }
        }
    }

    fn proxy_does(&mut self, number: usize, actions: Vec<Action>, heard: Option<&[u8]>, cause: Cause) {
        for action in actions {
            match action {
                Action::Send(bytes) => {
                    let (now, ms) = (self.core.now, self.core.delay());
                    let proxy = &mut self.clients.proxies[number];
                    let at = (now + ms).max(proxy.asks_until);
                    proxy.asks_until = at;
                    self.proxy_later(number, at - now, Step::Asks(bytes));
                }
                Action::AskRoles => {
                    let ms = self.core.delay() + self.core.delay();
                    let addresses = self.clients.proxies[number].double.addresses();
                    self.proxy_later(number, ms, Step::Roles(addresses));
                }
                Action::Close(why) => {
                    let cause = cause_of(heard, cause);
                    self.proxy_ends(number, Some(cause), why);
                    self.proxy_leaves(number);
                }
                Action::Abort(why) => self.proxy_ends(number, None, why),
                Action::Moved { group, from, to } => self.proxy_moved(number, &group, &from, &to),
                Action::Warn(what) => {
                    let name = self.clients.proxies[number].name;
                    self.core.tell(name, || format!("{number}: {what}"));
                }
            }
        }
    }

    fn proxy_ends(&mut self, number: usize, cause: Option<Cause>, why: String) {
        let name = self.clients.proxies[number].name;
        self.core.tell(name, || format!("{number} ends: {cause:?}, {why}"));
        self.core.coverage.mark(match cause {
            None => "proxy: aborted",
            Some(Cause::Sent) => "proxy: closed for what was sent",
            Some(Cause::Loading) => "proxy: closed, loading",
            Some(Cause::Unknown) => "proxy: closed, unknown group",
            Some(Cause::Late) => "proxy: closed, late",
        });
        self.core.fact(Fact::ProxyEnded { name, cause, why });
    }

    fn proxy_moved(&mut self, number: usize, group: &str, from: &str, to: &str) {
        let proxy = &self.clients.proxies[number];
        let (name, connection) = (proxy.name, proxy.connection);
        self.core.coverage.mark(if name == "bdrp" {
            "proxy: bdrp moved"
        } else {
            "proxy: netease moved"
        });
        if self.core.story.is_kept() {
            let text = self.core.named(&format!("{number} moves {group}: {from} -> {to}"));
            self.core.tell(name, || text);
        }
        if let (Ok(group), Ok(to)) = (GroupName::new(group), to.parse()) {
            self.core.fact(Fact::Told {
                client: FIRST_NUMBER + number,
                connection,
                group,
                from: None,
                to,
                subscribed: false,
                listed: false,
            });
        }
    }
}

/// Whose fault it is that a proxy hangs up.
fn cause_of(heard: Option<&[u8]>, otherwise: Cause) -> Cause {
    let said = |text: &[u8]| heard.is_some_and(|bytes| bytes.windows(text.len()).any(|part| part == text));
    if said(b"-LOADING") {
        Cause::Loading
    } else if said(b"*-1\r\n") {
        Cause::Unknown
    } else {
        otherwise
    }
}
