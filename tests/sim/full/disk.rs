//! A node's disk: it syncs after a while, and loses in a power cut what it had not synced.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cfgserver::host::Host;
use cfgserver::machine::Record;
use cfgserver::store::{MemoryStore, Meta, OnDurable, Store, Syncing};
use tokio::sync::Notify;

/// A disk as long as one process uses it.
pub(crate) struct Drive {
    memory: MemoryStore,
    /// Something waits to be durable.
    asked: Notify,
    /// How long a sync takes at most, in milliseconds.
    sync_ms: Arc<AtomicU64>,
}

/// The disk of a node, over all its processes.
#[derive(Clone)]
pub(crate) struct Disk {
    drive: Arc<Mutex<Arc<Drive>>>,
    sync_ms: Arc<AtomicU64>,
    usual_ms: u64,
}

impl Disk {
    pub(crate) fn new(usual_ms: u64) -> Self {
        let sync_ms = Arc::new(AtomicU64::new(usual_ms));
        let drive = Drive::new(MemoryStore::with_syncing(Syncing::ByHand), sync_ms.clone());
        Self {
            drive: Arc::new(Mutex::new(Arc::new(drive))),
            sync_ms,
            usual_ms,
        }
    }

    /// What the next process, or the one that runs, uses.
    pub(crate) fn drive(&self) -> Arc<Drive> {
        self.drive.lock().unwrap().clone()
    }

    /// The process is gone. `kept`: how many of the writes that were not durable survive.
    pub(crate) fn cut(&self, kept: usize) {
        let mut drive = self.drive.lock().unwrap();
        *drive = Arc::new(Drive::new(drive.memory.crash_keeping(kept), self.sync_ms.clone()));
    }

    /// How many writes are not durable.
    pub(crate) fn volatile(&self) -> usize {
        self.drive().memory.volatile_writes()
    }

    /// An empty one in its place.
    pub(crate) fn wipe(&self) {
        let memory = MemoryStore::with_syncing(Syncing::ByHand);
        *self.drive.lock().unwrap() = Arc::new(Drive::new(memory, self.sync_ms.clone()));
    }

    /// From now on a sync takes up to so long.
    pub(crate) fn set_pace(&self, sync_ms: u64) {
        self.sync_ms.store(sync_ms, Ordering::Relaxed);
    }

    pub(crate) fn usual_pace(&self) {
        self.set_pace(self.usual_ms);
    }

    /// Every write fails, as long as this process runs.
    pub(crate) fn break_down(&self) {
        self.drive().memory.break_disk("input/output error");
    }
}

impl Drive {
    fn new(memory: MemoryStore, sync_ms: Arc<AtomicU64>) -> Self {
        Self {
            memory,
            asked: Notify::new(),
            sync_ms,
        }
    }

    /// Syncs what is asked for, one sync after another.
    pub(crate) async fn work(self: Arc<Self>) {
        loop {
            self.asked.notified().await;
            let most = self.sync_ms.load(Ordering::Relaxed);
            let drawn = Host::current().map_or(0, |host| host.draw());
            let ms = if most == 0 { 0 } else { drawn % (most + 1) };
            if ms > 0 {
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            self.memory.sync();
        }
    }
}

impl Store for Drive {
    fn append(&self, entries: Vec<(u64, Vec<u8>)>, done: OnDurable) -> io::Result<()> {
        let written = self.memory.append(entries, done);
        self.asked.notify_one();
        written
    }

    fn read(&self, from: u64, until: u64, bytes_max: usize) -> io::Result<Vec<(u64, Vec<u8>)>> {
        self.memory.read(from, until, bytes_max)
    }

    fn last(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        self.memory.last()
    }

    fn truncate(&self, index: u64) -> io::Result<()> {
        self.memory.truncate(index)
    }

    fn purge(&self, index: u64, marker: Vec<u8>) -> io::Result<()> {
        self.memory.purge(index, marker)
    }

    fn put(&self, key: Meta, value: Vec<u8>) -> io::Result<()> {
        self.memory.put(key, value)
    }

    fn put_durable(&self, key: Meta, value: Vec<u8>, done: OnDurable) -> io::Result<()> {
        let written = self.memory.put_durable(key, value, done);
        self.asked.notify_one();
        written
    }

    fn get(&self, key: Meta) -> io::Result<Option<Vec<u8>>> {
        self.memory.get(key)
    }

    fn write_state(&self, records: &[Record], meta: Vec<(Meta, Vec<u8>)>) -> io::Result<()> {
        self.memory.write_state(records, meta)
    }

    fn replace_state(&self, records: &[Record], meta: Vec<(Meta, Vec<u8>)>) -> io::Result<()> {
        self.memory.replace_state(records, meta)
    }

    fn state(&self) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.memory.state()
    }
}
