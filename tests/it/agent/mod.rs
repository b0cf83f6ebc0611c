//! The agent of a proxy, as a real process.

mod fake_node;
mod follow;
mod process;
mod strangers;

pub(crate) use fake_node::FakeNode;
pub(crate) use process::Agent;
