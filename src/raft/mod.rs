//! Consensus: the only place that names openraft.
//!
//! ```text
//! Handle::write -> (leader) log -> committed -> StateMachine -> machine::apply -> Feed -> ApplySink
//!               -> (follower) forwarded, one hop, and answered when the entry is applied here too
//! ```
//!
//! The Raft core and everything between nodes runs on a thread of its own (`runtime`).
//! What does not live here: the disk (`store`), connections (`peer`), what a command does (`machine`), subscribers.

mod admin;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod conformance;
mod core;
mod desk;
mod feed;
mod formation;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzed;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod golden;
mod handle;
mod identity;
mod keeper;
mod log;
mod machine;
mod network;
mod records;
mod service;
#[cfg(feature = "sim")]
mod simulated;
mod start;
mod types;
mod write;

pub use desk::{Desk, Failure, Leadership, Working};
pub use feed::{Applied, ApplySink};
pub use handle::Handle;
pub use identity::{Identity, Origin};
pub use start::{Formation, StartError, StartOptions, Tuning, start};
