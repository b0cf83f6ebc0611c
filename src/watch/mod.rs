//! Values that are watched: tokio's, but in a simulation who watches is woken in the same order each time.

#[cfg(feature = "sim")]
mod ordered;

#[cfg(feature = "sim")]
pub use ordered::{Receiver, Sender, channel};
#[cfg(not(feature = "sim"))]
pub use tokio::sync::watch::{Receiver, Sender, channel};
