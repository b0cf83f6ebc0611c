//! Redis as far as a failover controller can tell: processes, roles, replication, INFO, connections, orders.
//!
//! Replication costs no events while nothing changes: offsets are computed from what the primary had written one lag
//! ago. What does not live here: the network between nodes and instances, and anything that decides.

mod commands;
mod facts;
mod info;
mod lineages;
mod replication;
mod server;

pub(crate) use lineages::Lineages;
pub(crate) use server::{Conn, Owner, Replica, Server};

use std::collections::BTreeMap;

use cfgserver::model::Address;

/// Place of an instance in the fleet.
pub(crate) type Index = usize;

/// All instances.
#[derive(Default)]
pub(crate) struct Fleet {
    pub(crate) servers: Vec<Server>,
    by_address: BTreeMap<Address, Index>,
    pub(crate) lineages: Lineages,
    pub(crate) next_conn: u64,
    /// Pairs of instances that do not reach each other.
    pub(crate) cut: Vec<(Index, Index)>,
    /// Things that begin later: (when, who, generation).
    pub(crate) later: Vec<(u64, Index, u32)>,
    /// Connections that have just ended, with the time at which their owner may learn it.
    pub(crate) ended: Vec<(Index, u64, Owner)>,
    /// Data that was thrown away because of an order: instance, what it had, what its source had.
    pub(crate) overwritten: Vec<Overwritten>,
    /// Parts of streams in which there are no keys: FLUSHALL came, and nothing was written yet.
    pub(crate) emptied: Vec<Emptied>,
    /// The present, for those.
    pub(crate) now: u64,
    /// What was parsed last of each.
    parsed: Vec<Option<facts::Parsed>>,
}

/// A part of a stream: from that offset on, to before this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Emptied {
    pub(crate) lineage: u32,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Emptied {
    /// Who has so much of the stream is in this part of it.
    fn covers(&self, lineage: u32, offset: u64) -> bool {
        self.lineage == lineage && self.from <= offset && offset < self.to
    }
}

/// An instance threw its data away to copy another's.
#[derive(Clone, Debug)]
pub(crate) struct Overwritten {
    pub(crate) who: Index,
    pub(crate) source: Index,
    /// It had keys.
    pub(crate) had_keys: bool,
    /// What it copies has keys.
    pub(crate) source_has_keys: bool,
    /// It copies because an order of cfgserver said so.
    pub(crate) ordered: bool,
}

impl Fleet {
    pub(crate) fn add(&mut self, server: Server) -> Index {
        let index = self.servers.len();
        self.by_address.insert(server.address, index);
        self.servers.push(server);
        index
    }

    pub(crate) fn at(&self, address: Address) -> Option<Index> {
        self.by_address.get(&address).copied()
    }

    /// The two can talk, as far as the network goes.
    pub(crate) fn reaches(&self, one: Index, other: Index) -> bool {
        let host_up = self.servers[one].host_up && self.servers[other].host_up;
        host_up && !self.cut.contains(&(one.min(other), one.max(other)))
    }
}
