//! A node as a host of the simulation: the same wiring as the real process, on a simulated disk.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use cfgserver::app::{Node, NodeParts};
use cfgserver::board::Board;
use cfgserver::cli::{Founding, Limits, ReadPolicy, RunScripts, Secret, ServeConfig};
use cfgserver::detect::Probing;
use cfgserver::host::Host;
use cfgserver::model::{HostPort, NodeId};
use cfgserver::raft::{ApplySink, Handle, Tuning};
use cfgserver::requests::{AdminRequest, NodeStatus, Write};
use cfgserver::telemetry::{LogFormat, LogLevel};
use tokio::sync::{Notify, mpsc};

use super::disk::Disk;
use crate::core::START;

pub(crate) const PORT: u16 = 26_379;

/// The address of a node's machine.
pub(crate) fn address(id: NodeId) -> IpAddr {
    Ipv4Addr::new(10, 9, 9, id as u8).into()
}

/// A node's machine, over all its processes.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) id: NodeId,
    pub(crate) host: Host,
    pub(crate) disk: Disk,
    process: Arc<Mutex<Process>>,
    life: Arc<Mutex<Life>>,
    parts: Arc<Parts>,
}

/// What a machine has been through.
#[derive(Default)]
struct Life {
    started_at: u64,
    /// When it stood still, and until when.
    stills: Vec<(u64, Option<u64>)>,
    skew_ms: i64,
    /// The disk of the process that runs fails.
    broken: bool,
    wiped: bool,
    back_in_ms: Option<u64>,
}

/// A process has ended by itself.
pub(crate) struct Ended {
    pub(crate) why: String,
    /// It was asked to, and is to be started again.
    pub(crate) back_in_ms: Option<u64>,
}

/// How its processes are started.
pub(crate) struct Parts {
    pub(crate) founding: Founding,
    pub(crate) probed_by: Probing,
    pub(crate) tuning: Tuning,
    pub(crate) witness: Arc<dyn Fn(NodeId) -> Arc<dyn ApplySink> + Send + Sync>,
}

/// The process that runs, as far as the world may look into it.
#[derive(Default)]
struct Process {
    running: Option<Running>,
    /// It ended by itself: why.
    ended: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) board: Arc<Board>,
    stop: Arc<Notify>,
    asks: mpsc::UnboundedSender<AdminRequest>,
}

impl Running {
    /// Place of the last entry that it has applied.
    pub(crate) fn applied(&self) -> u64 {
        self.handle.status(&NodeStatus::default()).last_applied
    }

    /// An operator asks it for a change of the cluster.
    pub(crate) fn ask(&self, request: AdminRequest) {
        // It may just have ended.
        _ = self.asks.send(request);
    }
}

impl Machine {
    pub(crate) fn new(id: NodeId, seed: u64, disk: Disk, parts: Parts) -> Self {
        Self {
            id,
            host: Host::new(format!("node {id}"), address(id), seed),
            disk,
            process: Arc::default(),
            life: Arc::default(),
            parts: Arc::new(parts),
        }
    }

    /// The process, from its start to its end.
    pub(crate) async fn run(self) -> turmoil::Result {
        {
            let mut life = self.life();
            life.started_at = START + turmoil::sim_elapsed().unwrap_or_default().as_millis() as u64;
            life.broken = false;
        }
        let drive = self.disk.drive();
        let stop: Arc<Notify> = Arc::default();
        let started = {
            let disk = drive.clone();
            cfgserver::task::Tasks::default().spawn("disk", disk.work());
            Node::start(NodeParts {
                config: self.config(),
                store: drive,
                incarnation: cfgserver::chance::hex::<16>()?,
                tuning: self.parts.tuning,
                witness: Some((self.parts.witness)(self.id)),
            })
            .await
        };
        let node = match started {
            Ok(node) => node,
            Err(error) => {
                self.ended(format!("does not start: {error:#}"));
                return gone().await;
            }
        };
        let (asks, mut asked) = mpsc::unbounded_channel::<AdminRequest>();
        let handle = node.handle().clone();
        cfgserver::task::Tasks::default().spawn("admin", async move {
            while let Some(request) = asked.recv().await {
                let answer = handle.write(Write::Admin(request.clone())).await;
                tracing::info!(target: "cfgserver::operator", ?request, ?answer, "asked");
            }
        });
        self.process.lock().unwrap().running = Some(Running {
            asks,
            handle: node.handle().clone(),
            board: node.board().clone(),
            stop: stop.clone(),
        });
        let why = tokio::select! {
            biased;
            failure = node.failed() => format!("ends: {failure}"),
            () = stop.notified() => {
                node.stop().await;
                "is stopped".to_owned()
            }
        };
        self.ended(why);
        gone().await
    }

    fn ended(&self, why: String) {
        let mut process = self.process.lock().unwrap();
        process.running = None;
        process.ended = Some(why);
    }

    /// Why the process has ended by itself, once.
    pub(crate) fn take_ended(&self) -> Option<Ended> {
        let why = self.process.lock().unwrap().ended.take()?;
        let back_in_ms = self.life().back_in_ms.take();
        Some(Ended { why, back_in_ms })
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap()
    }

    pub(crate) fn started_at(&self) -> u64 {
        self.life().started_at
    }

    pub(crate) fn stand_still(&self, now: u64) {
        self.host.stop();
        self.life().stills.push((now, None));
    }

    pub(crate) fn go_on(&self, now: u64) {
        self.host.go_on();
        if let Some((_, until @ None)) = self.life().stills.last_mut() {
            *until = Some(now);
        }
    }

    /// For how long it stood still in the last minute.
    pub(crate) fn paused_ms(&self, now: u64) -> u64 {
        let since = now.saturating_sub(60_000);
        let life = self.life();
        let within = life.stills.iter().map(|(from, until)| {
            let until = until.unwrap_or(now);
            until.saturating_sub((*from).max(since))
        });
        within.sum()
    }

    /// How long the stalls were that ended within the last three seconds.
    pub(crate) fn just_paused_ms(&self, now: u64) -> u64 {
        let life = self.life();
        let stills = life.stills.iter().map(|(from, until)| (*from, until.unwrap_or(now)));
        let ended = stills.filter(|(_, until)| *until + 3_000 > now);
        ended.map(|(from, until)| until - from).sum()
    }

    pub(crate) fn set_skew(&self, ms: i64) {
        self.host.set_wall_offset(ms);
        self.life().skew_ms = ms;
    }

    pub(crate) fn is_skewed(&self) -> bool {
        self.life().skew_ms != 0
    }

    pub(crate) fn break_disk(&self) {
        self.life().broken = true;
        self.disk.break_down();
    }

    /// Its disk had failed, once.
    pub(crate) fn take_broken(&self) -> bool {
        std::mem::take(&mut self.life().broken)
    }

    pub(crate) fn wipe(&self) {
        self.life().wiped = true;
        self.disk.wipe();
    }

    pub(crate) fn is_wiped(&self) -> bool {
        self.life().wiped
    }

    /// The process was killed: forgets it.
    pub(crate) fn killed(&self) {
        let mut life = self.life();
        life.back_in_ms = None;
        life.stills.retain(|(_, until)| until.is_some());
        drop(life);
        *self.process.lock().unwrap() = Process::default();
    }

    /// The process, once it serves.
    pub(crate) fn running(&self) -> Option<Running> {
        self.process.lock().unwrap().running.clone()
    }

    /// Asks the process to end in good order.
    pub(crate) fn ask_to_stop(&self, back_in_ms: u64) {
        self.life().back_in_ms = Some(back_in_ms);
        if let Some(running) = &self.process.lock().unwrap().running {
            running.stop.notify_one();
        }
    }

    fn config(&self) -> ServeConfig {
        let listen = SocketAddr::new(address(self.id), PORT);
        ServeConfig {
            node_id: self.id,
            listen,
            proxy_listen: Some(SocketAddr::new(address(self.id), PORT + 1)),
            data_dir: PathBuf::from("simulated"),
            founding: self.parts.founding.clone(),
            advertise: host_port(self.id),
            cluster_secret_file: None,
            secret: Some(Secret::new(b"simulated")),
            log_level: LogLevel::Info,
            log_format: LogFormat::Text,
            strict_sentinel: false,
            read_policy: ReadPolicy::default(),
            probed_by: self.parts.probed_by,
            deny_scripts_reconfig: true,
            run_scripts: RunScripts::default(),
            limits: Limits::default(),
            config_file: None,
        }
    }
}

/// The process has ended. Turmoil ends the connections of a host only when it is crashed before its software ends by
/// itself, and the world does that.
async fn gone() -> turmoil::Result {
    std::future::pending().await
}

/// Where a node is reached.
pub(crate) fn host_port(id: NodeId) -> HostPort {
    format!("{}:{PORT}", address(id))
        .parse()
        .expect("an address is a host and a port")
}

/// How the first nodes found their cluster.
pub(crate) fn founders(count: u64) -> Founding {
    if count == 1 {
        return Founding::Alone;
    }
    let peers: BTreeMap<NodeId, HostPort> = (1..=count).map(|id| (id, host_port(id))).collect();
    Founding::Peers(peers)
}
