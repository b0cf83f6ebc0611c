//! The one place that opens sockets: the kernel's, or in a simulation those of a simulated network.

mod ready;
#[cfg(not(feature = "sim"))]
mod real;
#[cfg(feature = "sim")]
mod simulated;
#[cfg(feature = "sim")]
pub mod weather;

pub use ready::{readable, send_ready, take_arrived};
#[cfg(not(feature = "sim"))]
pub use real::*;
#[cfg(feature = "sim")]
pub use simulated::*;
