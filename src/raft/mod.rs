//! Consensus: the only place that names openraft.

mod feed;
mod log;
mod machine;
mod records;
mod types;

pub use feed::ApplySink;
