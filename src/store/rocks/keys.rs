//! The keys of the records.

use crate::store::Meta;

/// [`DATABASE_FORMAT`] of the database, four big-endian bytes.
pub(super) const FORMAT: &[u8] = b"format";
/// The column families and keys. A change of them needs a new number.
pub(super) const DATABASE_FORMAT: u32 = 1;
/// The incarnation of the directory, as in its marker.
pub(super) const INCARNATION: &[u8] = b"incarnation";
/// The first index that the log may hold, eight big-endian bytes; 0 when absent.
pub(super) const LOG_START: &[u8] = b"log-start";

/// The key of a value beside log and state.
pub(super) fn meta(key: Meta) -> &'static [u8] {
    match key {
        Meta::Vote => b"vote",
        Meta::Committed => b"committed",
        Meta::Purged => b"purged",
        Meta::Applied => b"applied",
        Meta::Snapshot => b"snapshot",
        Meta::Identity => b"identity",
    }
}

/// The key of a log entry: sorts like its index.
pub(super) fn entry(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// The index of a log entry's key.
pub(super) fn index(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}
