//! How a cluster begins, and how a node comes to belong to one.
//!
//! ```text
//! lowest founder: Probe all (reachable? empty?) -> cluster id -> Form all -> initialize with all as voters
//! other founders: Probe all (does one have data already?) until formed
//! leader, for a node that waits: Probe (empty? waiting?) -> Adopt
//! ```
//!
//! An empty node that meets data never forms a cluster: it may be a member that lost its disk.
//! What does not live here: handshakes (`peer`), and changes of the membership (`admin`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::core::{Core, Waiting};
use super::desk::Failure;
use super::identity::{Identity, Origin, draw_cluster};
use super::records::{decode, encode};
use crate::model::{ClusterId, Node, NodeId};
use crate::mutation::{self, Mutation};
use crate::peer::{Call, CallError, Links};

/// One question to a founder.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// Pause between two rounds of questions.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// How often it is said that founders are missing, in rounds.
const ROUNDS_PER_LINE: u64 = 50;

/// What a node says about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Probed {
    /// It has a log: it belongs to a cluster for good.
    pub(super) initialised: bool,
    pub(super) cluster: Option<ClusterId>,
    pub(super) node: Node,
    pub(super) waits: Waits,
}

/// What a node waits for, as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Waits {
    Nothing,
    Founders(BTreeMap<NodeId, String>),
    Adoption,
}

/// The founding, or the taking in: the node belongs to this cluster from now on.
#[derive(Serialize, Deserialize)]
pub(super) struct Belongs {
    pub(super) cluster: ClusterId,
}

/// Asks a node about itself.
pub(super) async fn probe(links: &Links, to: Option<NodeId>, address: &str) -> Result<Probed, CallError> {
    let answer = links
        .contact(to, address)
        .call(Call::Probe, Vec::new(), PROBE_LIMIT)
        .await?;
    decode(&answer).map_err(|error| CallError::Failed(error.to_string()))
}

/// Why a node that has no data may not start beside what its peer says.
pub(super) fn meets_data(id: Option<NodeId>, address: &str, probed: &Probed) -> Option<String> {
    if mutation::is_on(Mutation::EmptyNodeFounds) {
        return None;
    }
    let cluster = probed.cluster.as_ref().filter(|_| probed.initialised)?;
    let name = id.map_or(String::new(), |id| format!(" {id}"));
    Some(format!(
        "this node is empty, but node{name} at {address} already belongs to cluster {cluster}; a new node is started \
         with --join and a new id"
    ))
}

impl Core {
    pub(super) async fn probed(&self) -> Result<Probed, String> {
        let initialised = self.raft.is_initialized().await.map_err(|error| error.to_string())?;
        Ok(Probed {
            initialised,
            cluster: self.local.cluster(),
            node: self.node.clone(),
            waits: match &self.waiting {
                _ if initialised => Waits::Nothing,
                Waiting::Alone => Waits::Nothing,
                Waiting::Founders(founders) => Waits::Founders(founders.clone()),
                Waiting::Adoption => Waits::Adoption,
            },
        })
    }

    pub(super) async fn formed(&self, body: &[u8]) -> Result<Vec<u8>, String> {
        let founders = matches!(self.waiting, Waiting::Founders(_));
        self.belong(body, founders, Origin::Founded).await
    }

    pub(super) async fn adopted(&self, body: &[u8]) -> Result<Vec<u8>, String> {
        let waits = self.waiting == Waiting::Adoption;
        self.belong(body, waits, Origin::Adopted).await
    }

    async fn belong(&self, body: &[u8], waits: bool, origin: Origin) -> Result<Vec<u8>, String> {
        let body: Belongs = decode(body).map_err(|error| error.to_string())?;
        let initialised = self.raft.is_initialized().await.map_err(|error| error.to_string())?;
        if initialised || !waits {
            return Err("this node does not wait for a cluster".to_owned());
        }
        self.set_cluster(body.cluster, origin).await?;
        Ok(Vec::new())
    }

    /// Belongs to `cluster` from now on; durable when this returns.
    async fn set_cluster(&self, cluster: ClusterId, origin: Origin) -> Result<(), String> {
        let mut identity = self.identity.lock().await;
        if identity.cluster.as_ref().is_some_and(|other| *other != cluster) {
            return Err("this node belongs to another cluster".to_owned());
        }
        let changed = Identity {
            cluster: Some(cluster.clone()),
            origin: Some(origin),
            ..identity.clone()
        };
        changed
            .save(self.store.as_ref())
            .await
            .map_err(|error| error.to_string())?;
        *identity = changed;
        self.local.set_cluster(cluster);
        Ok(())
    }

    /// Founds a cluster of this node alone.
    pub(super) async fn found_alone(&self) -> Result<(), String> {
        let cluster = match self.local.cluster() {
            Some(cluster) => cluster,
            None => draw_cluster().map_err(|error| error.to_string())?,
        };
        self.set_cluster(cluster, Origin::Alone).await?;
        self.initialize(BTreeMap::from([(self.me, self.node.clone())])).await
    }

    async fn initialize(&self, nodes: BTreeMap<NodeId, Node>) -> Result<(), String> {
        let count = nodes.len();
        self.raft.initialize(nodes).await.map_err(|error| error.to_string())?;
        if let Some(cluster) = self.local.cluster() {
            info!(target: "cfgserver::raft", %cluster, nodes = count, "cluster founded");
        }
        Ok(())
    }

    /// Waits until the founders of a cluster have met. The lowest of them forms it.
    pub(super) async fn found(self: Arc<Self>, founders: BTreeMap<NodeId, String>) {
        let lowest = founders.keys().next() == Some(&self.me);
        let mut rounds = 0_u64;
        while !self.raft.is_initialized().await.unwrap_or(true) {
            match self.round(&founders, lowest).await {
                Ok(()) if lowest => return,
                Ok(()) => {}
                Err(Missing::Refused(reason)) => return self.fail(Failure::Refused(reason)),
                Err(Missing::Nodes(missing)) if rounds.is_multiple_of(ROUNDS_PER_LINE) => {
                    info!(target: "cfgserver::raft", ?missing, "waiting for the other founders");
                }
                Err(Missing::Nodes(_)) => {}
            }
            rounds += 1;
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    }

    async fn round(&self, founders: &BTreeMap<NodeId, String>, lowest: bool) -> Result<(), Missing> {
        let others = founders.iter().filter(|(id, _)| **id != self.me);
        let questions = others.map(|(id, address)| async move {
            let answer = probe(&self.links, Some(*id), address).await;
            (*id, address, answer)
        });
        let mut nodes = BTreeMap::from([(self.me, self.node.clone())]);
        let mut missing = BTreeMap::new();
        let mut refusals = 0;
        for (id, address, answer) in join_all(questions).await {
            match answer {
                Err(CallError::Refused(_)) if mutation::is_on(Mutation::EmptyNodeFounds) => {}
                Err(CallError::Refused(refusal)) => {
                    refusals += 1;
                    // One of them may be wrong; when most of the others refuse, it is this node.
                    if refusals * 2 > founders.len() - 1 {
                        return Err(Missing::Refused(format!("the node at {address} refuses: {refusal}")));
                    }
                    missing.insert(id, refusal.to_string());
                }
                // A defect for tests: whoever has data is left out.
                Ok(probed) if probed.initialised && mutation::is_on(Mutation::EmptyNodeFounds) => {}
                Ok(probed) => {
                    if self.local.cluster().is_none()
                        && let Some(reason) = meets_data(Some(id), address, &probed)
                    {
                        return Err(Missing::Refused(reason));
                    }
                    match check_founder(&probed, address, founders) {
                        Ok(()) => _ = nodes.insert(id, probed.node),
                        Err(reason) => _ = missing.insert(id, reason),
                    }
                }
                Err(error) => _ = missing.insert(id, error.to_string()),
            }
        }
        if !missing.is_empty() {
            return Err(Missing::Nodes(missing));
        }
        if lowest {
            self.form(founders, nodes).await
        } else {
            Ok(())
        }
    }

    /// All are there and empty: gives the cluster its id and its first members.
    async fn form(&self, founders: &BTreeMap<NodeId, String>, nodes: BTreeMap<NodeId, Node>) -> Result<(), Missing> {
        let cluster = match self.local.cluster() {
            Some(cluster) => cluster,
            None => draw_cluster().map_err(|error| Missing::Refused(error.to_string()))?,
        };
        self.set_cluster(cluster.clone(), Origin::Founded)
            .await
            .map_err(Missing::Refused)?;
        for (id, address) in founders.iter().filter(|(id, _)| **id != self.me) {
            let body = encode(&Belongs {
                cluster: cluster.clone(),
            });
            let told = self
                .links
                .contact(Some(*id), address)
                .call(Call::Form, body, PROBE_LIMIT)
                .await;
            if told.is_err() && mutation::is_on(Mutation::EmptyNodeFounds) {
                continue;
            }
            told.map_err(|error| Missing::Nodes(BTreeMap::from([(*id, error.to_string())])))?;
        }
        if let Err(reason) = self.initialize(nodes).await {
            warn!(target: "cfgserver::raft", reason, "the cluster was not founded");
        }
        Ok(())
    }
}

/// Why founders have not met.
enum Missing {
    /// Not all are there, or ready. May pass.
    Nodes(BTreeMap<NodeId, String>),
    /// This node must not go on.
    Refused(String),
}

fn check_founder(probed: &Probed, address: &str, founders: &BTreeMap<NodeId, String>) -> Result<(), String> {
    match &probed.waits {
        Waits::Founders(theirs) if theirs == founders => Ok(()),
        Waits::Founders(_) => Err(format!("the node at {address} was started with other --peers")),
        Waits::Nothing if probed.initialised => Err(format!("the node at {address} belongs to a cluster already")),
        Waits::Nothing => Err(format!("the node at {address} founds a cluster of its own")),
        Waits::Adoption => Err(format!("the node at {address} was started with --join")),
    }
}
