//! The exact bytes of Sentinel's surface: field order of the instance maps, the INFO section, event channels and
//! payloads, error texts.
//!
//! Borrowed behaviour is that of Redis Sentinel 7.0. Own fields and lines come after the last of Sentinel's.
//! What does not live here: decisions, and what a request means.

pub mod errors;
mod events;
mod flags;
mod info;
mod instance;

pub use events::{Around, Level, Published, SWITCH_CHANNEL, publish, publish_around};
pub use flags::{node_flags, primary_flags, replica_flags};
pub use info::{GroupLines, InfoText, Layout, SentinelSection, is_safe_for_old_proxies};
pub use instance::{
    Held, Moment, NodeEntry, PrimaryEntry, ReplicaEntry, identity_name, mode_name, node_role_name, renamed,
};

/// The version of Redis whose Sentinel this surface is.
pub const REDIS_VERSION: &str = "7.0.15";
