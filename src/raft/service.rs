//! Answers to the calls of other nodes.
//!
//! What does not live here: connections (`peer`), and the asking side (`network`, `write`, `formation`).

use std::sync::{Arc, PoisonError};

use bytes::{Bytes, BytesMut};
use openraft::raft::{SnapshotResponse, TransferLeaderRequest};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::core::Core;
use super::desk::Failure;
use super::network::{AppendBody, SnapshotPiece, TransferBody, digest};
use super::records::{decode, encode};
use super::types::{LogId, Snapshot, TypeConfig, Vote};
use crate::detect::VoteAck;
use crate::model::NodeId;
use crate::peer::{Answer, Call, Caller, Service};
use crate::requests::{Write, WriteError, WriteReply};

/// A snapshot may grow to this size: far more than any fleet's state.
const SNAPSHOT_BYTES_MAX: usize = 1 << 30;

/// A forwarded write.
#[derive(Serialize, Deserialize)]
pub(super) struct ForwardBody {
    pub(super) write: Write,
}

/// What became of it on the leader.
#[derive(Serialize, Deserialize)]
pub(super) struct Forwarded {
    pub(super) reply: WriteReply,
    /// What the asking node must have applied before it answers its client.
    pub(super) index: u64,
}

/// What answers calls on this node.
pub(super) struct RaftService(pub(super) Arc<Core>);

/// An error that the caller is told as text.
type Told = String;

impl Service for RaftService {
    fn call(&self, caller: Caller, call: Call, body: Bytes) -> Answer {
        let core = self.0.clone();
        Box::pin(async move {
            core.contacts.heard(caller.id, core.clock.now());
            let answer = core.answer(caller, call, body).await;
            answer.map_err(|text| format!("ERR {text}"))
        })
    }
}

fn told(error: impl ToString) -> Told {
    error.to_string()
}

impl Core {
    async fn answer(self: &Arc<Self>, caller: Caller, call: Call, body: Bytes) -> Result<Vec<u8>, Told> {
        if call == Call::Probe {
            return self.probed().await.map(|answer| encode(&answer));
        }
        if !caller.in_cluster {
            return Err("a node without a cluster may only probe".to_owned());
        }
        match call {
            Call::Append => self.appended(&body).await,
            Call::Vote => {
                let response = self.raft.vote(decode(&body).map_err(told)?).await.map_err(told)?;
                Ok(encode(&response))
            }
            Call::PreVote => {
                let response = self.raft.pre_vote(decode(&body).map_err(told)?).await.map_err(told)?;
                Ok(encode(&response))
            }
            Call::Snapshot => self.received(caller.id, &body).await,
            Call::Transfer => self.transferred(&body).await,
            Call::Write => self.forwarded(&body).await,
            Call::Votes => self.voted(caller.id, &body),
            Call::Form => self.formed(&body).await,
            Call::Adopt => self.adopted(&body).await,
            Call::Retire => {
                self.raft.runtime_config().elect(false);
                self.fail(Failure::Removed);
                Ok(Vec::new())
            }
            Call::Ping | Call::Probe => Ok(Vec::new()),
        }
    }

    async fn appended(&self, body: &[u8]) -> Result<Vec<u8>, Told> {
        let body: AppendBody = decode(body).map_err(told)?;
        let majority_ms = body.majority_ms;
        let request = body.into_request();
        let (vote, committed) = (request.vote, request.leader_commit);
        let response = self.raft.append_entries(request).await.map_err(told)?;
        if response.is_success() || response.is_conflict() {
            self.heard_leader(&vote, committed.as_ref());
            if let Some(age_ms) = majority_ms {
                self.contacts.heard_majority(self.clock.now().minus(age_ms));
            }
        }
        Ok(encode(&response))
    }

    /// The leader of `vote` was heard. Its commit index counts once it has committed in its own term: before that
    /// it may not know of everything that was committed.
    fn heard_leader(&self, vote: &Vote, committed: Option<&LogId>) {
        let now = self.clock.now();
        self.contacts.heard_leader(now);
        let own = |id: &&LogId| id.leader_id.term == vote.leader_id.term;
        self.feed.heard(committed.filter(own).map(|id| id.index), now);
    }

    async fn received(&self, from: NodeId, body: &[u8]) -> Result<Vec<u8>, Told> {
        let piece: SnapshotPiece = decode(body).map_err(told)?;
        let vote = piece.vote;
        let Some(snapshot) = self.assemble(from, piece)? else {
            let own = self.metrics().vote;
            return Ok(encode(&SnapshotResponse::<TypeConfig>::new(own)));
        };
        let response = self.raft.install_full_snapshot(vote, snapshot).await.map_err(told)?;
        Ok(encode(&response))
    }

    /// Adds a piece; gives the snapshot when it was the last one.
    fn assemble(&self, from: NodeId, piece: SnapshotPiece) -> Result<Option<Snapshot>, Told> {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        if piece.offset == 0 {
            incoming.insert(from, (piece.meta.clone(), BytesMut::new()));
        }
        let fits = |(meta, data): &&mut (_, BytesMut)| *meta == piece.meta && data.len() as u64 == piece.offset;
        let Some((_, data)) = incoming.get_mut(&from).filter(fits) else {
            incoming.remove(&from);
            return Err("a piece of a snapshot is missing".to_owned());
        };
        if data.len() + piece.data.len() > SNAPSHOT_BYTES_MAX {
            incoming.remove(&from);
            return Err("the snapshot is too large".to_owned());
        }
        data.extend_from_slice(&piece.data);
        if !piece.last {
            return Ok(None);
        }
        let Some((meta, data)) = incoming.remove(&from) else {
            return Ok(None);
        };
        let is_whole = |sent: &Bytes| *sent == digest(&meta, &data);
        if !piece.digest.as_ref().is_none_or(is_whole) {
            warn!(target: "cfgserver::raft", from, bytes = data.len(), "refused a snapshot that was damaged on its way");
            return Err("the snapshot was damaged on its way".to_owned());
        }
        let snapshot = data.freeze();
        Ok(Some(Snapshot { meta, snapshot }))
    }

    async fn transferred(&self, body: &[u8]) -> Result<Vec<u8>, Told> {
        let body: TransferBody = decode(body).map_err(told)?;
        let request = TransferLeaderRequest::new(body.from_leader, body.to, body.last_log_id);
        let response = self.raft.handle_transfer_leader(request).await.map_err(told)?;
        Ok(encode(&response))
    }

    async fn forwarded(self: &Arc<Self>, body: &[u8]) -> Result<Vec<u8>, Told> {
        let body: ForwardBody = decode(body).map_err(told)?;
        let done: Result<Forwarded, WriteError> = self.write_here(body.write).await;
        Ok(encode(&done))
    }

    fn voted(&self, from: NodeId, body: &[u8]) -> Result<Vec<u8>, Told> {
        let report = decode(body).map_err(told)?;
        let leads = self.leadership.borrow().me;
        let ack = match self.desk.get().filter(|_| leads) {
            Some(desk) => desk.votes(from, report),
            None => VoteAck::NotLeader,
        };
        Ok(encode(&ack))
    }
}
