//! The watches of a Raft node: leadership, readiness, membership, failure, signs of life.
//!
//! What does not live here: any decision about groups.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use tracing::{error, info, warn};

use super::admin::is_joint;
use super::core::{Core, nodes_of};
use super::desk::{Failure, Leadership};
use super::types::Metrics;
use crate::machine::Command;
use crate::model::NodeId;
use crate::peer::{Call, CallError, Purpose};

/// Signs of life between nodes.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_LIMIT: Duration = Duration::from_millis(500);
/// How often a starting node looks at its grace period.
const READY_TICK: Duration = Duration::from_millis(100);
/// The members are looked at also when nothing is heard of them.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Pause after something of the keeper's that was not taken.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

impl Core {
    /// Starts the watches on the current runtime.
    pub(super) fn keep(self: &Arc<Self>) {
        let spawn = |name, task| self.tasks.spawn_on(name, self.runtime.handle(), task);
        let core = self.clone();
        spawn(
            "raft-metrics",
            boxed(async move { core.until_stop(core.follow_metrics()).await }),
        );
        let core = self.clone();
        spawn(
            "raft-members",
            boxed(async move { core.until_stop(core.reconcile()).await }),
        );
        let core = self.clone();
        spawn(
            "raft-ready",
            boxed(async move { core.until_stop(core.watch_grace()).await }),
        );
        let core = self.clone();
        spawn(
            "raft-ping",
            boxed(async move { core.until_stop(core.ping_peers()).await }),
        );
    }

    async fn until_stop(&self, task: impl Future<Output = ()>) {
        let stopping = self.tasks.stopping();
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = task => {}
        }
    }

    async fn follow_metrics(&self) {
        let mut receiver = self.raft.metrics();
        loop {
            let metrics = receiver.borrow_watched().clone();
            if let Err(fatal) = &metrics.running_state {
                if self.tasks.stopping().is_cancelled() {
                    return;
                }
                error!(target: "cfgserver::raft", %fatal, "raft has failed");
                return self.fail(Failure::Fatal(fatal.to_string()));
            }
            self.note(&metrics);
            if receiver.changed().await.is_err() {
                return;
            }
        }
    }

    fn note(&self, metrics: &Metrics) {
        let leads = metrics.state == ServerState::Leader;
        let own_term = |id: &super::types::LogId| id.leader_id.term == metrics.current_term;
        if leads {
            let committed = metrics.cluster_committed.filter(own_term);
            self.feed.heard(committed.map(|id| id.index), self.clock.now());
        }
        // Whoever leads decides on what the feed has told, so that must be complete before.
        let knows = self.feed.ready() && metrics.last_applied.as_ref().is_some_and(own_term);
        let leadership = Leadership {
            leader: metrics.current_leader,
            term: metrics.current_term,
            me: leads && knows,
        };
        let changed = self.leadership.send_if_modified(|current| {
            let changed = *current != leadership;
            *current = leadership;
            changed
        });
        // A leader that has not applied what came before its term says so when it has.
        let leads_soon = leads && !leadership.me;
        if changed && !leads_soon {
            info!(target: "cfgserver::raft", leader = leadership.leader, term = leadership.term, me = leadership.me,
                "leadership");
        }
        self.note_members(metrics);
    }

    fn note_members(&self, metrics: &Metrics) {
        let members = metrics.membership_config.nodes();
        let incarnations = members.map(|(id, node)| (*id, node.incarnation.clone())).collect();
        self.local
            .set_nodes(incarnations, self.feed.state().header().removed.clone());
        let is_member = |id| metrics.membership_config.get_node(&id).is_some();
        self.links.keep(is_member);
        self.contacts.keep(is_member);
    }

    /// On the leader: tells the state machine what Raft's membership is, and which cluster this is.
    async fn reconcile(&self) {
        let mut receiver = self.raft.metrics();
        let mut leadership = self.leadership.subscribe();
        loop {
            let leads = leadership.borrow_and_update().me;
            let metrics = receiver.borrow_watched().clone();
            if leads && let Some(command) = self.untold(&metrics) {
                if let Err(error) = self.propose(command).await {
                    warn!(target: "cfgserver::raft", %error, "the state machine was not told of the members yet");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                continue;
            }
            if leads && is_joint(&metrics) && is_committed(&metrics) {
                self.end_joint().await;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            tokio::select! {
                biased;
                changed = receiver.changed() => if changed.is_err() { return },
                _ = leadership.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// What the state machine does not know yet.
    fn untold(&self, metrics: &Metrics) -> Option<Command> {
        let state = self.feed.state();
        let settled = !is_joint(metrics) && is_committed(metrics);
        let nodes = nodes_of(metrics);
        if settled && *state.nodes() != nodes {
            return Some(Command::Nodes { nodes });
        }
        if state.header().cluster.is_none() {
            return self.local.cluster().map(|cluster| Command::Found { cluster });
        }
        None
    }

    async fn watch_grace(&self) {
        while !self.feed.ready() {
            self.feed.tick(self.clock.now());
            tokio::time::sleep(READY_TICK).await;
        }
    }

    async fn ping_peers(&self) {
        loop {
            let members = nodes_of(&self.metrics());
            let others = members.into_iter().filter(|(id, _)| *id != self.me);
            join_all(others.map(|(id, node)| self.ping(id, node.address))).await;
            tokio::time::sleep(PING_EVERY).await;
        }
    }

    async fn ping(&self, id: NodeId, address: String) {
        let link = self.links.get(id, &address, Purpose::Election);
        match link.call(Call::Ping, Vec::new(), PING_LIMIT).await {
            Ok(_) => self.contacts.heard(id, self.clock.now()),
            Err(CallError::Refused(refusal)) if refusal.says_removed() => self.fail(Failure::Removed),
            Err(_) => {}
        }
    }
}

/// The members are the same for ever, until the next change.
fn is_committed(metrics: &Metrics) -> bool {
    *metrics.membership_config.log_id() <= metrics.local_committed
}

type BoxedTask = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn boxed(task: impl Future<Output = ()> + Send + 'static) -> BoxedTask {
    Box::pin(task)
}
