//! The RESP codec: requests in, replies out.
//!
//! ```text
//! bytes -> Decoder (boundaries, limits, inline commands) -> Request -> requests::dispatch -> Reply -> encode -> bytes
//! ```
//!
//! What does not live here: sockets, and any knowledge of what a request means.

// mod decode;
// mod encode;
// mod glob;
mod reply;

// pub use decode::{Decoder, Limits, ProtocolError, Request};
// pub use encode::encode;
// pub use glob::glob_matches;
pub use reply::{Protocol, Reply};
