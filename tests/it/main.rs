//! The integration tests: one binary, because RocksDB makes every extra link expensive.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake_redis;
mod badinput;
mod clients;
mod failover_real;
mod fixtures;
mod floors;
mod formation;
mod machine;
mod machine_random;
mod probe;
mod scenarios;
mod redis_link;
mod servers;
mod operations;
mod world;
mod store;
#[cfg(feature = "rocksdb")]
mod store_damage;
#[cfg(feature = "rocksdb")]
mod store_process;
mod server;
mod chain;
mod real_sentinel;
mod transcripts;
mod raft;
