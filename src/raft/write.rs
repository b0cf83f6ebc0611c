//! Writes: here when this node leads, else forwarded to the leader, one hop.
//!
//! A write that was not sent may be tried again until the deadline. One that was sent and not answered never is: its
//! outcome is unknown, and the error says so.

use std::sync::Arc;
use std::time::Duration;

use openraft::errors::{ClientWriteError, RaftError};

use super::core::Core;
use super::records::{decode, encode};
use super::service::{ForwardBody, Forwarded};
use super::types::TypeConfig;
use crate::detect::{VoteAck, VoteReport};
use crate::failover::Wish;
use crate::machine::{Command, Entry};
use crate::model::{Instant, NodeId};
use crate::mutation::{self, Mutation};
use crate::peer::{Call, CallError, Purpose};
use crate::requests::{AdminRequest, Write, WriteError, WriteReply};

/// How long a change of the membership may take: a new node must catch up.
const ADMIN_LIMIT: Duration = Duration::from_secs(90);
/// A report of verdicts is worth nothing later.
const REPORT_LIMIT: Duration = Duration::from_millis(500);
/// Pause before a write that was not sent is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

impl Core {
    /// Puts a command into the log; this node must lead. Resolves when it is applied here.
    pub(super) async fn propose(&self, command: Command) -> Result<Forwarded, WriteError> {
        let entry = Entry {
            command,
            at: self.clock.wall(),
        };
        if mutation::is_on(Mutation::EventBeforeCommit) {
            self.feed.foretell(&entry);
        }
        match tokio::time::timeout(self.write_limit, self.raft.client_write(entry)).await {
            Ok(Ok(response)) => Ok(Forwarded {
                index: response.log_id.index,
                reply: response.data,
            }),
            Ok(Err(error)) => Err(write_error(error)),
            Err(_) => Err(WriteError::Unknown),
        }
    }

    /// Carries out a write on the leader.
    pub(super) async fn write_here(self: &Arc<Self>, write: Write) -> Result<Forwarded, WriteError> {
        let desk = || match self.desk.get() {
            Some(desk) if self.leadership.borrow().me => Ok(desk),
            _ => Err(WriteError::NoLeader),
        };
        let reply = match write {
            Write::Command(command) => return self.propose(command).await,
            Write::Failover { name } => desk()?.failover(name, Wish::default()).await?,
            Write::FailoverWith { name, coordinated, to } => desk()?.failover(name, Wish { coordinated, to }).await?,
            Write::Reset { pattern } => desk()?.reset(pattern).await?,
            Write::Monitor(wanted) => desk()?.monitor(wanted).await?,
            Write::Explain { name } => desk()?.explain(name).await?,
            Write::Admin(request) => self.administer(request).await?,
        };
        Ok(Forwarded {
            reply,
            index: *self.feed.watch_applied().borrow(),
        })
    }

    /// Carries out a write, wherever the leader is. Resolves when it is applied on this node.
    pub(super) async fn write(self: &Arc<Self>, write: Write) -> Result<WriteReply, WriteError> {
        let limit = match &write {
            Write::Admin(AdminRequest::AddNode { .. } | AdminRequest::RemoveNode { .. }) => ADMIN_LIMIT,
            _ => self.write_limit,
        };
        // A node that has itself removed may never see that applied.
        let leaves = write == Write::Admin(AdminRequest::RemoveNode { id: self.me });
        let until = self.clock.now().plus(limit.as_millis() as u64);
        let done = self.try_until(write, until).await?;
        if leaves {
            return Ok(done.reply);
        }
        let mut applied = self.feed.watch_applied();
        let reached = applied.wait_for(|index| *index >= done.index);
        match tokio::time::timeout(self.left(until), reached).await {
            Ok(Ok(_)) => Ok(done.reply),
            _ => Err(WriteError::Unknown),
        }
    }

    /// Tries until it is done, refused, unknown, or the deadline is there.
    async fn try_until(self: &Arc<Self>, write: Write, until: Instant) -> Result<Forwarded, WriteError> {
        loop {
            let leadership = *self.leadership.borrow();
            let attempt = match leadership.leader {
                Some(leader) if leader == self.me => self.write_here(write.clone()).await,
                Some(leader) => self.forward(leader, &write, self.left(until)).await,
                None => Err(WriteError::NoLeader),
            };
            match attempt {
                Err(WriteError::NoLeader) if self.clock.now() < until => {}
                attempt => return attempt,
            }
            let mut changes = self.leadership.subscribe();
            let changed = changes.wait_for(|now| *now != leadership);
            _ = tokio::time::timeout(RETRY_PAUSE.min(self.left(until)), changed).await;
        }
    }

    async fn forward(&self, leader: NodeId, write: &Write, limit: Duration) -> Result<Forwarded, WriteError> {
        let address = self.address_of(leader).ok_or(WriteError::NoLeader)?;
        let purpose = match write {
            Write::Admin(_) => Purpose::Admin,
            _ => Purpose::Forward,
        };
        let link = self.links.get(leader, &address, purpose);
        let body = encode(&ForwardBody { write: write.clone() });
        match link.call(Call::Write, body, limit).await {
            Ok(answer) => decode::<Result<Forwarded, WriteError>>(&answer).map_err(|_| WriteError::Unknown)?,
            Err(error) if error.not_sent() => Err(WriteError::NoLeader),
            Err(_) => Err(WriteError::Unknown),
        }
    }

    /// Gives verdicts to the leader.
    pub(super) async fn report_votes(&self, report: VoteReport) -> Result<VoteAck, WriteError> {
        let leadership = *self.leadership.borrow();
        let Some(leader) = leadership.leader else {
            return Err(WriteError::NoLeader);
        };
        if leader == self.me {
            let desk = self.desk.get().filter(|_| leadership.me);
            return Ok(desk.map_or(VoteAck::NotLeader, |desk| desk.votes(self.me, report)));
        }
        let address = self.address_of(leader).ok_or(WriteError::NoLeader)?;
        let link = self.links.get(leader, &address, Purpose::Votes);
        let answer = link.call(Call::Votes, encode(&report), REPORT_LIMIT).await;
        let answer = answer.map_err(|error| match error {
            CallError::Lost(_) => WriteError::Unknown,
            _ => WriteError::NoLeader,
        })?;
        decode(&answer).map_err(|error| WriteError::Refused(error.to_string()))
    }

    /// Time until `until`.
    pub(super) fn left(&self, until: Instant) -> Duration {
        Duration::from_millis(until.since(self.clock.now()))
    }
}

/// What openraft's refusal means for a client.
pub(super) fn write_error(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> WriteError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => WriteError::NoLeader,
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) | RaftError::Fatal(_) => WriteError::Unknown,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => WriteError::Refused(error.to_string()),
        RaftError::APIError(ClientWriteError::PreconditionFailed(error)) => WriteError::Refused(error.to_string()),
    }
}
