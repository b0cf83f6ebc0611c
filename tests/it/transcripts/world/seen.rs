//! What the node of a transcript sees of instances and of Sentinels that are not ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfgserver::model::{
    Address, Event, EventKind, Facts, GroupId, InstanceRef, Instant, LinkState, Role, Sighting, Verdict,
};
use cfgserver::requests::{Dials, Foreigners, Sightings};
use cfgserver::sentinel::{Around, publish_around};

use super::{World, lineage, run_id};

#[derive(Default)]
pub(super) struct Seen {
    seen: BTreeMap<(GroupId, Address), Sighting>,
    pub(super) foreigners: Foreigners,
}

impl Sightings for Seen {
    fn sighting(&self, group: GroupId, address: Address) -> Option<Sighting> {
        self.seen.get(&(group, address)).cloned()
    }

    fn foreign_sentinels(&self, group: GroupId, now: Instant) -> Vec<Address> {
        self.foreigners.of(group, &Dials::default(), now)
    }
}

impl World {
    pub(super) fn see_up(&mut self, name: &str, address: &str, announced: bool) {
        let group = self.state.group_named(name).unwrap().clone();
        let address: Address = address.parse().unwrap();
        let primary = (address != group.primary).then_some(group.primary);
        let facts = Facts {
            run_id: run_id(&address.to_string()),
            version: "7.0.15".to_owned(),
            role: if primary.is_none() {
                Role::Primary
            } else {
                Role::Replica
            },
            lineage: Some(lineage()),
            primary_offset: 4096,
            replica_offset: 4096,
            primary,
            primary_host: primary.map(|primary| primary.ip.to_string()).unwrap_or_default(),
            primary_port: primary.map_or(0, |primary| primary.port),
            primary_link_up: primary.is_some(),
            primary_link_down_ms: Some(0),
            sync_in_progress: false,
            priority: 100,
            announced,
            loading: false,
            keys: 3,
            uptime_s: 60,
            failing_over: Some(false),
            replicas: Vec::new(),
            named_replicas: Vec::new(),
        };
        let sighting = Sighting {
            verdict: Verdict::Up,
            link: LinkState::Connected,
            watched_since: self.now,
            ok_reply_at: self.now,
            reply_at: self.now,
            facts: Some(Arc::new(facts)),
            facts_at: Some(self.now),
            info: Some(Arc::from(b"# Server\r\n".as_slice())),
            role_since: self.now,
            ..Sighting::default()
        };
        self.sightings.seen.insert((group.id, address), sighting);
    }

    pub(super) fn see_down(&mut self, name: &str, address: &str) {
        let group = self.state.group_named(name).unwrap().clone();
        let address: Address = address.parse().unwrap();
        let sighting = self.sightings.seen.entry((group.id, address)).or_default();
        sighting.verdict = Verdict::Down { since: self.now };
        sighting.link = LinkState::Disconnected;
        sighting.ping_sent_at = Some(sighting.reply_at);
        let instance = if address == group.primary {
            InstanceRef::Primary {
                group: group.name.clone(),
                address,
            }
        } else {
            InstanceRef::Replica {
                group: group.name.clone(),
                address,
                primary: group.primary,
            }
        };
        let event = Event {
            revision: None,
            group: Some(group.id),
            kind: EventKind::Down(instance),
        };
        let around = Around {
            before: &self.state,
            after: &self.state,
        };
        self.queue.push_back(publish_around(&event, around));
        self.deliver();
    }
}
