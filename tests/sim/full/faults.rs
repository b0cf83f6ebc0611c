//! What goes wrong between nodes and with them: which kind and when is drawn before the run, to whom when it happens.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cfgserver::model::NodeId;
use cfgserver::net::weather;

use super::clients::MACHINE;
use super::node;
use super::world::World;

/// A way on which bytes travel.
type Way = (IpAddr, IpAddr);

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    KillLeader,
    PowerCut,
    Stop,
    Restart,
    Pause,
    PauseLeader,
    Isolate,
    IsolateLeader,
    OneWay,
    Bridge,
    NodeFromInstances,
    InstanceFromNodes,
    InstanceFromInstances,
    PrimaryWithMinority,
    ClientsFromNode,
    SlowLinks,
    SlowDisk,
    FailingDisk,
    WipedDisk,
    ClockJump,
    NodeAdded,
    NodeRemoved,
    PrimaryCrash,
    ReplicaCrash,
    PrimaryHang,
    PrimaryFlap,
    PrimaryEmptied,
    PrimaryAndLeader,
    HostDown,
    ReplicaHang,
    MovedByHand,
    Stranger,
}

/// Every kind that is drawn, the likely ones more than once.
pub(super) const KINDS: &[(Fault, &str)] = &[
    (Fault::Kill, "fault: node killed"),
    (Fault::KillLeader, "fault: leader killed"),
    (Fault::KillLeader, "fault: leader killed"),
    (Fault::PowerCut, "fault: power cut"),
    (Fault::Stop, "fault: node stopped"),
    (Fault::Restart, "fault: node restarted"),
    (Fault::Pause, "fault: node pause"),
    (Fault::PauseLeader, "fault: leader pause"),
    (Fault::Isolate, "fault: node isolated"),
    (Fault::IsolateLeader, "fault: leader isolated"),
    (Fault::OneWay, "fault: one-way loss"),
    (Fault::Bridge, "fault: bridge"),
    (Fault::NodeFromInstances, "fault: node cut from instances"),
    (Fault::InstanceFromNodes, "fault: instance cut from nodes"),
    (Fault::InstanceFromInstances, "fault: instance cut from instances"),
    (Fault::PrimaryWithMinority, "fault: primary with a minority"),
    (Fault::ClientsFromNode, "fault: clients cut from a node"),
    (Fault::SlowLinks, "fault: slow links"),
    (Fault::SlowDisk, "fault: slow disk"),
    (Fault::FailingDisk, "fault: failing disk"),
    (Fault::WipedDisk, "fault: wiped disk"),
    (Fault::ClockJump, "fault: clock jump"),
    (Fault::NodeAdded, "fault: node added"),
    (Fault::NodeRemoved, "fault: node removed"),
    (Fault::PrimaryCrash, "fault: primary crash"),
    (Fault::PrimaryCrash, "fault: primary crash"),
    (Fault::PrimaryCrash, "fault: primary crash"),
    (Fault::ReplicaCrash, "fault: replica crash"),
    (Fault::PrimaryHang, "fault: primary hang"),
    (Fault::PrimaryHang, "fault: primary hang"),
    (Fault::PrimaryFlap, "fault: primary flap"),
    (Fault::PrimaryEmptied, "fault: primary emptied"),
    (Fault::PrimaryAndLeader, "fault: primary and leader"),
    (Fault::HostDown, "fault: host down"),
    (Fault::ReplicaHang, "fault: replica hang"),
    (Fault::MovedByHand, "fault: moved by hand"),
    (Fault::Stranger, "fault: stranger"),
];

/// What ends a fault.
#[derive(Clone, Debug)]
pub(super) enum Undo {
    Boot(NodeId),
    GoOn(NodeId),
    Mend(Vec<Way>),
    Links,
    DiskPace(NodeId),
    InstanceUp { who: usize, keeps_data: bool },
    InstanceHost { who: usize },
    Replication,
}

/// Ways that are cut, and by how many faults.
#[derive(Default)]
pub(super) struct Cuts(BTreeMap<Way, u32>);

impl Cuts {
    fn cut(&mut self, ways: &[Way]) {
        for way in ways {
            *self.0.entry(*way).or_default() += 1;
            weather::cut(*way);
        }
    }

    /// A way is what it was before its machine lost its power.
    pub(super) fn restore(&self, way: Way) {
        if !self.0.contains_key(&way) {
            weather::mend(way);
        }
    }

    pub(super) fn mend(&mut self, ways: &[Way]) {
        for way in ways {
            let count = self.0.entry(*way).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(way);
                weather::mend(*way);
            }
        }
    }
}

fn both(one: IpAddr, others: impl IntoIterator<Item = IpAddr>) -> Vec<Way> {
    let others = others.into_iter().filter(|other| *other != one);
    others.flat_map(|other| [(one, other), (other, one)]).collect()
}

impl World {
    /// Draws the faults of the run.
    pub(super) fn plan_faults(&mut self, from: u64, until: u64) {
        for _ in 0..self.settings.faults {
            let at = self.chance.within(from, until);
            let (fault, _) = *self.chance.pick(KINDS);
            self.planned.push((at, fault));
        }
        self.planned.sort_by_key(|(at, _)| *at);
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        let any = self.any_member();
        let leader = self.leader().unwrap_or(any);
        let group = self.chance.index(self.settings.groups.len());
        let primary = self.primary_of(group);
        let lasts = self.chance.within(200, 6_000);
        let name = KINDS
            .iter()
            .find(|(kind, _)| *kind == fault)
            .map_or("fault", |(_, name)| *name);
        let happened = match fault {
            Fault::Kill => self.goes_down(any, false, lasts),
            Fault::KillLeader => self.goes_down(leader, false, lasts),
            Fault::PowerCut => self.goes_down(any, true, lasts),
            Fault::Stop => self.stops(any, lasts),
            Fault::Restart => self.stops(any, 1),
            Fault::Pause => self.stands_still(any, lasts),
            Fault::PauseLeader => self.stands_still(leader, lasts),
            Fault::Isolate => self.isolate(any, lasts),
            Fault::IsolateLeader => self.isolate(leader, lasts),
            Fault::OneWay => {
                let other = self.any_member();
                let way = (node::address(any), node::address(other));
                any != other && self.cut(vec![way], lasts)
            }
            Fault::Bridge => self.bridge(lasts),
            Fault::NodeFromInstances => {
                let one_way = self.chance.permille(300);
                let mut ways = both(node::address(any), self.instance_addresses());
                ways.retain(|(from, _)| !one_way || *from == node::address(any));
                self.cut(ways, lasts)
            }
            Fault::InstanceFromNodes => primary.is_some_and(|who| {
                let address = self.instance_addresses()[who];
                let one_way = self.chance.permille(300);
                let mut ways = both(address, self.node_addresses());
                ways.retain(|(from, _)| !one_way || *from == address);
                self.cut(ways, lasts)
            }),
            Fault::InstanceFromInstances => primary.is_some_and(|who| self.cut_replication(who, lasts)),
            Fault::PrimaryWithMinority => primary.is_some_and(|who| {
                let inside = [self.instance_addresses()[who], node::address(leader)];
                let outside = self.node_addresses().into_iter().chain(self.instance_addresses());
                let outside: Vec<IpAddr> = outside.filter(|address| !inside.contains(address)).collect();
                let ways = inside.iter().flat_map(|one| both(*one, outside.iter().copied()));
                let ways = ways.collect();
                self.cut(ways, lasts)
            }),
            Fault::ClientsFromNode => self.cut(both(node::address(any), [MACHINE]), lasts),
            Fault::SlowLinks => self.slow_links(lasts),
            Fault::SlowDisk => self.slow_disk(any, lasts),
            Fault::FailingDisk => self.failing_disk(any),
            Fault::WipedDisk => self.wiped(any),
            Fault::ClockJump => self.clock_jump(any),
            Fault::NodeAdded => self.add_node(),
            Fault::NodeRemoved => self.remove_node(any),
            Fault::PrimaryCrash => primary.is_some_and(|who| self.crash_instance(who, true, 2 * lasts)),
            Fault::ReplicaCrash => {
                let who = self.any_instance();
                self.crash_instance(who, true, lasts)
            }
            Fault::PrimaryHang => primary.is_some_and(|who| self.hang_instance(who, 2 * lasts)),
            Fault::PrimaryFlap => primary.is_some_and(|who| self.crash_instance(who, true, 150)),
            Fault::PrimaryEmptied => primary.is_some_and(|who| self.crash_instance(who, false, 200)),
            Fault::PrimaryAndLeader => {
                let crashed = primary.is_some_and(|who| self.crash_instance(who, true, lasts));
                self.goes_down(leader, false, lasts) || crashed
            }
            Fault::HostDown => primary.is_some_and(|who| self.instance_host_down(who, lasts)),
            Fault::ReplicaHang => {
                let who = self.any_instance();
                self.hang_instance(who, lasts)
            }
            Fault::MovedByHand => primary.is_some_and(|who| self.moved_by_hand(who)),
            Fault::Stranger => {
                let who = self.any_instance();
                self.stranger(who, lasts)
            }
        };
        if happened {
            self.coverage.mark(name);
            self.changed();
        }
    }

    /// Nothing gets through on these ways for a while.
    fn cut(&mut self, ways: Vec<Way>, lasts: u64) -> bool {
        if ways.is_empty() {
            return false;
        }
        let shown: Vec<String> = ways.iter().map(|(from, to)| format!("{from}->{to}")).collect();
        self.tell("world", &format!("cut for {lasts} ms: {}", shown.join(" ")));
        self.cuts.cut(&ways);
        self.later(lasts, Undo::Mend(ways));
        true
    }

    fn isolate(&mut self, id: NodeId, lasts: u64) -> bool {
        let with_clients = self.chance.permille(500);
        let mut others = self.node_addresses();
        others.extend(with_clients.then_some(MACHINE));
        self.cut(both(node::address(id), others), lasts)
    }

    /// Two halves that one node reaches both.
    fn bridge(&mut self, lasts: u64) -> bool {
        let mut members = self.members();
        if members.len() < 3 {
            return false;
        }
        let middle = members.remove(self.chance.index(members.len()));
        let (left, right) = members.split_at(members.len() / 2);
        self.tell("world", &format!("node {middle} is the bridge"));
        let ways = left.iter().flat_map(|one| {
            let right = right.iter().map(|other| node::address(*other));
            both(node::address(*one), right)
        });
        let ways = ways.collect();
        self.cut(ways, lasts)
    }

    pub(super) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Boot(id) => self.boot(id),
            Undo::GoOn(id) => self.goes_on(id),
            Undo::Mend(ways) => {
                let shown: Vec<String> = ways.iter().map(|(from, to)| format!("{from}->{to}")).collect();
                self.tell("world", &format!("mended: {}", shown.join(" ")));
                self.cuts.mend(&ways);
            }
            Undo::Links => self.usual_links(),
            Undo::DiskPace(id) => self.usual_disk(id),
            Undo::InstanceUp { who, keeps_data } => self.instance_up(who, keeps_data),
            Undo::InstanceHost { who } => self.instance_host_up(who),
            Undo::Replication => self.mend_replication(),
        }
        self.changed();
    }
}
