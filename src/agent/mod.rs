//! The agent of a proxy that knows no Sentinel: follows the groups on any node, and keeps the proxy's file true.
//!
//! ```text
//! nodes --follow--> Table (newest version of each group, kept on disk) --pace--> outlet: file, check, restart | hook
//! ```
//!
//! What does not live here: the format of the proxy's file (`template`).

pub mod config;
pub mod deliver;
pub mod follow;
pub mod outlet;
pub mod pace;
mod run;
mod show;
pub mod state;
pub mod status;
pub mod table;

pub use config::{Config, ConfigError, Hook, Kind, Pace, Process, Proxy};
pub use follow::Following;
pub use outlet::{Move, Outcome, Outlet, OutletError, OutletStatus};
pub use run::{Agent, open_state};
pub use state::{Kept, StateDir, StateError};
pub use table::{Foreign, Learned, Route, Table};
