//! A pretend fleet: one process that answers as thousands of Redis instances on loopback addresses.
//!
//! ```text
//! Layout (who listens where) -> World (roles, data, lives) <- requests of monitors   (listener, answer)
//!                                                          <- KILL, HANG, REVIVE     (control)
//! ```
//!
//! For capacity planning and benchmarks: what a monitor sees of an instance (PING, INFO, roles, replication links,
//! SLAVEOF, MULTI, CLIENT, hellos of Sentinels) is as from Redis 7; there are no keys to read or write.
//! What does not live here: anything that a node of cfgserver does.

mod answer;
mod client;
mod control;
mod info;
mod instance;
mod layout;
mod listener;
mod orders;
mod run;
mod world;

pub use layout::{Layout, LayoutError};
pub use run::{Config, Fleet, FleetError};
