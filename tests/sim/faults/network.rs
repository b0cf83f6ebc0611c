//! What goes wrong between hosts.

use cfgserver::model::NodeId;

use super::Fault;
use crate::core::Core;
use crate::event::Event;
use crate::redis::Index;
use crate::world::World;

impl World {
    pub(super) fn heal_later(&mut self) {
        let longest_ms = *self.core.chance.pick(&[2_000, 9_000, 9_000, 20_000]);
        let ms = self.core.chance.within(300, longest_ms);
        self.core.after(ms, Event::Fault(Fault::Heal));
    }

    pub(super) fn isolate(&mut self, id: NodeId) {
        self.says(format!("node {id} is cut off from the other nodes"));
        for other in 1..=self.core.net.nodes {
            if other != id {
                self.core.net.cut.insert((id, other));
                self.core.net.cut.insert((other, id));
            }
        }
        if self.core.chance.permille(300) {
            self.cut_all_servers(id);
        }
        self.core.topology_changed();
        self.heal_later();
    }

    pub(super) fn cut_all_servers(&mut self, id: NodeId) {
        for server in 0..self.core.fleet.servers.len() {
            self.core.net.cut_to.insert((id, server));
            self.core.net.cut_from.insert((id, server));
        }
    }

    pub(super) fn one_way(&mut self, id: NodeId) {
        let outgoing = self.core.chance.permille(500);
        self.says(format!("node {id}: one way lost (outgoing: {outgoing})"));
        for other in (1..=self.core.net.nodes).filter(|other| *other != id) {
            let pair = if outgoing { (id, other) } else { (other, id) };
            if self.core.chance.permille(700) {
                self.core.net.cut.insert(pair);
            }
        }
        for server in 0..self.core.fleet.servers.len() {
            if self.core.chance.permille(300) {
                if outgoing {
                    self.core.net.cut_to.insert((id, server));
                } else {
                    self.core.net.cut_from.insert((id, server));
                }
            }
        }
        self.core.topology_changed();
        self.heal_later();
    }

    pub(super) fn bridge(&mut self, id: NodeId) {
        self.says(format!("only node {id} reaches all nodes"));
        let others: Vec<NodeId> = (1..=self.core.net.nodes).filter(|other| *other != id).collect();
        for one in &others {
            for other in &others {
                if one % 2 != other % 2 {
                    self.core.net.cut.insert((*one, *other));
                }
            }
        }
        self.core.topology_changed();
        self.heal_later();
    }

    pub(super) fn cut_node_from_servers(&mut self, id: NodeId) {
        self.says(format!("node {id} is cut off from some instances"));
        for server in 0..self.core.fleet.servers.len() {
            if self.core.chance.permille(600) {
                self.core.net.cut_to.insert((id, server));
                self.core.net.cut_from.insert((id, server));
            }
        }
        self.heal_later();
    }

    pub(super) fn cut_server_from_nodes(&mut self, who: Index) {
        let name = self.name(who);
        self.says(format!("{name} is cut off from all nodes"));
        for node in 1..=self.core.net.nodes {
            self.core.net.cut_to.insert((node, who));
            self.core.net.cut_from.insert((node, who));
        }
        self.heal_later();
    }

    pub(super) fn cut_server_from_servers(&mut self, who: Index) {
        let name = self.name(who);
        self.says(format!("{name} is cut off from other instances"));
        for other in (0..self.core.fleet.servers.len()).filter(|other| *other != who) {
            self.core.fleet.cut.push((who.min(other), who.max(other)));
        }
        self.streams();
        self.heal_later();
    }

    pub(super) fn primary_with_minority(&mut self, who: Index, id: NodeId) {
        let name = self.name(who);
        self.says(format!("{name} and node {id} are cut off from the rest"));
        for node in (1..=self.core.net.nodes).filter(|node| *node != id) {
            self.core.net.cut.insert((id, node));
            self.core.net.cut.insert((node, id));
            self.core.net.cut_to.insert((node, who));
            self.core.net.cut_from.insert((node, who));
        }
        for server in (0..self.core.fleet.servers.len()).filter(|server| *server != who) {
            self.core.net.cut_to.insert((id, server));
            self.core.net.cut_from.insert((id, server));
            self.core.fleet.cut.push((who.min(server), who.max(server)));
        }
        self.core.topology_changed();
        self.streams();
        self.heal_later();
    }

    /// A host goes bit by bit, and then what stands beside it: whoever voted last is not there when votes are counted.
    pub(super) fn fade(&mut self, id: NodeId, group: usize, primary: Index) {
        self.core.coverage.mark("fault: node fades");
        let name = self.name(primary);
        self.says(format!("node {id} fades: it is cut off from {name}"));
        self.core.net.cut_to.insert((id, primary));
        self.core.net.cut_from.insert((id, primary));
        let ms = self.core.settings.groups[group].down_after_ms + self.core.chance.within(200, 1_000);
        self.core
            .after(ms, Event::Fault(Fault::NodeFaded { node: id, primary }));
    }

    pub(super) fn faded(&mut self, id: NodeId, primary: Index) {
        if self.core.chance.permille(500) {
            self.crash_node(id);
            self.heal_later();
        } else {
            self.isolate(id);
        }
        let ms = self.core.chance.within(1_500, 4_000);
        self.core.after(ms, Event::Fault(Fault::PrimaryFollows { primary }));
    }

    pub(crate) fn heal(&mut self) {
        self.says("the network is whole again".to_owned());
        self.core.net.heal();
        self.core.fleet.cut.clear();
        self.streams();
        self.core.topology_changed();
        self.core.release_held();
    }

    pub(super) fn streams(&mut self) {
        let now = self.core.now;
        self.core.fleet.look_at_streams(now);
    }
}

impl Core {
    /// Bytes wait in the socket of a node until the network is whole again.
    pub(crate) fn hold(&mut self, event: Event) {
        self.held.push(event);
    }

    fn release_held(&mut self) {
        for event in std::mem::take(&mut self.held) {
            if self.chance.permille(600) {
                let ms = self.chance.within(1, 3_000);
                self.coverage.mark("fault: held order delivered after all");
                self.after(ms, event);
            }
        }
    }
}
