//! Settings that are not of one group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Naming, Node, NodeId};

/// The settings that all nodes share, or know of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SharedSettings {
    /// Host names are taken where an address is asked for.
    pub resolve_hostnames: bool,
    /// Host names are told where there are any.
    pub announce_hostnames: bool,
    /// Where clients are told that a node is, when that is not where the other nodes reach it.
    pub announced: BTreeMap<NodeId, Announced>,
}

/// Where clients are told that a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Its host; empty for the one that the other nodes use.
    pub host: String,
    /// Its port; 0 for the one that the other nodes use.
    pub port: u16,
}

/// One of these settings to change, as `SENTINEL CONFIG SET` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SharedSetting {
    /// `resolve-hostnames`
    ResolveHostnames(bool),
    /// `announce-hostnames`
    AnnounceHostnames(bool),
    /// `announce-ip`
    AnnounceHost {
        /// Whose.
        node: NodeId,
        /// Host name or IP; empty for none.
        host: String,
    },
    /// `announce-port`
    AnnouncePort {
        /// Whose.
        node: NodeId,
        /// Port; 0 for none.
        port: u16,
    },
}

impl SharedSettings {
    /// How clients are told where instances are.
    pub fn naming(&self) -> Naming {
        if self.announce_hostnames {
            Naming::Names
        } else {
            Naming::Addresses
        }
    }

    /// Where clients are told that this node is: host and port.
    pub fn told(&self, id: NodeId, node: &Node) -> (String, String) {
        let announced = self.announced.get(&id);
        let host = announced.map(|announced| announced.host.as_str());
        let host = host.filter(|host| !host.is_empty()).unwrap_or(node.host());
        let port = announced.map(|announced| announced.port).filter(|port| *port != 0);
        let port = port.map_or_else(|| node.port().to_owned(), |port| port.to_string());
        (host.to_owned(), port)
    }

    /// Nothing was ever set.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn put(&mut self, setting: &SharedSetting) {
        match setting {
            SharedSetting::ResolveHostnames(yes) => self.resolve_hostnames = *yes,
            SharedSetting::AnnounceHostnames(yes) => self.announce_hostnames = *yes,
            SharedSetting::AnnounceHost { node, host } => {
                self.announced.entry(*node).or_default().host.clone_from(host);
            }
            SharedSetting::AnnouncePort { node, port } => self.announced.entry(*node).or_default().port = *port,
        }
        self.announced.retain(|_, announced| *announced != Announced::default());
    }
}
