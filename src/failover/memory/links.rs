//! What a leader remembers of its links to the instances of a group.

use std::sync::Arc;

use super::{LinkFault, LinkMemory, Memory};
use crate::model::{Address, Facts, Instant};

impl Memory {
    /// A link was opened and INFO read on it, or that failed.
    pub fn link_opened(&mut self, address: Address, result: Result<Facts, LinkFault>, now: Instant) {
        let link = match result {
            Ok(facts) => LinkMemory::Open {
                facts: Arc::new(facts),
                facts_at: now,
                reading: false,
            },
            Err(fault) => LinkMemory::Failed { at: now, fault },
        };
        self.links.insert(address, link);
    }

    /// The link was closed because nothing needs it.
    pub fn link_closed(&mut self, address: Address) {
        self.links.remove(&address);
    }

    /// Leadership is offered to another node, for whatever group, and all links were closed for that. Each group's cool-down
    /// begins anew: many groups at once must not pass it on one after another.
    pub fn leadership_offered(&mut self, now: Instant) {
        self.links.clear();
        self.offered_at = Some(now);
    }

    /// When the order link found out that nobody listens there, if that is the last that it found out.
    pub(in crate::failover) fn link_refused_at(&self, address: Address) -> Option<Instant> {
        match self.links.get(&address)? {
            LinkMemory::Failed {
                at,
                fault: LinkFault::Refused,
            } => Some(*at),
            _ => None,
        }
    }

    /// An order link would have to be opened: there is none, or it failed a while ago.
    pub(in crate::failover) fn lacks_link(&self, address: Address, now: Instant) -> bool {
        let link = self.links.get(&address);
        link.is_none_or(|link| link.retry_at().is_some_and(|at| at <= now))
    }

    /// The order link to the instance is open.
    pub(in crate::failover) fn link_is_open(&self, address: Address) -> bool {
        matches!(self.links.get(&address), Some(LinkMemory::Open { .. }))
    }

    /// A link to the instance is open, being opened, or just failed.
    pub fn has_link(&self, address: Address) -> bool {
        self.links.contains_key(&address)
    }
}
