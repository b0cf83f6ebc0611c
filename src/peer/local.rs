//! Who this node is towards its peers, and whom it knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{ClusterId, NodeId};

/// The cluster secret: whoever knows it is a node.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes of the secret.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// This node, as handshakes show and check it.
#[derive(Debug)]
pub struct Local {
    /// Its number.
    pub id: NodeId,
    /// Random id of its data directory.
    pub incarnation: String,
    /// The cluster secret; without one only loopback peers are spoken to.
    pub secret: Option<Secret>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    cluster: Option<ClusterId>,
    incarnations: BTreeMap<NodeId, String>,
    removed: BTreeSet<NodeId>,
}

impl Local {
    /// A node of `cluster`, or of none yet.
    pub fn new(id: NodeId, incarnation: String, secret: Option<Secret>, cluster: Option<ClusterId>) -> Self {
        Self {
            id,
            incarnation,
            secret,
            known: Mutex::new(Known {
                cluster,
                ..Known::default()
            }),
        }
    }

    /// The cluster it belongs to.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.known().cluster.clone()
    }

    /// It belongs to a cluster from now on.
    pub fn set_cluster(&self, cluster: ClusterId) {
        self.known().cluster = Some(cluster);
    }

    /// The nodes of the cluster with their incarnations, and the ids that are used up.
    pub fn set_nodes(&self, incarnations: BTreeMap<NodeId, String>, removed: BTreeSet<NodeId>) {
        let mut known = self.known();
        known.incarnations = incarnations;
        known.removed = removed;
    }

    /// The incarnation that a node must have; `None` when the node is not known.
    pub fn incarnation_of(&self, id: NodeId) -> Option<String> {
        self.known().incarnations.get(&id).cloned()
    }

    /// That node was a member once.
    pub fn is_removed(&self, id: NodeId) -> bool {
        self.known().removed.contains(&id)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
