//! A world for the control: instances, and a prober that sees them as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cfgserver::board::{Board, Change};
use cfgserver::clock::Clock;
use cfgserver::control::{Control, ControlParts, OrderLinks};
use cfgserver::detect::{Judgement, Vote, VoteReport};
use cfgserver::failover::Order;
use cfgserver::machine::{self, Command, Entry, SharedSetting, State};
use cfgserver::model::Setting;
use cfgserver::model::{
    Address, EventKind, Facts, GroupName, Lineage, LinkState, Node, NodeId, ReplicaLine, Revision, Role, RunId, Term,
    Verdict,
};
use cfgserver::raft::{Desk, Leadership};
use cfgserver::requests::NodeStatus;
use cfgserver::task::Tasks;
use tokio::sync::watch;

use super::ports::{Dns, Links, Log};

const DEADLINE: Duration = Duration::from_secs(20);
const PROBE_EVERY: Duration = Duration::from_millis(5);

/// Instance N listens at 10.0.0.0 + N.
pub(super) fn address(number: u32) -> Address {
    let ip = std::net::Ipv4Addr::from(u32::from(std::net::Ipv4Addr::new(10, 0, 0, 0)) + number);
    Address::new(ip.into(), 6379).unwrap()
}

fn number(address: Address) -> u32 {
    match address.ip {
        std::net::IpAddr::V4(ip) => u32::from(ip) - u32::from(std::net::Ipv4Addr::new(10, 0, 0, 0)),
        std::net::IpAddr::V6(_) => panic!("no IPv6 here"),
    }
}

#[derive(Clone)]
pub(super) struct Instance {
    alive: bool,
    follows: Option<Address>,
    lineage: Lineage,
}

/// Before the next command of a kind, somebody changes the group of a name.
pub(super) type Interference = (fn(&Command) -> bool, String);

/// What the fakes share.
pub(super) struct Shared {
    pub(super) board: Arc<Board>,
    pub(super) clock: Clock,
    pub(super) state: Mutex<State>,
    pub(super) events: Mutex<Vec<EventKind>>,
    pub(super) diary: Mutex<Vec<String>>,
    pub(super) instances: Mutex<BTreeMap<Address, Instance>>,
    pub(super) hosts: Mutex<BTreeMap<String, IpAddr>>,
    pub(super) leadership: watch::Sender<Leadership>,
    pub(super) lease: AtomicBool,
    pub(super) fence_refusals: AtomicUsize,
    pub(super) stall_orders: AtomicBool,
    pub(super) orders: AtomicUsize,
    pub(super) links: AtomicUsize,
    pub(super) log_ms: AtomicU64,
    pub(super) proposals: AtomicUsize,
    pub(super) most_proposals: AtomicUsize,
    pub(super) interfere: Mutex<Option<Interference>>,
    pub(super) peers: Mutex<BTreeMap<NodeId, BTreeSet<Address>>>,
    pub(super) handed_over_to: Mutex<Option<NodeId>>,
    pub(super) sequence: AtomicU64,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

pub(super) struct World {
    shared: Arc<Shared>,
    desk: Arc<dyn Desk>,
    tasks: Tasks,
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

impl World {
    /// With instances that are played, and seen as they are.
    pub(super) fn start() -> Self {
        let world = Self::build(|shared| Arc::new(Links(shared.clone())));
        world.spawn_prober();
        world
    }

    /// With other links; somebody else probes.
    pub(super) fn with_links(links: Arc<dyn OrderLinks>) -> Self {
        Self::build(|_| links)
    }

    fn build(links: impl FnOnce(&Arc<Shared>) -> Arc<dyn OrderLinks>) -> Self {
        let tasks = Tasks::default();
        let shared = Arc::new(Shared {
            board: Arc::new(Board::new(NodeStatus::default())),
            clock: Clock::start(),
            state: Mutex::default(),
            events: Mutex::default(),
            diary: Mutex::default(),
            instances: Mutex::default(),
            hosts: Mutex::default(),
            leadership: watch::Sender::new(Leadership::default()),
            lease: AtomicBool::new(true),
            fence_refusals: AtomicUsize::new(0),
            stall_orders: AtomicBool::new(false),
            orders: AtomicUsize::new(0),
            links: AtomicUsize::new(0),
            log_ms: AtomicU64::new(1),
            proposals: AtomicUsize::new(0),
            most_proposals: AtomicUsize::new(0),
            interfere: Mutex::default(),
            peers: Mutex::default(),
            handed_over_to: Mutex::default(),
            sequence: AtomicU64::new(0),
        });
        let nodes = BTreeMap::from([(1, Node::default()), (2, Node::default()), (3, Node::default())]);
        shared.apply(&Command::Nodes { nodes });
        let desk = Control::start(ControlParts {
            board: shared.board.clone(),
            proposals: Arc::new(Log(shared.clone())),
            links: links(&shared),
            names: Arc::new(Dns(shared.clone())),
            clock: shared.clock,
            tasks: tasks.clone(),
            node: 1,
        });
        Self { shared, desk, tasks }
    }

    pub(super) fn apply(&self, command: &Command) {
        self.shared.apply(command);
    }

    pub(super) fn desk(&self) -> &dyn Desk {
        self.desk.as_ref()
    }

    pub(super) fn board(&self) -> Arc<Board> {
        self.shared.board.clone()
    }

    pub(super) fn clock(&self) -> Clock {
        self.shared.clock
    }

    pub(super) fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    pub(super) fn set_down_after(&self, group: &str, ms: u64) {
        self.shared.apply(&Command::Set {
            name: GroupName::new(group).unwrap(),
            settings: vec![Setting::DownAfterMs(ms)],
        });
    }

    pub(super) fn state(&self) -> Arc<State> {
        self.shared.board.state()
    }

    pub(super) fn instance(&self, at: u32, of: Option<u32>) {
        let lineage = Lineage {
            replid: format!("data-{}", of.unwrap_or(at)).into(),
            replid2: None,
        };
        let instance = Instance {
            alive: true,
            follows: of.map(address),
            lineage,
        };
        lock(&self.shared.instances).insert(address(at), instance);
    }

    /// Host names are resolved from now on; this one to that instance, or to nobody.
    pub(super) fn host(&self, host: &str, at: Option<u32>) {
        let settings = vec![SharedSetting::ResolveHostnames(true)];
        self.shared.apply(&Command::Share { settings });
        let mut hosts = lock(&self.shared.hosts);
        match at {
            Some(at) => _ = hosts.insert(host.to_owned(), address(at).ip),
            None => _ = hosts.remove(host),
        }
    }

    /// The process is gone, and another one with its data is elsewhere.
    pub(super) fn moves(&self, from: u32, to: u32) {
        let mut instances = lock(&self.shared.instances);
        let instance = instances.remove(&address(from)).unwrap();
        instances.insert(address(to), instance);
    }

    pub(super) fn kill(&self, at: u32) {
        lock(&self.shared.instances).get_mut(&address(at)).unwrap().alive = false;
    }

    pub(super) fn follows(&self, at: u32) -> Option<Address> {
        lock(&self.shared.instances)[&address(at)].follows
    }

    pub(super) fn monitor(&self, name: &str, primary: u32) {
        self.monitor_at(name, address(primary));
    }

    pub(super) fn remove(&self, name: &str) {
        let name = GroupName::new(name).unwrap();
        self.shared.apply(&Command::Remove { name });
    }

    pub(super) fn monitor_at(&self, name: &str, primary: Address) {
        self.shared.apply(&Command::Monitor {
            host: None,
            name: GroupName::new(name).unwrap(),
            primary,
            quorum: 1,
            settings: Vec::new(),
        });
    }

    pub(super) fn lead(&self, term: Term) {
        let now = Leadership {
            leader: Some(1),
            term,
            me: true,
        };
        self.shared.leadership.send_replace(now);
    }

    pub(super) fn follow(&self, term: Term) {
        let now = Leadership {
            leader: Some(2),
            term,
            me: false,
        };
        self.shared.leadership.send_replace(now);
    }

    pub(super) fn set_lease(&self, holds: bool) {
        self.shared.lease.store(holds, Ordering::SeqCst);
    }

    pub(super) fn fence_refusals(&self) -> usize {
        self.shared.fence_refusals.load(Ordering::SeqCst)
    }

    pub(super) fn stall_orders(&self, stall: bool) {
        self.shared.stall_orders.store(stall, Ordering::SeqCst);
    }

    pub(super) fn orders_on_their_way(&self) -> usize {
        self.shared.orders.load(Ordering::SeqCst)
    }

    pub(super) fn open_links(&self) -> usize {
        self.shared.links.load(Ordering::SeqCst)
    }

    pub(super) fn slow_log(&self, ms: u64) {
        self.shared.log_ms.store(ms, Ordering::SeqCst);
    }

    pub(super) fn most_proposals_at_once(&self) -> usize {
        self.shared.most_proposals.load(Ordering::SeqCst)
    }

    pub(super) fn handed_over_to(&self) -> Option<NodeId> {
        *lock(&self.shared.handed_over_to)
    }

    pub(super) fn events(&self) -> Vec<EventKind> {
        lock(&self.shared.events).clone()
    }

    pub(super) fn diary(&self) -> Vec<String> {
        lock(&self.shared.diary).clone()
    }

    /// Right before the next command of a kind, the group is changed by somebody else.
    pub(super) fn before_next(&self, kind: fn(&Command) -> bool, group: &str) {
        *lock(&self.shared.interfere) = Some((kind, group.to_owned()));
    }

    /// Another node votes that the primary is down, and sees these instances Up.
    pub(super) fn peer_reaches(&self, node: NodeId, reached: &[u32]) {
        let reached = reached.iter().map(|at| address(*at)).collect();
        lock(&self.shared.peers).insert(node, reached);
    }

    /// A report of node 1 about all groups.
    pub(super) fn report(&self, whole: bool) -> VoteReport {
        self.shared.report(whole, None)
    }

    /// Waits for a condition on the published state.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&State) -> bool) {
        let waiting = async {
            while !holds(&self.state()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let done = tokio::time::timeout(DEADLINE, waiting).await;
        assert!(done.is_ok(), "not in time: {what}; {:#?}", self.diary());
    }

    pub(super) async fn until_primary(&self, group: &str, at: u32) {
        let what = format!("{group} moves to {at}");
        self.until(&what, |state| state.group_named(group).unwrap().primary == address(at))
            .await;
    }

    pub(super) async fn until_down(&self, instances: &[u32]) {
        let board = self.shared.board.clone();
        self.until("the instances are seen down", |state| {
            let seen: Vec<_> = state.groups().map(|group| board.sightings(group.id)).collect();
            let down = |at: u32| {
                seen.iter()
                    .any(|seen| seen.get(&address(at)).is_some_and(|s| s.verdict.is_down()))
            };
            instances.iter().all(|at| down(*at))
        })
        .await;
    }

    fn spawn_prober(&self) {
        let shared = self.shared.clone();
        let desk = self.desk.clone();
        let stop = self.tasks.stopping();
        let mut requests = shared.board.info_requests();
        self.tasks.spawn("prober", async move {
            while !stop.is_cancelled() {
                shared.probe();
                desk.votes(1, shared.report(true, None));
                let peers = lock(&shared.peers).clone();
                for (node, reached) in peers {
                    desk.votes(node, shared.report(true, Some(&reached)));
                }
                _ = tokio::time::timeout(PROBE_EVERY, requests.recv()).await.is_ok();
            }
        });
    }
}

impl Shared {
    pub(super) fn apply(&self, command: &Command) -> (machine::Outcome, Revision) {
        let mut state = lock(&self.state);
        let entry = Entry {
            command: command.clone(),
            at: self.clock.wall(),
        };
        let applied = machine::apply(&mut state, &entry);
        lock(&self.events).extend(applied.events.into_iter().map(|event| event.kind));
        self.board.publish_state(Arc::new(state.clone()));
        (applied.outcome, state.revision())
    }

    pub(super) fn write(&self, line: String) {
        lock(&self.diary).push(line);
    }

    pub(super) fn facts(&self, at: Address) -> Option<Facts> {
        let instances = lock(&self.instances);
        let instance = instances.get(&at).filter(|instance| instance.alive)?;
        let primary = instance
            .follows
            .and_then(|of| instances.get(&of))
            .filter(|primary| primary.alive);
        let followers = instances
            .iter()
            .filter(|(_, other)| other.alive && other.follows == Some(at));
        let lines = followers.map(|(address, _)| ReplicaLine {
            address: *address,
            online: true,
            offset: 1_000,
        });
        let replica = instance.follows.is_some();
        Some(Facts {
            run_id: RunId::new(format!("run-{}", number(at))),
            version: "7.0.15".to_owned(),
            role: if replica { Role::Replica } else { Role::Primary },
            lineage: Some(primary.unwrap_or(instance).lineage.clone()),
            primary_offset: 1_000,
            replica_offset: if replica { 1_000 } else { 0 },
            primary: instance.follows,
            primary_host: instance.follows.map(|of| of.ip.to_string()).unwrap_or_default(),
            primary_port: 6379,
            primary_link_up: primary.is_some(),
            primary_link_down_ms: Some(0),
            sync_in_progress: false,
            priority: 100,
            announced: true,
            loading: false,
            keys: 5,
            uptime_s: 100,
            failing_over: Some(false),
            replicas: lines.collect(),
            named_replicas: Vec::new(),
        })
    }

    /// Sees every member as it is now: no silence is waited for.
    fn probe(&self) {
        let now = self.clock.now();
        for group in self.board.state().groups() {
            let known = self.board.sightings(group.id);
            for address in group.members.keys() {
                let facts = self.facts(*address).map(Arc::new);
                let before = known.get(address).cloned().unwrap_or_default();
                let mut sighting = before.clone();
                match facts {
                    Some(facts) => {
                        sighting.verdict = Verdict::Up;
                        sighting.link = LinkState::Connected;
                        sighting.ok_reply_at = now;
                        sighting.facts_at = Some(now);
                        sighting.facts = Some(facts);
                    }
                    None if !before.verdict.is_down() => {
                        sighting.verdict = Verdict::Down { since: now };
                        sighting.link = LinkState::Disconnected;
                    }
                    None => {}
                }
                let news = before.verdict != sighting.verdict || before.facts != sighting.facts;
                let change = if news { Change::News } else { Change::Ages };
                self.board.put_sighting(group.id, *address, sighting, change);
            }
        }
    }

    /// What this node thinks; or another one, which sees primaries down and reaches `reached`.
    fn report(&self, whole: bool, reached: Option<&BTreeSet<Address>>) -> VoteReport {
        let state = self.board.state();
        let votes = state.groups().map(|group| {
            let seen = self.board.sightings(group.id);
            let up = |address: &Address| seen.get(address).is_some_and(|seen| seen.verdict == Verdict::Up);
            let down = seen.get(&group.primary).is_some_and(|seen| seen.verdict.is_down());
            let verdict = match (down, up(&group.primary)) {
                (true, _) => Judgement::Down,
                (false, true) => Judgement::Up,
                (false, false) => Judgement::Unknown,
            };
            let own = || group.replicas().map(|(address, _)| *address).filter(up).collect();
            Vote {
                key: group.vote_key(),
                verdict,
                reach: reached.cloned().unwrap_or_else(own),
                fit: None,
            }
        });
        VoteReport {
            sequence: self.sequence.fetch_add(1, Ordering::SeqCst) + 1,
            whole,
            votes: votes.collect(),
        }
    }

    pub(super) fn obey(&self, at: Address, order: &Order) {
        let text = match order {
            Order::Promote => "promote",
            Order::Follow { .. } => "follow",
            Order::Pause { .. } => "pause",
            Order::Unpause => "unpause",
            Order::StepDown { .. } => "step down",
            Order::Yield { .. } => "fail over",
            Order::TakeBack => "take back",
        };
        self.write(format!("{text} {}", number(at)));
        let mut instances = lock(&self.instances);
        let instance = instances.get_mut(&at).unwrap();
        match order {
            Order::Promote | Order::TakeBack => instance.follows = None,
            Order::Follow { primary, .. } => instance.follows = Some(*primary),
            Order::StepDown { to } => instance.follows = Some(*to),
            Order::Pause { .. } | Order::Unpause | Order::Yield { .. } => {}
        }
    }
}
