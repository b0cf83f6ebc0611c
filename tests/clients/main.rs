//! Clients that people use, unmodified, against three real nodes and real Redis.
//!
//! Each is a small program (`programs/`, `redis-rs/`) that writes without end, the way an application would, and prints
//! one line of JSON per happening (`program`). `scripts/lib/clients` installs the libraries in the versions that
//! `requirements.txt`, `package-lock.json` and `redis-rs/Cargo.lock` fix (`installed`). All of them live through the same
//! story at the same time (`fleet`, `story`), each with a group of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod beside;
mod fleet;
mod haproxy;
mod installed;
mod program;
mod redis_cli;
mod sentinel;
mod story;
#[path = "../it/world/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the integration tests")]
mod world;
