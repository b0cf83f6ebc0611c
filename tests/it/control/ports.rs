//! The control's ports, played: the log with the real state machine behind it, and links to the instances of a map.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cfgserver::control::{Names, OrderConnection, OrderLinks, Proposals};
use cfgserver::failover::Order;
use cfgserver::machine::Command;
use cfgserver::model::{Address, Facts, GroupName, HostName, NodeId, RunId, Setting, Term};
use cfgserver::raft::Leadership;
use cfgserver::redis::{LinkError, OrderError, Target};
use cfgserver::requests::{WriteError, WriteReply};
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::fakes::{Shared, lock};

/// Counts what is alive of a kind.
struct Counted(Arc<Shared>, fn(&Shared) -> &AtomicUsize);

impl Counted {
    fn new(shared: &Arc<Shared>, which: fn(&Shared) -> &AtomicUsize) -> Self {
        which(shared).fetch_add(1, Ordering::SeqCst);
        Self(shared.clone(), which)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) struct Log(pub(super) Arc<Shared>);

impl Proposals for Log {
    fn propose(&self, command: Command) -> BoxFuture<'static, Result<WriteReply, WriteError>> {
        let shared = self.0.clone();
        Box::pin(async move {
            let _counted = Counted::new(&shared, |shared| &shared.proposals);
            shared
                .most_proposals
                .fetch_max(shared.proposals.load(Ordering::SeqCst), Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(shared.log_ms.load(Ordering::SeqCst))).await;
            if !shared.leadership.borrow().me {
                return Err(WriteError::NoLeader);
            }
            let interfering = lock(&shared.interfere).take_if(|(kind, _)| kind(&command));
            if let Some((_, group)) = interfering {
                shared.apply(&Command::Set {
                    name: GroupName::new(group).unwrap(),
                    settings: vec![Setting::FailoverTimeoutMs(60_000)],
                });
            }
            match &command {
                Command::OpenFailover { .. } => shared.write("commit open".to_owned()),
                Command::CompletePromotion { .. } => shared.write("commit complete".to_owned()),
                _ => {}
            }
            let (outcome, revision) = shared.apply(&command);
            Ok(WriteReply::Outcome { outcome, revision })
        })
    }

    fn holds_lease(&self) -> bool {
        self.0.lease.load(Ordering::SeqCst) && self.0.leadership.borrow().me
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.subscribe()
    }

    fn hand_over(&self, to: NodeId) -> BoxFuture<'static, Result<(), WriteError>> {
        *lock(&self.0.handed_over_to) = Some(to);
        let term = self.0.leadership.borrow().term + 1;
        self.0.leadership.send_replace(Leadership {
            leader: Some(to),
            term,
            me: false,
        });
        Box::pin(async { Ok(()) })
    }
}

pub(super) struct Dns(pub(super) Arc<Shared>);

impl Names for Dns {
    fn resolve(&self, host: &HostName, _limit: Duration) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        let found = lock(&self.0.hosts).get(host.as_str()).copied();
        Box::pin(async move { found.map(|ip| vec![ip]).ok_or("no such host".to_owned()) })
    }
}

pub(super) struct Links(pub(super) Arc<Shared>);

struct Connection {
    shared: Arc<Shared>,
    address: Address,
    facts: Facts,
    _counted: Counted,
}

impl OrderLinks for Links {
    fn open(
        &self,
        target: Target,
        _term: Term,
        _limit: Duration,
    ) -> BoxFuture<'static, Result<Box<dyn OrderConnection>, OrderError>> {
        let shared = self.0.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            let facts = shared.facts(target.address).ok_or(LinkError::Refused)?;
            let connection = Connection {
                _counted: Counted::new(&shared, |shared| &shared.links),
                shared,
                address: target.address,
                facts,
            };
            Ok(Box::new(connection) as Box<dyn OrderConnection>)
        })
    }
}

impl Connection {
    fn read(&mut self) -> Result<Facts, OrderError> {
        self.facts = self.shared.facts(self.address).ok_or(LinkError::Closed)?;
        Ok(self.facts.clone())
    }
}

impl OrderConnection for Connection {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn refresh(&mut self, _limit: Duration) -> BoxFuture<'_, Result<Facts, OrderError>> {
        Box::pin(async {
            tokio::task::yield_now().await;
            self.read()
        })
    }

    fn execute<'a>(
        &'a mut self,
        order: &'a Order,
        expected: &'a RunId,
        fence: &'a (dyn Fn(&Facts) -> bool + Sync),
        _limit: Duration,
    ) -> BoxFuture<'a, Result<Option<Facts>, OrderError>> {
        Box::pin(async move {
            let _counted = Counted::new(&self.shared, |shared| &shared.orders);
            while self.shared.stall_orders.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(*expected, self.facts.run_id);
            if !fence(&self.facts) {
                self.shared.fence_refusals.fetch_add(1, Ordering::SeqCst);
                return Err(OrderError::LeaseLost);
            }
            self.read()?;
            self.shared.obey(self.address, order);
            self.read().map(Some)
        })
    }
}
