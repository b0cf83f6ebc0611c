//! openraft's log and votes on a [`Store`].
//!
//! ```text
//! append -> Store::append -> (readable) ... durable -> IOFlushed
//! ```
//!
//! What does not live here: the state and snapshots (`machine`), and the disk (`store`).

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{OptionalSend, entry::RaftEntry};
use tokio::sync::oneshot;

use super::records::{decode, decode_some, encode};
use super::types::{LogEntry, LogId, TypeConfig, Vote};
use crate::store::{Meta, Store};

/// Bytes of entries that one append to a follower carries at most: it must fit into its time budget.
const READ_BYTES_MAX: usize = 1 << 20;

/// The log of a node. Clones read the same log.
#[derive(Clone)]
pub(crate) struct LogStore {
    store: Arc<dyn Store>,
}

impl LogStore {
    /// The log on `store`.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    fn entries(&self, from: u64, until: u64, bytes_max: usize) -> io::Result<Vec<LogEntry>> {
        let entries = self.store.read(from, until, bytes_max)?;
        entries.iter().map(|(index, bytes)| entry(*index, bytes)).collect()
    }

    fn purged(&self) -> io::Result<Option<LogId>> {
        decode_some(self.store.get(Meta::Purged)?)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<LogEntry>> {
        let (from, until) = bounds(&range);
        self.entries(from, until, usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        decode_some(self.store.get(Meta::Vote)?)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<LogEntry>> {
        self.entries(start, end, READ_BYTES_MAX)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let last_purged_log_id = self.purged()?;
        let last = match self.store.last()? {
            Some((index, bytes)) => Some(entry(index, &bytes)?.log_id()),
            None => None,
        };
        Ok(LogState {
            last_purged_log_id,
            last_log_id: last.max(last_purged_log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        let done = Box::new(move |result| _ = done.send(result));
        self.store.put_durable(Meta::Vote, encode(vote), done)?;
        durable.await.map_err(|_| io::Error::other("the store went away"))?
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        match committed {
            Some(committed) => self.store.put(Meta::Committed, encode(&committed)),
            None => Ok(()),
        }
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        decode_some(self.store.get(Meta::Committed)?)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries
            .into_iter()
            .map(|entry| (entry.index(), encode(&entry)))
            .collect();
        self.store
            .append(entries, Box::new(|result| callback.io_completed(result)))
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        self.store.truncate(last_log_id.map_or(0, |id| id.index + 1))
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        if self.purged()?.is_some_and(|purged| purged >= log_id) {
            return Ok(());
        }
        self.store.purge(log_id.index, encode(&log_id))?;
        // A store whose log begins behind `log_id` has nothing to purge, and says so by keeping its marker.
        if self.purged()? != Some(log_id) {
            self.store.put(Meta::Purged, encode(&log_id))?;
        }
        Ok(())
    }
}

/// The entry that stands at `index`.
fn entry(index: u64, bytes: &[u8]) -> io::Result<LogEntry> {
    let entry: LogEntry = decode(bytes)?;
    if entry.index() != index {
        let reason = format!("entry {} stands in the place of entry {index}", entry.index());
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(entry)
}

/// The half-open range of indexes that `range` means.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let until = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (from, until)
}
