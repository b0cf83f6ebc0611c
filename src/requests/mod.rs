//! What a request of a client means: `(Session, View, args) -> Effect`, one file per request family.
//!
//! ```text
//! args -> TABLE (name, arity) -> family -> Effect
//! ```
//!
//! Pure: a request sees a [`View`] of the world and changes only its [`Session`]. What it wants done is in
//! its [`Effect`], which the server's pump carries out.
//! What does not live here: the socket, the queue of a subscriber, Raft.

mod effect;
mod stub;
mod view;

pub use effect::{AdminRequest, Effect, Render, Write, WriteError, WriteReply};
pub use stub::{Session, dispatch};
pub use view::{Clients, NodeStatus, PeerStatus, RaftRole, Sightings, Stats, View};
