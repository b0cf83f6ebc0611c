//! The services meet here: each trait that one floor asks for, carried out by what another one has.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::detect::{VoteAck, VoteReport};
use crate::machine::{State, differences};
use crate::model::{Event, NodeId, Term};
use crate::probe::{Announce, Votes};
use crate::pubsub::Hub;
use crate::raft::{ApplySink, Handle};
use crate::requests::WriteError;
use crate::task::Tasks;

/// Applied entries go to the hub, which publishes them.
pub(super) struct ToHub(pub(super) Arc<Hub>);

impl ApplySink for ToHub {
    fn applied(&self, state: Arc<State>, events: Vec<Event>) {
        self.0.publish(state, events);
    }

    fn replaced(&self, before: Arc<State>, after: Arc<State>) {
        let events = differences(&before, &after);
        self.0.publish(after, events);
    }
}

impl Announce for ToHub {
    fn announce(&self, event: Event) {
        self.0.publish_local(event);
    }
}

/// Verdicts go to whoever leads.
pub(super) struct ToLeader {
    handle: Handle,
    leader: watch::Receiver<Option<(NodeId, Term)>>,
}

impl ToLeader {
    /// Follows the leadership in a task of its own.
    pub(super) fn start(handle: Handle, tasks: &Tasks) -> Self {
        let mut leadership = handle.leadership();
        let (told, leader) = watch::channel(None);
        let stopping = tasks.stopping();
        tasks.spawn("leader-watch", async move {
            loop {
                let current = *leadership.borrow_and_update();
                let leader = current.leader.map(|leader| (leader, current.term));
                told.send_if_modified(|told| std::mem::replace(told, leader) != leader);
                tokio::select! {
                    () = stopping.cancelled() => return,
                    changed = leadership.changed() => if changed.is_err() { return },
                }
            }
        });
        Self { handle, leader }
    }
}

impl Votes for ToLeader {
    fn report(&self, report: VoteReport) -> BoxFuture<'_, Result<VoteAck, WriteError>> {
        Box::pin(self.handle.report_votes(report))
    }

    fn leadership(&self) -> watch::Receiver<Option<(NodeId, Term)>> {
        self.leader.clone()
    }
}
