//! The best replica is promoted: never one of priority 0; of those that the leader sees in good standing none with a
//! better priority, and none with as good a one that has more of the data.

use cfgserver::model::{Address, Facts, FailoverKind, Group, LinkState, NodeId, Verdict};

use super::{Invariant, Scene};
use crate::fact::Fact;
use crate::redis::Server;

/// Who lost its primary so long ago, and not longer, has as much as it will ever have, and may be promoted.
const LOST_MS: std::ops::Range<u64> = 1_000..5_000;
/// The leader has known for so long what it chose by.
const KNOWN_MS: u64 = 300;

#[derive(Default)]
pub(super) struct Chosen;

impl Invariant for Chosen {
    fn name(&self) -> &'static str {
        "the best replica is chosen"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        // When it is committed the leader may long have been cut off, and the world another.
        let Fact::Opening {
            node,
            group,
            kind,
            candidate,
            applied,
            ..
        } = fact
        else {
            return Ok(());
        };
        let Some(group) = applied.group(*group) else {
            return Ok(());
        };
        // A primary that was demoted behind our back gets its role back, whatever its priority.
        match scene.server_at(*candidate) {
            Some(server) if *candidate != group.primary => self.judge(scene, *node, group, *kind, server),
            _ => Ok(()),
        }
    }
}

impl Chosen {
    fn judge(
        &self,
        scene: &dyn Scene,
        leader: NodeId,
        group: &Group,
        kind: FailoverKind,
        chosen: &Server,
    ) -> Result<(), String> {
        // A master does not tell its priority.
        if chosen.priority == 0 && !chosen.is_primary() {
            return Err(format!("{} has priority 0", chosen.name));
        }
        // Who failed as a candidate is passed over for a while.
        if kind != FailoverKind::Automatic || group.abort.is_some() {
            return Ok(());
        }
        scene.judges(self.name());
        let rivals = group.replicas().filter_map(|(address, _)| scene.server_at(*address));
        for rival in rivals.filter(|rival| rival.address != chosen.address) {
            if !in_good_standing(scene, leader, group, rival) || rival.lineage != chosen.lineage {
                continue;
            }
            let more = rival.priority == chosen.priority && rival.offset > chosen.offset && !chosen.link_up();
            if rival.priority < chosen.priority || more {
                let seen = |server: &Server| scene.sighting(leader, group.id, server.address);
                return Err(format!(
                    "{} is chosen, priority {} and {} bytes, not {}, priority {} and {} bytes; node {leader} sees {:?} \
                     and {:?}",
                    chosen.name,
                    chosen.priority,
                    chosen.offset,
                    rival.name,
                    rival.priority,
                    rival.offset,
                    seen(chosen),
                    seen(rival)
                ));
            }
        }
        Ok(())
    }
}

/// On record as the process that it is, cut off from nothing but its primary, and known to the leader as it is.
fn in_good_standing(scene: &dyn Scene, leader: NodeId, group: &Group, server: &Server) -> bool {
    let (now, address): (u64, Address) = (scene.now(), server.address);
    let on_record = group.members.get(&address).is_some_and(|member| {
        member.synced && member.quarantine.is_none() && member.run_id.as_ref() == Some(&server.run_id())
    });
    let able = server.alive() && !server.hung(now) && !server.loading(now) && server.keys > 0 && server.priority != 0;
    let cut_off = server.link_lost_at.is_some_and(|at| LOST_MS.contains(&(now - at)));
    let known = scene.sighting(leader, group.id, address).is_some_and(|sighting| {
        let fresh = sighting.facts_at.zip(server.link_lost_at);
        let fresh = fresh.is_some_and(|(at, lost_at)| at.0 >= lost_at && at.0 + KNOWN_MS <= now);
        let facts = sighting.facts.as_ref();
        let same = facts.is_some_and(|facts| facts.run_id == server.run_id() && facts.replica_offset == server.offset);
        let same = same && !facts.is_some_and(|facts| copied_other_data(group, address, facts));
        sighting.verdict == Verdict::Up && sighting.link == LinkState::Connected && fresh && same
    });
    on_record && able && cut_off && !server.link_up() && !server.syncing() && known
}

/// Its data descends neither from what it had when it was put on record nor from the primary's.
fn copied_other_data(group: &Group, address: Address, facts: &Facts) -> bool {
    let on_record = [group.members.get(&address), group.primary_member()];
    let mut known = on_record
        .into_iter()
        .flatten()
        .filter_map(|member| member.lineage.as_ref());
    match &facts.lineage {
        Some(its) => {
            on_record.iter().flatten().any(|member| member.lineage.is_some()) && !known.any(|one| one.related(its))
        }
        None => false,
    }
}
