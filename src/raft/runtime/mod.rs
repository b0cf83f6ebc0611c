//! Where the Raft core and its peers run: on a thread of their own, so that a flood of clients causes no election; in
//! a simulation on the one runtime of their machine.

#[cfg(feature = "sim")]
mod simulated;
#[cfg(not(feature = "sim"))]
mod thread;

#[cfg(feature = "sim")]
pub(crate) use simulated::{RaftRuntime, Runtime};
#[cfg(not(feature = "sim"))]
pub(crate) use thread::{RaftRuntime, Runtime};
