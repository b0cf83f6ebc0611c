//! The integration tests: one binary, because RocksDB makes every extra link expensive.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod agent_outlet;
mod badinput;
mod chain;
mod clients;
mod control;
mod failover_real;
mod fake_redis;
mod fixtures;
mod floors;
mod formation;
mod linear;
mod machine;
mod machine_random;
mod operations;
mod probe;
mod proxies;
mod proxy_listen;
mod raft;
mod real_sentinel;
mod redis_link;
mod scenarios;
mod server;
mod servers;
mod store;
#[cfg(feature = "rocksdb")]
mod store_damage;
#[cfg(feature = "rocksdb")]
mod store_process;
mod transcripts;
mod world;
