//! The real things behind the control's traits.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::control::{Names, OrderConnection, OrderLinks, Proposals};
use crate::failover::Order;
use crate::machine::Command;
use crate::model::{Facts, HostName, MyId, NodeId, RunId, Term};
use crate::net;
use crate::raft::{Handle, Leadership};
use crate::redis::{LeaderName, OrderError, OrderLink, Target};
use crate::requests::{WriteError, WriteReply};
use crate::watch;

impl Proposals for Handle {
    fn propose(&self, command: Command) -> BoxFuture<'static, Result<WriteReply, WriteError>> {
        let handle = self.clone();
        Box::pin(async move { Self::propose(&handle, command).await })
    }

    fn holds_lease(&self) -> bool {
        Self::holds_lease(self)
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        Self::leadership(self)
    }

    fn hand_over(&self, to: NodeId) -> BoxFuture<'static, Result<(), WriteError>> {
        let handle = self.clone();
        Box::pin(async move { Self::hand_over(&handle, Some(to)).await })
    }
}

/// The machine's own resolver.
pub struct Resolver;

impl Names for Resolver {
    fn resolve(&self, host: &HostName, limit: Duration) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        let host = host.as_str().to_owned();
        Box::pin(async move {
            let mut ips = net::resolve(host, limit).await.map_err(|error| error.to_string())?;
            ips.iter_mut().for_each(|ip| *ip = ip.to_canonical());
            ips.sort_by_key(IpAddr::is_ipv6);
            ips.dedup();
            Ok(ips)
        })
    }
}

/// Links to real instances.
pub struct RedisLinks {
    node: MyId,
}

impl RedisLinks {
    /// Links that are named after this node.
    pub fn new(node: MyId) -> Self {
        Self { node }
    }
}

impl OrderLinks for RedisLinks {
    fn open(
        &self,
        target: Target,
        term: Term,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Box<dyn OrderConnection>, OrderError>> {
        let name = LeaderName {
            node: self.node.clone(),
            term,
            instance: target.address,
        };
        Box::pin(async move {
            let link = OrderLink::open(&target, name, limit).await?;
            Ok(Box::new(link) as Box<dyn OrderConnection>)
        })
    }
}

impl OrderConnection for OrderLink {
    fn facts(&self) -> &Facts {
        Self::facts(self)
    }

    fn refresh(&mut self, limit: Duration) -> BoxFuture<'_, Result<Facts, OrderError>> {
        Box::pin(async move { Self::refresh(self, limit).await.cloned() })
    }

    fn execute<'a>(
        &'a mut self,
        order: &'a Order,
        expected: &'a RunId,
        fence: &'a (dyn Fn(&Facts) -> bool + Sync),
        limit: Duration,
    ) -> BoxFuture<'a, Result<Option<Facts>, OrderError>> {
        Box::pin(async move {
            let reply = Self::execute(self, order, expected, fence, limit).await?;
            Ok(reply.facts)
        })
    }
}
