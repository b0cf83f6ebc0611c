//! Raft in one process: real TCP, disks in memory.
#![allow(clippy::disallowed_methods, reason = "tests measure real time")]

mod cluster;
#[cfg(feature = "rocksdb")]
mod disk;
mod flight;
mod formation;
mod membership;
mod removal;
mod single;
mod snapshot;
mod trio;
