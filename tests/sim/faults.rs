//! What goes wrong. What kind and when is decided before the run, to whom when it happens.

mod instances;

use cfgserver::model::NodeId;

use crate::core::{Core, START};
use crate::event::Event;
use crate::redis::Index;
use crate::world::World;

/// A fault, or its end.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    NodeCrash,
    LeaderCrash,
    NodePause,
    LeaderPause,
    /// One node on one side, the others on the other.
    IsolateNode,
    IsolateLeader,
    /// One direction only.
    OneWay,
    /// Two halves that one node reaches both.
    Bridge,
    /// A node does not reach some instances.
    NodeFromServers,
    /// No node reaches an instance, which its replicas do.
    ServerFromNodes,
    /// An instance does not reach its replicas.
    ServerFromServers,
    /// The primary together with a minority of nodes.
    PrimaryWithMinority,
    Heal,
    PrimaryCrash,
    ServerCrash,
    PrimaryHang,
    ServerHang,
    PrimaryFlap,
    PrimaryEmptied,
    PrimaryAndLeader,
    AllServersCrash,
    HostDown,
    ServerUp {
        who: Index,
        keeps_data: bool,
    },
    HostUp {
        who: Index,
    },
    ServerWakes,
    ClockJump,
    ByHand,
    Foreign,
}

/// Every kind that is drawn.
pub(crate) const KINDS: &[(Fault, &str)] = &[
    (Fault::NodeCrash, "fault: node crash"),
    (Fault::LeaderCrash, "fault: leader crash"),
    (Fault::NodePause, "fault: node pause"),
    (Fault::LeaderPause, "fault: leader pause"),
    (Fault::IsolateNode, "fault: node isolated"),
    (Fault::IsolateLeader, "fault: leader isolated"),
    (Fault::OneWay, "fault: one-way loss"),
    (Fault::Bridge, "fault: bridge"),
    (Fault::NodeFromServers, "fault: node cut from instances"),
    (Fault::ServerFromNodes, "fault: instance cut from nodes"),
    (Fault::ServerFromServers, "fault: instance cut from instances"),
    (Fault::PrimaryWithMinority, "fault: primary with a minority"),
    (Fault::PrimaryCrash, "fault: primary crash"),
    (Fault::PrimaryCrash, "fault: primary crash"),
    (Fault::PrimaryCrash, "fault: primary crash"),
    (Fault::ServerCrash, "fault: replica crash"),
    (Fault::PrimaryHang, "fault: primary hang"),
    (Fault::ServerHang, "fault: replica hang"),
    (Fault::PrimaryFlap, "fault: primary flap"),
    (Fault::PrimaryEmptied, "fault: primary emptied"),
    (Fault::PrimaryAndLeader, "fault: primary and leader"),
    (Fault::AllServersCrash, "fault: all instances crash"),
    (Fault::HostDown, "fault: host down"),
    (Fault::ClockJump, "fault: clock jump"),
    (Fault::ByHand, "fault: moved by hand"),
    (Fault::Foreign, "fault: foreign instance"),
];

impl World {
    pub(crate) fn plan_faults(&mut self) {
        let core = &mut self.core;
        let (from, until) = (core.settings.calm_ms, core.settings.calm_ms + core.settings.chaos_ms);
        for _ in 0..core.settings.faults {
            let at = START + core.chance.within(from, until);
            let (fault, name) = core.chance.pick(KINDS).clone();
            // Marked when drawn: each of them acts.
            core.coverage.mark(name);
            core.push(at, Event::Fault(fault));
        }
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        if self.core.quiet && !matches!(fault, Fault::ServerUp { .. }) {
            return;
        }
        let any_node = self.core.chance.within(1, self.core.settings.nodes);
        let leader = self.core.log.leader.unwrap_or(any_node);
        let group = self.core.chance.index(self.core.settings.groups.len());
        let primary = self.primary_of(group);
        let any_server = self.member_of(group);
        match fault {
            Fault::NodeCrash => self.crash_node(any_node),
            Fault::LeaderCrash => self.crash_node(leader),
            Fault::NodePause => self.pause_node(any_node),
            Fault::LeaderPause => self.pause_node(leader),
            Fault::IsolateNode => self.isolate(any_node),
            Fault::IsolateLeader => self.isolate(leader),
            Fault::OneWay => self.one_way(any_node),
            Fault::Bridge => self.bridge(any_node),
            Fault::NodeFromServers => {
                let node = if self.core.chance.permille(500) {
                    leader
                } else {
                    any_node
                };
                self.cut_node_from_servers(node);
            }
            Fault::ServerFromNodes => self.cut_server_from_nodes(primary.unwrap_or(any_server)),
            Fault::ServerFromServers => self.cut_server_from_servers(any_server),
            Fault::PrimaryWithMinority => self.primary_with_minority(primary.unwrap_or(any_server), any_node),
            Fault::Heal => self.heal(),
            Fault::PrimaryCrash => self.crash_server(primary.unwrap_or(any_server), true),
            Fault::ServerCrash => {
                let keeps = self.core.chance.permille(700);
                self.crash_server(any_server, keeps);
            }
            Fault::PrimaryHang => self.hang(primary.unwrap_or(any_server)),
            Fault::ServerHang => self.hang(any_server),
            Fault::PrimaryFlap => self.flap(primary.unwrap_or(any_server)),
            Fault::PrimaryEmptied => self.empty(primary.unwrap_or(any_server)),
            Fault::PrimaryAndLeader => {
                self.crash_server(primary.unwrap_or(any_server), true);
                self.crash_node(leader);
            }
            Fault::AllServersCrash => self.crash_all(group),
            Fault::HostDown => self.host_down(any_server),
            Fault::ServerUp { who, keeps_data } => self.start_server(who, keeps_data),
            Fault::HostUp { who } => self.host_up(who),
            Fault::ServerWakes => self.streams(),
            Fault::ClockJump => self.clock_jump(any_node),
            Fault::ByHand => self.by_hand(group),
            Fault::Foreign => self.foreign(any_server),
        }
        self.core.drain_fleet();
    }

    /// The committed primary of a group.
    pub(crate) fn primary_of(&self, group: usize) -> Option<Index> {
        let state = self.core.log.state();
        let group = state.group_named(crate::world::group_name(group).as_str())?;
        self.core.server_at(group.primary)
    }

    fn member_of(&mut self, group: usize) -> Index {
        let own: Vec<Index> = (0..self.core.fleet.servers.len())
            .filter(|who| {
                self.core.fleet.servers[*who]
                    .address
                    .ip
                    .to_string()
                    .starts_with(&format!("10.0.{group}."))
            })
            .collect();
        *self.core.chance.pick(&own)
    }

    fn says(&mut self, what: String) {
        self.core.tell("fault", || what);
    }

    fn name(&self, who: Index) -> String {
        self.core.fleet.servers[who].name.clone()
    }

    fn crash_node(&mut self, id: NodeId) {
        let up = self.nodes[id as usize - 1].running;
        if !up {
            return;
        }
        self.nodes[id as usize - 1].stop(&mut self.core);
        self.clients_lost(id);
        if self.core.chance.permille(400) {
            // The tail of what it had applied was not on disk yet.
            let node = &mut self.nodes[id as usize - 1];
            node.applied = node.applied.saturating_sub(self.core.chance.index(4)).max(2);
        }
        let ms = self.core.chance.within(100, 8_000);
        self.core.after(ms, Event::NodeStarts { node: id });
    }

    fn pause_node(&mut self, id: NodeId) {
        let node = &mut self.nodes[id as usize - 1];
        if !node.running || node.paused_until > 0 {
            return;
        }
        let ms = self.core.chance.within(60, 6_000);
        let until = self.core.now + ms;
        self.core.push(until, Event::NodeResumed { node: id });
        node.pause(&mut self.core, until);
    }

    fn heal_later(&mut self) {
        let longest_ms = *self.core.chance.pick(&[2_000, 9_000, 9_000, 20_000]);
        let ms = self.core.chance.within(300, longest_ms);
        self.core.after(ms, Event::Fault(Fault::Heal));
    }

    fn isolate(&mut self, id: NodeId) {
        self.says(format!("node {id} is cut off from the other nodes"));
        for other in 1..=self.core.settings.nodes {
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

    fn cut_all_servers(&mut self, id: NodeId) {
        for server in 0..self.core.fleet.servers.len() {
            self.core.net.cut_to.insert((id, server));
            self.core.net.cut_from.insert((id, server));
        }
    }

    fn one_way(&mut self, id: NodeId) {
        let outgoing = self.core.chance.permille(500);
        self.says(format!("node {id}: one way lost (outgoing: {outgoing})"));
        for other in (1..=self.core.settings.nodes).filter(|other| *other != id) {
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

    fn bridge(&mut self, id: NodeId) {
        self.says(format!("only node {id} reaches all nodes"));
        let others: Vec<NodeId> = (1..=self.core.settings.nodes).filter(|other| *other != id).collect();
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

    fn cut_node_from_servers(&mut self, id: NodeId) {
        self.says(format!("node {id} is cut off from some instances"));
        for server in 0..self.core.fleet.servers.len() {
            if self.core.chance.permille(600) {
                self.core.net.cut_to.insert((id, server));
                self.core.net.cut_from.insert((id, server));
            }
        }
        self.heal_later();
    }

    fn cut_server_from_nodes(&mut self, who: Index) {
        let name = self.name(who);
        self.says(format!("{name} is cut off from all nodes"));
        for node in 1..=self.core.settings.nodes {
            self.core.net.cut_to.insert((node, who));
            self.core.net.cut_from.insert((node, who));
        }
        self.heal_later();
    }

    fn cut_server_from_servers(&mut self, who: Index) {
        let name = self.name(who);
        self.says(format!("{name} is cut off from other instances"));
        for other in (0..self.core.fleet.servers.len()).filter(|other| *other != who) {
            self.core.fleet.cut.push((who.min(other), who.max(other)));
        }
        self.streams();
        self.heal_later();
    }

    fn primary_with_minority(&mut self, who: Index, id: NodeId) {
        let name = self.name(who);
        self.says(format!("{name} and node {id} are cut off from the rest"));
        for node in (1..=self.core.settings.nodes).filter(|node| *node != id) {
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

    pub(crate) fn heal(&mut self) {
        self.says("the network is whole again".to_owned());
        self.core.net.heal();
        self.core.fleet.cut.clear();
        self.streams();
        self.core.topology_changed();
        self.core.release_held();
    }

    fn streams(&mut self) {
        let now = self.core.now;
        self.core.fleet.look_at_streams(now);
    }

    /// The faults are over: everything that can be is whole again.
    pub(crate) fn make_quiet(&mut self) {
        self.core.tell("world", || "the faults are over".to_owned());
        self.heal();
        self.core.quiet = true;
        for id in 1..=self.core.settings.nodes {
            let node = &mut self.nodes[id as usize - 1];
            if node.paused_until > 0 {
                node.paused_until = self.core.now;
                node.resume(&mut self.core);
            }
            if !self.nodes[id as usize - 1].running {
                self.nodes[id as usize - 1].start(&mut self.core);
            }
        }
        for who in 0..self.core.fleet.servers.len() {
            self.core.fleet.servers[who].hung_until = 0;
            if !self.core.fleet.servers[who].host_up {
                self.host_up(who);
            } else if !self.core.fleet.servers[who].running && self.core.chance.permille(850) {
                self.start_server(who, true);
            }
        }
        self.streams();
        self.core.drain_fleet();
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
