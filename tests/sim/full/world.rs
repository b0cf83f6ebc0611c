//! One run: who there is, its phases (setup, calm, chaos, heal), and what is checked after each step.

mod instances;
mod machines;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cfgserver::model::{GroupId, NodeId, Timestamp};
use cfgserver::net::weather;
use cfgserver::requests::AdminRequest;
use turmoil::Sim;

use super::clients::{Clients, Plan};
use super::faults::{Cuts, Fault, Undo};
use super::instances::Instances;
use super::ledger::Ledger;
use super::node::{self, Machine};
use super::panics;
use super::scene::Moment;
use super::story::Story;
use crate::chance::Chance;
use crate::core::{Core, START};
use crate::fact::Fact;
use crate::invariants::{Invariants, Scene};
use crate::record::Coverage;
use crate::settings::Settings;
use crate::world::{group_name, setup};

/// The groups must be set up, and well, within this.
const SETUP_MS: u64 = 60_000;
/// Everything must be well again so long after the last fault; the brake on flapping may hold a failover for longer.
const QUIET_MS: u64 = 90_000;
/// How often it is looked whether all is well.
const LOOK_MS: u64 = 250;
/// How often an operator asks again for a change of the cluster that did not come about.
const WISH_MS: u64 = 1_500;

/// Where a run is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Setup,
    Calm { until: u64 },
    Chaos { until: u64 },
    Heal { since: u64 },
    Over,
}

/// What becomes of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Up,
    Down,
    /// It does not come back.
    Gone,
}

pub(crate) struct World {
    sim: Sim<'static>,
    pub(super) settings: Settings,
    pub(super) chance: Chance,
    pub(crate) story: Story,
    pub(crate) coverage: Coverage,
    pub(super) machines: Vec<Machine>,
    conditions: BTreeMap<NodeId, Condition>,
    instances: Instances,
    clients: Clients,
    pub(crate) ledger: Ledger,
    invariants: Invariants,
    phase: Phase,
    /// Faults to come, the earliest first.
    pub(super) planned: Vec<(u64, Fault)>,
    /// Ends of faults.
    undos: Vec<(u64, Undo)>,
    pub(super) cuts: Cuts,
    /// Ways to a machine without power.
    dark: BTreeMap<NodeId, Vec<(IpAddr, IpAddr)>>,
    /// Changes of the cluster that an operator wants.
    wishes: Vec<AdminRequest>,
    wished_at: u64,
    changed_at: u64,
    looked_at: u64,
    written_at: u64,
}

impl World {
    pub(crate) fn new(seed: u64, story: Story) -> Self {
        weather::clear();
        let mut chance = Chance::new(seed);
        let settings = Settings::draw(&mut chance);
        let (low, high) = settings.delay_ms;
        let mut sim = turmoil::Builder::new()
            .rng_seed(chance.next())
            .epoch(std::time::UNIX_EPOCH)
            .simulation_duration(Duration::from_secs(86_400))
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(Duration::from_millis(low))
            .max_message_latency(Duration::from_millis(high))
            .tcp_capacity(4_096)
            .build();
        let mut core = Core::new(settings.clone(), chance.clone(), crate::record::Story::default());
        setup::make_instances(&mut core);
        let instances = Instances::new(std::mem::take(&mut core.fleet));
        instances.join(&mut sim);
        let plan = plan(&settings, chance.next());
        let clients = Clients::new(plan, instances.clone());
        let mut world = Self {
            sim,
            chance,
            story,
            coverage: Coverage::default(),
            machines: Vec::new(),
            conditions: BTreeMap::new(),
            instances,
            clients,
            ledger: Ledger::default(),
            invariants: Invariants::new(),
            phase: Phase::Setup,
            planned: Vec::new(),
            undos: Vec::new(),
            cuts: Cuts::default(),
            dark: BTreeMap::new(),
            wishes: Vec::new(),
            wished_at: 0,
            changed_at: START,
            looked_at: START,
            written_at: START,
            settings,
        };
        let settings = format!("{:?}", world.settings);
        world.tell("seed", &settings);
        let tuning = world.draw_tuning();
        for id in 1..=world.settings.nodes {
            world.make_machine(id, node::founders(world.settings.nodes), tuning);
        }
        let clients = world.clients.clone();
        clients.join(&mut world.sim);
        world
    }

    /// Now, as invariants have it.
    pub(crate) fn now(&self) -> u64 {
        START + self.sim.elapsed().as_millis() as u64
    }

    pub(super) fn tell(&self, who: &str, what: &str) {
        self.story.tell(self.now() - START, who, what);
    }

    /// Something changed between nodes.
    pub(super) fn changed(&mut self) {
        self.changed_at = self.now();
    }

    pub(super) fn later(&mut self, ms: u64, undo: Undo) {
        self.undos.push((self.now() + ms, undo));
    }

    /// The whole run; an error is a broken rule.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        while !matches!(self.phase, Phase::Over) {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        self.sim.step().map_err(|error| error.to_string())?;
        if let Some(panic) = panics::take() {
            return Err(format!("panicked: {panic}"));
        }
        self.look_at_processes()?;
        self.instances.step(self.sim.elapsed());
        self.check_facts()?;
        if let Some(error) = self.story.take_error() {
            return Err(format!("logged an error: {error}"));
        }
        self.writers_turn();
        self.ends_of_faults();
        self.go_on()
    }

    /// What happened in this step, by all rules.
    fn check_facts(&mut self) -> Result<(), String> {
        let committed = self.ledger.take()?;
        if !committed.is_empty() {
            self.instances.know(&self.ledger.state());
            let nodes = self
                .members()
                .into_iter()
                .map(|id| SocketAddr::new(node::address(id), node::PORT));
            self.clients.set_nodes(nodes.collect());
        }
        let now = self.now();
        for fact in &committed {
            if let Fact::Committed {
                command,
                outcome,
                before,
                after,
                ..
            } = fact
            {
                crate::reached::mark(&mut self.coverage, command, outcome);
                self.clients.committed(command, before, after, (now - 20_000, now));
                if self.story.is_kept() {
                    self.tell("log", &format!("{command:?}: {outcome:?}"));
                }
            }
        }
        let sent = self.orders_sent();
        let happened = self.instances.take_facts();
        let told = self.clients.take_facts();
        self.stories();
        self.coverage.merge(&self.instances.take_coverage());
        self.coverage.merge(&self.clients.take_coverage());
        for fact in committed.iter().chain(&sent).chain(&happened).chain(&told) {
            if let Fact::OrderDone { order, .. } = fact {
                self.coverage.mark(order_name(order));
            }
            let check = |invariants: &mut Invariants, moment: &Moment<'_>| invariants.check(moment, fact);
            self.at_this_moment(check)?;
        }
        Ok(())
    }

    /// Orders that left in this step.
    fn orders_sent(&self) -> Vec<Fact> {
        let orders = self.story.take_orders();
        let sent = orders.iter().filter_map(|left| {
            let machine = self.machines.iter().find(|machine| machine.host.name() == left.node)?;
            let applied = machine.running()?.board.state();
            // It may have been removed in this very step.
            applied.group(GroupId(left.group))?;
            left.fact(applied)
        });
        sent.collect()
    }

    fn at_this_moment<T>(&mut self, look: impl FnOnce(&mut Invariants, &Moment<'_>) -> T) -> T {
        let (now, changed_at) = (self.now(), self.changed_at);
        let instances = self.instances.clone();
        instances.look(|fleet| {
            let moment = Moment {
                now,
                changed_at,
                fleet,
                machines: &self.machines,
                ledger: &self.ledger,
                clients: &self.clients,
            };
            look(&mut self.invariants, &moment)
        })
    }

    fn stories(&mut self) {
        let names: Vec<String> = self
            .instances
            .look(|fleet| fleet.servers.iter().map(|server| server.name.clone()).collect());
        for (at, who, what) in self.instances.take_story() {
            self.story.tell(at - START, &names[who], &what);
        }
        for (at, who, what) in self.clients.take_story() {
            self.story.tell(at - START, &who, &what);
        }
    }

    fn ends_of_faults(&mut self) {
        let now = self.now();
        let (due, rest) = std::mem::take(&mut self.undos)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.undos = rest;
        let due: Vec<(u64, Undo)> = due;
        for (_, undo) in due {
            self.undo(undo);
        }
    }

    /// From phase to phase.
    fn go_on(&mut self) -> Result<(), String> {
        let now = self.now();
        match self.phase {
            Phase::Setup if self.clients.are_set_up() && now > START + 3_000 => {
                self.phase = Phase::Calm {
                    until: now + self.settings.calm_ms,
                };
            }
            Phase::Setup if now > START + SETUP_MS => return Err("the groups cannot be set up".to_owned()),
            Phase::Calm { until } if now >= until => {
                let until = now + self.settings.chaos_ms;
                self.tell("world", "faults begin");
                self.plan_faults(now, until);
                self.phase = Phase::Chaos { until };
            }
            Phase::Chaos { until } => {
                while self.planned.first().is_some_and(|(at, _)| *at <= now) {
                    let (_, fault) = self.planned.remove(0);
                    self.fault(fault);
                }
                if now >= until {
                    self.heal();
                    self.phase = Phase::Heal { since: self.now() };
                }
            }
            Phase::Heal { since } => self.look(since)?,
            _ => {}
        }
        if now >= self.wished_at + WISH_MS {
            self.wished_at = now;
            self.wish();
        }
        Ok(())
    }

    /// All faults end.
    fn heal(&mut self) {
        self.tell("world", "faults end");
        for (_, undo) in std::mem::take(&mut self.undos) {
            self.undo(undo);
        }
        self.instances.mend_all();
        self.usual_links();
        for id in 1..=self.machines.len() as NodeId {
            self.usual_disk(id);
        }
        self.changed();
    }

    /// Is all well again?
    fn look(&mut self, since: u64) -> Result<(), String> {
        let now = self.now();
        if now < self.looked_at + LOOK_MS {
            return Ok(());
        }
        self.looked_at = now;
        let quiet = self.clients.be_quiet();
        let well = if !quiet {
            Err("an operator still waits".to_owned())
        } else if let Some(wish) = self.wishes.first() {
            Err(format!("not done: {wish:?}"))
        } else {
            self.at_this_moment(|invariants, moment| invariants.all_is_well(moment))
        };
        match well {
            Ok(()) => {
                self.at_this_moment(|invariants, moment| invariants.at_the_end(moment))?;
                let state = self.ledger.state();
                self.clients.check_histories(&state, now)?;
                self.tell("world", "all is well");
                self.phase = Phase::Over;
                Ok(())
            }
            Err(_) if now < since + self.quiet_limit() => Ok(()),
            Err(why) => {
                self.tell_the_end();
                Err(format!("{} s after the last fault: {why}", (now - since) / 1_000))
            }
        }
    }

    /// The brake may hold a failover, and an operator may have turned it off for a while: that wait is added.
    fn quiet_limit(&self) -> u64 {
        let state = self.ledger.state();
        let wall = Timestamp(cfgserver::host::EPOCH_MS + self.now() - START);
        let held = state
            .groups()
            .filter_map(|group| cfgserver::failover::held_until(group, wall));
        let held = held.map(|until| until.0.saturating_sub(wall.0));
        let off = state.groups().filter_map(|group| group.config.automatic.left_ms(wall));
        let longest = held.chain(off).max().unwrap_or_default();
        QUIET_MS + longest.min(3_600_000)
    }

    fn tell_the_end(&mut self) {
        for group in self.ledger.state().groups() {
            self.tell("end", &format!("{group:?}"));
        }
        let shown = self.at_this_moment(|_, moment| {
            let nodes = (1..=moment.nodes()).map(|id| moment.node(id));
            let node = |node: crate::invariants::NodeScene| {
                format!(
                    "node {}: running {}, member {}, leads {:?}, caught up {}",
                    node.id, node.running, node.member, node.leads, node.caught_up
                )
            };
            nodes.map(node).collect::<Vec<String>>()
        });
        for line in shown {
            self.tell("end", &line);
        }
    }
}

/// Who the clients are, and how the groups are set up.
fn plan(settings: &Settings, seed: u64) -> Plan {
    let nodes = (1..=settings.nodes).map(|id| SocketAddr::new(node::address(id), node::PORT));
    let mut setup = Vec::new();
    for (ordinal, group) in settings.groups.iter().enumerate() {
        let name = group_name(ordinal);
        setup.push(format!(
            "SENTINEL MONITOR {name} 10.0.{ordinal}.1 6379 {}",
            group.quorum
        ));
        let mode = if group.observe { "observe" } else { "manage" };
        let identity = if group.strict { "strict" } else { "open" };
        let options = [
            ("down-after-milliseconds", group.down_after_ms.to_string()),
            ("failover-timeout", group.failover_timeout_ms.to_string()),
            ("parallel-syncs", group.parallel_syncs.to_string()),
            ("refused-after-milliseconds", group.refused_after_ms.to_string()),
            (
                "master-reboot-down-after-period",
                group.reboot_down_after_ms.to_string(),
            ),
            ("mode", mode.to_owned()),
            ("identity", identity.to_owned()),
        ];
        let options = options.iter().map(|(name, value)| format!(" {name} {value}"));
        setup.push(format!("SENTINEL SET {name}{}", options.collect::<String>()));
    }
    Plan {
        nodes: nodes.collect(),
        setup,
        groups: (0..settings.groups.len())
            .map(|group| group_name(group).to_string())
            .collect(),
        subscribers: settings.subscribers,
        proxies: settings.proxies,
        operators: 1 + u64::from(settings.operator_every_ms > 0),
        operator_every_ms: match settings.operator_every_ms {
            0 => 3_600_000,
            ms => ms,
        },
        seed,
    }
}

fn order_name(order: &cfgserver::failover::Order) -> &'static str {
    use cfgserver::failover::Order;
    match order {
        Order::StepDown { .. } | Order::Yield { .. } | Order::TakeBack => "order: of a coordinated failover",
        Order::Promote => "order: promote",
        Order::Pause { .. } => "order: pause",
        Order::Follow { .. } => "order: follow",
        _ => "order: other",
    }
}
