//! Raft in one process: real TCP, disks in memory.

mod cluster;
mod single;
mod trio;
