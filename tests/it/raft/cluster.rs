//! Nodes for tests: real TCP on loopback, disks in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use cfgserver::clock::Clock;
use cfgserver::machine::{Command, Outcome, State};
use cfgserver::model::{Address, Event, GroupName, NodeId};
use cfgserver::net::{self, TcpListener, TcpStream};
use cfgserver::peer::{Acceptor, Secret};
use cfgserver::raft::{self, ApplySink, Failure, Formation, Handle, Leadership, StartError, StartOptions, Tuning};
use cfgserver::requests::{AdminRequest, NodeStatus, Write, WriteError, WriteReply};
use cfgserver::resp::{Decoder, Limits};
use cfgserver::store::{MemoryStore, Store};
use cfgserver::task::Tasks;
use tokio::io::AsyncReadExt;

/// Nothing here takes this long on the slowest machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What a sink was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Applied { revision: u64, events: usize },
    Replaced { before: u64, after: u64 },
}

/// Remembers what it was told, and when a revision arrived.
#[derive(Default)]
pub(super) struct Recorder {
    told: Mutex<Vec<Told>>,
    arrivals: Mutex<BTreeMap<u64, Instant>>,
}

impl Recorder {
    pub(super) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    pub(super) fn arrival(&self, revision: u64) -> Option<Instant> {
        self.arrivals
            .lock()
            .unwrap()
            .range(revision..)
            .next()
            .map(|(_, at)| *at)
    }

    fn arrived(&self, state: &State) {
        self.arrivals
            .lock()
            .unwrap()
            .entry(state.revision())
            .or_insert_with(Instant::now);
    }
}

impl ApplySink for Recorder {
    fn applied(&self, state: Arc<State>, events: Vec<Event>) {
        self.arrived(&state);
        let revision = state.revision();
        let events = events.len();
        self.told.lock().unwrap().push(Told::Applied { revision, events });
    }

    fn replaced(&self, before: Arc<State>, after: Arc<State>) {
        self.arrived(&after);
        let (before, after) = (before.revision(), after.revision());
        self.told.lock().unwrap().push(Told::Replaced { before, after });
    }
}

/// How a node of a test is started.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) id: NodeId,
    pub(super) formation: Formation,
    pub(super) store: Arc<dyn Store>,
    pub(super) secret: Option<&'static str>,
    pub(super) tuning: Tuning,
}

impl Plan {
    pub(super) fn new(id: NodeId, formation: Formation) -> Self {
        Self {
            id,
            formation,
            store: Arc::new(MemoryStore::new()),
            secret: Some("a secret"),
            tuning: Tuning::default(),
        }
    }
}

/// A running node.
pub(super) struct TestNode {
    pub(super) plan: Plan,
    pub(super) address: String,
    pub(super) handle: Handle,
    pub(super) sink: Arc<Recorder>,
    tasks: Tasks,
}

/// A port that a node will listen on: kept open until then.
pub(super) fn reserve() -> (TcpListener, String) {
    let listener = net::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

impl TestNode {
    /// Starts a node that listens on `listener`.
    pub(super) async fn start(plan: Plan, listener: TcpListener) -> Result<Self, StartError> {
        let address = listener.local_addr().unwrap().to_string();
        let tasks = Tasks::default();
        let sink = Arc::new(Recorder::default());
        let options = StartOptions {
            node_id: plan.id,
            advertise: address.clone(),
            formation: plan.formation.clone(),
            store: plan.store.clone(),
            incarnation: None,
            clock: Clock::start(),
            tasks: tasks.clone(),
            sink: sink.clone(),
            secret: plan.secret.map(Secret::new),
            tuning: plan.tuning,
        };
        let (handle, acceptor) = raft::start(options).await?;
        let stopping = tasks.stopping();
        let connections = tasks.clone();
        tasks.spawn("test-listener", async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = accept(listener, acceptor, connections) => {}
            }
        });
        Ok(Self {
            plan,
            address,
            handle,
            sink,
            tasks,
        })
    }

    /// Stops the node as a crash would: nobody is told.
    pub(super) async fn kill(self) -> Plan {
        self.handle.shut_down().await;
        self.tasks.shut_down(Duration::from_secs(5)).await;
        self.plan
    }

    /// Stops the node and starts it again on its disk and address.
    pub(super) async fn restart(self) -> Self {
        let address = self.address.clone();
        let plan = self.kill().await;
        Self::start(plan, listen_again(&address).await).await.unwrap()
    }

    pub(super) async fn write(&self, write: Write) -> Result<WriteReply, WriteError> {
        self.handle.write(write).await
    }

    /// Monitors a group; gives the revision after it.
    pub(super) async fn monitor(&self, name: &str, port: u16) -> u64 {
        match self.write(Write::Command(monitor(name, port))).await {
            Ok(WriteReply::Outcome {
                outcome: Outcome::Done { .. },
                revision,
            }) => revision,
            other => panic!("monitor {name}: {other:?}"),
        }
    }

    pub(super) async fn admin(&self, request: AdminRequest) -> Result<WriteReply, WriteError> {
        self.write(Write::Admin(request)).await
    }

    pub(super) fn leadership(&self) -> Leadership {
        *self.handle.leadership().borrow()
    }

    pub(super) fn status(&self) -> NodeStatus {
        self.handle.status(&NodeStatus::default())
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.handle.state().group_named(name).is_some()
    }

    pub(super) fn voters(&self) -> BTreeSet<NodeId> {
        self.handle.state().electorate().collect()
    }

    pub(super) async fn failure(&self) -> Failure {
        tokio::time::timeout(PATIENCE, self.handle.failed())
            .await
            .expect("the node should fail")
    }
}

pub(super) fn monitor(name: &str, port: u16) -> Command {
    Command::Monitor {
        host: None,
        name: GroupName::new(name).unwrap(),
        primary: Address::parse("10.0.0.1", &port.to_string()).unwrap(),
        quorum: 2,
        settings: Vec::new(),
    }
}

async fn accept(listener: TcpListener, acceptor: Acceptor, tasks: Tasks) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let acceptor = acceptor.clone();
        tasks.spawn("test-connection", async move { serve(stream, acceptor).await });
    }
}

async fn serve(mut stream: TcpStream, acceptor: Acceptor) {
    let (mut buffer, mut requests) = (BytesMut::new(), Decoder::new(Limits::CLIENT));
    loop {
        if let Some(first) = requests.decode(&mut buffer).unwrap() {
            return acceptor.serve(stream, buffer, first).await;
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Listens on an address that a node has just left.
pub(super) async fn listen_again(address: &str) -> TcpListener {
    let address = address.parse().unwrap();
    until("the port is free", || net::listen(address).ok()).await
}

/// Three nodes that found a cluster.
pub(super) async fn three(change: impl Fn(&mut Plan)) -> Vec<TestNode> {
    let ports: Vec<_> = (1..=3).map(|id| (id as NodeId, reserve())).collect();
    let peers: BTreeMap<_, _> = ports.iter().map(|(id, (_, address))| (*id, address.clone())).collect();
    let mut nodes = Vec::new();
    for (id, (listener, _)) in ports {
        let mut plan = Plan::new(id, Formation::Peers(peers.clone()));
        change(&mut plan);
        nodes.push(TestNode::start(plan, listener).await.unwrap());
    }
    formed(&nodes).await;
    nodes
}

/// Waits until all nodes know a leader, are ready, and agree on who is a voter.
pub(super) async fn formed(nodes: &[TestNode]) {
    let all: BTreeSet<NodeId> = nodes.iter().map(|node| node.plan.id).collect();
    until("the cluster is formed", || {
        let settled =
            |node: &TestNode| node.voters() == all && node.status().ready && node.leadership().leader.is_some();
        nodes.iter().all(settled).then_some(())
    })
    .await;
}

/// The position of the leader among `nodes`.
pub(super) async fn leader(nodes: &[TestNode]) -> usize {
    until("there is a leader", || {
        nodes.iter().position(|node| node.leadership().me)
    })
    .await
}

/// Waits for a condition.
pub(super) async fn until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = holds() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for a plain condition.
pub(super) async fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(())).await;
}
