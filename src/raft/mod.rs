//! Consensus: the only place that names openraft.

mod feed;
mod identity;
mod log;
mod machine;
mod network;
mod records;
mod types;

pub use feed::ApplySink;
