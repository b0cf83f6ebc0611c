//! What a request of a client means: `(Session, View, args) -> Effect`, one file per request family.
//!
//! ```text
//! args -> TABLE (name, arity) -> family -> Effect
//! ```
//!
//! Pure: a request sees a [`View`] of the world and changes only its [`Session`]. What it wants done is in
//! its [`Effect`], which the server's pump carries out.
//! What does not live here: the socket, the queue of a subscriber, Raft.

mod acl;
mod cfg;
mod changes;
mod client;
mod command;
mod config;
mod connection;
mod debug;
mod dials;
mod dispatch;
mod effect;
mod explain;
mod face;
mod groups;
mod info;
mod lists;
mod lookups;
mod maintenance;
mod node;
mod publish;
mod pubsub;
mod session;
mod settings;
mod spec;
mod table;
mod told;
mod usage;
mod view;

pub use dials::{Dial, Dials, LogWord, Period, Simulated};
pub use dispatch::dispatch;
pub use effect::{AdminRequest, Effect, Held, Local, Monitoring, Render, Write, WriteError, WriteReply};
pub use face::Face;
pub use lists::Lists;
pub use publish::{Foreigners, Hello, SENTINELS_CHANNEL};
pub use session::Session;
pub use spec::Spec;
pub use table::table;
pub use view::{Clients, Files, NoFiles, NodeStatus, PeerStatus, RaftRole, Sightings, Stats, View};
