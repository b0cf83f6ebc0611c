//! What the parts of a Raft node share.
//!
//! What does not live here: openraft's own core, and what the parts do with this.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, ServerState};

use super::desk::{Desk, Failure, Leadership};
use super::feed::Feed;
use super::identity::Identity;
use super::types::{Metrics, RaftNode, SnapshotMeta};
use crate::clock::Clock;
use crate::model::{Age, Instant, Node, NodeId, NodeRole, Term};
use crate::peer::{Links, Local};
use crate::runtime::Runtime;
use crate::store::Store;
use crate::task::Tasks;
use crate::watch;

/// A node of the cluster, from the inside.
pub(crate) struct Core {
    pub(super) me: NodeId,
    pub(super) node: Node,
    pub(super) local: Arc<Local>,
    pub(super) links: Links,
    pub(super) raft: RaftNode,
    pub(super) store: Arc<dyn Store>,
    pub(super) feed: Arc<Feed>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) runtime: Runtime,
    pub(super) waiting: Waiting,
    /// How long a majority's answer keeps the leader's lease, from the moment the question was sent.
    pub(super) lease: Duration,
    /// How long a write of a client may take.
    pub(super) write_limit: Duration,
    pub(super) identity: tokio::sync::Mutex<Identity>,
    pub(super) desk: OnceLock<Arc<dyn Desk>>,
    pub(super) leadership: watch::Sender<Leadership>,
    pub(super) failure: watch::Sender<Option<Failure>>,
    pub(super) contacts: Contacts,
    /// Snapshots that are arriving, per sender.
    pub(super) incoming: Mutex<BTreeMap<NodeId, (SnapshotMeta, BytesMut)>>,
    /// Held while the membership is being changed.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// The term in which this node gives its leadership away; it orders nothing any more in it.
    pub(super) handing_over: AtomicU64,
}

/// What an empty node waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Nothing: it founds a cluster of its own.
    Alone,
    /// The other founders.
    Founders(BTreeMap<NodeId, String>),
    /// To be added.
    Adoption,
}

/// When peers were heard last.
#[derive(Default)]
pub(super) struct Contacts {
    peers: Mutex<BTreeMap<NodeId, Instant>>,
    leader: Mutex<Option<Instant>>,
    /// The last moment at which, as far as leaders have said here, a majority answered one.
    majority: Mutex<Option<Instant>>,
}

impl Contacts {
    pub(super) fn heard(&self, id: NodeId, now: Instant) {
        self.peers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, now);
    }

    pub(super) fn heard_leader(&self, now: Instant) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    pub(super) fn heard_majority(&self, at: Instant) {
        let mut majority = self.majority.lock().unwrap_or_else(PoisonError::into_inner);
        *majority = (*majority).max(Some(at));
    }

    pub(super) fn majority(&self) -> Option<Instant> {
        *self.majority.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn peer(&self, id: NodeId) -> Option<Instant> {
        self.peers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .copied()
    }

    pub(super) fn leader(&self) -> Option<Instant> {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, is_member: impl Fn(NodeId) -> bool) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|id, _| is_member(*id));
    }
}

impl Core {
    /// openraft's figures of this moment.
    pub(super) fn metrics(&self) -> Metrics {
        self.raft.metrics().borrow_watched().clone()
    }

    /// This node leads and a majority answered it within the lease.
    pub(super) fn holds_lease(&self) -> bool {
        let receiver = self.raft.metrics();
        let metrics = receiver.borrow_watched();
        let leads = metrics.state == ServerState::Leader && self.leadership.borrow().me;
        if !leads || metrics.running_state.is_err() || self.gives_away(metrics.current_term) {
            return false;
        }
        let mut voters = metrics.membership_config.voter_ids();
        let alone = voters.next() == Some(self.me) && voters.next().is_none();
        alone
            || metrics
                .last_quorum_acked
                .is_some_and(|acked| acked.elapsed() < self.lease)
    }

    /// A majority answered a leader within the lease, as far as this node knows: on a follower the leader's word is
    /// as old as its way here was long.
    pub(super) fn in_contact(&self) -> bool {
        let own_ms = led_majority_ms(&self.raft.metrics().borrow_watched());
        let heard = self.contacts.majority();
        let heard_ms = heard.map(|heard| self.clock.now().since(heard));
        let age_ms = own_ms.into_iter().chain(heard_ms).min();
        age_ms.is_some_and(|age_ms| Duration::from_millis(age_ms) < self.lease)
    }

    /// This node is handing the leadership of `term` over.
    pub(super) fn gives_away(&self, term: Term) -> bool {
        self.handing_over.load(Ordering::SeqCst) == term
    }

    /// Ends the node: the app is watching.
    pub(super) fn fail(&self, failure: Failure) {
        let first = |current: &mut Option<Failure>| {
            let first = current.is_none();
            if first {
                *current = Some(failure);
            }
            first
        };
        self.failure.send_if_modified(first);
    }

    /// The address of a member.
    pub(super) fn address_of(&self, id: NodeId) -> Option<String> {
        let receiver = self.raft.metrics();
        let metrics = receiver.borrow_watched();
        metrics.membership_config.get_node(&id).map(|node| node.address.clone())
    }
}

/// How long ago a majority answered this node as the leader; `None` when it does not lead or was not answered.
pub(super) fn led_majority_ms(metrics: &Metrics) -> Option<Age> {
    if metrics.state != ServerState::Leader {
        return None;
    }
    if metrics.membership_config.voter_ids().count() == 1 {
        return Some(0);
    }
    let acked = metrics.last_quorum_acked.as_ref()?;
    Some(acked.elapsed().as_millis() as Age)
}

/// The nodes of a membership with their roles.
pub(super) fn nodes_of(metrics: &Metrics) -> BTreeMap<NodeId, Node> {
    let membership = &metrics.membership_config;
    let voters: Vec<NodeId> = membership.voter_ids().collect();
    let role = |id| {
        if voters.contains(&id) {
            NodeRole::Voter
        } else {
            NodeRole::Learner
        }
    };
    membership
        .nodes()
        .map(|(id, node)| {
            let node = Node {
                role: role(*id),
                ..node.clone()
            };
            (*id, node)
        })
        .collect()
}
