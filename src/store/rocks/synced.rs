//! How far the disk was synced: the file `SYNCED` beside the database.
//!
//! RocksDB takes damage at the very end of its write-ahead log for an unfinished write and drops it in silence. So
//! each completed sync notes here the sequence number that it reached, and a database that comes back with less is
//! refused. The note itself is not synced: a kill leaves it in the page cache, and after a power cut it may be older
//! than what was synced, never newer. Two slots are written in turn, in place, so that a torn write spoils one of
//! them at most, and a full disk none.
//! What does not live here: the database, and what a sequence number counts.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::store::rocks::error::OpenError;
use crate::store::rocks::marker::sync_dir;

/// The name of the file.
pub(super) const NAME: &str = "SYNCED";
const MAGIC: &[u8; 8] = b"cfgsync1";
/// A slot: magic, sequence number, digest of both and of the incarnation.
const SLOT_BYTES: usize = 8 + 8 + 32;
/// Slots lie in blocks of their own: a disk writes one whole or not at all.
const BLOCK_BYTES: usize = 4096;
const SLOTS: usize = 2;
const FILE_BYTES: usize = SLOTS * BLOCK_BYTES;

/// The open file.
#[derive(Debug)]
pub(super) struct Synced {
    file: File,
    incarnation: String,
    reached: Mutex<Reached>,
}

#[derive(Debug)]
struct Reached {
    sequence: u64,
    /// The slot to write next.
    slot: usize,
}

impl Synced {
    /// Makes the file, durably. Only for the holder of the database's lock.
    pub(super) fn create(dir: &Path, incarnation: &str, sequence: u64) -> io::Result<()> {
        let mut bytes = vec![0; FILE_BYTES];
        for block in bytes.chunks_mut(BLOCK_BYTES) {
            block[..SLOT_BYTES].copy_from_slice(&slot(incarnation, sequence));
        }
        let draft = dir.join(format!("{NAME}.new"));
        fs::write(&draft, bytes)?;
        File::open(&draft)?.sync_all()?;
        fs::rename(draft, dir.join(NAME))?;
        sync_dir(dir)
    }

    /// Whether the file is there.
    pub(super) fn exists(dir: &Path) -> bool {
        dir.join(NAME).is_file()
    }

    /// Opens the file.
    pub(super) fn open(dir: &Path, incarnation: &str) -> Result<Self, OpenError> {
        let damaged = |what: &str| OpenError::Damaged {
            dir: dir.to_owned(),
            reason: format!("{NAME} {what}"),
        };
        let file = match OpenOptions::new().read(true).write(true).open(dir.join(NAME)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("is missing")),
            Err(error) => return Err(OpenError::from_io(dir, &error)),
        };
        let failed = |error: io::Error| OpenError::from_io(dir, &error);
        if file.metadata().map_err(failed)?.len() != FILE_BYTES as u64 {
            return Err(damaged("has another length than it was made with"));
        }
        let mut newest = None;
        for index in 0..SLOTS {
            let mut bytes = [0; SLOT_BYTES];
            file.read_exact_at(&mut bytes, (index * BLOCK_BYTES) as u64)
                .map_err(failed)?;
            newest = newest.max(parse(incarnation, &bytes).map(|sequence| (sequence, index)));
        }
        let (sequence, index) = newest.ok_or_else(|| damaged("is not readable, or of another directory"))?;
        let slot = (index + 1) % SLOTS;
        Ok(Self {
            file,
            incarnation: incarnation.to_owned(),
            reached: Mutex::new(Reached { sequence, slot }),
        })
    }

    /// The sequence number that was synced for certain.
    pub(super) fn sequence(&self) -> u64 {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).sequence
    }

    /// Everything up to `sequence` is synced.
    pub(super) fn reach(&self, sequence: u64) -> io::Result<()> {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if sequence > reached.sequence {
            self.write(&mut reached, sequence)?;
        }
        Ok(())
    }

    /// The database was opened and is whole: both slots say so, durably.
    pub(super) fn opened(&self, sequence: u64) -> io::Result<()> {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..SLOTS {
            self.write(&mut reached, sequence)?;
        }
        self.file.sync_all()
    }

    fn write(&self, reached: &mut Reached, sequence: u64) -> io::Result<()> {
        let bytes = slot(&self.incarnation, sequence);
        self.file.write_all_at(&bytes, (reached.slot * BLOCK_BYTES) as u64)?;
        *reached = Reached {
            sequence,
            slot: (reached.slot + 1) % SLOTS,
        };
        Ok(())
    }
}

fn slot(incarnation: &str, sequence: u64) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&sequence.to_be_bytes());
    let digest = Sha256::new()
        .chain_update(&bytes[..16])
        .chain_update(incarnation)
        .finalize();
    bytes[16..].copy_from_slice(&digest);
    bytes
}

fn parse(incarnation: &str, bytes: &[u8; SLOT_BYTES]) -> Option<u64> {
    let sequence = u64::from_be_bytes(bytes[8..16].try_into().ok()?);
    (*bytes == slot(incarnation, sequence)).then_some(sequence)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn made(sequence: u64) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        Synced::create(dir.path(), "ours", sequence).unwrap();
        dir
    }

    fn sequence(dir: &tempfile::TempDir) -> Result<u64, OpenError> {
        Synced::open(dir.path(), "ours").map(|synced| synced.sequence())
    }

    fn change(dir: &tempfile::TempDir, change: impl FnOnce(&mut Vec<u8>)) {
        let path = dir.path().join(NAME);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn what_was_reached_is_there_again_and_never_goes_back() {
        let dir = made(5);
        for (reached, expected) in [(6, 6), (9, 9), (7, 9), (10, 10)] {
            Synced::open(dir.path(), "ours").unwrap().reach(reached).unwrap();
            assert_eq!(sequence(&dir).unwrap(), expected);
        }
    }

    #[test]
    fn a_torn_write_leaves_the_one_before() {
        for torn in 0..SLOTS {
            let dir = made(5);
            let synced = Synced::open(dir.path(), "ours").unwrap();
            synced.reach(6).unwrap();
            synced.reach(7).unwrap();
            change(&dir, |bytes| bytes[torn * BLOCK_BYTES + 20] ^= 1);
            assert!([6, 7].contains(&sequence(&dir).unwrap()));
        }
    }

    #[test]
    fn no_slot_that_can_be_read_is_refused() {
        for offset in [0, 12, 30] {
            let dir = made(5);
            change(&dir, |bytes| {
                bytes[offset] ^= 1;
                bytes[BLOCK_BYTES + offset] ^= 1;
            });
            assert!(matches!(sequence(&dir), Err(OpenError::Damaged { .. })));
        }
        let dir = made(5);
        change(&dir, |bytes| bytes.truncate(BLOCK_BYTES));
        assert!(matches!(sequence(&dir), Err(OpenError::Damaged { .. })));
        fs::remove_file(dir.path().join(NAME)).unwrap();
        assert!(matches!(sequence(&dir), Err(OpenError::Damaged { .. })));
    }

    #[test]
    fn the_file_of_another_directory_is_refused() {
        let dir = made(5);
        assert!(matches!(
            Synced::open(dir.path(), "theirs"),
            Err(OpenError::Damaged { .. })
        ));
    }
}
