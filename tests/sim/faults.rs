//! What goes wrong. What kind and when is decided before the run, to whom when it happens.

mod instances;
mod network;
mod nodes;
mod traps;

use cfgserver::model::NodeId;

use crate::core::START;
use crate::event::Event;
use crate::redis::Index;
use crate::world::World;

pub(crate) use traps::Trap;

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
    /// Who has just been given leadership reaches no instance any more either.
    NewLeaderFromServers,
    /// No node reaches an instance, which its replicas do.
    ServerFromNodes,
    /// An instance does not reach its replicas.
    ServerFromServers,
    /// The primary together with a minority of nodes.
    PrimaryWithMinority,
    /// A node that was cut off from a primary is cut off from the other nodes as well.
    NodeFaded {
        node: NodeId,
        primary: Index,
    },
    PrimaryFollows {
        primary: Index,
    },
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
    /// A client deletes everything; then the primary is cut off from its replicas, and dies.
    Flush,
    CutFromReplicas {
        who: Index,
    },
    /// A primary restarts and loads for long.
    SlowLoading,
    SlowDisk,
    DiskWell {
        node: NodeId,
    },
    FailingDisk,
    /// A node loses its disk.
    WipedDisk,
    /// An empty node in the place of one that lost its disk.
    Replace {
        node: NodeId,
    },
    NodeAdded,
    NodeRemoved,
    LeaderRemoved,
    ClientsCut,
    /// Something waits for a moment of the next failover.
    Trap,
    Sprung(Trap),
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
    (Fault::Flush, "fault: flushed"),
    (Fault::SlowLoading, "fault: slow loading"),
    (Fault::SlowDisk, "fault: slow disk"),
    (Fault::FailingDisk, "fault: failing disk"),
    (Fault::WipedDisk, "fault: wiped disk"),
    (Fault::NodeAdded, "fault: node added"),
    (Fault::NodeRemoved, "fault: node removed"),
    (Fault::LeaderRemoved, "fault: leader removed"),
    (Fault::ClientsCut, "fault: connections of clients cut"),
    (Fault::Trap, "fault: trap"),
    (Fault::Trap, "fault: trap"),
    (Fault::Trap, "fault: trap"),
    (Fault::Trap, "fault: trap"),
];

/// What should be reached besides.
pub(crate) fn moments() -> impl Iterator<Item = &'static str> {
    traps::names()
}

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
        if self.core.quiet && !matches!(fault, Fault::ServerUp { .. } | Fault::Replace { .. }) {
            return;
        }
        let any_node = self.core.chance.within(1, self.core.net.nodes);
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
                match primary.filter(|_| self.core.chance.permille(500)) {
                    Some(primary) => self.fade(node, group, primary),
                    None => self.cut_node_from_servers(node),
                }
            }
            Fault::NewLeaderFromServers => {
                self.says(format!("node {leader} is cut off from all instances"));
                self.cut_all_servers(leader);
                self.heal_later();
            }
            Fault::ServerFromNodes => self.cut_server_from_nodes(primary.unwrap_or(any_server)),
            Fault::ServerFromServers => self.cut_server_from_servers(any_server),
            Fault::PrimaryWithMinority => self.primary_with_minority(primary.unwrap_or(any_server), any_node),
            Fault::NodeFaded { node, primary } => self.faded(node, primary),
            Fault::PrimaryFollows { primary } => self.crash_server(primary, true),
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
            Fault::CutFromReplicas { who } => self.cut_from_replicas(who),
            Fault::Flush => self.flush(primary.unwrap_or(any_server)),
            Fault::SlowLoading => self.slow_loading(primary.unwrap_or(any_server)),
            Fault::SlowDisk => {
                let at_leader = self.core.chance.permille(400);
                self.slow_disk(if at_leader { leader } else { any_node });
            }
            Fault::DiskWell { node } => self.disk_well(node),
            Fault::FailingDisk => self.failing_disk(any_node),
            Fault::WipedDisk => self.wipe_node(any_node),
            Fault::Replace { node } => self.replace_node(node),
            Fault::NodeAdded => self.add_node(),
            Fault::NodeRemoved => self.remove_node(any_node),
            Fault::LeaderRemoved => self.remove_node(leader),
            Fault::ClientsCut => self.cut_clients(any_node),
            Fault::Trap => self.set_trap(group, primary.unwrap_or(any_server)),
            Fault::Sprung(trap) => self.sprung(trap, leader),
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

    /// The faults are over: everything that can be is whole again.
    pub(crate) fn make_quiet(&mut self) {
        self.core.tell("world", || "the faults are over".to_owned());
        self.heal();
        self.core.quiet = true;
        for id in 1..=self.core.net.nodes {
            self.core.slow_disk(id, 0);
            let node = &mut self.nodes[id as usize - 1];
            if node.paused_until > 0 {
                node.paused_until = self.core.now;
                node.resume(&mut self.core);
            }
            let node = &self.nodes[id as usize - 1];
            if !node.running && !node.gone {
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
