//! A node: its parts, built from the floor up, and taken down from the top.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tracing::info;

use crate::board::Board;
use crate::chance;
use crate::cli::{Founding, ReadPolicy, RunScripts, ServeConfig};
use crate::clock::Clock;
use crate::control::{Control, ControlParts, RedisLinks, Resolver};
use crate::net;
use crate::peer::Secret;
use crate::probe::{Probe, ProbeParts, ProbeSettings};
use crate::pubsub::Hub;
use crate::raft::{self, ApplySink, Failure, Formation, Handle, StartOptions, Tuning};
use crate::requests::{Dial, Dials, Face, NodeStatus, Period};
use crate::runner::{Runner, RunnerParts, Runs};
use crate::server::{Server, ServerOptions, ServerParts};
use crate::store::Store;
use crate::task::Tasks;

use super::peers;
use super::wiring::{ToHub, ToLeader};

/// How often the board hears from Raft who leads and how far it is. Leadership changes come at once.
const STATUS_EVERY: Duration = Duration::from_millis(50);
/// A leader has this long to hand over before it drains.
const HAND_OVER_LIMIT: Duration = Duration::from_millis(500);
/// Tasks have this long to end after the drain.
const TASKS_LIMIT: Duration = Duration::from_millis(200);
/// The whole way down. A stop that hangs is an end all the same: kill -9 loses nothing either.
const STOP_LIMIT: Duration = Duration::from_millis(1_900);

/// What a node is made of.
pub struct NodeParts {
    /// How it was started.
    pub config: ServeConfig,
    /// Its disk.
    pub store: Arc<dyn Store>,
    /// Random id of the disk.
    pub incarnation: String,
    /// Timeouts and limits of Raft; the configuration stands above them.
    pub tuning: Tuning,
    /// Somebody else who is told of all that is applied.
    pub witness: Option<Arc<dyn ApplySink>>,
}

/// A running node.
pub struct Node {
    tasks: Tasks,
    board: Arc<Board>,
    handle: Handle,
    server: Server,
}

impl Node {
    /// Opens the port, Raft and the services, in that order.
    pub async fn start(parts: NodeParts) -> anyhow::Result<Self> {
        let config = &parts.config;
        let clock = Clock::start();
        let tasks = Tasks::default();
        let taken = || format!("cannot listen on {}", config.listen);
        // Nodes that start together ask each other before they serve: being refused is quicker than waiting.
        let bound = net::bind(config.listen).with_context(taken)?;
        let proxy_taken = || format!("proxy-listen: cannot listen on {}", shown(config.proxy_listen));
        let proxy_bound = config
            .proxy_listen
            .map(net::bind)
            .transpose()
            .with_context(proxy_taken)?;

        let board = Arc::new(Board::new(NodeStatus::default()));
        board.set_dials(dials(config));
        let hub = Arc::new(Hub::with_bound(board.clone(), config.limits.subscriber_queue_bytes));
        let options = StartOptions {
            node_id: config.node_id,
            advertise: config.advertise.to_string(),
            formation: formation(config),
            store: parts.store,
            incarnation: Some(parts.incarnation),
            clock,
            tasks: tasks.clone(),
            sink: Arc::new(ToHub::new(hub.clone(), parts.witness)),
            secret: config.secret.as_ref().map(|secret| Secret::new(secret.bytes())),
            tuning: Tuning {
                write_ms: config.limits.forward.as_millis() as u64,
                ..parts.tuning
            },
        };
        let (handle, acceptor) = raft::start(options).await?;
        let my_id = handle.identity().await.my_id;

        let base = NodeStatus {
            id: config.node_id,
            my_id: my_id.clone(),
            run_id: chance::hex::<20>()?,
            listen: config.listen.to_string(),
            started: clock.now(),
            process_id: std::process::id(),
            connections_max: config.limits.connections_max as u64,
            config_file: config
                .config_file
                .as_ref()
                .map_or_else(String::new, |path| path.display().to_string()),
            executable: std::env::current_exe().map_or_else(|_| String::new(), |path| path.display().to_string()),
            denies_scripts: config.deny_scripts_reconfig,
            ..NodeStatus::default()
        };
        board.set_status(handle.status(&base));

        let desk = Control::start(ControlParts {
            board: board.clone(),
            proposals: Arc::new(handle.clone()),
            links: Arc::new(RedisLinks::new(my_id.clone())),
            names: Arc::new(Resolver),
            clock,
            tasks: tasks.clone(),
            node: config.node_id,
        });
        handle.set_desk(desk);
        Runner::start(RunnerParts {
            hub: hub.clone(),
            board: board.clone(),
            leadership: handle.leadership(),
            clock,
            tasks: tasks.clone(),
            runs: runs(config),
        });
        let probe = Probe::start(ProbeParts {
            board: board.clone(),
            clock,
            tasks: tasks.clone(),
            node: config.node_id,
            my_id,
            votes: Arc::new(ToLeader::start(handle.clone(), &tasks)),
            announce: Arc::new(ToHub::new(hub.clone(), None)),
            settings: probe_settings(config),
        })
        .context("cannot start the thread of the probe")?;
        tasks.spawn(
            "status",
            keep_status(
                board.clone(),
                handle.clone(),
                hub.clone(),
                probe,
                base,
                config.read_policy,
                tasks.clone(),
            ),
        );
        let face = if config.strict_sentinel {
            Face::Strict
        } else {
            Face::Open
        };
        let mut listeners = vec![(bound.listen().with_context(taken)?, face)];
        if let Some(bound) = proxy_bound {
            listeners.push((bound.listen().with_context(proxy_taken)?, Face::Proxy));
        }
        let server = Server::start(ServerParts {
            listeners,
            board: board.clone(),
            hub,
            writes: Arc::new(handle.clone()),
            peers: Arc::new(acceptor),
            clock,
            tasks: tasks.clone(),
            options: server_options(config),
        })?;
        info!(
            target: "cfgserver::app", node = config.node_id, listen = %config.listen,
            proxy_listen = shown(config.proxy_listen), data_dir = %config.data_dir.display(), version = env!("CARGO_PKG_VERSION"), "serving"
        );
        Ok(Self {
            tasks,
            board,
            handle,
            server,
        })
    }

    /// What it shows to its clients.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Its part in the cluster.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Resolves when the process must end.
    pub async fn failed(&self) -> Failure {
        self.handle.failed().await
    }

    /// Resolves when a client has asked that the node ends.
    pub async fn asked_to_stop(&self) {
        self.server.asked_to_stop().await;
    }

    /// Hands leadership over, answers what was asked, closes.
    pub async fn stop(self) {
        let down = async {
            if self.handle.leadership().borrow().me {
                // Alone, or with all others down, nobody takes it: then the cluster rests until this node returns.
                let _ = tokio::time::timeout(HAND_OVER_LIMIT, self.handle.hand_over(None)).await;
            }
            self.server.drain().await;
            self.tasks.shut_down(TASKS_LIMIT).await;
            self.handle.shut_down().await;
        };
        if tokio::time::timeout(STOP_LIMIT, down).await.is_err() {
            info!(target: "cfgserver::app", "not everything ended in time");
        }
        info!(target: "cfgserver::app", "stopped");
    }
}

/// The address of a listener that there may not be.
fn shown(listen: Option<SocketAddr>) -> String {
    listen.map_or_else(|| "none".to_owned(), |listen| listen.to_string())
}

fn formation(config: &ServeConfig) -> Formation {
    match &config.founding {
        Founding::Alone => Formation::Alone,
        Founding::Peers(peers) => {
            Formation::Peers(peers.iter().map(|(id, address)| (*id, address.to_string())).collect())
        }
        Founding::Join(seed) => Formation::Join(seed.to_string()),
    }
}

fn probe_settings(config: &ServeConfig) -> ProbeSettings {
    ProbeSettings {
        floor_ms: config.limits.probe_floor.as_millis() as u64,
        info_every_ms: config.limits.info_every.as_millis() as u64,
        stall_ms: config.limits.stall.as_millis() as u64,
        probing: config.probed_by,
    }
}

/// How the dials stand at the start.
fn dials(config: &ServeConfig) -> Dials {
    let ms = |period: Duration| period.as_millis() as u64;
    let mut dials = Dials::default()
        .configured(Period::Info, ms(config.limits.info_every))
        .configured(Period::TiltTrigger, ms(config.limits.stall));
    dials.turn(Dial::Log(config.log_level.word()));
    dials
}

/// Whether this node runs scripts: a setting holds on all nodes, so a node that refuses it does not run it either.
fn runs(config: &ServeConfig) -> Runs {
    match config.run_scripts {
        _ if config.deny_scripts_reconfig => Runs::Never,
        RunScripts::Leader => Runs::WhenLeading,
        RunScripts::Always => Runs::Always,
    }
}

fn server_options(config: &ServeConfig) -> ServerOptions {
    ServerOptions {
        connections_max: config.limits.connections_max,
        reserve: config.limits.connections_reserve,
        half_frame_ms: config.limits.half_frame.as_millis() as u64,
        ..ServerOptions::default()
    }
}

/// Keeps the board's status true.
async fn keep_status(
    board: Arc<Board>,
    handle: Handle,
    hub: Arc<Hub>,
    probe: Probe,
    base: NodeStatus,
    policy: ReadPolicy,
    tasks: Tasks,
) {
    let stopping = tasks.stopping();
    let mut leadership = handle.leadership();
    loop {
        let status = NodeStatus {
            stalled_since: probe.stalled_since(),
            out_of_contact: policy == ReadPolicy::Contact && !handle.in_contact(),
            ..handle.status(&base)
        };
        let before = board.status();
        board.set_status(status);
        // Who hears of it finds it so.
        peers::tell(&board, &hub, &before.peers);
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(STATUS_EVERY) => {}
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}
