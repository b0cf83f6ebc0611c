//! What only a leader can answer: SENTINEL FAILOVER, SENTINEL RESET, and the votes of the nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot};

use crate::control::{Shared, names};
use crate::detect::{Tally, VoteAck, VoteReport};
use crate::failover::{Scene, Wish, unreachable};
use crate::machine::{Command, Outcome, Rejection, ResetGroup, State};
use crate::model::{Failover, Group, GroupName, NodeId};
use crate::raft::{Desk, Working};
use crate::requests::{Monitoring, WriteError, WriteReply};
use crate::resp::glob_matches;

/// What operators may have waiting at a leader. They are people: more is a script gone wild, and is refused.
pub(super) const ASKS_MAX: usize = 1024;
/// How often RESET is planned again when groups moved on under it.
const RESET_ATTEMPTS: u32 = 5;

/// An operator who waits for an answer about a group.
pub(super) struct Ask<W = Wish> {
    pub(super) name: GroupName,
    pub(super) wish: W,
    reply: oneshot::Sender<Result<WriteReply, WriteError>>,
}

/// What reaches the leader.
pub(super) enum Asked {
    /// SENTINEL FAILOVER: answered with its first commit.
    Failover(Ask),
    /// CFG EXPLAIN: answered at once.
    Explain(Ask<()>),
}

impl Asked {
    pub(super) fn refuse_not_leading(self) {
        match self {
            Self::Failover(ask) => ask.refuse_not_leading(),
            Self::Explain(ask) => ask.refuse_not_leading(),
        }
    }
}

impl<W> Ask<W> {
    pub(super) fn refuse_not_leading(self) {
        self.answer(Err(WriteError::NoLeader));
    }

    pub(super) fn answer(self, result: Result<WriteReply, WriteError>) {
        // An operator who went away needs no answer.
        _ = self.reply.send(result);
    }
}

/// The leader's desk.
pub(super) struct LeaderDesk {
    shared: Arc<Shared>,
    asks: mpsc::Sender<Asked>,
}

impl LeaderDesk {
    pub(super) fn new(shared: Arc<Shared>, asks: mpsc::Sender<Asked>) -> Self {
        Self { shared, asks }
    }

    fn ask<W>(&self, name: GroupName, wish: W, asked: fn(Ask<W>) -> Asked) -> Working {
        let (reply, replied) = oneshot::channel();
        let sent = self.asks.try_send(asked(Ask { name, wish, reply }));
        Box::pin(async move {
            if sent.is_err() {
                return Err(WriteError::Refused("too many failovers are being asked for".to_owned()));
            }
            // Dropped unanswered: leadership was lost with the proposal under way.
            replied.await.unwrap_or(Err(WriteError::Unknown))
        })
    }
}

impl Desk for LeaderDesk {
    fn failover(&self, name: GroupName, wish: Wish) -> Working {
        self.ask(name, wish, Asked::Failover)
    }

    fn explain(&self, name: GroupName) -> Working {
        self.ask(name, (), Asked::Explain)
    }

    fn reset(&self, pattern: Vec<u8>) -> Working {
        let shared = self.shared.clone();
        Box::pin(async move { reset(&shared, &pattern).await })
    }

    fn monitor(&self, wanted: Monitoring) -> Working {
        let shared = self.shared.clone();
        Box::pin(async move { names::monitor(&shared, wanted).await })
    }

    fn votes(&self, from: NodeId, report: VoteReport) -> VoteAck {
        let leading = *self.shared.proposals.leadership().borrow();
        if !leading.me {
            return VoteAck::NotLeader;
        }
        let (ack, changed) = self.shared.book.receive(leading.term, from, &report, self.shared.now());
        for group in changed {
            self.shared.board.mark_dirty(group);
        }
        ack
    }

    fn orders_under_way(&self) -> usize {
        self.shared.orders.load(Ordering::SeqCst)
    }
}

async fn reset(shared: &Shared, pattern: &[u8]) -> Result<WriteReply, WriteError> {
    for _ in 0..RESET_ATTEMPTS {
        if !shared.proposals.leadership().borrow().me {
            return Err(WriteError::NoLeader);
        }
        let command = plan_reset(shared, pattern)?;
        let reply = shared.proposals.propose(command).await?;
        match reply {
            WriteReply::Outcome {
                outcome: Outcome::Rejected(Rejection::Moved | Rejection::NoSuchGroup),
                ..
            } => {}
            WriteReply::Outcome {
                outcome: Outcome::Rejected(Rejection::InProgress),
                ..
            } => return Err(WriteError::InProgress),
            reply => return Ok(reply),
        }
    }
    Err(WriteError::Refused("the groups keep changing, try again".to_owned()))
}

fn plan_reset(shared: &Shared, pattern: &[u8]) -> Result<Command, WriteError> {
    let state = shared.board.state();
    let mut groups = Vec::new();
    for group in state.groups_by_name() {
        if !glob_matches(pattern, group.name.as_str().as_bytes()) {
            continue;
        }
        if group.failover.as_ref().is_some_and(Failover::is_undecided) {
            return Err(WriteError::InProgress);
        }
        groups.push(reset_group(shared, &state, group));
    }
    Ok(Command::Reset { groups })
}

fn reset_group(shared: &Shared, state: &State, group: &Group) -> ResetGroup {
    let sightings: BTreeMap<_, _> = shared.board.sightings(group.id);
    let scene = Scene {
        group,
        sightings: &sightings,
        tally: &Tally::default(),
        elsewhere: state,
        node: shared.node,
        wall: state.time(shared.clock.wall()),
    };
    ResetGroup {
        group: group.id,
        on: group.version,
        forget: unreachable(&scene),
    }
}
