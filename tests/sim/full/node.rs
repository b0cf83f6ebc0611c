//! A node as a host of the simulation: the same wiring as the real process, on a simulated disk.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use cfgserver::app::{Node, NodeParts};
use cfgserver::board::Board;
use cfgserver::cli::{Founding, Limits, Secret, ServeConfig};
use cfgserver::host::Host;
use cfgserver::model::{HostPort, NodeId};
use cfgserver::raft::{ApplySink, Handle, Tuning};
use cfgserver::telemetry::{LogFormat, LogLevel};
use tokio::sync::Notify;

use super::disk::Disk;

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
    parts: Arc<Parts>,
}

/// How its processes are started.
pub(crate) struct Parts {
    pub(crate) founding: Founding,
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
}

impl Machine {
    pub(crate) fn new(id: NodeId, seed: u64, disk: Disk, parts: Parts) -> Self {
        Self {
            id,
            host: Host::new(format!("node {id}"), address(id), seed),
            disk,
            process: Arc::default(),
            parts: Arc::new(parts),
        }
    }

    /// The process, from its start to its end.
    pub(crate) async fn run(self) -> turmoil::Result {
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
                return Ok(());
            }
        };
        self.process.lock().unwrap().running = Some(Running {
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
        Ok(())
    }

    fn ended(&self, why: String) {
        let mut process = self.process.lock().unwrap();
        process.running = None;
        process.ended = Some(why);
    }

    /// Why the process has ended by itself, once.
    pub(crate) fn take_ended(&self) -> Option<String> {
        self.process.lock().unwrap().ended.take()
    }

    /// The process was killed: forgets it.
    pub(crate) fn killed(&self) {
        *self.process.lock().unwrap() = Process::default();
    }

    /// The process, once it serves.
    pub(crate) fn running(&self) -> Option<Running> {
        self.process.lock().unwrap().running.clone()
    }

    /// Asks the process to end in good order.
    pub(crate) fn ask_to_stop(&self) {
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
            limits: Limits::default(),
            config_file: None,
        }
    }
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
