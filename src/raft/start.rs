//! From a data directory to a running node.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Config, SnapshotPolicy};
use tracing::{info, warn};

use super::core::{Contacts, Core, Waiting};
use super::desk::Leadership;
use super::feed::{ApplySink, Feed};
use super::formation::{meets_data, probe};
use super::handle::Handle;
use super::identity::{Identity, Origin};
use super::log::LogStore;
use super::machine::{Loaded, StateMachine};
use super::network::{NetworkFactory, Pulse};
use super::service::RaftService;
use super::types::RaftNode;
use crate::clock::Clock;
use crate::model::{Node, NodeId, NodeRole};
use crate::mutation::{self, Mutation};
use crate::peer::{Acceptor, CallError, LinkParts, Links, Local, Secret};
use crate::runtime::Runtime;
use crate::store::Store;
use crate::task::Tasks;
use crate::watch;

/// What a node is started with.
pub struct StartOptions {
    /// Its number.
    pub node_id: NodeId,
    /// `host:port` at which peers and clients reach it. With `--peers`, its own entry there is taken.
    pub advertise: String,
    /// How it comes to a cluster. Only an empty data directory reads this.
    pub formation: Formation,
    /// Its disk.
    pub store: Arc<dyn Store>,
    /// Random id of the data directory, if the disk has one; drawn otherwise. Read when the directory is new.
    pub incarnation: Option<String>,
    /// Its clock.
    pub clock: Clock,
    /// Its tasks.
    pub tasks: Tasks,
    /// Where applied entries go.
    pub sink: Arc<dyn ApplySink>,
    /// The cluster secret.
    pub secret: Option<Secret>,
    /// Timeouts and limits.
    pub tuning: Tuning,
}

/// How an empty node comes to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formation {
    /// It is one.
    Alone,
    /// Founds one with these nodes, the own one included.
    Peers(BTreeMap<NodeId, String>),
    /// Waits to be added; the address is a node of the cluster.
    Join(String),
}

/// Timeouts and limits of Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Interval of heartbeats.
    pub heartbeat_ms: u64,
    /// Shortest wait before an election.
    pub election_min_ms: u64,
    /// Longest wait before an election; also the leader's lease.
    pub election_max_ms: u64,
    /// How long a client's write may take.
    pub write_ms: u64,
    /// Entries between two snapshots.
    pub snapshot_every: u64,
    /// Entries that are kept although a snapshot has them.
    pub keep_entries: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            heartbeat_ms: 100,
            election_min_ms: 300,
            election_max_ms: 550,
            write_ms: 5_000,
            snapshot_every: 20_000,
            keep_entries: 10_000,
        }
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The disk.
    #[error("the data directory cannot be read: {0}")]
    Store(#[from] io::Error),
    /// The data directory of another node.
    #[error(
        "the data directory belongs to node {found}, not to node {asked}: start it with that node id, or choose another directory"
    )]
    OtherNode {
        /// Whose it is.
        found: NodeId,
        /// Who was started.
        asked: NodeId,
    },
    /// `--peers` does not name this node.
    #[error("--peers does not contain this node's own id, {0}")]
    NotAPeer(NodeId),
    /// Peers beyond this machine, and no secret.
    #[error("several nodes beyond loopback need a cluster secret: {0} is not on this machine")]
    NoSecret(String),
    /// The node may not be what it was started as.
    #[error("{0}")]
    Refused(String),
    /// Raft does not start.
    #[error("raft does not start: {0}")]
    Raft(String),
}

/// Starts a node. The acceptor must be served before a cluster of several nodes can form; what goes wrong later is
/// told by [`Handle::failed`].
pub async fn start(options: StartOptions) -> Result<(Handle, Acceptor), StartError> {
    let (waiting, advertise) = read_formation(&options)?;
    let identity = own_identity(&options).await?;
    let runtime = Runtime::start("cfgserver-raft")?;
    let tasks = options.tasks.child();
    let local = Local::new(
        options.node_id,
        identity.incarnation.clone(),
        options.secret.clone(),
        identity.cluster.clone(),
    );
    let local = Arc::new(local);
    let links = Links::new(LinkParts {
        local: local.clone(),
        clock: options.clock,
        tasks: tasks.clone(),
        runtime: runtime.handle().clone(),
    });
    let node = Node {
        address: advertise,
        incarnation: identity.incarnation.clone(),
        my_id: identity.my_id.clone(),
        role: NodeRole::Learner,
        labels: BTreeMap::new(),
    };
    let loaded = Loaded::from(options.store.as_ref())?;
    let members = loaded.members();
    if members.len() > 1 {
        need_secret(&options, members.iter())?;
    }
    look_around(&options, &links, &loaded).await?;
    let now = options.clock.now();
    let feed = Arc::new(Feed::start(
        options.sink.clone(),
        loaded.state.clone(),
        loaded.index(),
        now,
    ));
    let raft = start_raft(&options, &runtime, &links, loaded, feed.clone()).await?;
    let core = Arc::new(Core {
        me: options.node_id,
        node,
        local: local.clone(),
        links,
        raft,
        store: options.store.clone(),
        feed,
        clock: options.clock,
        tasks: tasks.clone(),
        runtime,
        waiting,
        lease: Duration::from_millis(options.tuning.election_max_ms),
        write_limit: Duration::from_millis(options.tuning.write_ms),
        identity: tokio::sync::Mutex::new(identity),
        desk: OnceLock::new(),
        leadership: watch::Sender::new(Leadership::default()),
        failure: watch::Sender::new(None),
        contacts: Contacts::default(),
        incoming: Mutex::default(),
        changing: tokio::sync::Mutex::new(()),
        handing_over: AtomicU64::new(0),
    });
    core.keep();
    begin(&core).await?;
    let service = Arc::new(RaftService(core.clone()));
    let acceptor = Acceptor::new(local, service, core.runtime.handle().clone(), tasks);
    Ok((Handle { core }, acceptor))
}

fn read_formation(options: &StartOptions) -> Result<(Waiting, String), StartError> {
    let advertise = options.advertise.clone();
    match &options.formation {
        Formation::Alone => Ok((Waiting::Alone, advertise)),
        Formation::Join(address) => {
            need_secret(options, [address].into_iter())?;
            Ok((Waiting::Adoption, advertise))
        }
        Formation::Peers(peers) => {
            let own = peers
                .get(&options.node_id)
                .ok_or(StartError::NotAPeer(options.node_id))?;
            if peers.len() == 1 {
                return Ok((Waiting::Alone, own.clone()));
            }
            need_secret(options, peers.values())?;
            Ok((Waiting::Founders(peers.clone()), own.clone()))
        }
    }
}

/// Nodes beyond this machine are spoken to only with a secret.
fn need_secret<'a>(options: &StartOptions, mut nodes: impl Iterator<Item = &'a String>) -> Result<(), StartError> {
    let far = nodes.find(|address| !is_loopback(address));
    match far.filter(|_| options.secret.is_none()) {
        Some(far) => Err(StartError::NoSecret(far.clone())),
        None => Ok(()),
    }
}

fn is_loopback(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_canonical().is_loopback(),
        Err(_) => address.rsplit_once(':').is_some_and(|(host, _)| host == "localhost"),
    }
}

async fn own_identity(options: &StartOptions) -> Result<Identity, StartError> {
    match Identity::load(options.store.as_ref())? {
        Some(identity) if identity.node_id == options.node_id => Ok(identity),
        Some(identity) => Err(StartError::OtherNode {
            found: identity.node_id,
            asked: options.node_id,
        }),
        None => {
            let identity = Identity::draw(options.node_id, options.incarnation.clone())?;
            identity.save(options.store.as_ref()).await?;
            info!(target: "cfgserver::raft", node = identity.node_id, my_id = %identity.my_id, "new data directory");
            Ok(identity)
        }
    }
}

/// Asks the nodes that this one was started with whether it may start. Nodes that do not answer do not object.
async fn look_around(options: &StartOptions, links: &Links, loaded: &Loaded) -> Result<(), StartError> {
    let others: Vec<(Option<NodeId>, String)> = match &options.formation {
        Formation::Alone => Vec::new(),
        Formation::Join(address) => vec![(None, address.clone())],
        Formation::Peers(peers) => {
            let others = peers.iter().filter(|(id, _)| **id != options.node_id);
            others.map(|(id, address)| (Some(*id), address.clone())).collect()
        }
    };
    let empty = loaded.index() == 0 && options.store.last()?.is_none();
    let founds = matches!(options.formation, Formation::Peers(_));
    let count = others.len();
    let questions = others.into_iter().map(|(id, address)| async move {
        let answer = probe(links, id, &address).await;
        (id, address, answer)
    });
    let mut refusals = Vec::new();
    for (id, address, answer) in join_all(questions).await {
        match answer {
            Ok(probed) if empty && founds && links.cluster().is_none() => {
                if let Some(reason) = meets_data(id, &address, &probed) {
                    return Err(StartError::Refused(reason));
                }
            }
            Err(CallError::Refused(refusal)) => refusals.push((address, refusal)),
            Ok(_) | Err(_) => {}
        }
    }
    if empty && mutation::is_on(Mutation::EmptyNodeFounds) {
        return Ok(());
    }
    // One foreign node among several is that node's trouble; for an empty or removed node one word is enough.
    let enough = |refusals: usize| empty || refusals * 2 > count;
    let removed = refusals.iter().any(|(_, refusal)| refusal.says_removed());
    match refusals.first() {
        Some((address, refusal)) if removed || enough(refusals.len()) => {
            Err(StartError::Refused(format!("the node at {address} refuses: {refusal}")))
        }
        Some((address, refusal)) => {
            warn!(target: "cfgserver::raft", %address, %refusal, "a peer refuses");
            Ok(())
        }
        None => Ok(()),
    }
}

async fn start_raft(
    options: &StartOptions,
    runtime: &Runtime,
    links: &Links,
    loaded: Loaded,
    feed: Arc<Feed>,
) -> Result<RaftNode, StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Raft(error.to_string());
    let config = Arc::new(config(options.tuning).map_err(|error| failed(&error))?);
    let log = LogStore::new(options.store.clone());
    let machine = StateMachine::new(options.store.clone(), loaded, feed)?;
    let pulse = Pulse::default();
    let network = NetworkFactory::new(links.clone(), pulse.clone());
    let id = options.node_id;
    let node = RaftNode::new(id, config, network, log, machine);
    let started = runtime.run(&options.tasks, "raft-start", node);
    let started = started.await.ok_or_else(|| failed(&"its thread ended"))?;
    let raft = started.map_err(|error| failed(&error))?;
    _ = pulse.set(raft.metrics());
    Ok(raft)
}

fn config(tuning: Tuning) -> Result<Config, openraft::ConfigError> {
    Config {
        cluster_name: "cfgserver".to_owned(),
        heartbeat_interval: tuning.heartbeat_ms,
        election_timeout_min: tuning.election_min_ms,
        election_timeout_max: tuning.election_max_ms,
        enable_pre_vote: Some(true),
        // A restarted leader asks for votes like any other.
        enable_leader_restore: Some(false),
        install_snapshot_timeout: 30_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(tuning.snapshot_every),
        max_in_snapshot_log_to_keep: tuning.keep_entries,
        purge_batch_size: 1_000.min(tuning.keep_entries.max(1)),
        replication_lag_threshold: 40_000.max(2 * tuning.snapshot_every),
        quorum_loss_probe_interval: Some(5_000),
        ..Config::default()
    }
    .validate()
}

/// A node that was given a cluster but has no log yet may be a member elsewhere: it must not found another cluster
/// under the same id.
async fn check_origin(core: &Core) -> Result<(), StartError> {
    let identity = core.identity.lock().await;
    let (expected, how) = match &core.waiting {
        Waiting::Alone => (Origin::Alone, "alone"),
        Waiting::Founders(_) => (Origin::Founded, "with --peers"),
        Waiting::Adoption => (Origin::Adopted, "with --join"),
    };
    match (&identity.cluster, identity.origin) {
        (Some(cluster), origin) if origin != Some(expected) => Err(StartError::Refused(format!(
            "this node was on its way into cluster {cluster} in another way and cannot go on {how}"
        ))),
        _ => Ok(()),
    }
}

/// Sets the node on its way to a cluster, if it has none; a lone voter need not wait to lead.
async fn begin(core: &Arc<Core>) -> Result<(), StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Raft(error.to_string());
    if core.raft.is_initialized().await.map_err(|error| failed(&error))? {
        let membership = core.raft.metrics().borrow_watched().membership_config.clone();
        if let Some(known) = membership.get_node(&core.me)
            && known.address != core.node.address
        {
            warn!(
                target: "cfgserver::raft", known = known.address, started_at = core.node.address,
                "the cluster knows this node at another address and goes on using that one: \
                 start it there, or remove it and add it under a new id"
            );
        }
        let voters: Vec<NodeId> = membership.voter_ids().collect();
        if voters == [core.me] {
            core.raft.trigger().elect(false).await.map_err(|error| failed(&error))?;
        }
        return Ok(());
    }
    check_origin(core).await?;
    match core.waiting.clone() {
        Waiting::Alone => core.found_alone().await.map_err(|error| failed(&error)),
        Waiting::Founders(founders) => {
            let stopping = core.tasks.stopping();
            let founding = core.clone().found(founders);
            core.tasks.spawn_on("raft-founding", core.runtime.handle(), async move {
                tokio::select! {
                    biased;
                    () = stopping.cancelled() => {}
                    () = founding => {}
                }
            });
            Ok(())
        }
        Waiting::Adoption => {
            info!(target: "cfgserver::raft", node = core.me, address = core.node.address, "waiting to be added");
            Ok(())
        }
    }
}
