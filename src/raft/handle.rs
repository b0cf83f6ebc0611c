//! The face of Raft towards the rest of the node.

use std::sync::Arc;
use std::time::Duration;

use openraft::{Instant as _, ServerState};

use super::core::{Core, led_majority_ms};
use super::desk::{Desk, Failure, Leadership};
use super::identity::Identity;
use super::types::Metrics;
use crate::detect::{VoteAck, VoteReport};
use crate::machine::{Command, State};
use crate::model::{Age, NodeId, NodeRole};
use crate::requests::{NodeStatus, PeerStatus, RaftRole, Write, WriteError, WriteReply};
use crate::watch;

/// A peer that was silent for this long is shown as down: three signs of life are missing.
const PEER_DOWN_MS: Age = 3_000;
/// Tasks have this long to end at shutdown.
const SHUT_DOWN_LIMIT: Duration = Duration::from_secs(1);

/// A node's place in its cluster. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(super) core: Arc<Core>,
}

impl Handle {
    /// Puts a command into the log; only on the leader. Resolves when it is applied on this node.
    pub async fn propose(&self, command: Command) -> Result<WriteReply, WriteError> {
        self.core.propose(command).await.map(|done| done.reply)
    }

    /// Has the cluster do something: here when this node leads, else over the leader, one hop. Resolves when it is
    /// applied on this node. Tries again, until the limit of a write, only what was not sent.
    pub async fn write(&self, write: Write) -> Result<WriteReply, WriteError> {
        self.core.write(write).await
    }

    /// Who leads, and every change of it.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.core.leadership.subscribe()
    }

    /// This node leads, and a majority answered it so lately that no other node can lead.
    pub fn holds_lease(&self) -> bool {
        self.core.holds_lease()
    }

    /// A majority was in contact with a leader within the lease: what was applied here is hardly older.
    pub fn in_contact(&self) -> bool {
        self.core.in_contact()
    }

    /// Gives verdicts to the leader, also when that is this node.
    pub async fn report_votes(&self, report: VoteReport) -> Result<VoteAck, WriteError> {
        self.core.report_votes(report).await
    }

    /// Gives leadership away: to `to`, or to the voter that is most caught up. Only on the leader.
    pub async fn hand_over(&self, to: Option<NodeId>) -> Result<(), WriteError> {
        self.core.hand_over(to).await
    }

    /// Registers the leader's own logic. The first one stays.
    pub fn set_desk(&self, desk: Arc<dyn Desk>) {
        _ = self.core.desk.set(desk);
    }

    /// The state that this node has applied.
    pub fn state(&self) -> Arc<State> {
        self.core.feed.state()
    }

    /// Which node, cluster and data directory this is.
    pub async fn identity(&self) -> Identity {
        self.core.identity.lock().await.clone()
    }

    /// Resolves when the process must end, with the reason.
    pub async fn failed(&self) -> Failure {
        let mut failure = self.core.failure.subscribe();
        match failure.wait_for(Option::is_some).await.map(|failure| failure.clone()) {
            Ok(Some(failure)) => failure,
            // The sender lives in the core, which this handle holds.
            _ => std::future::pending().await,
        }
    }

    /// `base` with what Raft knows.
    pub fn status(&self, base: &NodeStatus) -> NodeStatus {
        let metrics = self.core.metrics();
        NodeStatus {
            role: role(&metrics),
            leader: self.heard_leader(&metrics),
            term: metrics.current_term,
            last_applied: metrics.last_applied.map_or(0, |id| id.index),
            last_log: metrics.last_log_index.unwrap_or(0),
            contact_ms: self.contact_ms(&metrics),
            peers: self.peers(&metrics),
            ready: self.core.feed.ready(),
            ..base.clone()
        }
    }

    /// The leader, as long as it is heard: Raft itself remembers a dead one until the next is elected.
    fn heard_leader(&self, metrics: &Metrics) -> Option<NodeId> {
        let heard = |leader: &NodeId| {
            let silent_ms = self.contact_ms(metrics).unwrap_or(0);
            *leader == self.core.me || silent_ms <= PEER_DOWN_MS
        };
        metrics.current_leader.filter(heard)
    }

    fn contact_ms(&self, metrics: &Metrics) -> Option<Age> {
        if metrics.state == ServerState::Leader {
            return led_majority_ms(metrics);
        }
        let heard = self.core.contacts.leader()?;
        Some(self.core.clock.now().since(heard))
    }

    fn peers(&self, metrics: &Metrics) -> Vec<PeerStatus> {
        let others = metrics.membership_config.nodes().map(|(id, _)| *id);
        others
            .filter(|id| *id != self.core.me)
            .map(|id| self.peer(id, metrics))
            .collect()
    }

    fn peer(&self, id: NodeId, metrics: &Metrics) -> PeerStatus {
        let acked = metrics
            .heartbeat
            .as_ref()
            .and_then(|acks| acks.get(&id).copied().flatten());
        let acked_ms = acked.map(|acked| acked.elapsed().as_millis() as Age);
        let heard_ms = self
            .core
            .contacts
            .peer(id)
            .map(|heard| self.core.clock.now().since(heard));
        let contact_ms = [acked_ms, heard_ms].into_iter().flatten().min();
        let matched = metrics
            .replication
            .as_ref()
            .and_then(|matched| matched.get(&id).copied().flatten());
        PeerStatus {
            id,
            matched: matched.map(|id| id.index),
            contact_ms,
            down: contact_ms.is_none_or(|ms| ms > PEER_DOWN_MS),
        }
    }

    /// Ends this node's part in Raft at once; a leader that wants to be polite hands over first.
    pub async fn shut_down(&self) {
        // First: the watches must not take the end of Raft for a failure.
        self.core.tasks.stopping().cancel();
        _ = self.core.raft.shutdown().await;
        self.core.tasks.shut_down(SHUT_DOWN_LIMIT).await;
    }

    /// What this node is as a member, if it is one.
    pub fn own_role(&self) -> Option<NodeRole> {
        self.state().nodes().get(&self.core.me).map(|node| node.role)
    }
}

fn role(metrics: &Metrics) -> RaftRole {
    match metrics.state {
        ServerState::Leader => RaftRole::Leader,
        ServerState::Candidate => RaftRole::Candidate,
        ServerState::Learner => RaftRole::Learner,
        ServerState::Follower | ServerState::Shutdown => RaftRole::Follower,
    }
}
