//! The services meet here: each trait that one floor asks for, carried out by what another one has.

use std::sync::Arc;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::detect::{VoteAck, VoteReport};
use crate::machine::{State, differences};
use crate::model::{Event, NodeId, Term};
use crate::net::TcpStream;
use crate::peer::Acceptor;
use crate::probe::{Announce, Votes};
use crate::pubsub::Hub;
use crate::raft::{ApplySink, Handle};
use crate::requests::{Write, WriteError, WriteReply};
use crate::resp::Request;
use crate::server::{Peers, Writes};
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

/// Writes of clients go to Raft.
pub(super) struct ToRaft(pub(super) Handle);

impl Writes for ToRaft {
    fn write(&self, write: Write) -> BoxFuture<'static, Result<WriteReply, WriteError>> {
        let handle = self.0.clone();
        Box::pin(async move { handle.write(write).await })
    }
}

/// Connections of peers go to the acceptor.
pub(super) struct ToPeers(pub(super) Arc<Acceptor>);

impl Peers for ToPeers {
    fn is_peer_request(&self, name: &[u8]) -> bool {
        Acceptor::is_peer_request(name)
    }

    fn serve(&self, stream: TcpStream, buffered: BytesMut, first: Request) -> BoxFuture<'static, ()> {
        let acceptor = self.0.clone();
        Box::pin(async move { acceptor.serve(stream, buffered, first).await })
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
