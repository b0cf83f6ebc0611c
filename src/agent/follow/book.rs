//! What was learned: kept on disk before anybody acts on it, and told once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::agent::state::{Kept, StateDir};
use crate::agent::{Foreign, Learned, Route, Table};
use crate::clock::Clock;
use crate::model::Timestamp;

/// Whom the agent follows, and what it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// The node; `None`: no node answers.
    pub node: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When a node answered last.
    pub heard: Option<Timestamp>,
    /// The node is in contact with its leader.
    pub in_contact: bool,
    /// Every group was asked for since the agent started.
    pub complete: bool,
    /// Node -> why it is not followed.
    pub faults: BTreeMap<String, Fault>,
    /// Groups that the cluster does not know.
    pub missing: BTreeSet<String>,
    /// Groups about which the node knows less than the agent.
    pub behind: BTreeSet<String>,
    /// Groups of which the node tells another address under the version that is known.
    pub contradicting: BTreeSet<String>,
    /// When the agent learned that a group had moved.
    pub moved: BTreeMap<String, Timestamp>,
    /// Why the state could not be kept.
    pub keeping: Option<String>,
}

/// Why a node is not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// In one line.
    pub reason: String,
    /// When this was found last.
    pub at: Timestamp,
}

/// Keeps what is learned, and tells the rest of the agent.
pub(super) struct Book {
    dir: Arc<StateDir>,
    kept: Kept,
    /// Something that must be kept has changed.
    changed: bool,
    seen: Following,
    silent: bool,
    table: watch::Sender<Arc<Table>>,
    following: watch::Sender<Following>,
    clock: Clock,
}

impl Book {
    pub(super) fn new(
        dir: Arc<StateDir>,
        kept: Kept,
        table: watch::Sender<Arc<Table>>,
        following: watch::Sender<Following>,
        clock: Clock,
    ) -> Self {
        let seen = Following {
            moved: kept.moved.clone(),
            ..Following::default()
        };
        Self {
            dir,
            kept,
            changed: false,
            seen,
            silent: false,
            table,
            following,
            clock,
        }
    }

    /// Whether nodes of this cluster may be followed. Nothing is learned by asking.
    pub(super) fn may_follow(&self, cluster: &str) -> Result<(), Foreign> {
        self.kept.table.clone().meet(cluster)
    }

    /// A node is followed from now on.
    pub(super) fn connected(&mut self, node: &str, cluster: &str, in_contact: bool) -> Result<(), Foreign> {
        let first = self.kept.table.cluster.is_none();
        self.kept.table.meet(cluster)?;
        self.changed |= first;
        self.silent = false;
        self.seen.faults.remove(node);
        self.seen.node = Some(node.to_owned());
        self.seen.since = Some(self.clock.wall());
        self.seen.behind.clear();
        self.seen.contradicting.clear();
        self.seen.in_contact = in_contact;
        info!(target: "cfgserver::agent", node, cluster, in_contact, "connected");
        self.heard(in_contact);
        Ok(())
    }

    /// The node gave a sign of life.
    pub(super) fn heard(&mut self, in_contact: bool) {
        if self.seen.node.is_some() && self.seen.in_contact != in_contact {
            let node = self.seen.node.as_deref();
            match in_contact {
                true => info!(target: "cfgserver::agent", node, "the node is in contact with its leader"),
                false => warn!(target: "cfgserver::agent", node, "the node has lost contact with its leader"),
            }
        }
        self.seen.in_contact = in_contact;
        self.seen.heard = Some(self.clock.wall());
        self.tell();
    }

    /// The node is left for a better one.
    pub(super) fn left_for_another(&mut self) {
        let node = self.seen.node.take();
        info!(target: "cfgserver::agent", node, "left: another node is in contact with a leader");
        self.left();
    }

    /// The node is left because it is of no use now.
    pub(super) fn left_for(&mut self, node: &str, fault: String) {
        warn!(target: "cfgserver::agent", node, fault, "left");
        self.put_fault(node, fault);
        self.left();
    }

    fn left(&mut self) {
        self.seen.node = None;
        self.seen.since = None;
        self.seen.in_contact = false;
        self.tell();
    }

    /// A node cannot be followed. Logged when it is another fault than before.
    pub(super) fn fault(&mut self, node: &str, fault: String) {
        let known = self.seen.faults.get(node);
        if known.is_none_or(|known| known.reason != fault) {
            warn!(target: "cfgserver::agent", node, fault, "cannot follow this node");
        }
        self.put_fault(node, fault);
        self.tell();
    }

    fn put_fault(&mut self, node: &str, reason: String) {
        let at = self.clock.wall();
        self.seen.faults.insert(node.to_owned(), Fault { reason, at });
    }

    /// Nobody answers.
    pub(super) fn nobody(&mut self) {
        if !std::mem::replace(&mut self.silent, true) {
            let known = self.kept.table.routes.len();
            warn!(target: "cfgserver::agent", known, "no node can be followed: the last known addresses stay");
        }
    }

    /// A group is there.
    pub(super) fn found(&mut self, group: &str, route: Route) {
        let known = self.kept.table.routes.get(group).map(|known| known.version);
        let (to, version) = (route.primary, route.version);
        let learned = self.kept.table.learn(group, route);
        if self.seen.missing.remove(group) {
            info!(target: "cfgserver::agent", group, "the group is there now");
        }
        if !matches!(learned, Learned::Older { .. }) && self.seen.behind.remove(group) {
            info!(target: "cfgserver::agent", group, version, "the node has caught up");
        }
        if !matches!(learned, Learned::Contradicts { .. }) {
            self.seen.contradicting.remove(group);
        }
        match learned {
            Learned::New => {
                info!(target: "cfgserver::agent", group, at = %to, version, "found");
                self.changed = true;
            }
            Learned::Moved { from } => {
                info!(target: "cfgserver::agent", group, %from, %to, version, "moved");
                let now = self.clock.wall();
                self.kept.moved.insert(group.to_owned(), now);
                self.seen.moved.insert(group.to_owned(), now);
                self.changed = true;
            }
            Learned::Replicas => self.changed = true,
            Learned::Same => self.changed |= known != Some(version),
            Learned::Older { known } => {
                if self.seen.behind.insert(group.to_owned()) {
                    warn!(
                        target: "cfgserver::agent", group, at = %to, version, known,
                        "ignored: the node tells an older version than the one that is known"
                    );
                }
            }
            Learned::Contradicts { known } => {
                if self.seen.contradicting.insert(group.to_owned()) {
                    error!(
                        target: "cfgserver::agent", group, at = %to, version, %known,
                        "ignored: another address under the version that is known"
                    );
                }
            }
        }
    }

    /// There is no such group. What was known stays: a proxy with an address is better off than one without.
    pub(super) fn missing(&mut self, group: &str) {
        if self.seen.missing.insert(group.to_owned()) {
            let known = self.kept.table.routes.get(group).map(|route| route.primary.to_string());
            warn!(target: "cfgserver::agent", group, known, "the cluster has no group of this name");
        }
    }

    /// Only these groups matter.
    pub(super) fn concern(&mut self, groups: &BTreeSet<String>) {
        self.seen.missing.retain(|group| groups.contains(group));
        self.seen.behind.retain(|group| groups.contains(group));
        self.seen.contradicting.retain(|group| groups.contains(group));
    }

    /// Groups to look up again soon.
    pub(super) fn behind(&self) -> Vec<String> {
        self.seen
            .behind
            .iter()
            .chain(&self.seen.contradicting)
            .cloned()
            .collect()
    }

    /// Keeps what was learned, and only then lets others act on it. When it cannot be kept, it is acted on all the
    /// same: a proxy that follows matters more than what happens after a restart of the agent. It is tried again.
    pub(super) fn commit(&mut self) {
        if self.changed {
            match self.dir.save(&self.kept) {
                Ok(()) => {
                    self.changed = false;
                    if self.seen.keeping.take().is_some() {
                        info!(target: "cfgserver::agent", "the state can be kept again");
                    }
                }
                Err(fault) => {
                    let fault = fault.to_string();
                    if self.seen.keeping.as_ref() != Some(&fault) {
                        error!(target: "cfgserver::agent", fault, "cannot keep the state");
                    }
                    self.seen.keeping = Some(fault);
                }
            }
            let table = &self.kept.table;
            self.table.send_if_modified(|shown| {
                let differs = **shown != *table;
                if differs {
                    *shown = Arc::new(table.clone());
                }
                differs
            });
        }
        self.tell();
    }

    /// Every group was asked for.
    pub(super) fn complete(&mut self) {
        self.seen.complete = true;
        self.tell();
    }

    fn tell(&self) {
        self.following.send_if_modified(|shown| {
            let differs = *shown != self.seen;
            if differs {
                shown.clone_from(&self.seen);
            }
            differs
        });
    }
}
