//! A store in memory that can lose its unsynced tail.
//!
//! It keeps what is written and what is durable apart, so a crash is as hard here as on a disk.
//! What does not live here: files.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::machine::Record;
use crate::store::bounds::{Bounds, take_bytes};
use crate::store::{Meta, OnDurable, Store};

/// When a [`MemoryStore`] makes writes durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Syncing {
    /// With every write that asks for it, before the call returns.
    #[default]
    AtOnce,
    /// When [`MemoryStore::sync`] is called.
    ByHand,
}

/// A node's disk in memory.
///
/// Writes that nobody waits for stay volatile until a later durable write covers them, as on a real disk.
/// The list of volatile writes has no bound: it is as long as the test lets it become.
#[derive(Default)]
pub struct MemoryStore {
    syncing: Syncing,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    written: Content,
    durable: Content,
    /// Written, not durable.
    volatile: VecDeque<Change>,
    /// Callbacks, each with the number of the write that it waits for.
    waiting: VecDeque<(u64, OnDurable)>,
    /// Callbacks to be called now.
    finished: VecDeque<(OnDurable, io::Result<()>)>,
    delivering: bool,
    writes: u64,
    failure: Option<String>,
}

/// What a disk holds.
#[derive(Clone, Debug, Default)]
struct Content {
    bounds: Bounds,
    log: BTreeMap<u64, Vec<u8>>,
    meta: BTreeMap<Meta, Vec<u8>>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// One atomic write.
#[derive(Clone, Debug, Default)]
struct Change {
    bounds: Option<Bounds>,
    removed: Range<u64>,
    entries: Vec<(u64, Vec<u8>)>,
    meta: Vec<(Meta, Vec<u8>)>,
    wipe_state: bool,
    records: Vec<Record>,
}

impl Content {
    fn apply(&mut self, change: Change) {
        self.bounds = change.bounds.unwrap_or(self.bounds);
        for index in change.removed {
            self.log.remove(&index);
        }
        self.log.extend(change.entries);
        self.meta.extend(change.meta);
        if change.wipe_state {
            self.state.clear();
        }
        for record in change.records {
            match record.value {
                Some(value) => self.state.insert(record.key, value),
                None => self.state.remove(&record.key),
            };
        }
    }
}

impl Inner {
    fn write(&mut self, change: Change) {
        self.written.apply(change.clone());
        self.volatile.push_back(change);
        self.writes += 1;
    }

    /// Makes the oldest volatile writes durable.
    fn sync(&mut self, count: usize) {
        for change in self.volatile.drain(..count.min(self.volatile.len())) {
            self.durable.apply(change);
        }
        let covered = self.writes - self.volatile.len() as u64;
        while self.waiting.front().is_some_and(|(write, _)| *write <= covered) {
            if let Some((_, done)) = self.waiting.pop_front() {
                self.finished.push_back((done, Ok(())));
            }
        }
    }

    fn check(&self) -> io::Result<()> {
        match &self.failure {
            Some(reason) => Err(io::Error::other(reason.clone())),
            None => Ok(()),
        }
    }
}

impl MemoryStore {
    /// An empty disk that syncs at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty disk.
    pub fn with_syncing(syncing: Syncing) -> Self {
        Self {
            syncing,
            inner: Mutex::default(),
        }
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) {
        self.sync_some(usize::MAX);
    }

    /// Makes the oldest `count` volatile writes durable.
    pub fn sync_some(&self, count: usize) {
        let mut inner = self.lock();
        if inner.failure.is_none() {
            inner.sync(count);
        }
        drop(inner);
        self.deliver();
    }

    /// How many writes would be lost by a crash now.
    pub fn volatile_writes(&self) -> usize {
        self.lock().volatile.len()
    }

    /// The disk as a restart finds it after a power cut: only what is durable. This store fails from now on, and
    /// callbacks that wait are never called: their process is gone.
    pub fn crash(&self) -> Self {
        self.crash_keeping(0)
    }

    /// Like [`MemoryStore::crash`], but the oldest `count` volatile writes happened to reach the disk.
    pub fn crash_keeping(&self, count: usize) -> Self {
        let mut inner = self.lock();
        let mut durable = std::mem::take(&mut inner.durable);
        let kept = count.min(inner.volatile.len());
        for change in inner.volatile.drain(..kept) {
            durable.apply(change);
        }
        inner.volatile.clear();
        inner.failure = Some("the disk has crashed".to_owned());
        let lost = std::mem::take(&mut inner.waiting);
        drop(inner);
        drop(lost);
        Self {
            syncing: self.syncing,
            inner: Mutex::new(Inner {
                written: durable.clone(),
                durable,
                ..Inner::default()
            }),
        }
    }

    /// Every callback that waits, and every later write, fails.
    pub fn break_disk(&self, reason: &str) {
        let mut inner = self.lock();
        inner.failure = Some(reason.to_owned());
        while let Some((_, done)) = inner.waiting.pop_front() {
            let failed = inner.check();
            inner.finished.push_back((done, failed));
        }
        drop(inner);
        self.deliver();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One write: `make` builds it from what is there; `done` says that somebody waits.
    fn write(&self, done: Option<OnDurable>, make: impl FnOnce(&Content) -> io::Result<Change>) -> io::Result<()> {
        let mut inner = self.lock();
        let change = inner.check().and_then(|()| make(&inner.written));
        let result = change.map(|change| inner.write(change));
        match (&result, done) {
            (Ok(()), Some(done)) => {
                let write = inner.writes;
                inner.waiting.push_back((write, done));
                if self.syncing == Syncing::AtOnce {
                    inner.sync(usize::MAX);
                }
            }
            (Err(error), Some(done)) => {
                let error = io::Error::new(error.kind(), error.to_string());
                inner.finished.push_back((done, Err(error)));
            }
            (_, None) => {}
        }
        drop(inner);
        self.deliver();
        result
    }

    /// Calls what is finished, in order, without the lock; one thread at a time.
    fn deliver(&self) {
        let mut inner = self.lock();
        if inner.delivering {
            return;
        }
        inner.delivering = true;
        while let Some((done, result)) = inner.finished.pop_front() {
            drop(inner);
            done(result);
            inner = self.lock();
        }
        inner.delivering = false;
    }
}

impl Store for MemoryStore {
    fn append(&self, entries: Vec<(u64, Vec<u8>)>, done: OnDurable) -> io::Result<()> {
        self.write(Some(done), |content| {
            Ok(Change {
                bounds: Some(content.bounds.append(&entries)?),
                entries,
                ..Change::default()
            })
        })
    }

    fn read(&self, from: u64, until: u64, bytes_max: usize) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let inner = self.lock();
        let held = inner.written.bounds.held(from, until);
        let entries = inner.written.log.range(held);
        take_bytes(entries.map(|(index, value)| Ok((*index, value.clone()))), bytes_max)
    }

    fn last(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let inner = self.lock();
        let last = inner.written.bounds.last();
        Ok(last.and_then(|index| Some((index, inner.written.log.get(&index)?.clone()))))
    }

    fn truncate(&self, index: u64) -> io::Result<()> {
        self.write(None, |content| {
            let (bounds, removed) = content.bounds.truncate(index);
            Ok(Change {
                bounds: Some(bounds),
                removed,
                ..Change::default()
            })
        })
    }

    fn purge(&self, index: u64, marker: Vec<u8>) -> io::Result<()> {
        self.write(None, |content| {
            let Some((bounds, removed)) = content.bounds.purge(index) else {
                return Ok(Change::default());
            };
            Ok(Change {
                bounds: Some(bounds),
                removed,
                meta: vec![(Meta::Purged, marker)],
                ..Change::default()
            })
        })
    }

    fn put(&self, key: Meta, value: Vec<u8>) -> io::Result<()> {
        self.write(None, |_| Ok(Change::meta(key, value)))
    }

    fn put_durable(&self, key: Meta, value: Vec<u8>, done: OnDurable) -> io::Result<()> {
        self.write(Some(done), |_| Ok(Change::meta(key, value)))
    }

    fn get(&self, key: Meta) -> io::Result<Option<Vec<u8>>> {
        Ok(self.lock().written.meta.get(&key).cloned())
    }

    fn write_state(&self, records: &[Record], meta: Vec<(Meta, Vec<u8>)>) -> io::Result<()> {
        self.write(None, |_| {
            Ok(Change {
                meta,
                records: records.to_vec(),
                ..Change::default()
            })
        })
    }

    fn replace_state(&self, records: &[Record], meta: Vec<(Meta, Vec<u8>)>) -> io::Result<()> {
        self.write(None, |_| {
            Ok(Change {
                meta,
                wipe_state: true,
                records: records.to_vec(),
                ..Change::default()
            })
        })?;
        self.sync();
        Ok(())
    }

    fn state(&self) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let inner = self.lock();
        let records = inner.written.state.iter();
        Ok(records.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl Change {
    fn meta(key: Meta, value: Vec<u8>) -> Self {
        Self {
            meta: vec![(key, value)],
            ..Self::default()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn callback() -> (OnDurable, Receiver<io::Result<()>>) {
        let (heard, hearing) = channel();
        (Box::new(move |outcome| heard.send(outcome).unwrap()), hearing)
    }

    fn append(store: &MemoryStore, index: u64) -> Receiver<io::Result<()>> {
        let (done, heard) = callback();
        store.append(vec![(index, vec![index as u8])], done).unwrap();
        heard
    }

    fn indexes(store: &MemoryStore) -> Vec<u64> {
        let entries = store.read(0, u64::MAX, usize::MAX).unwrap();
        entries.into_iter().map(|(index, _)| index).collect()
    }

    #[test]
    fn a_crash_loses_what_is_not_durable_and_nothing_else() {
        let store = MemoryStore::with_syncing(Syncing::ByHand);
        let first = append(&store, 0);
        let second = append(&store, 1);
        store.sync_some(1);
        assert!(first.try_recv().unwrap().is_ok());
        assert!(second.try_recv().is_err());
        store.put(Meta::Vote, b"vote".to_vec()).unwrap();
        assert_eq!((indexes(&store), store.volatile_writes()), (vec![0, 1], 2));

        let after = store.crash();
        assert_eq!(indexes(&after), [0]);
        assert_eq!(after.get(Meta::Vote).unwrap(), None);
        assert!(second.try_recv().is_err(), "the process that waited is gone");
        assert!(store.put(Meta::Vote, Vec::new()).is_err(), "and so is its disk");
        let third = append(&after, 1);
        after.sync();
        third.try_recv().unwrap().unwrap();
    }

    #[test]
    fn a_crash_may_keep_more_but_only_a_prefix() {
        for kept in 0..5 {
            let store = MemoryStore::with_syncing(Syncing::ByHand);
            for index in 0..3 {
                append(&store, index);
            }
            store.truncate(1).unwrap();
            let after = store.crash_keeping(kept);
            let expected = [vec![], vec![0], vec![0, 1], vec![0, 1, 2], vec![0]];
            assert_eq!(indexes(&after), expected[kept]);
        }
    }

    #[test]
    fn a_durable_write_covers_the_earlier_ones_that_nobody_waits_for() {
        let store = MemoryStore::new();
        append(&store, 0).try_recv().unwrap().unwrap();
        store.put(Meta::Committed, b"early".to_vec()).unwrap();
        assert_eq!(store.volatile_writes(), 1);
        append(&store, 1).try_recv().unwrap().unwrap();
        store.put(Meta::Committed, b"late".to_vec()).unwrap();
        assert_eq!(store.crash().get(Meta::Committed).unwrap(), Some(b"early".to_vec()));
    }

    #[test]
    fn a_replaced_state_is_durable_even_when_syncing_by_hand() {
        let store = MemoryStore::with_syncing(Syncing::ByHand);
        let earlier = append(&store, 0);
        store.replace_state(&[], vec![(Meta::Applied, b"9".to_vec())]).unwrap();
        earlier.try_recv().unwrap().unwrap();
        let after = store.crash();
        assert_eq!(
            (indexes(&after), after.get(Meta::Applied).unwrap()),
            (vec![0], Some(b"9".to_vec()))
        );
    }

    #[test]
    fn a_broken_disk_fails_all_that_wait_and_all_that_come() {
        let store = MemoryStore::with_syncing(Syncing::ByHand);
        let waiting = append(&store, 0);
        store.break_disk("no room");
        assert_eq!(waiting.try_recv().unwrap().unwrap_err().to_string(), "no room");
        store.sync();
        let (done, late) = callback();
        assert!(store.append(vec![(1, Vec::new())], done).is_err());
        assert!(late.try_recv().unwrap().is_err());
        assert!(store.truncate(0).is_err());
        assert!(indexes(&store.crash()).is_empty());
    }

    #[test]
    fn a_callback_may_look_at_the_store() {
        let store = Arc::new(MemoryStore::new());
        let (heard, hearing) = channel();
        let looked = Arc::clone(&store);
        let done: OnDurable = Box::new(move |_| heard.send(looked.last().unwrap()).unwrap());
        store.append(vec![(0, b"x".to_vec())], done).unwrap();
        assert_eq!(hearing.try_recv().unwrap(), Some((0, b"x".to_vec())));
    }
}
