//! The store on RocksDB.
//!
//! Writes go to the write-ahead log unsynced and can be read at once; one thread syncs for all that wait.
//! A sync covers every earlier write, whatever its column family, so the disk always holds a prefix.
//! What does not live here: what the bytes mean.

mod error;
mod frames;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod golden;
mod keys;
mod marker;
mod open;
mod options;
mod signature;
mod synced;
mod wal_sync;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, ReadOptions, WriteBatch};
use tracing::info;

use crate::machine::Record;
use crate::store::bounds::{Bounds, take_bytes};
use crate::store::{Meta, OnDurable, Store};
use error::io_error;
use options::{LOG, META, STATE};
use signature::Signature;
use synced::Synced;
use wal_sync::{Failure, WalSync};

pub use error::OpenError;

/// A node's disk: one RocksDB in one directory.
///
/// The first write error is final: it goes to every callback that waits and to every later write.
/// Dropping the store completes the callbacks that wait.
pub struct RocksStore {
    /// Held around every write and the enqueueing of its callback, which gives both the same order.
    bounds: Mutex<Bounds>,
    failure: Failure,
    dir: PathBuf,
    incarnation: String,
    signature: Signature,
    // In this order: the thread ends before the database closes.
    wal_sync: WalSync,
    disk: Arc<Disk>,
}

/// The database and the note of how far it is synced.
struct Disk {
    db: DB,
    synced: Synced,
}

impl fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let incarnation = &self.incarnation;
        f.debug_struct("RocksStore")
            .field("incarnation", incarnation)
            .finish_non_exhaustive()
    }
}

impl RocksStore {
    /// Opens a data directory; makes one when the directory is missing or empty. Blocks.
    ///
    /// `fresh_incarnation` is drawn at random by the caller, letters and digits; it names the directory for ever if the
    /// directory is new, and is not used otherwise: [`RocksStore::incarnation`] has the one that counts.
    pub fn open(dir: impl AsRef<Path>, fresh_incarnation: &str) -> Result<Self, OpenError> {
        let dir = dir.as_ref();
        assert!(
            !fresh_incarnation.is_empty() && fresh_incarnation.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "an incarnation is letters and digits"
        );
        let opened = open::open(dir, fresh_incarnation)?;
        let bounds = opened.bounds;
        info!(
            target: "cfgserver::store",
            dir = %dir.display(), incarnation = opened.incarnation, log_start = bounds.start, log_end = bounds.end,
            "data directory opened"
        );
        let (db, synced) = (opened.db, opened.synced);
        let disk = Arc::new(Disk { db, synced });
        let failure = Failure::default();
        let syncing = Arc::clone(&disk);
        let wal_sync =
            WalSync::start(failure.clone(), move || syncing.sync()).map_err(|error| OpenError::from_io(dir, &error))?;
        Ok(Self {
            bounds: Mutex::new(bounds),
            failure,
            dir: dir.to_owned(),
            signature: signature::of(&opened.incarnation),
            incarnation: opened.incarnation,
            wal_sync,
            disk,
        })
    }

    /// The random name of this directory, drawn when it was made.
    pub fn incarnation(&self) -> &str {
        &self.incarnation
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn lock(&self) -> MutexGuard<'_, Bounds> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn family(&self, name: &str) -> io::Result<&ColumnFamily> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no column family {name}"));
        self.disk.db.cf_handle(name).ok_or_else(missing)
    }

    /// An empty batch of this directory.
    fn batch(&self) -> WriteBatch {
        signature::batch(&self.signature)
    }

    /// Writes a batch and keeps the first error.
    fn write(&self, batch: WriteBatch) -> io::Result<()> {
        self.failure.check()?;
        let written = self.disk.db.write(batch);
        self.failure.keep(written.map_err(|error| io_error(&error)))
    }

    /// Makes everything written durable.
    fn sync(&self) -> io::Result<()> {
        self.failure.check()?;
        self.failure.keep(self.disk.sync())
    }

    /// Hands a callback to the sync thread. Called with the lock held.
    fn when_durable(&self, done: OnDurable, written: io::Result<()>) -> io::Result<()> {
        let refused = written
            .as_ref()
            .err()
            .map(|error| io::Error::new(error.kind(), error.to_string()));
        self.wal_sync.enqueue(done, refused);
        written
    }

    fn append_batch(&self, bounds: &mut Bounds, entries: Vec<(u64, Vec<u8>)>) -> io::Result<()> {
        let next = bounds.append(&entries)?;
        let (log, meta) = (self.family(LOG)?, self.family(META)?);
        let mut batch = self.batch();
        for (index, value) in entries {
            batch.put_cf(log, keys::entry(index), value);
        }
        if next.start != bounds.start {
            batch.put_cf(meta, keys::LOG_START, keys::entry(next.start));
        }
        self.write(batch)?;
        *bounds = next;
        Ok(())
    }

    fn put_batch(&self, key: Meta, value: &[u8]) -> io::Result<()> {
        let mut batch = self.batch();
        batch.put_cf(self.family(META)?, keys::meta(key), value);
        self.write(batch)
    }

    fn add_state(&self, batch: &mut WriteBatch, records: &[Record], meta: Vec<(Meta, Vec<u8>)>) -> io::Result<()> {
        let (states, metas) = (self.family(STATE)?, self.family(META)?);
        for record in records {
            match &record.value {
                Some(value) => batch.put_cf(states, &record.key, value),
                None => batch.delete_cf(states, &record.key),
            }
        }
        for (key, value) in meta {
            batch.put_cf(metas, keys::meta(key), value);
        }
        Ok(())
    }
}

impl Disk {
    /// Makes everything written before the call durable, and notes it.
    fn sync(&self) -> io::Result<()> {
        let written = self.db.latest_sequence_number();
        self.db.flush_wal(true).map_err(|error| io_error(&error))?;
        self.synced.reach(written)
    }
}

impl Drop for RocksStore {
    /// A directory that was closed in good order is synced to its end.
    fn drop(&mut self) {
        // An error was logged where it was kept; the next opening finds what the disk has.
        _ = self.sync();
    }
}

impl Store for RocksStore {
    fn append(&self, entries: Vec<(u64, Vec<u8>)>, done: OnDurable) -> io::Result<()> {
        let mut bounds = self.lock();
        let written = self.append_batch(&mut bounds, entries);
        self.when_durable(done, written)
    }

    fn read(&self, from: u64, until: u64, bytes_max: usize) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let held = self.lock().held(from, until);
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(keys::entry(held.end));
        let first = keys::entry(held.start);
        let mode = IteratorMode::From(&first, Direction::Forward);
        let entries = self
            .disk
            .db
            .iterator_cf_opt(self.family(LOG)?, options, mode)
            .map(|entry| {
                let (key, value) = entry.map_err(|error| io_error(&error))?;
                let index = keys::index(&key).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
                Ok((index, value.into_vec()))
            });
        take_bytes(entries, bytes_max)
    }

    fn last(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let bounds = self.lock();
        let Some(index) = bounds.last() else {
            return Ok(None);
        };
        let value = self.disk.db.get_cf(self.family(LOG)?, keys::entry(index));
        Ok(value.map_err(|error| io_error(&error))?.map(|value| (index, value)))
    }

    fn truncate(&self, index: u64) -> io::Result<()> {
        let mut bounds = self.lock();
        let (next, removed) = bounds.truncate(index);
        let log = self.family(LOG)?;
        // The same keys are written again at once: single deletions leave no range for readers to skip.
        let mut batch = self.batch();
        for index in removed {
            batch.delete_cf(log, keys::entry(index));
        }
        self.write(batch)?;
        *bounds = next;
        Ok(())
    }

    fn purge(&self, index: u64, marker: Vec<u8>) -> io::Result<()> {
        let mut bounds = self.lock();
        let Some((next, removed)) = bounds.purge(index) else {
            return self.failure.check();
        };
        let (log, meta) = (self.family(LOG)?, self.family(META)?);
        let mut batch = self.batch();
        if !removed.is_empty() {
            // Never from 0: ranges that pile up over the head of the log make every read there slow.
            batch.delete_range_cf(log, keys::entry(removed.start), keys::entry(removed.end));
        }
        batch.put_cf(meta, keys::meta(Meta::Purged), marker);
        batch.put_cf(meta, keys::LOG_START, keys::entry(next.start));
        self.write(batch)?;
        *bounds = next;
        Ok(())
    }

    fn put(&self, key: Meta, value: Vec<u8>) -> io::Result<()> {
        let _ordered = self.lock();
        self.put_batch(key, &value)
    }

    fn put_durable(&self, key: Meta, value: Vec<u8>, done: OnDurable) -> io::Result<()> {
        let _ordered = self.lock();
        let written = self.put_batch(key, &value);
        self.when_durable(done, written)
    }

    fn get(&self, key: Meta) -> io::Result<Option<Vec<u8>>> {
        let value = self.disk.db.get_cf(self.family(META)?, keys::meta(key));
        value.map_err(|error| io_error(&error))
    }

    fn write_state(&self, records: &[Record], meta: Vec<(Meta, Vec<u8>)>) -> io::Result<()> {
        let mut batch = self.batch();
        self.add_state(&mut batch, records, meta)?;
        let _ordered = self.lock();
        self.write(batch)
    }

    fn replace_state(&self, records: &[Record], meta: Vec<(Meta, Vec<u8>)>) -> io::Result<()> {
        let states = self.family(STATE)?;
        let ordered = self.lock();
        let mut batch = self.batch();
        if let Some(last) = self.disk.db.iterator_cf(states, IteratorMode::End).next() {
            let (last, _) = last.map_err(|error| io_error(&error))?;
            let mut behind_last = last.into_vec();
            behind_last.push(0);
            batch.delete_range_cf(states, Vec::new(), behind_last);
        }
        self.add_state(&mut batch, records, meta)?;
        self.write(batch)?;
        // Others may write while the disk works on what may be many megabytes.
        drop(ordered);
        self.sync()
    }

    fn state(&self) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let records = self.disk.db.iterator_cf(self.family(STATE)?, IteratorMode::Start);
        records
            .map(|record| {
                let (key, value) = record.map_err(|error| io_error(&error))?;
                Ok((key.into_vec(), value.into_vec()))
            })
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use rocksdb::statistics::Ticker;

    use super::*;

    #[test]
    fn a_sync_reaches_the_disk_and_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options::database(options::Expect::Draft).unwrap();
        options.enable_statistics();
        let db = DB::open_cf_descriptors(&options, dir.path().join("db"), options::families()).unwrap();
        Synced::create(dir.path(), "fresh", 0).unwrap();
        let synced = Synced::open(dir.path(), "fresh").unwrap();
        let disk = Disk { db, synced };
        let syncs = || options.get_ticker_count(Ticker::WalFileSynced);
        let before = syncs();
        let log = disk.db.cf_handle(LOG).unwrap();
        disk.db.put_cf(log, keys::entry(0), b"entry").unwrap();
        assert_eq!(syncs(), before, "a write alone does not wait for the disk");
        assert_eq!(disk.synced.sequence(), 0);
        disk.sync().unwrap();
        assert_eq!(syncs(), before + 1);
        assert_eq!(disk.synced.sequence(), disk.db.latest_sequence_number());
    }
}
