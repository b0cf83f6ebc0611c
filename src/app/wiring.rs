//! The services meet here: each trait that one floor asks for, carried out by what another one has.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::detect::{VoteAck, VoteReport};
use crate::machine::{State, differences};
use crate::model::{Event, NodeId, Term};
use crate::probe::{Announce, Votes};
use crate::pubsub::Hub;
use crate::raft::{Applied, ApplySink, Handle};
use crate::requests::WriteError;
use crate::task::Tasks;
use crate::watch;

/// Applied entries go to the hub, which publishes them, and to a witness, if there is one.
pub(super) struct ToHub {
    hub: Arc<Hub>,
    witness: Option<Arc<dyn ApplySink>>,
}

impl ToHub {
    pub(super) fn new(hub: Arc<Hub>, witness: Option<Arc<dyn ApplySink>>) -> Self {
        Self { hub, witness }
    }
}

impl ApplySink for ToHub {
    fn applied(&self, state: Arc<State>, events: Vec<Event>) {
        if let Some(witness) = &self.witness {
            witness.applied(state.clone(), events.clone());
        }
        self.hub.publish(state, events);
    }

    fn replaced(&self, before: Arc<State>, after: Arc<State>) {
        if let Some(witness) = &self.witness {
            witness.replaced(before.clone(), after.clone());
        }
        let events = differences(&before, &after);
        self.hub.publish(after, events);
    }

    fn entry(&self, entry: Applied<'_>) {
        if let Some(witness) = &self.witness {
            witness.entry(entry);
        }
    }

    fn snapshot(&self, index: u64, state: &State) {
        if let Some(witness) = &self.witness {
            witness.snapshot(index, state);
        }
    }
}

impl Announce for ToHub {
    fn announce(&self, event: Event) {
        self.hub.publish_local(event);
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
                    biased;
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
