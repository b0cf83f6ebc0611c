//! Changes of the membership, and of who leads. On the leader.
//!
//! What does not live here: telling the state machine about it (`keeper` does, from what Raft committed).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::{ChangeMembers, Instant as _, ServerState};
use tracing::{info, warn};

use super::core::Core;
use super::formation::{Belongs, PROBE_LIMIT, Waits, probe};
use super::records::encode;
use super::types::Metrics;
use super::write::write_error;
use crate::machine::{Outcome, State};
use crate::model::{Node, NodeId, NodeRole};
use crate::peer::Call;
use crate::requests::{AdminRequest, WriteError, WriteReply};

/// A new node has this long to catch up.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);
/// A membership change has this long to be committed.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);
/// A change waits this long for the end of another one.
const BUSY_LIMIT: Duration = Duration::from_secs(3);
/// The state machine hears of a membership within this.
const TOLD_LIMIT: Duration = Duration::from_secs(5);
/// A successor takes over within this.
const TAKE_OVER_LIMIT: Duration = Duration::from_secs(2);
/// Orders are answered or given up within this.
const ORDERS_LIMIT: Duration = Duration::from_secs(3);
/// The voters that stay answer within this when another one is removed.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// A successor gives a sign of life within this.
const ALIVE_LIMIT: Duration = Duration::from_secs(1);
/// Who answered within this is preferred as a successor.
const LATELY: Duration = Duration::from_secs(1);
/// How often figures are looked at while something is awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a node that is to be added is already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Stranger,
    /// Its addition was not finished.
    Learner,
    Voter,
}

/// The node of this id, if it is one that can be removed.
fn removable(metrics: &Metrics, id: NodeId) -> Result<Node, WriteError> {
    let membership = &metrics.membership_config;
    let Some(node) = membership.get_node(&id) else {
        return Err(refused(format!("no node {id}")));
    };
    if membership.voter_ids().all(|voter| voter == id) {
        return Err(refused("the last voter cannot be removed"));
    }
    Ok(node.clone())
}

fn refused(text: impl Into<String>) -> WriteError {
    WriteError::Refused(text.into())
}

impl Core {
    /// Carries out a change of the cluster. This node should lead.
    pub(super) async fn administer(self: &Arc<Self>, request: AdminRequest) -> Result<WriteReply, WriteError> {
        if !self.leadership.borrow().me {
            return Err(WriteError::NoLeader);
        }
        match request {
            AdminRequest::TransferLeader { to } => self.hand_over(to).await.map(|()| WriteReply::Accepted),
            AdminRequest::AddNode { id, address } => {
                let _changing = self.begin_change().await?;
                self.add_node(id, &address).await
            }
            AdminRequest::RemoveNode { id } => self.remove_node(id).await,
        }
    }

    /// The end of a change that somebody gave up is waited for: mostly it takes a moment.
    async fn begin_change(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, WriteError> {
        let busy = |_| refused("another change of the cluster is in progress");
        tokio::time::timeout(BUSY_LIMIT, self.changing.lock())
            .await
            .map_err(busy)
    }

    async fn add_node(&self, id: NodeId, address: &str) -> Result<WriteReply, WriteError> {
        let standing = self.standing(id, address)?;
        if standing == Standing::Voter {
            // The answer to an earlier request was lost.
            return self.await_voter(id).await;
        }
        if standing == Standing::Stranger {
            match self.take_in(id, address).await {
                Ok(node) => {
                    let learner = self.raft.add_learner(id, node, false);
                    within(CHANGE_LIMIT, learner).await?.map_err(write_error)?;
                    info!(target: "cfgserver::raft", node = id, address, "node added as learner");
                }
                // An earlier request was given up, and its change has come through meanwhile.
                Err(_) if self.standing(id, address)? != Standing::Stranger => {}
                Err(refusal) => return Err(refusal),
            }
        }
        self.await_caught_up(id, CATCH_UP_LIMIT).await?;
        let voter = self
            .raft
            .change_membership(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true);
        within(CHANGE_LIMIT, voter).await?.map_err(write_error)?;
        info!(target: "cfgserver::raft", node = id, address, "node is a voter");
        self.await_voter(id).await
    }

    async fn await_voter(&self, id: NodeId) -> Result<WriteReply, WriteError> {
        let is_voter = |node: &Node| node.role == NodeRole::Voter;
        self.await_told(|state| state.nodes().get(&id).is_some_and(is_voter))
            .await
    }

    /// Ends a change that stands half way: both the old and the new voters decide. Whoever began it has given up, or has
    /// ended. A voter that was on its way out stays, and does not vote.
    pub(super) async fn end_joint(&self) {
        let Ok(_changing) = self.changing.try_lock() else {
            return;
        };
        let metrics = self.metrics();
        if metrics.state != ServerState::Leader || !is_joint(&metrics) {
            return;
        }
        let last = ChangeMembers::AddVoterIds(BTreeSet::new());
        match within(CHANGE_LIMIT, self.raft.change_membership(last, true)).await {
            Ok(Ok(_)) => info!(target: "cfgserver::raft", "a change of the members that was left half way is ended"),
            Ok(Err(error)) => warn!(target: "cfgserver::raft", %error, "the members stand between old and new"),
            Err(_) => warn!(target: "cfgserver::raft", "the members stand between old and new: no majority"),
        }
    }

    /// What that node is already. Other members under this id, and ids that are used up, are refused.
    fn standing(&self, id: NodeId, address: &str) -> Result<Standing, WriteError> {
        let metrics = self.metrics();
        let membership = &metrics.membership_config;
        if self.feed.state().header().removed.contains(&id) {
            return Err(refused(format!(
                "node id {id} was removed; node ids are never used again"
            )));
        }
        let is_voter = membership.voter_ids().any(|voter| voter == id);
        match membership.get_node(&id) {
            None => Ok(Standing::Stranger),
            Some(node) if node.address != address => Err(refused(format!("node id {id} is already a member"))),
            Some(_) if is_voter && !is_joint(&metrics) => Ok(Standing::Voter),
            Some(_) => Ok(Standing::Learner),
        }
    }

    /// Makes sure that the node at `address` waits to be added, and gives it the cluster's id.
    async fn take_in(&self, id: NodeId, address: &str) -> Result<Node, WriteError> {
        let at = |reason: &dyn std::fmt::Display| refused(format!("node {id} at {address}: {reason}"));
        let probed = probe(&self.links, Some(id), address)
            .await
            .map_err(|error| at(&error))?;
        let cluster = self.local.cluster().ok_or(WriteError::NoLeader)?;
        let node = Node {
            address: address.to_owned(),
            role: NodeRole::Learner,
            ..probed.node
        };
        if probed.initialised {
            // An earlier leader had begun to add it, and that was lost with this leader: the log goes on from what the
            // node has of it. It was never a member, so nobody relies on its vote.
            let begun = probed.cluster == Some(cluster) && !self.feed.state().nodes().contains_key(&id);
            return begun.then_some(node).ok_or_else(|| at(&"has data already"));
        }
        if probed.waits != Waits::Adoption {
            return Err(at(&"does not wait to be added; start it with --join"));
        }
        let body = encode(&Belongs { cluster });
        let told = self
            .links
            .contact(Some(id), address)
            .call(Call::Adopt, body, PROBE_LIMIT)
            .await;
        told.map_err(|error| at(&error))?;
        Ok(node)
    }

    async fn remove_node(self: &Arc<Self>, id: NodeId) -> Result<WriteReply, WriteError> {
        let metrics = self.metrics();
        removable(&metrics, id)?;
        if id == self.me {
            self.await_rest(&metrics, id).await?;
            // Nothing is done yet: whoever asked asks the successor.
            self.hand_over(None).await?;
            return Err(WriteError::NoLeader);
        }
        let _changing = self.begin_change().await?;
        // The change that was waited for may have been about this very node.
        let metrics = self.metrics();
        let node = removable(&metrics, id)?;
        let votes = metrics.membership_config.voter_ids().any(|voter| voter == id);
        if votes {
            self.await_rest(&metrics, id).await?;
        }
        // The state must know the node before it can remember that it was removed.
        self.await_told(|state| state.nodes().contains_key(&id)).await?;
        let change = if votes {
            ChangeMembers::RemoveVoters(BTreeSet::from([id]))
        } else {
            ChangeMembers::RemoveNodes(BTreeSet::from([id]))
        };
        let removal = self.raft.change_membership(change, false);
        within(CHANGE_LIMIT, removal).await?.map_err(write_error)?;
        info!(target: "cfgserver::raft", node = id, "node removed");
        self.retire(id, &node.address).await;
        self.await_told(|state| !state.nodes().contains_key(&id)).await
    }

    /// A majority of the voters that stay must answer what is sent to them from now on: otherwise the change would
    /// never be committed, and nothing after it either. That they were heard before proves nothing: a node may have
    /// died a moment ago, and a new leader has heard nobody yet.
    async fn await_rest(&self, metrics: &Metrics, leaving: NodeId) -> Result<(), WriteError> {
        let asked = self.clock.now();
        let voters = metrics.membership_config.voter_ids();
        let rest: Vec<NodeId> = voters.filter(|id| *id != leaving).collect();
        let silent = |metrics: &Metrics| -> Vec<NodeId> {
            let age = Duration::from_millis(self.clock.now().since(asked));
            let silent = |id: &NodeId| *id != self.me && !answered(metrics, *id, age);
            rest.iter().copied().filter(silent).collect()
        };
        let enough = |metrics: &Metrics| silent(metrics).len() * 2 < rest.len();
        let over = |metrics: &Metrics| metrics.state != ServerState::Leader || enough(metrics);
        _ = self.await_metrics(ANSWER_LIMIT, over).await;
        let metrics = self.metrics();
        if metrics.state != ServerState::Leader {
            return Err(WriteError::NoLeader);
        }
        match silent(&metrics) {
            silent if silent.len() * 2 < rest.len() => Ok(()),
            silent => Err(refused(stays(leaving, &silent))),
        }
    }

    /// Tells a removed node so. It may be dead: then it hears it from whomever it greets next.
    async fn retire(&self, id: NodeId, address: &str) {
        let told = self
            .links
            .contact(Some(id), address)
            .call(Call::Retire, Vec::new(), PROBE_LIMIT)
            .await;
        if let Err(error) = told {
            info!(target: "cfgserver::raft", node = id, %error, "removed node was not told");
        }
    }

    /// Gives leadership to `to`, or to the voter that is most caught up of those that live.
    pub(super) async fn hand_over(&self, to: Option<NodeId>) -> Result<(), WriteError> {
        let metrics = self.metrics();
        if metrics.state != ServerState::Leader {
            return Err(WriteError::NoLeader);
        }
        if to == Some(self.me) {
            return Ok(());
        }
        let successors = match to {
            Some(to) if metrics.membership_config.voter_ids().any(|id| id == to) => vec![to],
            Some(to) => return Err(refused(format!("node {to} is not a voter"))),
            None => successors(self.me, &metrics),
        };
        let to = self.first_alive(&successors, &metrics).await?;
        self.await_caught_up(to, TAKE_OVER_LIMIT).await?;
        self.handing_over.store(metrics.current_term, Ordering::SeqCst);
        self.await_orders().await?;
        let triggered = self.raft.trigger().transfer_leader(to).await;
        triggered.map_err(|_| WriteError::Unknown)?;
        let gone = |metrics: &Metrics| metrics.current_leader.is_some_and(|leader| leader != self.me);
        match self.await_metrics(TAKE_OVER_LIMIT, gone).await {
            true => Ok(()),
            false => {
                warn!(target: "cfgserver::raft", to, "leadership was not taken over in time");
                Err(refused(format!("node {to} did not take over in time")))
            }
        }
    }

    /// The first of these voters that answers now. Leadership that is handed to a dead node is lost until the next
    /// election, and that it answered a moment ago proves nothing.
    async fn first_alive(&self, voters: &[NodeId], metrics: &Metrics) -> Result<NodeId, WriteError> {
        let mut refusal = refused("no other voter can take over");
        for id in voters {
            let Some(node) = metrics.membership_config.get_node(id) else {
                continue;
            };
            // A new connection: one that is open may belong to a process that has ended since.
            let contact = self.links.contact(Some(*id), &node.address);
            match contact.call(Call::Ping, Vec::new(), ALIVE_LIMIT).await {
                Ok(_) => return Ok(*id),
                Err(error) => refusal = refused(format!("node {id} at {} cannot take over: {error}", node.address)),
            }
        }
        Err(refusal)
    }

    /// Waits until no order is on its way: a successor must not meet one. New ones are not given any more.
    async fn await_orders(&self) -> Result<(), WriteError> {
        let under_way = || self.desk.get().map_or(0, |desk| desk.orders_under_way());
        match self.await_metrics(ORDERS_LIMIT, |_| under_way() == 0).await {
            true => Ok(()),
            false => {
                self.handing_over.store(0, Ordering::SeqCst);
                Err(refused("orders are on their way"))
            }
        }
    }

    async fn await_caught_up(&self, id: NodeId, limit: Duration) -> Result<(), WriteError> {
        let goal = self.metrics().last_log_index;
        let caught_up = |metrics: &Metrics| matched(metrics, id) >= goal;
        match self.await_metrics(limit, caught_up).await {
            true => Ok(()),
            false => Err(refused(format!("node {id} has not caught up in time"))),
        }
    }

    async fn await_metrics(&self, limit: Duration, holds: impl Fn(&Metrics) -> bool) -> bool {
        let until = self.clock.now().plus(limit.as_millis() as u64);
        while self.clock.now() < until {
            if holds(&self.metrics()) {
                return true;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        false
    }

    /// Waits until the state machine knows of a change.
    async fn await_told(&self, holds: impl Fn(&State) -> bool) -> Result<WriteReply, WriteError> {
        let mut applied = self.feed.watch_applied();
        let told = applied.wait_for(|_| holds(&self.feed.state()));
        match tokio::time::timeout(TOLD_LIMIT, told).await {
            Ok(Ok(_)) => {
                let revision = self.feed.state().revision();
                Ok(WriteReply::Outcome {
                    outcome: Outcome::Done { revision },
                    revision,
                })
            }
            _ => Err(WriteError::Unknown),
        }
    }
}

/// A change of the voters has begun and not ended.
pub(super) fn is_joint(metrics: &Metrics) -> bool {
    metrics.membership_config.get_joint_config().len() > 1
}

async fn within<T>(limit: Duration, change: impl Future<Output = T>) -> Result<T, WriteError> {
    tokio::time::timeout(limit, change)
        .await
        .map_err(|_| WriteError::Unknown)
}

fn matched(metrics: &Metrics, id: NodeId) -> Option<u64> {
    let matched = metrics.replication.as_ref()?.get(&id)?.as_ref()?;
    Some(matched.index)
}

/// That node answered something that this leader sent at most `age` ago.
fn answered(metrics: &Metrics, id: NodeId, age: Duration) -> bool {
    let acks = metrics.heartbeat.as_ref();
    let acked = acks.and_then(|acks| acks.get(&id).copied().flatten());
    acked.is_some_and(|acked| acked.elapsed() < age)
}

/// Why a node is not removed, and what to do about it.
fn stays(id: NodeId, silent: &[NodeId]) -> String {
    let silent: Vec<String> = silent.iter().map(NodeId::to_string).collect();
    let silent = silent.join(", ");
    format!(
        "node {id} stays: no write would succeed without it, for these voters cannot be reached: {silent}; start or remove those first"
    )
}

/// The other voters: first those that answer, and of these first who has most of the log.
fn successors(me: NodeId, metrics: &Metrics) -> Vec<NodeId> {
    let mut voters: Vec<_> = metrics.membership_config.voter_ids().filter(|id| *id != me).collect();
    let rank = |id| (answered(metrics, id, LATELY), matched(metrics, id), id);
    voters.sort_by_key(|id| std::cmp::Reverse(rank(*id)));
    voters
}
