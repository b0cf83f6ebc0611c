//! The integration tests: one binary, because RocksDB makes every extra link expensive.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod control;
mod floors;
mod machine;
mod machine_random;
mod scenarios;
mod redis_link;
mod servers;
mod store;
#[cfg(feature = "rocksdb")]
mod store_damage;
#[cfg(feature = "rocksdb")]
mod store_process;
mod raft;
