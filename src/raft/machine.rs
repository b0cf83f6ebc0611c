//! openraft's state machine on `machine::apply` and a [`Store`].
//!
//! ```text
//! committed entries -> apply -> one unsynced batch (changed records, last applied, membership) -> Feed -> answers
//! ```
//!
//! What does not live here: what a command does (`crate::machine`), and who hears of it (`feed`).

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::feed::{Applied, Feed};
use super::records::{decode, decode_some, encode};
use super::types::{LogEntry, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::machine::{Record, State, Touched, apply};
use crate::model::Event;
use crate::requests::WriteReply;
use crate::store::{Meta, Store};

/// How far the state is: written together with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct AppliedRecord {
    pub(super) last: Option<LogId>,
    pub(super) membership: StoredMembership,
}

/// A snapshot as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotRecord {
    pub(super) meta: SnapshotMeta,
    pub(super) data: Bytes,
}

/// The replicated state of a node.
pub(crate) struct StateMachine {
    store: Arc<dyn Store>,
    state: State,
    applied: AppliedRecord,
    feed: Arc<Feed>,
    snapshot: Arc<Current>,
}

/// The state as it is on disk.
pub(crate) struct Loaded {
    pub(super) state: State,
    pub(super) applied: AppliedRecord,
}

impl Loaded {
    /// Reads it.
    pub(crate) fn from(store: &dyn Store) -> io::Result<Self> {
        let applied = decode_some(store.get(Meta::Applied)?)?.unwrap_or_default();
        let state = State::from_records(store.state()?).map_err(io::Error::other)?;
        Ok(Self { state, applied })
    }

    /// The addresses of the members of the cluster.
    pub(crate) fn members(&self) -> Vec<String> {
        let nodes = self.applied.membership.nodes();
        nodes.map(|(_, node)| node.address.clone()).collect()
    }

    /// Index of the last applied entry; 0 when there is none.
    pub(crate) fn index(&self) -> u64 {
        self.applied.last.map_or(0, |last| last.index)
    }
}

impl StateMachine {
    /// Goes on from what was loaded.
    pub(crate) fn new(store: Arc<dyn Store>, loaded: Loaded, feed: Arc<Feed>) -> io::Result<Self> {
        let current = decode_some::<SnapshotRecord>(store.get(Meta::Snapshot)?)?;
        if let Some(snapshot) = &current {
            // A follower would be given it: better that this node does not start.
            unpack(&snapshot.data)?;
        }
        Ok(Self {
            store,
            state: loaded.state,
            applied: loaded.applied,
            feed,
            snapshot: Arc::new(Current(Mutex::new(current.map(SnapshotRecord::into_snapshot)))),
        })
    }

    fn apply_entry(&mut self, entry: LogEntry, batch: &mut Batch) -> WriteReply {
        self.applied.last = Some(entry.log_id);
        let (index, term) = (entry.log_id.index, entry.log_id.leader_id.term);
        let witness = |command, state| {
            self.feed.entry(Applied {
                index,
                term,
                command,
                state,
            });
        };
        match entry.payload {
            EntryPayload::Blank => {
                witness(None, &self.state);
                WriteReply::Accepted
            }
            EntryPayload::Membership(membership) => {
                self.applied.membership = StoredMembership::new(Some(entry.log_id), membership);
                witness(None, &self.state);
                WriteReply::Accepted
            }
            EntryPayload::Normal(command) => {
                let applied = apply(&mut self.state, &command);
                witness(Some((&command, &applied)), &self.state);
                batch.events.extend(applied.events);
                batch.touched.groups.extend(applied.touched.groups);
                WriteReply::Outcome {
                    outcome: applied.outcome,
                    revision: self.state.revision(),
                }
            }
        }
    }
}

/// What one apply call gathers.
#[derive(Default)]
struct Batch {
    touched: Touched,
    events: Vec<Event>,
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied.last, self.applied.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batch = Batch::default();
        let mut answers = Vec::new();
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let reply = self.apply_entry(entry, &mut batch);
            answers.extend(responder.map(|responder| (responder, reply)));
        }
        let meta = vec![(Meta::Applied, encode(&self.applied))];
        self.store.write_state(&self.state.records(&batch.touched), meta)?;
        let index = self.applied.last.map_or(0, |last| last.index);
        self.feed.applied(index, self.state.clone(), batch.events);
        for (responder, reply) in answers {
            responder.send(reply);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            store: self.store.clone(),
            state: self.state.clone(),
            applied: self.applied.clone(),
            current: self.snapshot.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: Bytes) -> io::Result<()> {
        let (state, records) = unpack(&data)?;
        let applied = AppliedRecord {
            last: meta.last_log_id,
            membership: meta.last_membership.clone(),
        };
        let snapshot = SnapshotRecord {
            meta: meta.clone(),
            data,
        };
        let kept = vec![(Meta::Applied, encode(&applied)), (Meta::Snapshot, encode(&snapshot))];
        let records: Vec<Record> = records.into_iter().map(record).collect();
        let mut current = self.snapshot.lock();
        self.store.replace_state(&records, kept)?;
        *current = Some(snapshot.into_snapshot());
        drop(current);
        self.state = state;
        self.applied = applied;
        let index = self.applied.last.map_or(0, |last| last.index);
        self.feed.replaced(index, self.state.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.snapshot.lock().clone())
    }
}

/// The state that a snapshot holds, and its records.
fn unpack(data: &[u8]) -> io::Result<(State, Vec<(Bytes, Bytes)>)> {
    let records: Vec<(Bytes, Bytes)> = decode(data)?;
    let pairs = records.iter().map(|(key, value)| (key.to_vec(), value.to_vec()));
    let state = State::from_records(pairs).map_err(io::Error::other)?;
    Ok((state, records))
}

fn record((key, value): (Bytes, Bytes)) -> Record {
    Record {
        key: key.to_vec(),
        value: Some(value.to_vec()),
    }
}

/// The latest snapshot. Its lock orders the writes of [`Meta::Snapshot`].
struct Current(Mutex<Option<Snapshot>>);

impl Current {
    fn lock(&self) -> MutexGuard<'_, Option<Snapshot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SnapshotRecord {
    fn into_snapshot(self) -> Snapshot {
        Snapshot {
            meta: self.meta,
            snapshot: self.data,
        }
    }
}

/// Serialises the state of one moment. Applying goes on meanwhile.
pub(crate) struct Builder {
    store: Arc<dyn Store>,
    state: State,
    applied: AppliedRecord,
    current: Arc<Current>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let pair = |record: Record| record.value.map(|value| (Bytes::from(record.key), Bytes::from(value)));
        let records: Vec<(Bytes, Bytes)> = self.state.all_records().into_iter().filter_map(pair).collect();
        let record = SnapshotRecord {
            meta: SnapshotMeta {
                last_log_id: self.applied.last,
                last_membership: self.applied.membership.clone(),
            },
            data: Bytes::from(encode(&records)),
        };
        let bytes = encode(&record);
        let snapshot = record.into_snapshot();
        let durable = {
            let mut current = self.current.lock();
            if current
                .as_ref()
                .is_some_and(|newer| newer.meta.last_log_id > snapshot.meta.last_log_id)
            {
                return Ok(snapshot);
            }
            let (done, durable) = oneshot::channel();
            let done = Box::new(move |result| _ = done.send(result));
            self.store.put_durable(Meta::Snapshot, bytes, done)?;
            *current = Some(snapshot.clone());
            durable
        };
        durable.await.map_err(|_| io::Error::other("the store went away"))??;
        Ok(snapshot)
    }
}
