//! Raft's membership, and its disks: a change is an entry that a majority of both memberships has, and nothing is
//! committed before a majority of disks has it.

use std::collections::BTreeMap;

use cfgserver::model::{Node, NodeId, NodeRole, Term};

use super::{Log, Origin, Pending};
use crate::core::Core;
use crate::event::Event;

/// All nodes of the cluster.
pub(crate) type Members = BTreeMap<NodeId, Node>;

impl Log {
    /// As Raft has it; the replicated state hears of it later.
    pub(crate) fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        voters(&self.members)
    }

    pub(crate) fn is_member(&self, node: NodeId) -> bool {
        self.members.contains_key(&node)
    }

    /// A change of the membership waits for its commit.
    pub(crate) fn is_reshaping(&self) -> bool {
        self.tail.iter().any(|pending| pending.members.is_some())
    }
}

fn voters(members: &Members) -> impl Iterator<Item = NodeId> + '_ {
    let voter = members.iter().filter(|(_, node)| node.role == NodeRole::Voter);
    voter.map(|(id, _)| *id)
}

impl Core {
    /// A majority of the voters runs and hears the node, which is one of them.
    pub(crate) fn has_majority(&self, node: NodeId) -> bool {
        self.log.resigned != Some(node) && self.has_majority_of(node, &self.log.members)
    }

    pub(super) fn has_majority_of(&self, node: NodeId, members: &Members) -> bool {
        let near = voters(members)
            .filter(|other| self.net.in_contact(node, *other))
            .count();
        let leads = voters(&self.log.members).any(|voter| voter == node);
        leads && near * 2 > voters(members).count()
    }

    /// The leader proposes another membership. False: it does not lead.
    pub(crate) fn reshape(&mut self, term: Term, origin: Origin, members: Members) -> bool {
        if self.log.leader != Some(origin.node) || self.log.term != term || self.log.is_reshaping() {
            return false;
        }
        self.put_in_tail(Pending {
            term,
            origin: None,
            entry: None,
            members: Some(members),
            ready_at: 0,
        });
        true
    }

    /// It is in the leader's log; it is ready when enough disks have it.
    pub(super) fn put_in_tail(&mut self, mut pending: Pending) {
        let mut ms = self.disks_ms();
        if !self.quiet && self.chance.permille(self.settings.slow_commit_permille) {
            ms += self.chance.within(20, 1_500);
            self.coverage.mark("log: slow commit");
        }
        let before = self.log.tail.back().map_or(0, |last| last.ready_at);
        pending.ready_at = (self.now + ms).max(before);
        let (at, term) = (pending.ready_at, pending.term);
        self.log.tail.push_back(pending);
        self.push(at, Event::TryCommit { term });
    }

    /// How long until a majority has written something: each voter after its way and its disk.
    fn disks_ms(&mut self) -> u64 {
        let way_ms = self.delay() * 2;
        if self.log.slow_disks.is_empty() {
            return way_ms;
        }
        let leader = self.log.leader;
        let mut written: Vec<u64> = Vec::new();
        for voter in voters(&self.log.members) {
            let disk_ms = self.log.slow_disks.get(&voter).copied().unwrap_or_default();
            let there = leader.is_some_and(|leader| self.net.in_contact(leader, voter));
            let own_ms = if leader == Some(voter) { 0 } else { way_ms };
            written.push(if there { own_ms + disk_ms } else { u64::MAX });
        }
        written.sort_unstable();
        let majority = written.len() / 2;
        let ms = written.get(majority).copied().filter(|ms| *ms < u64::MAX);
        let ms = ms.unwrap_or(way_ms);
        self.coverage.mark(if ms > way_ms {
            "log: a commit waits for a slow disk"
        } else {
            "log: a commit goes past a slow disk"
        });
        ms
    }

    /// The disk of a node takes so much longer from now on; 0: as long as it should.
    pub(crate) fn slow_disk(&mut self, node: NodeId, ms: u64) {
        if ms == 0 {
            self.log.slow_disks.remove(&node);
        } else {
            self.log.slow_disks.insert(node, ms);
        }
    }

    /// How long the leader takes at most to apply what is committed now: it may be at something else.
    pub(crate) fn leader_applies_ms(&self) -> u64 {
        let disk_ms = self.log.leader.and_then(|leader| self.log.slow_disks.get(&leader));
        2 * disk_ms.copied().unwrap_or_default()
    }

    /// What a membership that was committed changes.
    pub(super) fn reshaped(&mut self) {
        self.coverage.mark("raft: membership changed");
        let text = format!("the members are {:?}", self.log.members.keys());
        self.tell("raft", || text);
        self.log.reshaped = true;
        self.topology_changed();
    }
}
