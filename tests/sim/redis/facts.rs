//! INFO as a node reads it. The text is printed and parsed when anything but its numbers is new; where only numbers
//! moved they are put into what was parsed before.

use std::sync::Arc;

use cfgserver::detect::parse_info;
use cfgserver::model::Facts;

use super::{Fleet, Index, Replica};

/// All of INFO but its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shape {
    starts: u32,
    loading: bool,
    failing_over: bool,
    follows: Option<cfgserver::model::Address>,
    link_up: bool,
    syncing: bool,
    lineage: u32,
    second_lineage: Option<u32>,
    /// Who copies from it, and whether streaming.
    replicas: Vec<(Index, Replica)>,
}

/// What was parsed last of an instance.
#[derive(Debug)]
pub(crate) struct Parsed {
    shape: Shape,
    facts: Arc<Facts>,
}

impl Fleet {
    /// What parsing the INFO of an instance gives.
    pub(crate) fn facts(&mut self, who: Index, now: u64) -> Arc<Facts> {
        let shape = self.shape(who, now);
        if self.parsed.len() <= who {
            self.parsed.resize_with(self.servers.len(), || None);
        }
        let facts = match self.parsed[who].take() {
            Some(known) if known.shape == shape => self.renumbered(who, known.facts, now),
            _ => Arc::new(self.read(who, now)),
        };
        self.parsed[who] = Some(Parsed {
            shape,
            facts: facts.clone(),
        });
        facts
    }

    /// Prints and parses.
    pub(crate) fn read(&self, who: Index, now: u64) -> Facts {
        let text = self.info(who, now);
        parse_info(text.as_bytes()).unwrap_or_else(|error| panic!("the model's INFO: {error}: {text}"))
    }

    fn shape(&self, who: Index, now: u64) -> Shape {
        let server = &self.servers[who];
        Shape {
            starts: server.starts,
            loading: server.loading(now),
            failing_over: server.failing_over.is_some(),
            follows: server.follows,
            link_up: server.link_up(),
            syncing: server.syncing(),
            lineage: server.lineage,
            second_lineage: server.second_lineage,
            replicas: self.copies(who).map(|(other, replica, _)| (other, replica)).collect(),
        }
    }

    fn renumbered(&self, who: Index, mut facts: Arc<Facts>, now: u64) -> Arc<Facts> {
        let server = &self.servers[who];
        let offset = self.offset(who, now);
        let is_replica = server.follows.is_some();
        let replica_offset = if is_replica && !server.syncing() { offset } else { 0 };
        let down_ms = if is_replica && !server.link_up() {
            server
                .link_lost_at
                .map(|lost_at| now.saturating_sub(lost_at) / 1_000 * 1_000)
        } else {
            Some(0)
        };
        let keys = if server.loading(now) { 0 } else { self.keys(who) };
        let uptime_s = now.saturating_sub(server.started_at) / 1_000;
        let mut offsets = self.copies(who).map(|(other, ..)| self.offset(other, now));
        let same = facts.primary_offset == offset
            && facts.replica_offset == replica_offset
            && facts.primary_link_down_ms == down_ms
            && facts.keys == keys
            && facts.uptime_s == uptime_s
            && facts.replicas.iter().all(|line| offsets.next() == Some(line.offset));
        if !same {
            let facts = Arc::make_mut(&mut facts);
            facts.primary_offset = offset;
            facts.replica_offset = replica_offset;
            facts.primary_link_down_ms = down_ms;
            facts.keys = keys;
            facts.uptime_s = uptime_s;
            for (line, (other, ..)) in facts.replicas.iter_mut().zip(self.copies(who)) {
                line.offset = self.offset(other, now);
            }
        }
        facts
    }
}
