//! The integration tests: one binary, because RocksDB makes every extra link expensive.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod badinput;
mod clients;
mod failover_real;
mod fake_redis;
mod fixtures;
mod floors;
mod formation;
mod machine;
mod machine_random;
mod operations;
mod probe;
mod redis_link;
mod servers;
mod store;
#[cfg(feature = "rocksdb")]
mod store_damage;
#[cfg(feature = "rocksdb")]
mod store_process;
mod world;
