//! The agent of a proxy, as a real process.

mod command_line;
mod fake_node;
mod follow;
mod others;
mod process;
mod proxy;
mod strangers;

pub(crate) use fake_node::FakeNode;
pub(crate) use process::Agent;
