//! Operators, and the way of a write: `raft::write`.

use cfgserver::model::NodeId;
use cfgserver::requests::{AdminRequest, Effect, Write, WriteError, WriteReply, dispatch};

use super::{RETRY_MS, WRITE_MS, Writing, session, with_view, words};
use crate::core::Core;
use crate::event::Event;
use crate::fact::Fact;
use crate::linear::{Call, asked};
use crate::world::{World, group_name};

/// The one with a list, which is first.
pub(super) const ADMIN: usize = 0;
/// How often it asks for the same.
const TRIES_MAX: u32 = 60;

/// Operators, and the way of a write.
impl World {
    pub(crate) fn operator_turn(&mut self, operator: usize) {
        let scripted = operator == ADMIN;
        if !scripted {
            let ms = self.core.settings.operator_every_ms;
            let ms = self.core.chance.within(ms / 2, ms * 2);
            if self.core.quiet {
                return;
            }
            self.core.after(ms, Event::OperatorTurn { operator });
        }
        let known = &self.clients.operators[operator];
        if known.busy || (scripted && known.script.is_empty()) {
            return;
        }
        let up: Vec<NodeId> = self
            .nodes
            .iter()
            .filter(|node| node.running && node.paused_until == 0)
            .map(|node| node.id)
            .collect();
        if up.is_empty() {
            return self.admin_again(operator);
        }
        let ready: Vec<NodeId> = up
            .iter()
            .copied()
            .filter(|id| self.nodes[*id as usize - 1].status.ready)
            .collect();
        // Mostly at a node that is in service: one that waits to be added knows of no leader.
        let choice = if ready.is_empty() || self.core.chance.permille(100) {
            &up
        } else {
            &ready
        };
        let node = *self.core.chance.pick(choice);
        let text = match self.clients.operators[operator].script.front() {
            Some(text) => text.clone(),
            None => self.draw_request(),
        };
        let session = &mut self.clients.operators[operator].session;
        let effect = with_view(&self.core, &self.nodes[node as usize - 1], |view| {
            dispatch(session, view, &words(&text))
        });
        self.operator_looks(&up);
        let Effect::Write { write, render } = effect else {
            return self.admin_again(operator);
        };
        let place = self.place(node);
        let now = self.core.now;
        let ticket = asked(&text).map(|(name, call)| self.clients.histories.begin(&name, call, place, now));
        self.core.coverage.mark("operator: writes");
        self.core.tell("operator", || format!("at node {node}: {text}"));
        let request = self.core.serial();
        let life = self.nodes[node as usize - 1].life;
        let until = self.core.now + WRITE_MS;
        self.clients.operators[operator].busy = true;
        self.clients.writes.insert(
            request,
            Writing {
                operator,
                node,
                life,
                write,
                render: Some(render),
                until,
                sent: false,
                text,
                ticket,
            },
        );
        self.core.push(until, Event::WriteLimit { request });
        self.write_attempt(request);
    }

    /// What nodes show of each group is part of the history.
    fn operator_looks(&mut self, nodes: &[NodeId]) {
        let now = self.core.now;
        let names: Vec<String> = (0..self.core.settings.groups.len())
            .map(|group| group_name(group).to_string())
            .collect();
        for id in nodes {
            let (place, node) = (self.place(*id), &self.nodes[*id as usize - 1]);
            for name in &names {
                let mut session = session(&self.core, 0);
                let request = words(&format!("SENTINEL MASTER {name}"));
                let effect = with_view(&self.core, node, |view| dispatch(&mut session, view, &request));
                if let Effect::Reply(reply) = effect {
                    let ticket = self.clients.histories.begin(name, Call::Read, place, now);
                    self.clients.histories.said(&ticket, &reply, now);
                }
            }
        }
    }

    /// A process of a node: what it has shown it does not take back.
    fn place(&self, node: NodeId) -> u64 {
        node << 32 | u64::from(self.nodes[node as usize - 1].life)
    }

    /// The administrator does it as soon as it can, and asks again while it is not known to be done.
    pub(crate) fn admin_wants(&mut self, text: String) {
        let admin = &mut self.clients.operators[ADMIN];
        admin.script.push_back(text);
        if admin.script.len() == 1 && !admin.busy {
            self.core.after(1, Event::OperatorTurn { operator: ADMIN });
        }
    }

    /// The removal of that node is on the list.
    pub(crate) fn is_to_go(&self, id: NodeId) -> bool {
        let removal = format!("CFG NODE REMOVE {id}");
        self.clients.operators[ADMIN].script.contains(&removal)
    }

    fn admin_again(&mut self, operator: usize) {
        if operator == ADMIN {
            let ms = self.core.chance.within(50, 500);
            self.core.after(ms, Event::OperatorTurn { operator });
        }
    }

    /// What is done, or will never be, is struck off the list.
    fn admin_heard(&mut self, result: &Result<WriteReply, WriteError>) {
        let admin = &mut self.clients.operators[ADMIN];
        admin.tries += 1;
        let over = match result {
            Ok(_)
            | Err(
                WriteError::NoSuchGroup
                | WriteError::NoGoodReplica(_)
                | WriteError::NoGoodPrimary(_)
                | WriteError::InProgress,
            ) => true,
            Err(WriteError::Refused(text)) => !text.contains("in progress") && !text.contains("wait to be added"),
            // Nobody here asks for a host name.
            Err(WriteError::NoLeader | WriteError::Unknown | WriteError::Unresolved) => false,
        };
        if matches!(result, Err(WriteError::Refused(text)) if text.contains("be reached")) {
            // Another one first: perhaps that is what is in the way.
            admin.script.rotate_left(1);
            return self.admin_again(ADMIN);
        }
        if over || admin.tries > TRIES_MAX {
            self.core.coverage.mark(if over {
                "operator: the list goes on"
            } else {
                "operator: gave up"
            });
            admin.script.pop_front();
            admin.tries = 0;
        }
        self.admin_again(ADMIN);
    }

    pub(super) fn draw_request(&mut self) -> String {
        let group = self.core.chance.index(self.core.settings.groups.len());
        let name = group_name(group);
        let number = self.core.chance.within(1, self.core.net.nodes);
        match self.core.chance.index(18) {
            0..=3 => format!("SENTINEL FAILOVER {name}{}", self.draw_wish(group)),
            4 => format!("SENTINEL RESET {name}"),
            5 => format!(
                "SENTINEL SET {name} down-after-milliseconds {}",
                self.core.chance.pick(&[500, 1_000, 3_000])
            ),
            6 => format!("SENTINEL SET {name} parallel-syncs {}", self.core.chance.pick(&[1, 2])),
            7 => format!("SENTINEL SET {name} quorum {number}"),
            8 => format!("CFG LEADER TRANSFER {number}"),
            9 => format!("SENTINEL REMOVE {name}"),
            10 => format!(
                "SENTINEL SET {name} refused-after-milliseconds {}",
                self.core.chance.pick(&[0, 100, 1_000])
            ),
            11 => format!(
                "SENTINEL SET {name} failover-timeout {}",
                self.core.chance.pick(&[3_000, 10_000, 60_000])
            ),
            12 => match *self.core.chance.pick(&["observe", "manage", "automatic"]) {
                "automatic" => format!(
                    "SENTINEL SET {name} mode manage failover {}",
                    self.core.chance.pick(&["on", "on", "off", "until +3s", "until +20s"])
                ),
                mode => format!("SENTINEL SET {name} mode {mode}"),
            },
            13 => format!(
                "SENTINEL SET {name} identity {}",
                self.core.chance.pick(&["strict", "open", "open"])
            ),
            14 => format!(
                "SENTINEL SET {name} master-reboot-down-after-period {} quorum {number}",
                self.core.chance.pick(&[0, 500, 2_000])
            ),
            15 => "CFG LEADER TRANSFER".to_owned(),
            _ => {
                let known = self.primary_of(group).map(|who| self.core.fleet.servers[who].address);
                let primary = known.or_else(|| {
                    let servers = self.core.fleet.servers.iter();
                    let mut own =
                        servers.filter(|server| server.home == Some(group) && server.is_primary() && server.running);
                    own.next().map(|server| server.address)
                });
                match primary {
                    Some(address) => format!("SENTINEL MONITOR {name} {} {} 1", address.ip, address.port),
                    None => format!("SENTINEL SET {name} failover-timeout 20000"),
                }
            }
        }
    }

    /// How a failover is asked for. Taken from the time: other stories of a seed stay as they are.
    fn draw_wish(&self, group: usize) -> String {
        let dice = self.core.now.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let coordinated = dice.is_multiple_of(2);
        let servers = self.core.fleet.servers.iter();
        let own: Vec<_> = servers.filter(|server| server.home == Some(group)).collect();
        let to = match dice / 2 % 4 {
            0 => own.get((dice / 8) as usize % own.len().max(1)),
            _ => None,
        };
        match (coordinated, to) {
            (true, Some(server)) => format!(" COORDINATED TO {}", server.address),
            (true, None) => " COORDINATED".to_owned(),
            (false, Some(server)) => format!(" TO {} {}", server.address.ip, server.address.port),
            (false, None) => String::new(),
        }
    }

    /// `Core::try_until`: here or at the leader, again while it was not sent.
    pub(crate) fn write_attempt(&mut self, request: u64) {
        let Some(writing) = self.clients.writes.get_mut(&request) else {
            return;
        };
        let (id, life) = (writing.node, writing.life);
        let node = &self.nodes[id as usize - 1];
        if !node.running || node.life != life {
            return;
        }
        let again = |core: &mut Core| core.after(RETRY_MS, Event::WriteRetry { request });
        let Some(leader) = node.view.leader else {
            return again(&mut self.core);
        };
        if leader != id && !self.core.net.goes(id, leader) {
            if self.core.chance.permille(500) {
                // Sent on a connection that does not know yet that it is dead.
                writing.sent = true;
                return;
            }
            return again(&mut self.core);
        }
        writing.sent = true;
        let write = Box::new(writing.write.clone());
        let ms = if leader == id { 0 } else { self.core.delay() };
        let life = self.nodes[leader as usize - 1].life;
        self.core.after(
            ms,
            Event::WriteAt {
                node: leader,
                life,
                request,
                from: id,
                write,
            },
        );
    }

    pub(crate) fn write_done(&mut self, request: u64, result: Result<(WriteReply, usize), WriteError>) {
        let Some(writing) = self.clients.writes.get_mut(&request) else {
            return;
        };
        match result {
            Err(WriteError::NoLeader) if self.core.now < writing.until => {
                writing.sent = false;
                self.core.after(RETRY_MS, Event::WriteRetry { request });
            }
            Err(error) => self.write_answered(request, Err(error)),
            Ok((reply, index)) => {
                let node = &self.nodes[writing.node as usize - 1];
                if !node.running || node.life != writing.life {
                    return;
                }
                // A node that has itself removed may never see that applied.
                let leaves = writing.write == Write::Admin(AdminRequest::RemoveNode { id: node.id });
                if leaves || node.applied >= index {
                    return self.write_answered(request, Ok(reply));
                }
                // `Core::write`: it is answered when it is applied here.
                self.core.coverage.mark("operator: waits for the node to apply");
                let result = Box::new(Ok((reply, index)));
                self.core.after(1, Event::WriteDone { request, result });
            }
        }
    }

    pub(crate) fn write_limit(&mut self, request: u64) {
        let sent = self.clients.writes.get(&request).is_some_and(|writing| writing.sent);
        let error = if sent {
            WriteError::Unknown
        } else {
            WriteError::NoLeader
        };
        self.write_answered(request, Err(error));
    }

    pub(super) fn write_answered(&mut self, request: u64, result: Result<WriteReply, WriteError>) {
        let Some(mut writing) = self.clients.writes.remove(&request) else {
            return;
        };
        self.clients.operators[writing.operator].busy = false;
        if writing.operator == ADMIN {
            self.admin_heard(&result);
        }
        self.core.coverage.mark(match &result {
            Ok(_) => "operator: answered",
            Err(WriteError::Unknown) => "operator: outcome unknown",
            Err(WriteError::NoLeader) => "operator: no leader",
            Err(WriteError::NoGoodReplica(_)) => "operator: no good replica",
            Err(_) => "operator: refused",
        });
        if let Ok(reply) = &result {
            self.core.fact(Fact::Acknowledged {
                write: writing.write.clone(),
                reply: reply.clone(),
            });
        }
        if let Some(render) = writing.render.take() {
            let reply = render(result);
            if let Some(ticket) = &writing.ticket {
                self.clients.histories.said(ticket, &reply, self.core.now);
            }
            self.core.tell("operator", || format!("{}: {reply:?}", writing.text));
        }
    }
}
