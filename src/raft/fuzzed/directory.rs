//! A data directory with damage in it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::FutureExt;
use openraft::storage::{RaftLogReader, RaftLogStorage};
use openraft::{EntryPayload, Membership};

use super::samples::{log_id, node, used};
use crate::machine::{Record, State, apply};
use crate::model::{ClusterId, Event, Instant, MyId};
use crate::raft::feed::{ApplySink, Feed};
use crate::raft::identity::Identity;
use crate::raft::log::LogStore;
use crate::raft::machine::{AppliedRecord, Loaded, SnapshotRecord, StateMachine};
use crate::raft::records::encode;
use crate::raft::types::{LogEntry, SnapshotMeta, StoredMembership, Vote};
use crate::store::{MemoryStore, Meta, Store};

const METAS: [Meta; 6] = [
    Meta::Vote,
    Meta::Committed,
    Meta::Purged,
    Meta::Applied,
    Meta::Snapshot,
    Meta::Identity,
];
/// The entries up to this one are applied and in the snapshot.
const APPLIED: u64 = 4;
/// The entries before this one are purged.
const FIRST: u64 = 2;

struct Deaf;

impl ApplySink for Deaf {
    fn applied(&self, _: Arc<State>, _: Vec<Event>) {}
    fn replaced(&self, _: Arc<State>, _: Arc<State>) {}
}

/// What a directory holds, as bytes.
#[derive(Clone)]
struct Image {
    metas: BTreeMap<Meta, Vec<u8>>,
    log: Vec<(u64, Vec<u8>)>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The bytes say what is damaged, and how; then the directory is read as at a start.
pub fn data_directory(bytes: &[u8]) {
    let mut image = good().clone();
    let mut rest = bytes;
    while let [place, kind, at, length, left @ ..] = rest {
        let (data, left) = left.split_at(usize::from(*length).min(left.len()));
        image.damage(usize::from(*place), *kind, usize::from(*at), data);
        rest = left;
    }
    let Ok(store) = image.store() else { return };
    let read = read(&store);
    assert!(!bytes.is_empty() || read.is_ok(), "what is whole is read");
    if let Ok(state) = read {
        image.is_all_in(&store, state);
    }
}

impl Image {
    fn damage(&mut self, place: usize, kind: u8, at: usize, data: &[u8]) {
        let places = METAS.len() + self.log.len() + 2 * self.records.len() + 1;
        let place = place % places;
        let other = self.metas.get(&METAS[at % METAS.len()]).cloned();
        let Some(value) = self.place(place) else {
            return self.records.push((data.to_vec(), other.unwrap_or_default()));
        };
        let at = at * value.len().div_ceil(256).max(1) % value.len().max(1);
        match kind % 6 {
            0 => *value = data.to_vec(),
            1 => value.truncate(at),
            2 => value.extend_from_slice(data),
            3 => {
                let end = (at + data.len()).min(value.len());
                value.splice(at..end, data.iter().copied());
            }
            4 => {
                value.splice(at..at, data.iter().copied());
            }
            _ => *value = other.unwrap_or_default(),
        }
    }

    fn place(&mut self, place: usize) -> Option<&mut Vec<u8>> {
        let (metas, log) = (METAS.len(), self.log.len());
        if let Some(meta) = METAS.get(place) {
            return Some(self.metas.entry(*meta).or_default());
        }
        if let Some((_, entry)) = self.log.get_mut(place - metas) {
            return Some(entry);
        }
        let (record, side) = ((place - metas).checked_sub(log)? / 2, (place - metas - log) % 2);
        let (key, value) = self.records.get_mut(record)?;
        Some(if side == 0 { key } else { value })
    }

    fn store(&self) -> io::Result<MemoryStore> {
        let store = MemoryStore::new();
        store.append(self.log.clone(), Box::new(drop))?;
        let record = |(key, value): &(Vec<u8>, Vec<u8>)| Record {
            key: key.clone(),
            value: Some(value.clone()),
        };
        let records: Vec<Record> = self.records.iter().map(record).collect();
        let metas = self.metas.iter().map(|(meta, value)| (*meta, value.clone()));
        store.write_state(&records, metas.collect())?;
        Ok(store)
    }

    /// Nothing of the directory was passed over.
    fn is_all_in(&self, store: &MemoryStore, state: State) {
        let kept = store.state().unwrap_or_default();
        let keys = |records: Vec<Record>| records.into_iter().map(|record| record.key).collect::<Vec<_>>();
        let stored: Vec<Vec<u8>> = kept.into_iter().map(|(key, _)| key).collect();
        let mut own = keys(state.all_records());
        own.sort_unstable();
        assert!(own == stored || stored.is_empty(), "some records are not in the state");
        let mut state = state;
        for (_, entry) in &self.log {
            let entry = crate::raft::records::decode::<LogEntry>(entry);
            if let Ok(EntryPayload::Normal(command)) = entry.map(|entry| entry.payload) {
                apply(&mut state, &command);
            }
        }
    }
}

/// What a starting node reads, in its order.
fn read(store: &MemoryStore) -> io::Result<State> {
    let waits = || io::Error::from(io::ErrorKind::WouldBlock);
    let store: Arc<dyn Store> = Arc::new(copy(store)?);
    _ = Identity::load(store.as_ref())?;
    let loaded = Loaded::from(store.as_ref())?;
    _ = loaded.members();
    let state = loaded.state.clone();
    let feed = Feed::start(Arc::new(Deaf), state.clone(), loaded.index(), Instant(0));
    _ = StateMachine::new(store.clone(), loaded, Arc::new(feed))?;
    let mut log = LogStore::new(store);
    _ = log.get_log_state().now_or_never().ok_or_else(waits)??;
    _ = log.read_vote().now_or_never().ok_or_else(waits)??;
    _ = log.read_committed().now_or_never().ok_or_else(waits)??;
    let entries = log.try_get_log_entries(0..100).now_or_never().ok_or_else(waits)??;
    for (entry, index) in entries.iter().zip(FIRST..) {
        assert_eq!(entry.log_id.index, index, "an entry in the place of another");
    }
    Ok(state)
}

fn copy(store: &MemoryStore) -> io::Result<MemoryStore> {
    store.sync();
    Ok(store.crash())
}

#[expect(clippy::expect_used, reason = "a literal of this file")]
fn good() -> &'static Image {
    static GOOD: OnceLock<Image> = OnceLock::new();
    GOOD.get_or_init(|| {
        let (_, log) = used();
        let mut state = State::default();
        for entry in log.iter().filter(|entry| entry.log_id.index <= APPLIED) {
            if let EntryPayload::Normal(entry) = &entry.payload {
                apply(&mut state, entry);
            }
        }
        let pairs = state
            .all_records()
            .into_iter()
            .filter_map(|record| Some((record.key, record.value?)));
        let records: Vec<(Vec<u8>, Vec<u8>)> = pairs.collect();
        let nodes = BTreeMap::from([(1, node())]);
        let membership = Membership::new(vec![[1].into()], nodes).expect("a voter that is a node");
        let membership = StoredMembership::new(Some(log_id(1)), membership);
        let last = Some(log_id(APPLIED));
        let bytes = |(key, value): &(Vec<u8>, Vec<u8>)| (Bytes::from(key.clone()), Bytes::from(value.clone()));
        let snapshot = SnapshotRecord {
            meta: SnapshotMeta {
                last_log_id: last,
                last_membership: membership.clone(),
            },
            data: encode(&records.iter().map(bytes).collect::<Vec<_>>()).into(),
        };
        let identity = Identity {
            node_id: 1,
            cluster: Some(ClusterId("cluster".into())),
            incarnation: "aa".to_owned(),
            my_id: MyId("cc".into()),
            origin: None,
        };
        let metas = BTreeMap::from([
            (Meta::Vote, encode(&Vote::new_committed(1, 1))),
            (Meta::Committed, encode(&log_id(log.len() as u64))),
            (Meta::Purged, encode(&log_id(FIRST - 1))),
            (Meta::Applied, encode(&AppliedRecord { last, membership })),
            (Meta::Snapshot, encode(&snapshot)),
            (Meta::Identity, encode(&identity)),
        ]);
        let kept = log.iter().filter(|entry| entry.log_id.index >= FIRST);
        Image {
            metas,
            log: kept.map(|entry| (entry.log_id.index, encode(entry))).collect(),
            records,
        }
    })
}
