//! What the nodes of a scenario see of the instances, and how they vote.

use std::collections::BTreeSet;
use std::sync::Arc;

use cfgserver::detect::Tally;
use cfgserver::failover::{self, Scene};
use cfgserver::model::{Address, Group, Instant, LinkState, NodeId, Sighting, Verdict};

use super::server::Server;
use super::world::World;

const INFO_EVERY_MS: u64 = 1_000;

impl World {
    pub(super) fn reaches(&self, node: NodeId, address: Address) -> bool {
        let answers = self.servers.get(&address).is_some_and(Server::answers);
        answers && !self.cut.contains(&(node, address))
    }

    /// What every living node sees of every member.
    pub(super) fn probe(&mut self) {
        let now = self.instant();
        let groups: Vec<Arc<Group>> = self.state.groups().cloned().collect();
        let mut sightings = std::mem::take(&mut self.sightings);
        for node in &self.alive {
            let seen = sightings.entry(*node).or_default();
            for group in &groups {
                for address in group.members.keys() {
                    let sighting = seen.entry(*address).or_insert_with(|| first_sighting(now));
                    let news = self.look(sighting, *node, *address, group);
                    self.news_of_votes |= news.verdict || news.facts;
                    if (news.verdict || news.facts) && *node == self.leader {
                        self.dirty.insert(group.id);
                    }
                }
            }
        }
        self.sightings = sightings;
    }

    fn look(&self, sighting: &mut Sighting, node: NodeId, address: Address, group: &Group) -> News {
        let now = self.instant();
        let before = sighting.verdict;
        let mut facts = false;
        if self.reaches(node, address) {
            let reconnected = sighting.link == LinkState::Disconnected;
            sighting.link = LinkState::Connected;
            sighting.verdict = Verdict::Up;
            sighting.ok_reply_at = now;
            let due = sighting.facts_at.is_none_or(|at| now.since(at) >= INFO_EVERY_MS);
            if reconnected || due {
                let known = sighting.facts.clone();
                self.read_info(sighting, address, now);
                facts = known != sighting.facts;
            }
        } else {
            sighting.link = LinkState::Disconnected;
            if now.since(sighting.ok_reply_at) >= group.config.down_after_ms && !sighting.verdict.is_down() {
                sighting.verdict = Verdict::Down { since: now };
            }
        }
        News {
            verdict: before != sighting.verdict,
            facts,
        }
    }

    fn read_info(&self, sighting: &mut Sighting, address: Address, now: Instant) {
        let facts = self.servers[&address].facts(&self.servers, self.now);
        if sighting.facts.as_ref().is_none_or(|known| known.role != facts.role) {
            sighting.role_since = now;
        }
        sighting.facts = Some(Arc::new(facts));
        sighting.facts_at = Some(now);
    }

    pub(super) fn refresh_info(&mut self, group: &Group) {
        let now = self.instant();
        for address in group.members.keys() {
            if !self.reaches(self.leader, *address) {
                continue;
            }
            let mut sightings = std::mem::take(&mut self.sightings);
            if let Some(sighting) = sightings.get_mut(&self.leader).and_then(|seen| seen.get_mut(address)) {
                self.read_info(sighting, *address, now);
            }
            self.sightings = sightings;
        }
        self.dirty.insert(group.id);
    }

    pub(super) fn tally(&self, group: &Group) -> Tally {
        let mut tally = Tally {
            electorate: u32::try_from(self.state.electorate().count()).unwrap(),
            ..Tally::default()
        };
        for node in &self.alive {
            let Some(seen) = self.sightings.get(node) else { continue };
            match seen.get(&group.primary).map(|sighting| sighting.verdict) {
                Some(Verdict::Down { .. }) => tally.down += 1,
                Some(Verdict::Up) => tally.up += 1,
                _ => {}
            }
            let up = |address: &Address| {
                seen.get(address)
                    .is_some_and(|sighting| sighting.verdict == Verdict::Up)
            };
            let reach = group.replicas().map(|(address, _)| *address).filter(up).collect();
            tally.reach.insert(*node, reach);
            tally.fit.insert(*node, self.fit(*node, group));
        }
        tally
    }

    /// Whom a node would promote if it led.
    fn fit(&self, node: NodeId, group: &Group) -> BTreeSet<Address> {
        if !failover::lacks_candidate(group) {
            return BTreeSet::new();
        }
        let scene = Scene {
            group,
            sightings: &self.sightings[&node],
            tally: &Tally::default(),
            elsewhere: &self.state,
            node,
            wall: self.wall(),
        };
        failover::fit_replicas(&scene, self.instant())
    }

    pub(super) fn count_votes(&mut self) {
        if !std::mem::take(&mut self.news_of_votes) {
            return;
        }
        let groups: Vec<Arc<Group>> = self.state.groups().cloned().collect();
        for group in groups {
            let tally = self.tally(&group);
            if self.votes.get(&group.id) != Some(&tally) {
                self.votes.insert(group.id, tally);
                self.dirty.insert(group.id);
            }
        }
    }
}

/// What changed with a look at an instance.
struct News {
    verdict: bool,
    facts: bool,
}

fn first_sighting(now: Instant) -> Sighting {
    Sighting {
        watched_since: now,
        ok_reply_at: now,
        reply_at: now,
        role_since: now,
        ..Sighting::default()
    }
}
