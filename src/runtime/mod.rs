//! Threads of their own, for what must not wait for clients nor they for it: the Raft core with its peers, and the probe.
//! In a simulation it is the one runtime of their machine.

#[cfg(feature = "sim")]
mod simulated;
#[cfg(not(feature = "sim"))]
mod thread;

#[cfg(feature = "sim")]
pub(crate) use simulated::Runtime;
#[cfg(not(feature = "sim"))]
pub(crate) use thread::Runtime;
