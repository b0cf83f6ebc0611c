//! A whole world: nodes, instances, clients, faults; time goes from event to event.

mod end;
mod scene;
pub(crate) mod setup;

use std::collections::VecDeque;

use cfgserver::model::{Address, GroupName, NodeId};
use cfgserver::redis::Answer;

use crate::chance::Chance;
use crate::clients::Clients;
use crate::core::{Core, START};
use crate::event::{Event, Job, ProbeAnswer};
use crate::fact::Fact;
use crate::faults::Trap;
use crate::invariants::Invariants;
use crate::node::{Node, requests};
use crate::record::{Coverage, Story};
use crate::redis::Index;
use crate::settings::Settings;

use end::LOOK_MS;
use scene::Stage;

pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Clients,
    pub(crate) invariants: Invariants,
    pub(crate) events: u64,
    pub(crate) traps: Vec<Trap>,
    quiet: end::Quiet,
    pub(crate) finished: bool,
}

impl World {
    pub(crate) fn new(seed: u64, story: Story) -> Self {
        let mut chance = Chance::new(seed);
        let settings = Settings::draw(&mut chance);
        let mut core = Core::new(settings, chance, story);
        let mut world = {
            setup::make_instances(&mut core);
            setup::found(&mut core);
            let nodes = (1..=core.settings.nodes).map(Node::new).collect();
            Self {
                nodes,
                clients: Clients::default(),
                invariants: Invariants::new(),
                events: 0,
                traps: Vec::new(),
                quiet: end::Quiet::default(),
                finished: false,
                core,
            }
        };
        world.begin();
        world
    }

    /// What it has reached.
    pub(crate) fn take_coverage(&mut self) -> Coverage {
        let mut coverage = std::mem::take(&mut self.core.coverage);
        coverage.rules = self.core.judged.take();
        coverage
    }

    fn begin(&mut self) {
        if self.core.story.is_kept() {
            let settings = format!("{:?}", self.core.settings);
            self.core.tell("seed", || settings);
        }
        let applied = self.core.log.entries.len();
        self.core.log.founded = applied;
        for node in &mut self.nodes {
            node.applied = applied;
            node.start(&mut self.core);
        }
        for group in 0..self.core.settings.groups.len() {
            self.core.after(1, Event::WriterTurn { group });
        }
        self.clients_begin();
        self.plan_faults();
        let quiet_at = START + self.core.settings.calm_ms + self.core.settings.chaos_ms;
        self.core.push(quiet_at, Event::Quiet);
    }

    /// The next thing happens; an error is a broken invariant.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        let Some(event) = self.core.pop() else {
            return Err("the world stands still".to_owned());
        };
        self.events += 1;
        self.handle(event)?;
        self.core.drain_fleet();
        if std::mem::take(&mut self.core.log.retiring) {
            self.retire_nodes();
        }
        self.publish();
        if !self.core.facts.is_empty() {
            let facts = std::mem::take(&mut self.core.facts);
            if !self.traps.is_empty() {
                self.spring_traps(&facts);
            }
            self.write_history(&facts);
            let stage = Stage {
                core: &self.core,
                nodes: &self.nodes,
                clients: &self.clients,
            };
            for fact in &facts {
                self.invariants.check(&stage, fact)?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        if let Some(id) = event.node() {
            self.send_to_node(id, event);
            return Ok(());
        }
        match event {
            Event::Replicate { who, generation } => {
                let now = self.core.now;
                self.core.fleet.replicate(who, generation, now);
            }
            Event::WriterTurn { group } => self.writer_turn(group),
            Event::Pinged {
                node,
                life,
                group,
                address,
                attempt,
                server,
                conn,
            } => {
                self.pinged(node, life, (group, address), attempt, server, conn);
            }
            Event::InfoAsked {
                node,
                life,
                group,
                address,
                attempt,
                server,
                conn,
            } => {
                self.info_asked(node, life, (group, address), attempt, server, conn);
            }
            Event::LinkAt { .. } => self.link_at(event),
            Event::TryCommit { term } => self.core.try_commit(term),
            Event::Election { number } => self.core.election(number),
            Event::ClientTurn { client, connection } => self.client_turn(client, connection),
            Event::Proxy {
                proxy,
                connection,
                step,
            } => self.proxy_step(proxy, connection, *step),
            Event::OperatorTurn { operator } => self.operator_turn(operator),
            Event::WriteDone { request, result, .. } => self.write_done(request, *result),
            Event::WriteRetry { request } => self.write_attempt(request),
            Event::WriteLimit { request } => self.write_limit(request),
            Event::Fault(fault) => self.fault(fault),
            Event::NodeResumed { node } => self.nodes[node as usize - 1].resume(&mut self.core),
            Event::NodeStarts { node } => {
                let known = &self.nodes[node as usize - 1];
                if !known.running && !known.gone {
                    self.nodes[node as usize - 1].start(&mut self.core);
                }
            }
            Event::Quiet => {
                self.quiet.since = self.core.now;
                self.make_quiet();
                self.core.after(LOOK_MS, Event::Look);
            }
            Event::Look => return self.look(),
            other => panic!("an event of a node without a node: {other:?}"),
        }
        Ok(())
    }

    /// For that life of the node, once it runs.
    fn send_to_node(&mut self, id: NodeId, event: Event) {
        let node = &self.nodes[id as usize - 1];
        if !node.running || event.life().is_some_and(|life| life != node.life) {
            return;
        }
        if node.paused_until > 0 {
            self.nodes[id as usize - 1].missed.push(event);
            return;
        }
        self.at_node(id, event);
    }

    fn at_node(&mut self, id: NodeId, event: Event) {
        let (node, core) = (&mut self.nodes[id as usize - 1], &mut self.core);
        match event {
            Event::ConnEnded { server, conn, .. } => node.conn_ended(core, server, conn),
            Event::ProbeWake {
                group, address, serial, ..
            } => node.probe_wake(core, group, address, serial),
            Event::ProbeConnected {
                group,
                address,
                attempt,
                reached,
                ..
            } => {
                node.probe_connected(core, group, address, attempt, reached);
            }
            Event::ProbeAnswered {
                group,
                address,
                attempt,
                answer,
                ..
            } => {
                node.probe_answered(core, group, address, attempt, answer);
            }
            Event::VoterDue { .. } => node.voter_due(core),
            Event::Report {
                from,
                life,
                serial,
                report,
                ..
            } => node.report(core, from, life, serial, &report),
            Event::Acked { serial, ack, .. } => node.voter_acked(core, serial, ack),
            Event::LeaderWake { term, .. } => node.leader_turn(core, term),
            Event::LinkAnswered {
                term,
                group,
                address,
                serial,
                answers,
                ..
            } if node.leads(term) => {
                node.link_answered(core, (group, address), serial, VecDeque::from(answers));
            }
            Event::LinkConnected {
                term,
                group,
                address,
                serial,
                reached,
                ..
            } if node.leads(term) => {
                node.link_connected(core, (group, address), serial, reached);
            }
            Event::LinkTimeout {
                term,
                group,
                address,
                serial,
                step,
                ..
            } if node.leads(term) => {
                node.link_timeout(core, (group, address), serial, step);
            }
            Event::ChangeLook { term, .. } => node.change_look(core, term),
            Event::HandedOver { term, .. } => node.handed_over(core, term),
            Event::LearnLeader { term, leader, .. } => node.learn_leader(core, term, leader),
            Event::Apply { .. } => node.apply(core),
            Event::FeedTick { .. } => node.feed_tick(core),
            Event::Proposed { proposal, result, .. } => node.proposed(core, proposal, result),
            Event::ProposalLimit { proposal, .. } => {
                node.proposed(core, proposal, Err(cfgserver::requests::WriteError::Unknown));
            }
            Event::WriteAt {
                request, from, write, ..
            } => node.write_here(core, request, from, *write),
            _ => {}
        }
    }

    /// A PING has been answered, or waits in an instance that hangs.
    fn pinged(
        &mut self,
        node: NodeId,
        life: u32,
        place: (cfgserver::model::GroupId, Address),
        attempt: u64,
        server: Index,
        conn: u64,
    ) {
        let (group, address) = place;
        let now = self.core.now;
        let instance = &self.core.fleet.servers[server];
        if !self.core.is_live(server, conn) {
            return;
        }
        if !self.core.goes_to(node, server) || !self.core.comes_from(node, server) {
            return self.core.lose(server, conn);
        }
        if instance.hung(now) {
            let at = instance.hung_until;
            self.core.push(
                at,
                Event::Pinged {
                    node,
                    life,
                    group,
                    address,
                    attempt,
                    server,
                    conn,
                },
            );
            return;
        }
        let meaning = if instance.loading(now) {
            cfgserver::detect::PingAnswer::Busy
        } else {
            cfgserver::detect::PingAnswer::Pong
        };
        // It takes both ways in one: the node hears at once, unless it stands still.
        let event = Event::ProbeAnswered {
            node,
            life,
            group,
            address,
            attempt,
            answer: ProbeAnswer::Ping(meaning),
        };
        self.send_to_node(node, event);
    }

    fn info_asked(
        &mut self,
        node: NodeId,
        life: u32,
        place: (cfgserver::model::GroupId, Address),
        attempt: u64,
        server: Index,
        conn: u64,
    ) {
        let (group, address) = place;
        let now = self.core.now;
        let instance = &self.core.fleet.servers[server];
        if !self.core.is_live(server, conn) {
            return;
        }
        if instance.hung(now) {
            let at = instance.hung_until;
            self.core.push(
                at,
                Event::InfoAsked {
                    node,
                    life,
                    group,
                    address,
                    attempt,
                    server,
                    conn,
                },
            );
            return;
        }
        if self.core.comes_from(node, server) {
            let facts = self.core.facts_of(server);
            let ms = self.core.delay();
            let event = Event::ProbeAnswered {
                node,
                life,
                group,
                address,
                attempt,
                answer: ProbeAnswer::Info(facts),
            };
            self.core.after(ms, event);
        } else {
            self.core.lose(server, conn);
        }
    }

    /// Requests of an order link arrive at an instance.
    fn link_at(&mut self, event: Event) {
        let Event::LinkAt {
            server,
            conn,
            starts,
            node,
            life,
            term,
            group,
            serial,
            job,
        } = event
        else {
            return;
        };
        let now = self.core.now;
        let instance = &self.core.fleet.servers[server];
        if !instance.alive() || instance.starts != starts || !instance.conns.contains_key(&conn) {
            if matches!(*job, Job::Order { .. }) {
                self.core.coverage.mark("order: lost with its connection");
            }
            return;
        }
        if instance.hung(now) {
            let at = instance.hung_until;
            self.core.push(
                at,
                Event::LinkAt {
                    server,
                    conn,
                    starts,
                    node,
                    life,
                    term,
                    group,
                    serial,
                    job,
                },
            );
            return;
        }
        let address = instance.address;
        let was_primary = instance.is_primary();
        let keys = self.core.fleet.keys(server);
        let answers: Vec<Answer> = self.core.fleet.execute(server, conn, &requests(&job), now);
        if let Job::Order {
            order,
            run_id,
            again: false,
            ..
        } = &*job
        {
            let name = self.core.fleet.servers[server].name.clone();
            self.core.tell(&name, || {
                format!(
                    "is ordered by node {node}: {order}, answers {:?}",
                    &answers[..answers.len() - 1]
                )
            });
            self.core.fact(Fact::OrderDone {
                group,
                server,
                term,
                run_id: run_id.clone(),
                order: order.clone(),
                was_primary,
                keys,
            });
        }
        if self.core.comes_from(node, server) {
            let ms = self.core.delay();
            self.core.after(
                ms,
                Event::LinkAnswered {
                    node,
                    life,
                    term,
                    group,
                    address,
                    serial,
                    answers,
                },
            );
        }
    }

    /// An empty node starts and waits to be added.
    pub(crate) fn join_node(&mut self) -> NodeId {
        let id = self.nodes.len() as NodeId + 1;
        self.nodes.push(Node::new(id));
        self.core.net.nodes = id;
        self.core.net.waiting.insert(id);
        self.nodes[id as usize - 1].start(&mut self.core);
        id
    }

    fn writer_turn(&mut self, group: usize) {
        let ms = self.core.settings.write_every_ms;
        let ms = self.core.chance.within(ms / 2, ms + ms / 2);
        self.core.after(ms, Event::WriterTurn { group });
        let now = self.core.now;
        let state = self.core.log.state();
        let committed = state
            .group_named(&group_name(group).to_string())
            .map(|group| group.primary);
        let at = committed.and_then(|address| self.core.server_at(address));
        let any = |fleet: &crate::redis::Fleet| {
            (0..fleet.servers.len())
                .find(|who| fleet.servers[*who].home == Some(group) && fleet.servers[*who].is_primary())
        };
        let stale = self.core.chance.permille(150);
        let target = if stale { any(&self.core.fleet) } else { at };
        if let Some(target) = target {
            let bytes = self.core.chance.within(1, 200);
            self.core.fleet.write(target, bytes, now);
        }
    }
}

pub(crate) fn group_name(group: usize) -> GroupName {
    GroupName::new(format!("shard-{}", group + 1)).unwrap()
}
