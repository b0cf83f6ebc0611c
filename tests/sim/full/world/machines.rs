//! What happens to nodes.

use std::net::IpAddr;
use std::time::Duration;

use cfgserver::cli::Founding;
use cfgserver::model::{NodeId, NodeRole};
use cfgserver::net::weather;
use cfgserver::raft::Tuning;
use cfgserver::requests::AdminRequest;

use super::super::clients::MACHINE;
use super::super::disk::Disk;
use super::super::faults::Undo;
use super::super::node::{self, Machine, Parts};
use super::{Condition, World};

/// Nodes that one run has at most.
const MACHINES_MAX: usize = 7;
/// A wall clock is wrong by up to this.
const SKEW_MS: u64 = 30_000;

/// Who there is.
impl World {
    pub(super) fn draw_tuning(&mut self) -> Tuning {
        let usual = Tuning::default();
        Tuning {
            snapshot_every: *self.chance.pick(&[20, 100, usual.snapshot_every, usual.snapshot_every]),
            keep_entries: *self.chance.pick(&[5, 50, usual.keep_entries, usual.keep_entries]),
            ..usual
        }
    }

    pub(super) fn make_machine(&mut self, id: NodeId, founding: Founding, tuning: Tuning) {
        let ledger = self.ledger.clone();
        let parts = Parts {
            founding,
            probed_by: self.settings.probing,
            tuning,
            witness: std::sync::Arc::new(move |id| ledger.witness(id)),
        };
        let disk = Disk::new(*self.chance.pick(&[0, 1, 3, 10]));
        let machine = Machine::new(id, self.chance.next(), disk, parts);
        self.machines.push(machine.clone());
        self.conditions.insert(id, Condition::Up);
        self.sim.host(node::address(id), move || {
            let machine = machine.clone();
            machine.host.clone().run(machine.run())
        });
    }

    fn machine(&self, id: NodeId) -> &Machine {
        &self.machines[id as usize - 1]
    }

    fn is_up(&self, id: NodeId) -> bool {
        self.conditions.get(&id) == Some(&Condition::Up)
    }

    /// The members of the cluster.
    pub(in crate::full) fn members(&self) -> Vec<NodeId> {
        let state = self.ledger.state();
        let members: Vec<NodeId> = state.nodes().keys().copied().collect();
        if members.is_empty() {
            return (1..=self.settings.nodes).collect();
        }
        members
    }

    pub(in crate::full) fn any_member(&mut self) -> NodeId {
        let members = self.members();
        *self.chance.pick(&members)
    }

    /// A node that leads, as it believes.
    pub(in crate::full) fn leader(&self) -> Option<NodeId> {
        let leads = |machine: &&Machine| {
            let process = machine.running();
            process.is_some_and(|process| process.handle.leadership().borrow().me)
        };
        self.machines.iter().find(leads).map(|machine| machine.id)
    }

    pub(in crate::full) fn node_addresses(&self) -> Vec<IpAddr> {
        self.machines.iter().map(|machine| node::address(machine.id)).collect()
    }

    /// All machines but one.
    fn others(&self, id: NodeId) -> Vec<IpAddr> {
        let nodes = self
            .node_addresses()
            .into_iter()
            .filter(|address| *address != node::address(id));
        nodes.chain(self.instance_addresses()).chain([MACHINE]).collect()
    }
}

/// Processes that end and begin.
impl World {
    /// The process is killed, or its machine loses its power; it is back after a while.
    pub(in crate::full) fn goes_down(&mut self, id: NodeId, power: bool, lasts: u64) -> bool {
        if !self.is_up(id) {
            return false;
        }
        let how = if power { "loses its power" } else { "is killed" };
        self.tell("world", &format!("node {id} {how} for {lasts} ms"));
        self.ends(id, power);
        self.later(lasts, Undo::Boot(id));
        true
    }

    fn ends(&mut self, id: NodeId, power: bool) {
        let (at, others) = (node::address(id), self.others(id));
        // The ends of its connections are not heard where nothing is heard of it: never, or not before that is over.
        let mute: Vec<IpAddr> = others
            .iter()
            .copied()
            .filter(|other| power || !weather::is_open((at, *other)))
            .collect();
        for other in &mute {
            self.sim.partition_oneway(at, *other);
        }
        weather::dies(Some(at));
        self.sim.crash(at);
        weather::dies(None);
        for other in &mute {
            self.sim.repair_oneway(at, *other);
        }
        let machine = self.machine(id);
        machine.host.go_on();
        machine.killed();
        // What a process has written is in its kernel.
        let written = machine.disk.volatile();
        let disk = machine.disk.clone();
        let kept = if power { self.chance.index(written + 1) } else { written };
        disk.cut(kept);
        if power {
            let ways: Vec<(IpAddr, IpAddr)> = others.iter().flat_map(|other| [(at, *other), (*other, at)]).collect();
            ways.iter().for_each(|way| weather::cut(*way));
            self.dark.insert(id, ways);
        } else {
            weather::refuse(at, true);
            cfgserver::net::orphan(at, &mute);
        }
        self.conditions.insert(id, Condition::Down);
        self.changed();
    }

    pub(in crate::full) fn boot(&mut self, id: NodeId) {
        if self.conditions.get(&id) != Some(&Condition::Down) {
            return;
        }
        self.tell("world", &format!("node {id} starts"));
        let at = node::address(id);
        weather::refuse(at, false);
        if let Some(ways) = self.dark.remove(&id) {
            ways.into_iter().for_each(|way| self.cuts.restore(way));
            cfgserver::net::forget(at);
        }
        self.conditions.insert(id, Condition::Up);
        self.sim.bounce(at);
    }

    /// It is stopped in good order, and started again.
    pub(in crate::full) fn stops(&mut self, id: NodeId, lasts: u64) -> bool {
        let can = self.is_up(id) && self.machine(id).running().is_some() && !self.machine(id).host.is_stopped();
        if can {
            self.tell("world", &format!("node {id} is stopped for {lasts} ms"));
            self.machine(id).ask_to_stop(lasts);
        }
        can
    }

    /// What processes did by themselves.
    pub(super) fn look_at_processes(&mut self) -> Result<(), String> {
        for id in 1..=self.machines.len() as NodeId {
            let Some(ended) = self.machine(id).take_ended() else {
                continue;
            };
            self.tell(&format!("node {id}"), &ended.why);
            self.ends(id, false);
            let removed = !self.ledger.state().nodes().contains_key(&id) || ended.why.contains("removed");
            if let Some(ms) = ended.back_in_ms {
                self.later(ms, Undo::Boot(id));
            } else if self.machine(id).take_broken() {
                let ms = self.chance.within(100, 2_000);
                self.later(ms, Undo::Boot(id));
            } else if removed || self.machine(id).is_wiped() {
                self.conditions.insert(id, Condition::Gone);
                self.coverage.mark(if removed {
                    "node: removed"
                } else {
                    "node: refused without data"
                });
            } else {
                return Err(format!("node {id} {}", ended.why));
            }
        }
        Ok(())
    }

    pub(in crate::full) fn stands_still(&mut self, id: NodeId, lasts: u64) -> bool {
        let can = self.is_up(id) && !self.machine(id).host.is_stopped();
        if can {
            self.tell("world", &format!("node {id} stands still for {lasts} ms"));
            self.machine(id).stand_still(self.now());
            self.later(lasts, Undo::GoOn(id));
        }
        can
    }

    pub(in crate::full) fn goes_on(&mut self, id: NodeId) {
        if self.machine(id).host.is_stopped() {
            self.tell("world", &format!("node {id} goes on"));
        }
        self.machine(id).go_on(self.now());
    }
}

/// Disks, clocks and links.
impl World {
    pub(in crate::full) fn slow_disk(&mut self, id: NodeId, lasts: u64) -> bool {
        let ms = self.chance.within(100, 1_500);
        self.tell("world", &format!("the disk of node {id} takes {ms} ms for {lasts} ms"));
        self.machine(id).disk.set_pace(ms);
        self.later(lasts, Undo::DiskPace(id));
        true
    }

    pub(in crate::full) fn usual_disk(&mut self, id: NodeId) {
        self.machine(id).disk.usual_pace();
    }

    pub(in crate::full) fn failing_disk(&mut self, id: NodeId) -> bool {
        let can = self.is_up(id);
        if can {
            self.tell("world", &format!("the disk of node {id} fails"));
            self.machine(id).break_disk();
        }
        can
    }

    /// A node comes back with an empty disk: it must not serve, and an operator replaces it.
    pub(in crate::full) fn wiped(&mut self, id: NodeId) -> bool {
        let members = self.members();
        let wiped = self.machines.iter().any(|machine| machine.is_wiped());
        // Copies must remain: it is not known to a node that it has lost something.
        if !self.is_up(id) || wiped || members.len() < 3 || !self.wishes.is_empty() || self.ledger.last().is_none() {
            return false;
        }
        self.goes_down(id, true, 500);
        self.tell("world", &format!("node {id} has lost its disk"));
        self.machine(id).wipe();
        self.wishes.push(AdminRequest::RemoveNode { id });
        true
    }

    pub(in crate::full) fn clock_jump(&mut self, id: NodeId) -> bool {
        let ms = self.chance.within(0, 2 * SKEW_MS) as i64 - SKEW_MS as i64;
        self.tell("world", &format!("the clock of node {id} is {ms} ms off"));
        self.machine(id).set_skew(ms);
        true
    }

    pub(in crate::full) fn slow_links(&mut self, lasts: u64) -> bool {
        let id = self.any_member();
        let most = self.chance.within(50, 800);
        self.tell(
            "world",
            &format!("bytes from and to node {id} take up to {most} ms for {lasts} ms"),
        );
        for other in self.others(id) {
            let most = Duration::from_millis(most);
            self.sim.set_link_max_message_latency(node::address(id), other, most);
        }
        self.later(lasts, Undo::Links);
        true
    }

    pub(in crate::full) fn usual_links(&mut self) {
        let usual = Duration::from_millis(self.settings.delay_ms.1);
        for id in 1..=self.machines.len() as NodeId {
            for other in self.others(id) {
                self.sim.set_link_max_message_latency(node::address(id), other, usual);
            }
        }
    }
}

/// The membership.
impl World {
    pub(in crate::full) fn add_node(&mut self) -> bool {
        if self.machines.len() >= MACHINES_MAX || self.wishes.len() > 1 {
            return false;
        }
        let id = self.machines.len() as NodeId + 1;
        let seed = self.any_member();
        self.tell("world", &format!("node {id} is started to join"));
        let tuning = self.draw_tuning();
        self.make_machine(id, Founding::Join(node::host_port(seed)), tuning);
        self.wishes.push(AdminRequest::AddNode {
            id,
            address: node::host_port(id).to_string(),
        });
        true
    }

    pub(in crate::full) fn remove_node(&mut self, id: NodeId) -> bool {
        let can = self.members().len() >= 3 && self.wishes.is_empty();
        if can {
            self.tell("world", &format!("node {id} shall be removed"));
            self.wishes.push(AdminRequest::RemoveNode { id });
        }
        can
    }

    /// Asks for what is wished and has not come about.
    pub(super) fn wish(&mut self) {
        let state = self.ledger.state();
        let done = |wish: &AdminRequest| match wish {
            AdminRequest::AddNode { id, .. } => state.nodes().get(id).is_some_and(|node| node.role == NodeRole::Voter),
            AdminRequest::RemoveNode { id } => !state.nodes().contains_key(id),
            AdminRequest::TransferLeader { .. } => true,
        };
        self.wishes.retain(|wish| !done(wish));
        if let Some(wish) = self.wishes.first().cloned()
            && let Some(process) = self.leader().and_then(|leader| self.machine(leader).running())
        {
            process.ask(wish);
        }
    }
}
