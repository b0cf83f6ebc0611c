//! The best replica is promoted: never one of priority 0; of those that the leader sees in good standing none with a
//! better priority, and none with as good a one that has more of the data.

use cfgserver::machine::{Command, Outcome};
use cfgserver::model::{Address, Facts, FailoverKind, Group, Lineage, LinkState, NodeId, Verdict};

use super::{Invariant, Scene, nodes};
use crate::fact::Fact;
use crate::redis::Server;

/// Who lost its primary so long ago, and not longer, has as much as it will ever have, and may be promoted.
const LOST_MS: std::ops::Range<u64> = 1_000..5_000;
/// The leader has known for so long what it chose by.
const KNOWN_MS: u64 = 300;

#[derive(Default)]
pub(super) struct Chosen {
    /// This world tells what leaders propose. When that is committed the leader may long have been cut off, and the world
    /// another; but where nobody tells it earlier, that is when it is judged.
    tells_openings: bool,
}

impl Invariant for Chosen {
    fn name(&self) -> &'static str {
        "the best replica is chosen"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        let (leader, group, kind, candidate, before) = match fact {
            Fact::Opening {
                node,
                group,
                kind,
                candidate,
                applied,
                ..
            } => {
                self.tells_openings = true;
                (Some(*node), group, kind, candidate, applied)
            }
            Fact::Committed {
                command,
                outcome: Outcome::Done { .. },
                before,
                ..
            } if !self.tells_openings => match command.as_ref() {
                Command::OpenFailover {
                    group, kind, candidate, ..
                } => (leader(scene), group, kind, candidate, before),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        let Some(group) = before.group(*group) else {
            return Ok(());
        };
        // A primary that was demoted behind our back gets its role back, whatever its priority.
        match scene.server_at(*candidate) {
            Some(server) if *candidate != group.primary => self.judge(scene, leader, group, *kind, server),
            _ => Ok(()),
        }
    }
}

impl Chosen {
    fn judge(
        &self,
        scene: &dyn Scene,
        leader: Option<NodeId>,
        group: &Group,
        kind: FailoverKind,
        chosen: &Server,
    ) -> Result<(), String> {
        // A master does not tell its priority.
        if chosen.priority == 0 && !chosen.is_primary() {
            return Err(format!("{} has priority 0", chosen.name));
        }
        // Who failed as a candidate is passed over for a while.
        let Some(leader) = leader.filter(|_| kind == FailoverKind::Automatic && group.abort.is_none()) else {
            return Ok(());
        };
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

fn leader(scene: &dyn Scene) -> Option<NodeId> {
    let mut leading = nodes(scene).filter(|node| node.running && node.leads == scene.led_term());
    leading.next().filter(|node| node.leads.is_some()).map(|node| node.id)
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
        let same = facts.is_some_and(|facts| {
            let itself = facts.run_id == server.run_id() && facts.replica_offset == server.offset;
            itself && !copied_other_data(group, address, facts)
        });
        sighting.verdict == Verdict::Up && sighting.link == LinkState::Connected && fresh && same
    });
    on_record && able && cut_off && !server.link_up() && !server.syncing() && known
}

/// Its data descends neither from what it had when it was put on record nor from the primary's.
fn copied_other_data(group: &Group, address: Address, facts: &Facts) -> bool {
    let on_record = [group.members.get(&address), group.primary_member()];
    let known: Vec<&Lineage> = on_record
        .into_iter()
        .flatten()
        .filter_map(|member| member.lineage.as_ref())
        .collect();
    let its = facts.lineage.as_ref();
    !known.is_empty() && its.is_some_and(|its| !known.iter().any(|known| known.related(its)))
}
