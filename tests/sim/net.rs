//! Who reaches whom: nodes among themselves, and nodes and instances. Each direction by itself.

use std::collections::{BTreeMap, BTreeSet};

use cfgserver::model::NodeId;

use crate::redis::Index;

/// The network as the nodes have it.
pub(crate) struct Net {
    pub(crate) nodes: u64,
    /// Node to node, from and to.
    pub(crate) cut: BTreeSet<(NodeId, NodeId)>,
    /// Node to instance.
    pub(crate) cut_to: BTreeSet<(NodeId, Index)>,
    /// Instance to node.
    pub(crate) cut_from: BTreeSet<(NodeId, Index)>,
    /// Nodes that do not run.
    pub(crate) down: BTreeSet<NodeId>,
    /// Empty nodes that wait to be added.
    pub(crate) waiting: BTreeSet<NodeId>,
    /// Nodes that stand still.
    pub(crate) paused: BTreeSet<NodeId>,
    /// Node to node: nothing has got through since then.
    mute: BTreeMap<(NodeId, NodeId), u64>,
}

impl Net {
    pub(crate) fn new(nodes: u64) -> Self {
        Self {
            nodes,
            cut: BTreeSet::new(),
            cut_to: BTreeSet::new(),
            cut_from: BTreeSet::new(),
            down: BTreeSet::new(),
            waiting: BTreeSet::new(),
            paused: BTreeSet::new(),
            mute: BTreeMap::new(),
        }
    }

    /// A message of one node gets to another that runs. A paused one reads it later.
    pub(crate) fn goes(&self, from: NodeId, to: NodeId) -> bool {
        from == to || (!self.cut.contains(&(from, to)) && !self.down.contains(&from) && !self.down.contains(&to))
    }

    /// Cuts, or the nodes that run, have changed.
    pub(crate) fn changed(&mut self, now: u64) {
        for from in 1..=self.nodes {
            for to in 1..=self.nodes {
                if self.goes(from, to) {
                    self.mute.remove(&(from, to));
                } else {
                    self.mute.entry((from, to)).or_insert(now);
                }
            }
        }
    }

    /// Since when no message of one node gets to another.
    pub(crate) fn mute_since(&self, from: NodeId, to: NodeId) -> Option<u64> {
        self.mute.get(&(from, to)).copied()
    }

    /// Both run, now, and hear each other.
    pub(crate) fn in_contact(&self, one: NodeId, other: NodeId) -> bool {
        let runs = |node| !self.down.contains(&node) && !self.paused.contains(&node);
        runs(one) && runs(other) && self.goes(one, other) && self.goes(other, one)
    }

    pub(crate) fn reaches_server(&self, node: NodeId, server: Index) -> bool {
        self.cut_to.is_empty() || !self.cut_to.contains(&(node, server))
    }

    pub(crate) fn server_reaches(&self, node: NodeId, server: Index) -> bool {
        self.cut_from.is_empty() || !self.cut_from.contains(&(node, server))
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.cut_to.clear();
        self.cut_from.clear();
    }
}
