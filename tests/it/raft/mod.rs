//! Raft in one process: real TCP, disks in memory.

mod cluster;
mod formation;
mod membership;
mod single;
mod snapshot;
mod trio;
