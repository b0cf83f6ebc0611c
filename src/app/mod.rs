//! Whole programs, put together from the floors below: a node, and the process that runs one.
//!
//! ```text
//! argv, environment, file -> cli -> ServeConfig -> Node::start -> signal or failure -> Node::stop -> exit code
//! ```
//!
//! What does not live here: anything that a node does while it runs.

#[cfg(feature = "rocksdb")]
mod agent;
#[cfg(feature = "rocksdb")]
mod fleet;
#[cfg(feature = "rocksdb")]
mod limits;
#[cfg(feature = "rocksdb")]
mod moving;
mod node;
mod peers;
#[cfg(feature = "rocksdb")]
mod process;
mod wiring;

pub use node::{Node, NodeParts};
#[cfg(feature = "rocksdb")]
pub use process::run;
