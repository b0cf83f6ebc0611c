//! No failover is opened by itself with fewer than the group's quorum of nodes that, of late, judged that very primary
//! Down; nor while a majority of them has seen it Up for longer than an old vote can count.
//!
//! Two ways in have rules of their own: a primary that says that it is a replica (one node's word is enough), and one
//! that came back empty.

use cfgserver::model::{FailoverKind, Group, NodeId, Role, Sighting, Verdict};

use super::{Invariant, NodeScene, Scene, nodes};
use crate::fact::Fact;

/// A vote counts for this long after it was refreshed, and before that it travelled.
const LATELY_MS: u64 = 1_500 + 800;
/// INFO of a primary that says that it is a replica is at most this old when a failover is opened for that.
const SAID_MS: u64 = 2_000;

#[derive(Default)]
pub(super) struct Quorum;

impl Invariant for Quorum {
    fn name(&self) -> &'static str {
        "a failover is opened by a quorum of votes"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        let Fact::Opening {
            node: leader,
            group,
            kind: FailoverKind::Automatic,
            votes,
            applied,
            ..
        } = fact
        else {
            return Ok(());
        };
        let Some(group) = applied.group(*group) else {
            return Ok(());
        };
        if says_replica(scene, *leader, group) {
            return Ok(());
        }
        if *votes < group.config.quorum {
            return Err(format!("{}: {votes} votes of {}", group.name, group.config.quorum));
        }
        // What arrived while the leader stood still is read when it goes on.
        let leader_paused_ms = scene.node(*leader).paused_ms;
        scene.judges(self.name());
        let lately = |node: &NodeScene| {
            let at = scene.judged_down_at(node.id, group.id, group.primary);
            let judged = at.is_some_and(|at| scene.now() - at < LATELY_MS + node.paused_ms + leader_paused_ms);
            // One that could not say so for longer than a vote counts does not count, whatever it thinks.
            if scene.mute_ms(node.id, *leader) > LATELY_MS + leader_paused_ms {
                return false;
            }
            // Another life of it may have thought so.
            judged || !node.running || scene.now() - node.started_at < LATELY_MS
        };
        let judged = nodes(scene).filter(lately).count() as u32;
        if judged < group.config.quorum {
            return Err(format!(
                "{}: {judged} nodes judged so of {}",
                group.name, group.config.quorum
            ));
        }
        let switched_at = group.switches.last().map_or(0, |last| last.at.0);
        let switched_ms = applied.header().now.0.saturating_sub(switched_at);
        let up = |node: &NodeScene| {
            let seen = scene.sighting(node.id, group.id, group.primary);
            let settled = node.paused_ms == 0 && scene.settled_ms() > LATELY_MS;
            let heard = scene.in_contact(*leader, node.id);
            let fresh = |seen: Sighting| seen.verdict == Verdict::Up && scene.now() - seen.watched_since.0 > LATELY_MS;
            // One that is behind votes about the time before the last switch.
            let key = node.state.group(group.id).map(|known| known.vote_key());
            let same = key.as_ref() == Some(&group.vote_key()) && switched_ms > LATELY_MS;
            same && settled && heard && !lately(node) && seen.is_some_and(fresh)
        };
        let electorate: Vec<_> = applied.electorate().collect();
        let up = nodes(scene)
            .filter(|node| electorate.contains(&node.id))
            .filter(up)
            .count();
        if up * 2 > electorate.len() {
            return Err(format!("{}: {up} nodes see its primary up", group.name));
        }
        Ok(())
    }
}

/// The primary is a replica, or said so when the leader asked last: it may be a primary again by the decision of another
/// leader, whose commands this one has not heard of yet.
fn says_replica(scene: &dyn Scene, leader: NodeId, group: &Group) -> bool {
    if scene
        .server_at(group.primary)
        .is_some_and(|server| !server.is_primary())
    {
        return true;
    }
    let seen = scene.sighting(leader, group.id, group.primary);
    let fresh = |seen: &Sighting| seen.facts_at.is_some_and(|at| scene.now() - at.0 <= SAID_MS);
    let facts = seen.filter(fresh).and_then(|seen| seen.facts);
    facts.is_some_and(|facts| facts.role == Role::Replica)
}
