//! One node's disk: log, votes, applied state and identity, as bytes.
//!
//! One database, one write-ahead log: everything written is one ordered stream, durable as a prefix, so the
//! state can never be ahead of the log. The only place that names rocksdb.
//! What does not live here: Raft, and what the bytes mean.

mod bounds;
mod memory;
#[cfg(feature = "rocksdb")]
mod rocks;

use std::io;

use crate::machine::Record;

pub use memory::{MemoryStore, Syncing};
#[cfg(feature = "rocksdb")]
pub use rocks::{OpenError, RocksStore};

/// Called once, when a write is durable or has failed. Callbacks of one store come in the order of the writes, never
/// two at a time. A callback must not write to the store: it may be running on the thread that makes writes durable.
pub type OnDurable = Box<dyn FnOnce(io::Result<()>) + Send>;

/// A node's disk. `RocksStore` in production, `MemoryStore` in tests.
///
/// Every method may block for a disk write, none for long; errors are final: the caller ends the process.
pub trait Store: Send + Sync + 'static {
    /// Appends log entries, ascending and without a hole. They can be read when this returns; `done` is called
    /// when they are durable.
    fn append(&self, entries: Vec<(u64, Vec<u8>)>, done: OnDurable) -> io::Result<()>;

    /// The entries with `from <= index < until` that are there, ascending; stops early once `bytes_max` is
    /// passed, but gives at least one.
    fn read(&self, from: u64, until: u64, bytes_max: usize) -> io::Result<Vec<(u64, Vec<u8>)>>;

    /// The last entry.
    fn last(&self) -> io::Result<Option<(u64, Vec<u8>)>>;

    /// Removes the entries at and after `index`. Ordered with, but not durable before, later writes.
    fn truncate(&self, index: u64) -> io::Result<()>;

    /// Removes the entries up to and with `index`, and stores `marker` under [`Meta::Purged`] with them.
    fn purge(&self, index: u64, marker: Vec<u8>) -> io::Result<()>;

    /// Stores a value. Ordered with, but not durable before, later writes.
    fn put(&self, key: Meta, value: Vec<u8>) -> io::Result<()>;

    /// Stores a value; `done` is called when it is durable.
    fn put_durable(&self, key: Meta, value: Vec<u8>, done: OnDurable) -> io::Result<()>;

    /// A stored value.
    fn get(&self, key: Meta) -> io::Result<Option<Vec<u8>>>;

    /// Writes changed state records and the metadata that goes with them as one, without waiting for the disk.
    fn write_state(&self, records: &[Record], meta: Vec<(Meta, Vec<u8>)>) -> io::Result<()>;

    /// Replaces the whole state and the metadata that goes with it as one; durable when it returns.
    fn replace_state(&self, records: &[Record], meta: Vec<(Meta, Vec<u8>)>) -> io::Result<()>;

    /// All state records.
    fn state(&self) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>>;
}

/// What is stored beside log and state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meta {
    /// The Raft vote.
    Vote,
    /// The last committed log id.
    Committed,
    /// The last purged log id.
    Purged,
    /// The last applied log id with the membership, written together with the state.
    Applied,
    /// The current snapshot, header and bytes.
    Snapshot,
    /// Which node, cluster and incarnation this directory is. Written by the owner of the directory.
    Identity,
}
