//! What goes wrong with nodes: processes, disks, membership.

use cfgserver::model::NodeId;

use super::Fault;
use crate::event::Event;
use crate::world::World;

/// Nodes that there ever are in one world.
const NODES_MAX: usize = 8;

impl World {
    pub(super) fn crash_node(&mut self, id: NodeId) {
        if !self.end_node(id) {
            return;
        }
        if self.core.chance.permille(400) {
            // The tail of what it had applied was not on disk yet. What was there before the world began is: the log that
            // was synced since is written after it to the same file.
            let founded = self.core.log.founded;
            let node = &mut self.nodes[id as usize - 1];
            node.applied = node
                .applied
                .saturating_sub(self.core.chance.index(4))
                .max(founded.min(node.applied));
        }
        let ms = self.core.chance.within(100, 8_000);
        self.core.after(ms, Event::NodeStarts { node: id });
    }

    fn end_node(&mut self, id: NodeId) -> bool {
        let runs = self.nodes[id as usize - 1].running;
        if runs {
            self.nodes[id as usize - 1].stop(&mut self.core);
            self.clients_lost(id);
        }
        runs
    }

    pub(super) fn pause_node(&mut self, id: NodeId) {
        let node = &mut self.nodes[id as usize - 1];
        if !node.running || node.paused_until > 0 {
            return;
        }
        let ms = self.core.chance.within(60, 6_000);
        let until = self.core.now + ms;
        self.core.push(until, Event::NodeResumed { node: id });
        node.pause(&mut self.core, until);
    }

    /// What it writes takes long, for a while.
    pub(super) fn slow_disk(&mut self, id: NodeId) {
        let disk_ms = *self.core.chance.pick(&[20, 100, 500, 2_000]);
        let ms = self.core.chance.within(500, 8_000);
        self.says(format!("the disk of node {id} takes {disk_ms} ms, for {ms} ms"));
        self.core.slow_disk(id, disk_ms);
        self.core.after(ms, Event::Fault(Fault::DiskWell { node: id }));
    }

    pub(super) fn disk_well(&mut self, id: NodeId) {
        self.core.slow_disk(id, 0);
    }

    /// A node whose disk fails ends itself, and so does each process that is started in its place.
    pub(super) fn failing_disk(&mut self, id: NodeId) {
        self.says(format!("the disk of node {id} fails"));
        if self.end_node(id) {
            let ms = self.core.chance.within(1_000, 12_000);
            self.core.after(ms, Event::NodeStarts { node: id });
        }
    }

    /// A node loses its disk. Never so many that what is committed could be lost: nobody can win that.
    pub(super) fn wipe_node(&mut self, id: NodeId) {
        let voters: Vec<NodeId> = self.core.log.voters().collect();
        let enough = self.stay_without(id) * 2 > voters.len();
        if !enough || self.nodes[id as usize - 1].gone || self.nodes.len() >= NODES_MAX || !voters.contains(&id) {
            return;
        }
        self.says(format!("node {id} loses its disk"));
        self.core.coverage.mark("node: wiped");
        self.end_node(id);
        self.nodes[id as usize - 1].gone = true;
        let ms = self.core.chance.within(300, 5_000);
        self.core.after(ms, Event::Fault(Fault::Replace { node: id }));
    }

    /// How many voters stay: not this one, none that lost its disk, none that is to be removed.
    fn stay_without(&self, id: NodeId) -> usize {
        let leaves = |voter: &NodeId| *voter == id || self.nodes[*voter as usize - 1].gone || self.is_to_go(*voter);
        self.core.log.voters().filter(|voter| !leaves(voter)).count()
    }

    /// The operator puts an empty node in the place of one that lost its data. The old id is tried in vain.
    pub(super) fn replace_node(&mut self, id: NodeId) {
        if self.core.chance.permille(300) {
            self.admin_wants(format!("CFG NODE ADD {id} 10.9.9.{id}:26379"));
        }
        self.admin_wants(format!("CFG NODE REMOVE {id}"));
        if self.core.chance.permille(300) {
            self.admin_wants(format!("CFG NODE ADD {id} 10.9.9.{id}:26379"));
        }
        self.add_node();
    }

    pub(super) fn add_node(&mut self) {
        if self.nodes.len() >= NODES_MAX {
            return;
        }
        let id = self.join_node();
        self.says(format!("node {id} waits to be added"));
        self.admin_wants(format!("CFG NODE ADD {id} 10.9.9.{id}:26379"));
    }

    pub(super) fn remove_node(&mut self, id: NodeId) {
        if !self.core.log.is_member(id) || self.is_to_go(id) {
            return;
        }
        self.says(format!("node {id} is to be removed"));
        self.admin_wants(format!("CFG NODE REMOVE {id}"));
        if self.core.chance.permille(500) {
            self.add_node();
        }
    }

    /// Removed nodes that hear so end themselves.
    pub(crate) fn retire_nodes(&mut self) {
        let Some(leader) = self.core.log.leader else { return };
        for id in 1..=self.core.net.nodes {
            let node = &self.nodes[id as usize - 1];
            let stranger = !self.core.log.is_member(id) && !self.core.net.waiting.contains(&id);
            if stranger && node.running && self.core.net.in_contact(leader, id) {
                self.core.coverage.mark("node: a removed one ends itself");
                self.end_node(id);
                self.nodes[id as usize - 1].gone = true;
            }
        }
    }

    /// Clients of a node lose their connections, which it lives through.
    pub(super) fn cut_clients(&mut self, id: NodeId) {
        self.says(format!("the clients of node {id} lose their connections"));
        self.clients_lost(id);
    }
}
