//! The proxies of both forks: their doubles, on sockets.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use cfgserver::model::GroupName;
use cfgserver::net::{TcpStream, connect};
use cfgserver::resp::Reply;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Sleep;

use super::Clients;
use super::line::{Line, sleep_ms, text};
use crate::chance::Chance;
use crate::doubles::{Action, Bdrp, Double, Netease};
use crate::fact::{Cause, Fact};
use crate::invariants::ProxyScene;

const BDRP_RETRY_MS: u64 = 2_000;
/// What a proxy is called among clients.
pub(super) const FIRST_NUMBER: usize = 1_000;
const CONNECT_LIMIT: Duration = Duration::from_millis(1_000);
const ROLE_MS: u64 = 1_000;

type Timer = Pin<Box<Sleep>>;

struct Proxy {
    clients: Clients,
    double: Box<dyn Double>,
    /// Its place among the proxies, and what it is.
    number: usize,
    place: usize,
    name: &'static str,
    groups: Vec<String>,
    connection: u64,
    chance: Chance,
}

/// What a batch of actions leads to.
#[derive(Default)]
struct Wanted {
    send: Vec<u8>,
    ask_roles: bool,
    ends: bool,
    aborted: bool,
}

/// A proxy, until it ends itself.
pub(super) async fn live(clients: Clients, number: usize, mut chance: Chance) {
    // Its operator starts it when its groups are there.
    while !clients.are_set_up() {
        sleep_ms(50).await;
    }
    sleep_ms(chance.within(1, 2_000)).await;
    let (nodes, groups) = {
        let plan = &clients.notes().plan;
        (plan.nodes.clone(), plan.groups.clone())
    };
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    let netease = chance.permille(500);
    let (double, name, sentinels): (Box<dyn Double>, _, _) = if netease {
        let heartbeat_ms = *chance.pick(&[1_000, 3_000]);
        (
            Box::new(Netease::new(&names, nodes.len(), heartbeat_ms)),
            "netease",
            nodes,
        )
    } else {
        let primaries = (0..names.len()).map(|group| format!("10.0.{group}.1:6379"));
        let servers: Vec<(&str, String)> = names.iter().copied().zip(primaries).collect();
        (
            Box::new(Bdrp::new(&servers, BDRP_RETRY_MS)),
            "bdrp",
            vec![*chance.pick(&nodes)],
        )
    };
    let place = {
        let mut notes = clients.notes();
        notes.proxies.push(ProxyScene {
            name,
            ready: double.ready(),
            groups: groups.clone(),
            addresses: double.addresses(),
        });
        notes.proxies.len() - 1
    };
    let proxy = Proxy {
        clients,
        double,
        number,
        place,
        name,
        groups,
        connection: 0,
        chance,
    };
    proxy.run(sentinels).await;
}

impl Proxy {
    async fn run(mut self, mut sentinels: Vec<SocketAddr>) {
        loop {
            let place = self.double.sentinel() % sentinels.len();
            let nodes = self.clients.notes().plan.nodes.clone();
            if !nodes.contains(&sentinels[place]) {
                // That node is no more: its operator gives it another one.
                sentinels[place] = *self.chance.pick(&nodes);
            }
            let node = sentinels[place];
            let aborted = match connect(&node.to_string(), CONNECT_LIMIT).await {
                Ok(stream) => self.converse(stream).await,
                Err(_) => self.lost(),
            };
            if aborted {
                return;
            }
            sleep_ms(self.double.retry_ms().max(10)).await;
        }
    }

    /// One connection, to its end; true when the proxy has ended itself.
    async fn converse(&mut self, mut stream: TcpStream) -> bool {
        self.connection = self.clients.notes().connection();
        self.clients.notes().coverage.mark("proxy: connected");
        let actions = self.double.connected();
        let mut wanted = self.does(actions, None, Cause::Sent);
        let mut due = self.due();
        let mut part = [0; 4_096];
        loop {
            if !wanted.send.is_empty() && stream.write_all(&wanted.send).await.is_err() {
                return self.lost();
            }
            if wanted.ends {
                return wanted.aborted;
            }
            if wanted.ask_roles {
                let masters = self.roles().await;
                let actions = self.double.roles(&masters);
                wanted = self.does(actions, None, Cause::Sent);
                continue;
            }
            wanted = tokio::select! {
                biased;
                read = stream.read(&mut part) => match read {
                    Ok(0) | Err(_) => return self.lost(),
                    Ok(count) => self.received(&part[..count]),
                },
                () = elapsed(&mut due) => {
                    let actions = self.double.timer();
                    due = self.due();
                    self.does(actions, None, Cause::Late)
                }
            };
        }
    }

    /// Bytes come as they were sent, or cut somewhere.
    fn received(&mut self, bytes: &[u8]) -> Wanted {
        let cut = if self.chance.permille(100) {
            self.chance.index(bytes.len())
        } else {
            0
        };
        let (first, second) = bytes.split_at(cut);
        let mut all = Wanted::default();
        for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
            if !all.ends {
                let actions = self.double.received(part);
                let wanted = self.does(actions, Some(bytes), Cause::Sent);
                all.send.extend(wanted.send);
                all.ask_roles |= wanted.ask_roles;
                all.ends |= wanted.ends;
                all.aborted |= wanted.aborted;
            }
        }
        all
    }

    fn due(&self) -> Option<Timer> {
        let timer = self.double.timer_ms().map(Duration::from_millis);
        timer.map(|timer| Box::pin(tokio::time::sleep(timer)))
    }

    /// The node ended the connection, or there was none.
    fn lost(&mut self) -> bool {
        let actions = self.double.disconnected();
        self.does(actions, None, Cause::Sent).aborted
    }

    /// For each group, whether its instance says master.
    async fn roles(&self) -> BTreeMap<String, bool> {
        let mut masters = BTreeMap::new();
        for (group, address) in self.double.addresses() {
            masters.insert(group, is_master(&address).await.unwrap_or(false));
        }
        masters
    }

    fn does(&mut self, actions: Vec<Action>, heard: Option<&[u8]>, cause: Cause) -> Wanted {
        let mut wanted = Wanted::default();
        for action in actions {
            match action {
                Action::Send(bytes) => wanted.send.extend(bytes),
                Action::AskRoles => wanted.ask_roles = true,
                Action::Close(why) => {
                    wanted.ends = true;
                    self.ends(Some(cause_of(heard, cause)), why);
                }
                Action::Abort(why) => {
                    (wanted.ends, wanted.aborted) = (true, true);
                    self.ends(None, why);
                }
                Action::Moved { group, from, to } => self.moved(&group, &from, &to),
                Action::Warn(what) => self.tells(what),
            }
        }
        let scene = ProxyScene {
            name: self.name,
            ready: self.double.ready(),
            groups: self.groups.clone(),
            addresses: self.double.addresses(),
        };
        self.clients.notes().proxies[self.place] = scene;
        wanted
    }

    fn tells(&self, what: String) {
        let name = format!("{} {}", self.name, self.number);
        self.clients.notes().tell(&name, what);
    }

    fn ends(&self, cause: Option<Cause>, why: String) {
        self.tells(format!("ends: {cause:?}, {why}"));
        let mut notes = self.clients.notes();
        notes.coverage.mark(match cause {
            None => "proxy: aborted",
            Some(Cause::Sent) => "proxy: closed for what was sent",
            Some(Cause::Loading) => "proxy: closed, loading",
            Some(Cause::Unknown) => "proxy: closed, unknown group",
            Some(Cause::Late) => "proxy: closed, late",
        });
        notes.facts.push(Fact::ProxyEnded {
            name: self.name,
            cause,
            why,
        });
    }

    fn moved(&self, group: &str, from: &str, to: &str) {
        self.tells(format!("moves {group}: {from} -> {to}"));
        let mut notes = self.clients.notes();
        notes.coverage.mark(match self.name {
            "bdrp" => "proxy: bdrp moved",
            _ => "proxy: netease moved",
        });
        if let (Ok(group), Ok(to)) = (GroupName::new(group), to.parse()) {
            notes.facts.push(Fact::Told {
                client: FIRST_NUMBER + self.number,
                connection: self.connection,
                group,
                from: None,
                to,
                subscribed: false,
                listed: false,
            });
        }
    }
}

async fn is_master(address: &str) -> io::Result<bool> {
    let address = address.parse().map_err(io::Error::other)?;
    let mut line = Line::connect(address).await?;
    let role = line.ask("ROLE", ROLE_MS).await?;
    Ok(matches!(role, Reply::Array(parts) if parts.first().and_then(text).as_deref() == Some("master")))
}

async fn elapsed(due: &mut Option<Timer>) {
    match due {
        Some(due) => due.await,
        None => std::future::pending().await,
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
