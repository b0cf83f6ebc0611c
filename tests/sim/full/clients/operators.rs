//! Operators: they set the groups up, then ask for changes and look, each at any node; what they ask and what they
//! hear is written down.

use std::net::SocketAddr;

use cfgserver::resp::Reply;

use super::Clients;
use super::line::{Line, sleep_ms};
use super::notes::now;
use crate::chance::Chance;
use crate::linear::asked;

/// After so long without an answer an operator goes away. Longer than a node takes to say that it does not know.
const ANSWER_MS: u64 = 12_000;
/// Before the next request of the setup, or the same once more.
const SETUP_PAUSE_MS: u64 = 50;

struct Operator {
    clients: Clients,
    number: usize,
    chance: Chance,
    line: Option<(SocketAddr, u64, Line)>,
}

/// An operator, for ever. The first one sets up.
pub(super) async fn live(clients: Clients, number: usize, chance: Chance) {
    let mut operator = Operator {
        clients,
        number,
        chance,
        line: None,
    };
    if number == 0 {
        operator.set_up().await;
    }
    loop {
        let every_ms = operator.clients.notes().plan.operator_every_ms.max(1);
        sleep_ms(operator.chance.within(every_ms / 2, every_ms * 2)).await;
        let (ready, quiet) = {
            let notes = operator.clients.notes();
            (notes.setup_done, notes.quiet)
        };
        if ready && !quiet {
            let request = operator.draw();
            operator.ask(&request).await;
        }
    }
}

impl Operator {
    async fn set_up(&mut self) {
        let setup = self.clients.notes().plan.setup.clone();
        for request in setup {
            while !self
                .ask(&request)
                .await
                .is_some_and(|reply| !matches!(reply, Reply::Error(_)))
            {
                sleep_ms(SETUP_PAUSE_MS).await;
            }
        }
        let mut notes = self.clients.notes();
        notes.setup_done = true;
        notes.tell("operator 0", "has set the groups up");
    }

    /// Asks some node; `None` when no answer came.
    async fn ask(&mut self, request: &str) -> Option<Reply> {
        if self.line.is_none() || self.chance.permille(300) {
            let nodes = self.clients.notes().plan.nodes.clone();
            let node = *self.chance.pick(&nodes);
            self.line = None;
            let line = Line::connect(node).await.ok()?;
            let place = self.clients.notes().connection();
            self.line = Some((node, place, line));
        }
        let (node, place, mut line) = self.line.take()?;
        let who = format!("operator {}", self.number);
        let ticket = {
            let mut notes = self.clients.notes();
            notes.busy += 1;
            notes.tell(&who, format!("at {}: {request}", node.ip()));
            asked(request).map(|(name, call)| notes.histories.begin(&name, call, place, now()))
        };
        let reply = line.ask(request, ANSWER_MS).await;
        let mut notes = self.clients.notes();
        notes.busy -= 1;
        match reply {
            Ok(reply) => {
                notes.tell(&who, format!("{request}: {}", short(&reply)));
                notes.coverage.mark(mark(&reply));
                if let Some(ticket) = ticket {
                    notes.histories.said(&ticket, &reply, now());
                }
                drop(notes);
                self.line = Some((node, place, line));
                Some(reply)
            }
            Err(error) => {
                notes.tell(&who, format!("{request}: no answer, {error}"));
                notes.coverage.mark("operator: no answer");
                None
            }
        }
    }

    fn draw(&mut self) -> String {
        let (groups, nodes) = {
            let plan = &self.clients.notes().plan;
            (plan.groups.clone(), plan.nodes.len() as u64)
        };
        let group = self.chance.index(groups.len());
        let name = &groups[group];
        let pick = |chance: &mut Chance, values: &[u64]| *chance.pick(values);
        match self.chance.index(16) {
            0..=2 => format!("SENTINEL FAILOVER {name}{}", self.draw_wish(group)),
            3 => format!("SENTINEL RESET {name}"),
            4 => {
                let ms = pick(&mut self.chance, &[500, 1_000, 3_000]);
                format!("SENTINEL SET {name} down-after-milliseconds {ms}")
            }
            5 => {
                let count = pick(&mut self.chance, &[1, 2]);
                let ms = pick(&mut self.chance, &[20_000, 30_000]);
                format!("SENTINEL SET {name} parallel-syncs {count} failover-timeout {ms}")
            }
            6 => format!("SENTINEL SET {name} quorum {}", self.chance.within(1, nodes)),
            7 => format!("CFG LEADER TRANSFER {}", self.chance.within(1, nodes)),
            8 => format!("SENTINEL REMOVE {name}"),
            9..=11 => self.monitor(group, name),
            12 => format!("SENTINEL get-master-addr-by-name {name}"),
            13..=14 => format!("SENTINEL MASTER {name}"),
            _ => {
                let choices = ["on", "on", "off", "until +3s", "until +10s"];
                format!("SENTINEL SET {name} failover {}", self.chance.pick(&choices))
            }
        }
    }

    /// How a failover is asked for.
    fn draw_wish(&mut self, group: usize) -> String {
        let own: Vec<_> = self.clients.instances.look(|fleet| {
            let own = fleet.servers.iter().filter(|server| server.home == Some(group));
            own.map(|server| server.address).collect()
        });
        let mut wish = String::new();
        if self.chance.permille(500) {
            wish.push_str(" COORDINATED");
        }
        if self.chance.permille(250) && !own.is_empty() {
            wish.push_str(&format!(" TO {}", self.chance.pick(&own)));
        }
        wish
    }

    /// MONITOR with an instance that is a primary of the group's data.
    fn monitor(&mut self, group: usize, name: &str) -> String {
        let primaries: Vec<_> = self.clients.instances.look(|fleet| {
            let servers = fleet.servers.iter();
            let own = servers.filter(|server| server.home == Some(group) && server.is_primary() && server.running);
            own.map(|server| server.address).collect()
        });
        let quorum = if self.chance.permille(800) { 1 } else { 2 };
        match primaries.first() {
            Some(address) => format!("SENTINEL MONITOR {name} {} {} {quorum}", address.ip, address.port),
            None => format!("SENTINEL MASTER {name}"),
        }
    }
}

fn short(reply: &Reply) -> String {
    let text = format!("{reply:?}");
    text.chars().take(120).collect()
}

fn mark(reply: &Reply) -> &'static str {
    match reply {
        Reply::Error(text) if text.contains("outcome is unknown") => "operator: outcome unknown",
        Reply::Error(text) if text.contains("No leader") => "operator: no leader",
        Reply::Error(text) if text.starts_with("NOGOODSLAVE") => "operator: no good replica",
        Reply::Error(_) => "operator: refused",
        _ => "operator: answered",
    }
}
