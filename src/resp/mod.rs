//! The RESP codec: requests in, replies out; and requests out, answers in, towards instances and peers.
//!
//! ```text
//! bytes -> Decoder (boundaries, limits, inline commands) -> Request -> requests::dispatch -> Reply -> encode -> bytes
//! encode_request -> bytes .. bytes -> AnswerDecoder (boundary guard, then redis-protocol) -> Reply
//! ```
//!
//! Everything that a stranger sends is bounded before memory is set aside for it, is scanned once, and is
//! never walked by recursion.
//! What does not live here: sockets, and any knowledge of what a request means.

mod answer;
mod boundary;
mod decode;
mod encode;
mod glob;
mod inline;
mod number;
mod reply;

pub use answer::AnswerDecoder;
pub use boundary::{AnswerError, AnswerLimits};
pub use decode::{Decoder, Limits, ProtocolError, Request};
pub use encode::{encode, encode_each, encode_request};
pub use glob::glob_matches;
pub use inline::{Unbalanced, split_line};
pub use reply::{Protocol, Reply};
