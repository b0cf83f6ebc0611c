//! What the agent does with what it knows: the proxy's file, the proxy's process, and the hook.
//!
//! ```text
//! Table --plan--> text --beside the file--> check --rename--> restart command | supervised child
//!       --------> hook (always ends with the newest table)
//! ```
//!
//! What does not live here: where the table comes from, and when something is due (`pace`).

mod child;
mod command;
mod disk;
mod hook;
mod leftover;
mod listening;
mod listing;
mod memory;
mod plan;
mod proxy;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

pub use listing::{absent, listing};
pub use status::{ChildStatus, HookStatus, Move, Outcome, OutletError, OutletStatus, Unfollowed};

use crate::agent::{Config, Table};
use crate::clock::Clock;
use crate::task::Tasks;

/// A child is asked, and killed when it does not listen; a hook is not waited for.
const STOP_LIMIT: Duration = Duration::from_secs(12);

/// The writing half of an agent.
pub struct Outlet {
    proxy: Option<proxy::ProxyFile>,
    hook: Option<hook::Teller>,
    /// Groups of the hook; `None`: those of the proxy's file.
    hook_groups: Option<BTreeSet<String>>,
    /// Told when the status changes by itself.
    stir: Arc<Notify>,
    tasks: Tasks,
}

impl Outlet {
    /// Reads the template, and says which of its servers are not followed and why. Nothing is written or started.
    pub async fn open(config: &Config, clock: Clock, tasks: Tasks) -> Result<Self, OutletError> {
        let tasks = tasks.child();
        let stir = Arc::new(Notify::new());
        std::fs::create_dir_all(&config.state_dir).map_err(|error| OutletError::StateDir {
            path: config.state_dir.clone(),
            error,
        })?;
        let proxy = match &config.proxy {
            Some(proxy) => Some(proxy::ProxyFile::open(config, proxy, clock, &tasks, &stir)?),
            None => None,
        };
        let hook = config
            .hook
            .as_ref()
            .map(|hook| hook::Teller::start(config, hook, clock, &tasks, &stir));
        Ok(Self {
            proxy,
            hook,
            hook_groups: config.hook.as_ref().and_then(|hook| hook.groups.clone()),
            stir,
            tasks,
        })
    }

    /// The groups that are needed here. They may be others after the template has changed.
    pub fn groups(&self) -> BTreeSet<String> {
        let of_the_file = self.proxy.iter().flat_map(proxy::ProxyFile::groups);
        let of_the_hook = self.hook_groups.iter().flatten().cloned();
        of_the_file.chain(of_the_hook).collect()
    }

    /// Takes up the work with what was known last. A child is started even when nothing is known, or when its file
    /// cannot be written.
    pub async fn begin(&mut self, table: &Table) -> Outcome {
        self.tell(table);
        match &mut self.proxy {
            Some(proxy) => proxy.begin(table).await,
            None => Outcome::Unchanged,
        }
    }

    /// Makes the world be as the table says. A refusal leaves the proxy with what it had; it is tried again with
    /// the next call.
    pub async fn apply(&mut self, table: &Table) -> Outcome {
        self.tell(table);
        match &mut self.proxy {
            Some(proxy) => proxy.apply(table).await,
            None => Outcome::Unchanged,
        }
    }

    /// Whether the operator has changed the template; it is read again then. Waits for an edit to be complete.
    pub async fn template_changed(&mut self) -> bool {
        match &mut self.proxy {
            Some(proxy) => proxy.template_changed().await,
            None => false,
        }
    }

    /// Until the status has changed without a call.
    pub async fn stirred(&self) {
        self.stir.notified().await;
    }

    /// How it stands.
    pub fn status(&self) -> OutletStatus {
        let mut status = self.proxy.as_ref().map(proxy::ProxyFile::status).unwrap_or_default();
        status.hook = self.hook.as_ref().map(hook::Teller::status);
        status
    }

    /// Ends what was started.
    pub async fn stop(self) {
        if let Some(proxy) = self.proxy {
            proxy.stop().await;
        }
        self.tasks.shut_down(STOP_LIMIT).await;
    }

    fn tell(&self, table: &Table) {
        let Some(hook) = &self.hook else { return };
        let servers = self.proxy.as_ref().map(proxy::ProxyFile::servers_of_groups);
        let servers = servers.unwrap_or_default();
        let groups = self
            .hook_groups
            .clone()
            .unwrap_or_else(|| servers.keys().cloned().collect());
        hook.tell(table, &groups, servers);
    }
}
