//! What a request of a client means: `(Session, View, args) -> Effect`, one file per request family.
//!
//! ```text
//! args -> TABLE (name, arity) -> family -> Effect
//! ```
//!
//! Pure: a request sees a [`View`] of the world and changes only its [`Session`]. What it wants done is in
//! its [`Effect`], which the server's pump carries out.
//! What does not live here: the socket, the queue of a subscriber, Raft.

mod cfg;
mod changes;
mod client;
mod command;
mod connection;
mod dispatch;
mod effect;
mod face;
mod groups;
mod info;
mod lookups;
mod pubsub;
mod session;
mod spec;
mod table;
mod told;
mod view;

pub use dispatch::dispatch;
pub use effect::{AdminRequest, Effect, Render, Write, WriteError, WriteReply};
pub use face::Face;
pub use session::Session;
pub use spec::Spec;
pub use table::table;
pub use view::{Clients, NodeStatus, PeerStatus, RaftRole, Sightings, Stats, View};
