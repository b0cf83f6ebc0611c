//! Which node, cluster and incarnation a data directory is.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::records::{decode_some, encode};
use crate::chance;
use crate::model::{ClusterId, MyId, NodeId};
use crate::store::{Meta, Store};

/// Written when the directory is made, and once more when the node gets its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The number of the node.
    pub node_id: NodeId,
    /// Its cluster, once it has one.
    pub cluster: Option<ClusterId>,
    /// Random id of the directory.
    pub incarnation: String,
    /// What the node answers to `SENTINEL MYID`.
    pub my_id: MyId,
    /// How it came to its cluster.
    #[serde(default)]
    pub origin: Option<Origin>,
}

/// How a node came to its cluster. Until it has a log it may only go on in the way it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It founded one of its own.
    Alone,
    /// It founded one with others.
    Founded,
    /// It was added.
    Adopted,
}

impl Identity {
    /// The identity of the directory; `None` when it is new.
    pub(crate) fn load(store: &dyn Store) -> io::Result<Option<Self>> {
        decode_some(store.get(Meta::Identity)?)
    }

    /// A new one.
    pub(crate) fn draw(node_id: NodeId, incarnation: Option<String>) -> io::Result<Self> {
        let incarnation = incarnation.map_or_else(chance::hex::<16>, Ok)?;
        Ok(Self {
            node_id,
            cluster: None,
            incarnation,
            my_id: MyId(chance::hex::<20>()?.into()),
            origin: None,
        })
    }

    /// Writes it; durable when this returns.
    pub(crate) async fn save(&self, store: &dyn Store) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        store.put_durable(
            Meta::Identity,
            encode(self),
            Box::new(move |result| _ = done.send(result)),
        )?;
        durable.await.map_err(|_| io::Error::other("the store went away"))?
    }
}

/// A new cluster id.
pub(crate) fn draw_cluster() -> io::Result<ClusterId> {
    Ok(ClusterId(chance::hex::<16>()?.into()))
}
