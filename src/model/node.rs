//! A node of the cluster, as the replicated state and the Raft membership know it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::MyId;

/// A cfgserver process: where it is and which data directory it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `host:port` at which peers and clients reach it.
    pub address: String,
    /// Random id of its data directory. Another incarnation under the same node id is refused.
    pub incarnation: String,
    /// What it answers to `SENTINEL MYID`.
    pub my_id: MyId,
    /// What it does in the cluster.
    pub role: NodeRole,
    /// Free labels (region, zone). Nothing reads them yet.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What a node does in the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// Votes in Raft, and its verdicts count.
    #[default]
    Voter,
    /// Receives the log; neither votes nor judges.
    Learner,
}

impl Node {
    /// The host part of the address, without brackets.
    pub fn host(&self) -> &str {
        let host = self
            .address
            .rsplit_once(':')
            .map_or(self.address.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port part of the address; empty when there is none.
    pub fn port(&self) -> &str {
        self.address.rsplit_once(':').map_or("", |(_, port)| port)
    }
}
