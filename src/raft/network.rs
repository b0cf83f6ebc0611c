//! openraft's outgoing requests over peer links.
//!
//! What does not live here: connections (`peer`), and the answering side (`service`).

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt, stream};
use openraft::OptionalSend;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::base::{BoxFuture, BoxStream};
use openraft::entry::RaftEntry;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::Sleep;

use super::core::led_majority_ms;
use super::records::{decode, encode};
use super::types::{LogEntry, LogId, MetricsReceiver, Snapshot, SnapshotMeta, TypeConfig, Vote};
use crate::model::{Age, Node, NodeId};
use crate::peer::{Call, CallError, Links, Pending, Purpose};

/// An append may wait this long for the follower's disk, whatever openraft's own budget says.
const APPEND_LIMIT_MIN: Duration = Duration::from_millis(500);
/// Appends on their way to one follower.
const APPENDS_MAX: usize = 32;
/// Bytes of one piece of a snapshot.
const PIECE_BYTES: usize = 512 << 10;
/// The last piece is answered when the snapshot is installed.
const PIECE_LIMIT: Duration = Duration::from_secs(15);
/// Pause between attempts to reach a peer.
const BACKOFF: Duration = Duration::from_millis(50);
/// The pause after a snapshot that did not arrive doubles up to this: all of it is sent again each time.
const SNAPSHOT_BACKOFF_MAX: Duration = Duration::from_secs(1);

type RpcError = RPCError<TypeConfig>;

/// Makes clients for openraft.
pub(crate) struct NetworkFactory {
    links: Links,
    pulse: Pulse,
}

/// How the leader fares, once Raft runs.
pub(super) type Pulse = Arc<OnceLock<MetricsReceiver>>;

impl NetworkFactory {
    /// Clients over `links`; with every append they say how `pulse` goes.
    pub(crate) fn new(links: Links, pulse: Pulse) -> Self {
        Self { links, pulse }
    }

    fn client(&self, target: NodeId, node: &Node, purpose: Purpose) -> Network {
        Network {
            links: self.links.clone(),
            target,
            address: node.address.clone(),
            purpose,
            pulse: self.pulse.clone(),
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for NetworkFactory {
    type Network = Network;

    async fn new_client(&mut self, target: NodeId, node: &Node) -> Network {
        self.client(target, node, Purpose::Append)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Node) -> Network {
        self.client(target, node, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Node) -> Network {
        self.client(target, node, Purpose::Snapshot)
    }
}

/// A client for one peer.
pub(crate) struct Network {
    links: Links,
    target: NodeId,
    address: String,
    /// What its appends are for. Elections have a connection of their own.
    purpose: Purpose,
    pulse: Pulse,
}

/// Log entries, or a heartbeat: openraft's request, and beside it what the leader knows of its majority.
#[derive(Serialize, Deserialize)]
pub(super) struct AppendBody {
    vote: Vote,
    prev_log_id: Option<LogId>,
    entries: Vec<LogEntry>,
    leader_commit: Option<LogId>,
    /// How long ago a majority answered the leader.
    #[serde(default)]
    pub(super) majority_ms: Option<Age>,
}

impl AppendBody {
    pub(super) fn new(request: AppendEntriesRequest<TypeConfig>, majority_ms: Option<Age>) -> Self {
        Self {
            vote: request.vote,
            prev_log_id: request.prev_log_id,
            entries: request.entries,
            leader_commit: request.leader_commit,
            majority_ms,
        }
    }

    pub(super) fn into_request(self) -> AppendEntriesRequest<TypeConfig> {
        AppendEntriesRequest {
            vote: self.vote,
            prev_log_id: self.prev_log_id,
            entries: self.entries,
            leader_commit: self.leader_commit,
        }
    }
}

/// One piece of a snapshot.
#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotPiece {
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMeta,
    pub(super) offset: u64,
    pub(super) data: Bytes,
    pub(super) last: bool,
    /// With the last piece: what the whole must be. Nodes that are older do not send it.
    #[serde(default)]
    pub(super) digest: Option<Bytes>,
}

/// What two nodes must agree on before a snapshot is installed.
pub(super) fn digest(meta: &SnapshotMeta, data: &[u8]) -> Bytes {
    let digest = Sha256::new().chain_update(encode(meta)).chain_update(data).finalize();
    Bytes::copy_from_slice(&digest)
}

/// The word to take over leadership.
#[derive(Serialize, Deserialize)]
pub(super) struct TransferBody {
    pub(super) from_leader: Vote,
    pub(super) to: NodeId,
    pub(super) last_log_id: Option<LogId>,
}

impl Network {
    fn append_body(&self, request: AppendEntriesRequest<TypeConfig>) -> AppendBody {
        let metrics = self.pulse.get();
        let majority_ms = metrics.and_then(|metrics| led_majority_ms(&metrics.borrow_watched()));
        AppendBody::new(request, majority_ms)
    }

    async fn ask<T: Serialize, A: DeserializeOwned>(
        &self,
        purpose: Purpose,
        call: Call,
        body: &T,
        limit: Duration,
    ) -> Result<A, RpcError> {
        let link = self.links.get(self.target, &self.address, purpose);
        let answer = link.call(call, encode(body), limit).await.map_err(unreachable)?;
        decode(&answer).map_err(unreachable)
    }
}

fn unreachable(error: impl ToString) -> RpcError {
    RPCError::Unreachable(Unreachable::from_string(error))
}

impl RaftNetworkV2<TypeConfig> for Network {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let limit = option.soft_ttl().max(APPEND_LIMIT_MIN);
        let body = self.append_body(rpc);
        self.ask(self.purpose, Call::Append, &body, limit).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let pipe = Pipe {
            network: self,
            input: Some(input),
            sent: VecDeque::new(),
            broken: false,
            limit: option.soft_ttl().max(APPEND_LIMIT_MIN),
        };
        let answers = stream::unfold(Some(pipe), |pipe| async move {
            let mut pipe = pipe?;
            let item = pipe.next().await?;
            let goes_on = !pipe.broken;
            Some((item, goes_on.then_some(pipe)))
        });
        let answers: BoxStream<'s, _> = Box::pin(answers);
        Box::pin(async move { Ok(answers) })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask(Purpose::Election, Call::Vote, &rpc, option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask(Purpose::Election, Call::PreVote, &rpc, option.soft_ttl())
            .await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let pieces = pin!(self.send_pieces(vote, snapshot));
        match select(pieces, pin!(cancel)).await {
            Either::Left((result, _)) => result.map_err(StreamingError::from),
            Either::Right((closed, _)) => Err(closed.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let body = TransferBody {
            from_leader: *request.from_leader(),
            to: *request.to_node_id(),
            last_log_id: request.last_log_id().copied(),
        };
        self.ask(Purpose::Election, Call::Transfer, &body, option.soft_ttl())
            .await
    }

    fn backoff(&self) -> Option<Backoff> {
        let longer = |pause: &Duration| Some((*pause * 2).min(SNAPSHOT_BACKOFF_MAX));
        Some(match self.purpose {
            Purpose::Snapshot => Backoff::new(std::iter::successors(Some(BACKOFF), longer)),
            _ => Backoff::new(std::iter::repeat(BACKOFF)),
        })
    }
}

impl Network {
    /// Sends the pieces one after another. A higher vote of the receiver ends it early.
    async fn send_pieces(&self, vote: Vote, snapshot: Snapshot) -> Result<SnapshotResponse<TypeConfig>, RpcError> {
        let mut offset = 0;
        loop {
            let end = (offset + PIECE_BYTES).min(snapshot.snapshot.len());
            let last = end == snapshot.snapshot.len();
            let piece = SnapshotPiece {
                vote,
                meta: snapshot.meta.clone(),
                offset: offset as u64,
                data: snapshot.snapshot.slice(offset..end),
                last,
                digest: last.then(|| digest(&snapshot.meta, &snapshot.snapshot)),
            };
            let answer: SnapshotResponse<TypeConfig> =
                self.ask(Purpose::Snapshot, Call::Snapshot, &piece, PIECE_LIMIT).await?;
            if piece.last || answer.vote > vote {
                return Ok(answer);
            }
            offset = end;
        }
    }
}

/// Appends on their way to one follower, in order.
struct Pipe<'a, S> {
    network: &'a mut Network,
    input: Option<S>,
    sent: VecDeque<Sent>,
    /// After a conflict, a higher vote, half a success or a lost answer nothing that follows has a meaning.
    broken: bool,
    limit: Duration,
}

struct Sent {
    prev: Option<LogId>,
    last: Option<LogId>,
    answer: Pending,
    overdue: Pin<Box<Sleep>>,
}

impl<S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin> Pipe<'_, S> {
    /// The answer to the oldest append; `None` when all are answered and no more come.
    async fn next(&mut self) -> Option<Result<StreamAppendResult<TypeConfig>, RpcError>> {
        loop {
            let room = self.sent.len() < APPENDS_MAX;
            match (self.input.as_mut().filter(|_| room), self.sent.front_mut()) {
                (None, None) => return None,
                (None, Some(oldest)) => {
                    let answer = oldest.answer().await;
                    return self.land(answer);
                }
                (Some(input), None) => {
                    let request = input.next().await;
                    self.send(request).await;
                }
                (Some(input), Some(oldest)) => {
                    let step = {
                        let answer = pin!(oldest.answer());
                        match select(answer, input.next()).await {
                            Either::Left((answer, _)) => Either::Left(answer),
                            Either::Right((request, _)) => Either::Right(request),
                        }
                    };
                    match step {
                        Either::Left(answer) => return self.land(answer),
                        Either::Right(request) => self.send(request).await,
                    }
                }
            }
        }
    }

    async fn send(&mut self, request: Option<AppendEntriesRequest<TypeConfig>>) {
        let Some(request) = request else {
            self.input = None;
            return;
        };
        let network = &self.network;
        let link = network.links.get(network.target, &network.address, network.purpose);
        let last = request.entries.last().map(RaftEntry::log_id).or(request.prev_log_id);
        let prev = request.prev_log_id;
        let body = network.append_body(request);
        self.sent.push_back(Sent {
            prev,
            last,
            answer: link.start(Call::Append, encode(&body)).await,
            overdue: Box::pin(tokio::time::sleep(self.limit)),
        });
    }

    fn land(&mut self, answer: Result<Bytes, CallError>) -> Option<Result<StreamAppendResult<TypeConfig>, RpcError>> {
        let sent = self.sent.pop_front()?;
        let response = answer.map_err(unreachable).and_then(|body| {
            let response: AppendEntriesResponse<TypeConfig> = decode(&body).map_err(unreachable)?;
            if response.is_conflict() && sent.prev.is_none() {
                return Err(unreachable("a conflict before the first entry"));
            }
            Ok(response.into_stream_result(sent.prev, sent.last))
        });
        self.broken = !matches!(&response, Ok(Ok(matched)) if *matched == sent.last);
        Some(response)
    }
}

impl Sent {
    async fn answer(&mut self) -> Result<Bytes, CallError> {
        let lost = |reason: &str| Err(CallError::Lost(reason.to_owned()));
        match select(&mut self.answer, self.overdue.as_mut()).await {
            Either::Left((Ok(answer), _)) => answer,
            Either::Left((Err(_), _)) => lost("the node stops"),
            Either::Right(((), _)) => lost("timed out"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use openraft::EntryPayload;

    use super::*;

    #[test]
    fn an_append_with_and_without_the_majority_is_read_by_either_side() {
        let id = LogId {
            leader_id: openraft::vote::leader_id_std::CommittedLeaderId::new(7),
            index: 9,
        };
        let request = || AppendEntriesRequest::<TypeConfig> {
            vote: Vote::new_committed(7, 3),
            prev_log_id: None,
            entries: vec![LogEntry {
                log_id: id,
                payload: EntryPayload::Blank,
            }],
            leader_commit: Some(id),
        };
        let older: AppendBody = decode(&encode(&request())).unwrap();
        assert_eq!(older.majority_ms, None);
        assert_eq!(encode(&older.into_request()), encode(&request()));
        let ours = encode(&AppendBody::new(request(), Some(5)));
        assert_eq!(decode::<AppendBody>(&ours).unwrap().majority_ms, Some(5));
        let read: AppendEntriesRequest<TypeConfig> = decode(&ours).unwrap();
        assert_eq!(encode(&read), encode(&request()));
    }
}
