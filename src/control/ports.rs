//! What the control needs of the floor below, as traits: tests put fakes in their place.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::failover::Order;
use crate::machine::Command;
use crate::model::{Facts, HostName, NodeId, RunId, Term};
use crate::raft::Leadership;
use crate::redis::{OrderError, Target};
use crate::requests::{WriteError, WriteReply};
use crate::watch;

/// The log, and who leads.
pub trait Proposals: Send + Sync + 'static {
    /// Puts a command into the log; resolves when it is applied on this node.
    fn propose(&self, command: Command) -> BoxFuture<'static, Result<WriteReply, WriteError>>;
    /// This node leads, and no other can, right now.
    fn holds_lease(&self) -> bool;
    /// Who leads, and every change of it.
    fn leadership(&self) -> watch::Receiver<Leadership>;
    /// Gives leadership to a node.
    fn hand_over(&self, to: NodeId) -> BoxFuture<'static, Result<(), WriteError>>;
}

/// The way to the instances.
pub trait OrderLinks: Send + Sync + 'static {
    /// Opens a link of the leader of `term`, closes those of others, and reads INFO on it.
    fn open(
        &self,
        target: Target,
        term: Term,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Box<dyn OrderConnection>, OrderError>>;
}

/// Where host names are.
pub trait Names: Send + Sync + 'static {
    /// The IP addresses of a host, those of IPv4 first: old proxies understand no others. An empty list, or an error
    /// for people, when there are none or nobody answers within `limit`.
    fn resolve(&self, host: &HostName, limit: Duration) -> BoxFuture<'static, Result<Vec<IpAddr>, String>>;
}

/// A link on which orders go out.
pub trait OrderConnection: Send {
    /// INFO as it was read last on it.
    fn facts(&self) -> &Facts;
    /// Reads INFO again.
    fn refresh(&mut self, limit: Duration) -> BoxFuture<'_, Result<Facts, OrderError>>;
    /// Gives an order to the process `expected`; asks `fence` right before the write, with INFO as it was read last on
    /// this link. INFO after it, if it could be read.
    fn execute<'a>(
        &'a mut self,
        order: &'a Order,
        expected: &'a RunId,
        fence: &'a (dyn Fn(&Facts) -> bool + Sync),
        limit: Duration,
    ) -> BoxFuture<'a, Result<Option<Facts>, OrderError>>;
}
