//! Who is watched, and how closely: `probe::roster`.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfgserver::model::{Address, Group, GroupId, Instant};

use crate::core::Core;

use super::Node;
use super::probe::Probe;

const ALERT_MS: u64 = 3_000;
const START_EACH_MS: u64 = 1;

/// What the probes of a group go by.
#[derive(Clone)]
pub(super) struct Brief {
    pub(super) group: Arc<Group>,
    pub(super) suspect: bool,
    pub(super) alert_until: Instant,
    pub(super) info_wishes: u64,
}

pub(super) struct Watched {
    pub(super) brief: Brief,
    pub(super) probes: BTreeMap<Address, Probe>,
}

impl Brief {
    pub(super) fn is_alert(&self, now: Instant) -> bool {
        self.suspect || self.group.outage.is_some() || self.group.failover.is_some() || now < self.alert_until
    }
}

impl Node {
    /// Probes fit the published state.
    pub(super) fn follow_state(&mut self, core: &mut Core) {
        let state = self.state.clone();
        let gone: Vec<GroupId> = self
            .roster
            .keys()
            .filter(|id| state.group(**id).is_none())
            .copied()
            .collect();
        for id in gone {
            self.roster.remove(&id);
            self.seen.0.remove(&id);
            self.voter_mark(core, id);
        }
        let mut new = Vec::new();
        for group in state.groups() {
            new.extend(self.brief(core, group).into_iter().map(|address| (group.id, address)));
        }
        let spread_ms = new.len() as u64 * START_EACH_MS;
        for (group, address) in new {
            let begin = core.now + u64::from(address.port) % spread_ms.max(1);
            self.start_probe(core, group, address, begin);
        }
    }

    fn brief(&mut self, core: &mut Core, group: &Arc<Group>) -> Vec<Address> {
        let known = self
            .roster
            .get(&group.id)
            .is_some_and(|watched| Arc::ptr_eq(&watched.brief.group, group));
        if known {
            return Vec::new();
        }
        let watched = self.roster.entry(group.id).or_insert_with(|| Watched {
            brief: Brief {
                group: group.clone(),
                suspect: false,
                alert_until: Instant::default(),
                info_wishes: 0,
            },
            probes: BTreeMap::new(),
        });
        watched.brief.group = group.clone();
        let gone: Vec<Address> = watched
            .probes
            .keys()
            .filter(|address| !group.members.contains_key(address))
            .copied()
            .collect();
        for address in gone {
            watched.probes.remove(&address);
            if let Some(seen) = self.seen.0.get_mut(&group.id) {
                seen.remove(&address);
            }
        }
        let watched = &self.roster[&group.id];
        let new = group
            .members
            .keys()
            .filter(|address| !watched.probes.contains_key(address));
        let new = new.copied().collect();
        self.voter_mark(core, group.id);
        self.advance_all(core, group.id);
        new
    }

    /// Someone wants fresh INFO of a group.
    pub(super) fn hasten(&mut self, core: &mut Core, group: GroupId) {
        let alert_until = Instant(core.now + ALERT_MS);
        if let Some(watched) = self.roster.get_mut(&group) {
            watched.brief.info_wishes += 1;
            watched.brief.alert_until = watched.brief.alert_until.max(alert_until);
        }
        self.advance_all(core, group);
    }
}
