//! The integration tests: one binary, because RocksDB makes every extra link expensive.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chain;
mod machine;
mod machine_random;
mod raft;
mod real_sentinel;
mod server;
mod transcripts;
