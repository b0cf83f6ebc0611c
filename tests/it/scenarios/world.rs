//! A cluster of nodes that watch Redis instances, with one leader that plans; time goes by in milliseconds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use cfgserver::detect::Tally;
use cfgserver::failover::{self, Action, Found, LinkFault, Memory, Order, OrderFault, Scene, Wish};
use cfgserver::machine::{self, Command, Entry, Outcome, State};
use cfgserver::model::{Address, Facts, Group, GroupId, HostName, Instant, Node, NodeId, RunId, Sighting, Timestamp};

use super::render::{self, Names};
use super::server::{self, Server};

const START: u64 = 3_600_000;
const WALL: u64 = 1_700_000_000_000;
const PROPOSAL_MS: u64 = 2;
const ROUND_TRIP_MS: u64 = 1;
const LIMIT_MS: u64 = 500;

/// Something that will have happened at its time.
#[derive(Clone, Debug)]
enum Coming {
    Commit(GroupId, Command),
    LinkOpened(GroupId, Address),
    InfoRead(GroupId, Address),
    Ordered(GroupId, Address, RunId, Order),
    Answered(GroupId, Address, Result<Option<Facts>, OrderFault>),
    Looked(GroupId, HostName, u16, Option<Address>),
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) state: State,
    pub(super) servers: BTreeMap<Address, Server>,
    pub(super) leader: NodeId,
    pub(super) alive: BTreeSet<NodeId>,
    /// Pairs that do not reach each other.
    pub(super) cut: BTreeSet<(NodeId, Address)>,
    /// What host names resolve to.
    pub(super) hosts: BTreeMap<HostName, IpAddr>,
    /// The leader dies at this point.
    pub(super) stop_at: Option<String>,
    pub(super) lease: bool,
    pub(super) sightings: BTreeMap<NodeId, BTreeMap<Address, Sighting>>,
    memories: BTreeMap<GroupId, Memory>,
    coming: Vec<(u64, Coming)>,
    proposing: BTreeSet<GroupId>,
    pub(super) dirty: BTreeSet<GroupId>,
    wake: BTreeMap<GroupId, u64>,
    pub(super) votes: BTreeMap<GroupId, Tally>,
    /// A verdict, the electorate or a primary changed.
    pub(super) news_of_votes: bool,
    output: Vec<String>,
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            now: 0,
            state: State::default(),
            servers: BTreeMap::new(),
            leader: 1,
            alive: BTreeSet::new(),
            cut: BTreeSet::new(),
            hosts: BTreeMap::new(),
            stop_at: None,
            lease: true,
            sightings: BTreeMap::new(),
            memories: BTreeMap::new(),
            coming: Vec::new(),
            proposing: BTreeSet::new(),
            dirty: BTreeSet::new(),
            wake: BTreeMap::new(),
            votes: BTreeMap::new(),
            news_of_votes: true,
            output: Vec::new(),
        };
        world.set_nodes(3);
        world
    }

    pub(super) fn set_nodes(&mut self, count: u64) {
        self.alive = (1..=count).collect();
        let node = |id: NodeId| Node {
            address: format!("10.9.9.{id}:26379"),
            ..Node::default()
        };
        let nodes = self.alive.iter().map(|id| (*id, node(*id))).collect();
        self.commit(&Command::Nodes { nodes });
    }

    pub(super) fn take_output(&mut self) -> Vec<String> {
        std::mem::take(&mut self.output)
    }

    pub(super) fn say(&mut self, text: impl AsRef<str>) {
        let text = render::renamed(&self.names(), text.as_ref());
        self.output.push(format!("{:>7} {text}", self.now));
    }

    pub(super) fn names(&self) -> Names {
        self.servers
            .iter()
            .map(|(address, server)| (*address, server.name.clone()))
            .collect()
    }

    pub(super) fn server(&mut self, name: &str) -> &mut Server {
        let found = self.servers.values_mut().find(|server| server.name == name);
        found.unwrap_or_else(|| panic!("no server {name}"))
    }

    pub(super) fn group(&self, name: &str) -> Arc<Group> {
        self.state.group_named(name).expect("a monitored group").clone()
    }

    pub(super) fn wall(&self) -> Timestamp {
        Timestamp(WALL + self.now)
    }

    pub(super) fn instant(&self) -> Instant {
        Instant(START + self.now)
    }

    /// Applies a command at once and tells its events.
    pub(super) fn commit(&mut self, command: &Command) -> Outcome {
        let entry = Entry {
            command: command.clone(),
            at: self.wall(),
        };
        let applied = machine::apply(&mut self.state, &entry);
        let names = self.names();
        for event in &applied.events {
            if let Some(text) = render::event(&names, &event.kind) {
                self.output.push(format!("{:>7}     {text}", self.now));
            }
        }
        self.dirty.extend(self.state.groups().map(|group| group.id));
        self.news_of_votes = true;
        applied.outcome
    }

    /// The leader dies or leaves; the next living node leads, with nothing but the log and its own sightings.
    pub(super) fn change_leader(&mut self, to: NodeId) {
        self.say(format!("node {to} leads"));
        self.leader = to;
        self.memories.clear();
        self.news_of_votes = true;
        self.coming.clear();
        self.proposing.clear();
        self.wake.clear();
        self.dirty.extend(self.state.groups().map(|group| group.id));
    }

    pub(super) fn crash_leader(&mut self) {
        self.alive.remove(&self.leader);
        let next = *self.alive.iter().next().expect("a node is left");
        self.change_leader(next);
    }

    /// All nodes are restarted: what they saw is gone.
    pub(super) fn crash_nodes(&mut self) {
        self.sightings.clear();
        self.change_leader(self.leader);
    }

    fn stop_point(&mut self, point: &str) -> bool {
        if self.stop_at.as_deref() != Some(point) {
            return false;
        }
        self.stop_at = None;
        self.say(format!("leader {} dies: {point}", self.leader));
        self.crash_leader();
        true
    }

    /// Lets time go by.
    pub(super) fn tick(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += 1;
            server::replicate(&mut self.servers, self.now);
            self.probe();
            self.count_votes();
            self.happen();
            self.plan_dirty();
        }
    }

    fn happen(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.coming)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.coming = later;
        let leader = self.leader;
        for (_, coming) in due {
            if self.leader == leader {
                self.happens(coming);
            }
        }
    }

    fn happens(&mut self, coming: Coming) {
        let now = self.instant();
        match coming {
            Coming::Commit(group, command) => self.committed(group, &command),
            Coming::LinkOpened(group, address) => {
                let read = self.read_on_link(address);
                self.memories.entry(group).or_default().link_opened(address, read, now);
                self.dirty.insert(group);
            }
            Coming::InfoRead(group, address) => {
                let read = self.read_on_link(address);
                self.memories.entry(group).or_default().info_read(address, read, now);
                self.dirty.insert(group);
            }
            Coming::Ordered(group, address, run_id, order) => self.ordered(group, address, &run_id, order),
            Coming::Looked(group, host, port, known) => {
                let found = self.hosts.get(&host).map(|ip| Found {
                    ips: vec![*ip],
                    there: self.instance_at(*ip, known),
                });
                self.memories.entry(group).or_default().looked(&host, port, found, now);
                self.dirty.insert(group);
            }
            Coming::Answered(group, address, answer) => {
                self.memories.entry(group).or_default().answered(address, answer, now);
                self.dirty.insert(group);
            }
        }
    }

    fn read_on_link(&self, address: Address) -> Result<Facts, LinkFault> {
        if self.reaches(self.leader, address) {
            return Ok(self.servers[&address].facts(&self.servers, self.now));
        }
        let dead = self.servers.get(&address).is_some_and(|server| !server.alive);
        let cut = self.cut.contains(&(self.leader, address));
        Err(if dead && !cut {
            LinkFault::Refused
        } else {
            LinkFault::Failed
        })
    }

    /// Whoever answers where a member's name is, if that is not where the member is.
    fn instance_at(&self, ip: IpAddr, known: Option<Address>) -> Option<(Address, Facts)> {
        let known = known.filter(|known| known.ip != ip)?;
        let address = Address { ip, ..known };
        Some((address, self.read_on_link(address).ok()?))
    }

    fn committed(&mut self, group: GroupId, command: &Command) {
        self.proposing.remove(&group);
        let point = commit_point(command);
        if point.is_some_and(|point| self.stop_point(&format!("before {point}"))) {
            return;
        }
        let outcome = self.commit(command);
        if let Outcome::Rejected(rejection) = outcome {
            self.say(format!("rejected: {rejection}"));
            self.memories.entry(group).or_default().proposal_failed();
        }
        if let Some(point) = point {
            self.stop_point(&format!("after {point}"));
        }
    }

    fn ordered(&mut self, group: GroupId, address: Address, run_id: &RunId, order: Order) {
        let point = order_point(&order);
        if self.stop_point(&format!("before {point}")) {
            return;
        }
        let now = self.now;
        let answer = if !self.lease {
            Err(OrderFault::LeaseLost)
        } else if !self.reaches(self.leader, address) {
            match self.read_on_link(address) {
                Err(LinkFault::Refused) => Err(OrderFault::Unreachable),
                _ => Err(OrderFault::Unknown),
            }
        } else if self.servers[&address].run_id() != *run_id {
            Err(OrderFault::OtherProcess)
        } else if std::mem::take(&mut self.servers.get_mut(&address).unwrap().drops) {
            Err(OrderFault::Unknown)
        } else {
            let result = self.servers.get_mut(&address).unwrap().obey(&order, now);
            match result {
                Ok(()) => Ok(Some(self.servers[&address].facts(&self.servers, now))),
                Err(text) => Err(OrderFault::Refused(text.into())),
            }
        };
        if let Err(fault) = &answer {
            self.say(format!("{order} at {address} failed: {fault:?}"));
        }
        if self.stop_point(&format!("after {point}")) {
            return;
        }
        let wait_ms = if answer == Err(OrderFault::Unknown) && !self.reaches(self.leader, address) {
            LIMIT_MS
        } else {
            ROUND_TRIP_MS
        };
        self.coming
            .push((now + wait_ms, Coming::Answered(group, address, answer)));
    }

    fn plan_dirty(&mut self) {
        let now = self.now;
        let woken: Vec<GroupId> = self
            .wake
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| *id)
            .collect();
        self.dirty.extend(woken);
        for id in std::mem::take(&mut self.dirty) {
            self.wake.remove(&id);
            if self.proposing.contains(&id) {
                self.dirty.insert(id);
                continue;
            }
            let leader = self.leader;
            self.plan(id);
            if self.leader != leader {
                return;
            }
        }
    }

    fn plan(&mut self, id: GroupId) {
        let Some(group) = self.state.group(id).cloned() else {
            return;
        };
        let now = self.instant();
        let mut memory = self.memories.remove(&id).unwrap_or_else(|| Memory::new(now));
        let plan = self.with_scene(&group, |scene| {
            memory.observe(scene, now);
            let plan = failover::plan(scene, &memory, now);
            assert_eq!(
                plan,
                failover::plan(scene, &memory, now),
                "the same scene gives the same plan"
            );
            for action in &plan.actions {
                memory.started(scene, action, now);
            }
            plan
        });
        self.memories.insert(id, memory);
        if let Some(at) = plan.wake_at {
            assert!(at > now, "a plan asks to be woken in the past");
            self.wake.insert(id, at.0 - START);
        }
        for action in plan.actions {
            self.act(&group, action);
        }
    }

    pub(super) fn with_scene<T>(&self, group: &Group, look: impl FnOnce(&Scene<'_>) -> T) -> T {
        let nothing = BTreeMap::new();
        let tally = self.tally(group);
        look(&Scene {
            group,
            sightings: self.sightings.get(&self.leader).unwrap_or(&nothing),
            tally: &tally,
            elsewhere: &self.state,
            node: self.leader,
            wall: self.wall(),
        })
    }

    /// What an operator's SENTINEL FAILOVER does on the leader.
    pub(super) fn operator(&mut self, name: &str, wish: Wish) {
        let group = self.group(name);
        let now = self.instant();
        let mut memory = self.memories.remove(&group.id).unwrap_or_else(|| Memory::new(now));
        let asked = self.with_scene(&group, |scene| {
            let asked = failover::operator(scene, &memory, wish, now);
            for action in asked.iter().flatten() {
                memory.started(scene, action, now);
            }
            asked
        });
        self.memories.insert(group.id, memory);
        match asked {
            Ok(actions) => {
                for action in actions {
                    self.act(&group, action);
                }
            }
            Err(refusal) => self.say(format!("refused: {refusal:?}")),
        }
    }

    fn act(&mut self, group: &Group, action: Action) {
        let id = group.id;
        match action {
            Action::Propose(command) => {
                self.say(render::command(&self.names(), &command));
                self.proposing.insert(id);
                self.coming.push((self.now + PROPOSAL_MS, Coming::Commit(id, command)));
            }
            Action::Order { address, run_id, order } => {
                self.say(format!("order {address}: {order}"));
                self.coming
                    .push((self.now + ROUND_TRIP_MS, Coming::Ordered(id, address, run_id, order)));
            }
            Action::OpenLink(address) => {
                let wait_ms = if self.read_on_link(address) == Err(LinkFault::Failed) {
                    LIMIT_MS
                } else {
                    ROUND_TRIP_MS
                };
                self.coming.push((self.now + wait_ms, Coming::LinkOpened(id, address)));
            }
            Action::ReadInfo(address) => {
                self.coming
                    .push((self.now + ROUND_TRIP_MS, Coming::InfoRead(id, address)));
            }
            Action::Look { host, port, known } => {
                self.coming
                    .push((self.now + ROUND_TRIP_MS, Coming::Looked(id, host, port, known)));
            }
            Action::RefreshInfo => self.refresh_info(group),
            Action::HandOver(node) => {
                self.say(format!("hand over to node {node}"));
                self.change_leader(node);
            }
        }
    }
}

fn commit_point(command: &Command) -> Option<&'static str> {
    match command {
        Command::OpenFailover { .. } => Some("commit-1"),
        Command::CompletePromotion { .. } => Some("commit-2"),
        Command::EndFailover { .. } => Some("end"),
        Command::UndoFailover { .. } => Some("undo"),
        _ => None,
    }
}

fn order_point(order: &Order) -> &'static str {
    match order {
        Order::Promote => "promote",
        Order::Follow { .. } => "follow",
        Order::Pause { .. } => "pause",
        Order::Unpause => "unpause",
        Order::StepDown { .. } => "step-down",
        Order::Yield { .. } => "yield",
        Order::TakeBack => "take-back",
    }
}
