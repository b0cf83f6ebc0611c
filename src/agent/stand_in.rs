//! Temporary.

use std::collections::BTreeSet;

use crate::agent::deliver::{Outcome, Outlet};
use crate::agent::{Config, Table};

/// Temporary.
pub struct StandIn {
    groups: BTreeSet<String>,
}

impl StandIn {
    /// Temporary.
    pub fn open(config: &Config) -> Self {
        let hook = config.hook.as_ref().and_then(|hook| hook.groups.clone());
        let mut groups = hook.unwrap_or_default();
        groups.extend(config.groups.values().cloned());
        Self { groups }
    }
}

impl Outlet for StandIn {
    type Status = String;

    fn groups(&self) -> BTreeSet<String> {
        self.groups.clone()
    }

    async fn begin(&mut self, table: &Table) -> Outcome {
        self.apply(table).await
    }

    async fn apply(&mut self, table: &Table) -> Outcome {
        tracing::info!(target: "cfgserver::agent", ?table, "stand-in");
        Outcome::Applied
    }

    async fn template_changed(&mut self) -> bool {
        false
    }

    fn status(&self) -> String {
        String::new()
    }

    async fn stop(self) {}
}
