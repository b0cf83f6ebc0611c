//! The integration tests: one binary, because RocksDB makes every extra link expensive.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod agent_outlet;
mod badinput;
mod chain;
mod clients;
mod control;
mod coordinated_real;
mod failover_real;
mod fake_redis;
mod fixtures;
mod floors;
mod formation;
mod fuzzed;
#[cfg(feature = "rocksdb")]
#[path = "../golden/mod.rs"]
#[allow(dead_code, reason = "the library's own tests use the rest")]
mod golden;
mod host_names;
mod hosts;
mod import;
mod linear;
mod locked;
mod machine;
mod machine_random;
mod maintenance;
mod node_dials;
mod one_down;
mod operations;
mod probe;
mod proxies;
mod proxy_listen;
mod raft;
mod read_policy;
mod real_sentinel;
mod redis_link;
mod removal;
mod renamed;
mod safety;
mod scenarios;
mod scripts;
mod server;
mod servers;
mod store;
#[cfg(feature = "rocksdb")]
mod store_damage;
#[cfg(feature = "rocksdb")]
mod store_process;
#[cfg(feature = "rocksdb")]
mod store_ruin;
mod transcripts;
mod watched;
mod world;
