//! A running agent: its parts, and its way down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::agent::deliver::{DeliverParts, Delivering, deliver};
use crate::agent::follow::{FollowParts, follow};
use crate::agent::pace::Settle;
use crate::agent::state::read_status;
use crate::agent::status::{FRESH_MS, Status, groups};
use crate::agent::{Config, Following, Kept, Kind, Outlet, OutletError, StateDir, StateError, Table};
use crate::clock::Clock;
use crate::task::Tasks;

/// Shortest pause between two writes of the status.
const SHOW_PAUSE: Duration = Duration::from_millis(25);
/// The rest has this long to end.
const REST_LIMIT: Duration = Duration::from_millis(1_000);
/// The proxy that the agent runs has this long to end.
const STOP_LIMIT: Duration = Duration::from_millis(15_000);

/// A running agent.
pub struct Agent {
    delivering: Tasks,
    tasks: Tasks,
}

/// Takes the folder, and reads what was kept there. A cluster that the operator names is followed from now on.
pub fn open_state(config: &Config) -> Result<(StateDir, Kept), StateError> {
    let dir = StateDir::open(&config.state_dir)?;
    let mut kept = dir.load()?;
    if let Some(cluster) = &config.cluster {
        let before = kept.table.cluster.clone();
        if kept.table.follow(cluster) {
            info!(target: "cfgserver::agent", cluster, before, "the configuration names another cluster: followed");
            dir.save(&kept).map_err(|error| StateError::Io {
                what: "write in",
                path: config.state_dir.clone(),
                error,
            })?;
        }
    }
    Ok((dir, kept))
}

impl Agent {
    /// Starts following and delivering.
    pub async fn start(config: &Config, (dir, kept): (StateDir, Kept), clock: Clock) -> Result<Self, OutletError> {
        // What an earlier agent has told holds no more. A status that cannot be written is told of later.
        if matches!(read_status(&config.state_dir), Ok(Some(_))) {
            let _ = dir.show(&base(config, clock));
        }
        let tasks = Tasks::default();
        let outlet = Outlet::open(config, clock, tasks.clone()).await?;
        let delivering = tasks.child();
        let dir = Arc::new(dir);
        let bdrp = config.proxy.as_ref().is_some_and(|proxy| proxy.kind == Kind::Bdrp);
        let (groups, needed) = watch::channel(outlet.groups());
        let (table, learned) = watch::channel(Arc::new(kept.table.clone()));
        let (following, followed) = watch::channel(Following::default());
        let (shown, delivered) = watch::channel(Delivering::default());
        let show = Show {
            dir: dir.clone(),
            base: base(config, clock),
            groups: needed.clone(),
            table: learned.clone(),
            following: followed.clone(),
            delivering: delivered,
            clock,
        };
        let follow = follow(FollowParts {
            nodes: config.nodes.clone(),
            replicas: bdrp || config.hook.is_some(),
            refresh: config.pace.refresh,
            groups: needed,
            dir,
            kept,
            table,
            following,
            clock,
        });
        let deliver = deliver(
            DeliverParts {
                pace: config.pace,
                settle: if bdrp { Settle::All } else { Settle::Replicas },
                table: learned,
                following: followed,
                groups,
                delivering: shown,
                clock,
                stop: delivering.stopping(),
            },
            outlet,
        );
        let until = tasks.stopping();
        delivering.spawn("deliver", deliver);
        tasks.spawn("follow", async move { _ = until.run_until_cancelled(follow).await });
        let until = tasks.stopping();
        tasks.spawn("status", show.run(until));
        Ok(Self { delivering, tasks })
    }

    /// Ends what the outlet runs, then the rest: the status tells the end.
    pub async fn stop(self) {
        self.delivering.shut_down(STOP_LIMIT).await;
        self.tasks.shut_down(REST_LIMIT).await;
        info!(target: "cfgserver::agent", "stopped");
    }
}

fn base(config: &Config, clock: Clock) -> Status {
    Status {
        written: clock.wall(),
        started: clock.wall(),
        process_id: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config: config.file.display().to_string(),
        config_digest: config.digest(),
        reconfigured: false,
        cluster: None,
        following: Following::default(),
        groups: BTreeMap::new(),
        delivering: Delivering::default(),
    }
}

/// Writes the status when something in it changes.
struct Show {
    dir: Arc<StateDir>,
    base: Status,
    groups: watch::Receiver<BTreeSet<String>>,
    table: watch::Receiver<Arc<Table>>,
    following: watch::Receiver<Following>,
    delivering: watch::Receiver<Delivering>,
    clock: Clock,
}

impl Show {
    async fn run(mut self, stop: CancellationToken) {
        let mut fault = None;
        loop {
            let written = self.write();
            let now = written.err().map(|error| error.to_string());
            if now.is_some() && now != fault {
                error!(target: "cfgserver::agent", fault = now, "cannot write the status");
            }
            fault = now;
            tokio::time::sleep(SHOW_PAUSE).await;
            if stop.is_cancelled() {
                // What the others told at their end is shown too.
                let _ = self.write();
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Ok(()) = self.groups.changed() => {}
                Ok(()) = self.table.changed() => {}
                Ok(()) = self.following.changed() => {}
                Ok(()) = self.delivering.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(FRESH_MS)) => {}
            }
        }
    }

    fn write(&mut self) -> std::io::Result<()> {
        let table = self.table.borrow_and_update().clone();
        let following = self.following.borrow_and_update().clone();
        let names = self.groups.borrow_and_update().clone();
        let mut delivering = self.delivering.borrow_and_update().clone();
        if !delivering.taken.is(&table) {
            delivering.pending_since.get_or_insert(self.clock.wall());
        }
        let status = Status {
            written: self.clock.wall(),
            cluster: table.cluster.clone(),
            groups: groups(names.iter(), &table, &following),
            following,
            delivering,
            ..self.base.clone()
        };
        self.dir.show(&status)
    }
}
