//! The frames of RocksDB's write-ahead logs and of its manifest, looked at before RocksDB reads them.
//!
//! Both are blocks of 32 KiB that hold records, each with a header: checksum, length, type. A record whose type is
//! damaged to one of a recycled log makes RocksDB (11.8.1) look at it again and again, for ever. No log of ours is
//! recycled, so such a record is refused here.
//! What does not live here: checksums and unfinished tails, which RocksDB judges.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::store::rocks::error::OpenError;

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;

/// Refuses a database with a record that RocksDB would never get past.
pub(super) fn check(dir: &Path, database_dir: &Path) -> Result<(), OpenError> {
    match recycled(database_dir).map_err(|error| OpenError::from_io(dir, &error))? {
        None => Ok(()),
        Some((name, offset)) => Err(OpenError::Damaged {
            dir: dir.to_owned(),
            reason: format!("{name} has a record at byte {offset} whose type is not one that is written"),
        }),
    }
}

/// The first file with such a record, and where it lies.
fn recycled(database_dir: &Path) -> io::Result<Option<(String, u64)>> {
    if !database_dir.is_dir() {
        return Ok(None);
    }
    let current = fs::read(database_dir.join("CURRENT")).unwrap_or_default();
    let manifest = String::from_utf8_lossy(&current).trim_end().to_owned();
    for entry in fs::read_dir(database_dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".log") && name != manifest {
            continue;
        }
        if let Some(offset) = recycled_record(File::open(database_dir.join(&name))?)? {
            return Ok(Some((name, offset)));
        }
    }
    Ok(None)
}

/// Where the first record of a recycled log lies. Follows the records as RocksDB does: what does not fit its block is
/// an unfinished tail, zeros end a block.
fn recycled_record(mut file: impl Read) -> io::Result<Option<u64>> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let mut begin = 0;
    loop {
        block.clear();
        file.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        let mut at = 0;
        while let Some(header) = block.get(at..at + HEADER_BYTES) {
            let (length, kind) = (usize::from(u16::from_le_bytes([header[4], header[5]])), header[6]);
            if is_recycled(kind) {
                return Ok(Some(begin + at as u64));
            }
            if kind == 0 && length == 0 {
                break;
            }
            at += HEADER_BYTES + length;
        }
        if block.len() < BLOCK_BYTES {
            return Ok(None);
        }
        begin += BLOCK_BYTES as u64;
    }
}

/// Full, first, middle, last, timestamp size and predecessor, each of a recycled log.
fn is_recycled(kind: u8) -> bool {
    matches!(kind, 5..=8 | 11 | 131)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn record(kind: u8, length: usize) -> Vec<u8> {
        let mut record = vec![1, 2, 3, 4];
        record.extend((length as u16).to_le_bytes());
        record.push(kind);
        record.extend(std::iter::repeat_n(5, length));
        record
    }

    #[test]
    fn records_are_followed_over_blocks() {
        let mut bytes = [record(1, 100), record(2, BLOCK_BYTES - 107 - 7 - 3)].concat();
        bytes.extend([0; 3]); // too short for a header
        assert_eq!(bytes.len(), BLOCK_BYTES);
        bytes.extend([record(4, 10), record(130, 0)].concat());
        assert_eq!(recycled_record(&bytes[..]).unwrap(), None);
        let begin = bytes.len() as u64;
        for kind in [5, 8, 11, 131] {
            let bytes = [bytes.clone(), record(kind, 3)].concat();
            assert_eq!(recycled_record(&bytes[..]).unwrap(), Some(begin));
        }
    }

    #[test]
    fn zeros_end_a_block_and_a_tail_may_be_short() {
        let mut bytes = record(1, 20);
        bytes.resize(BLOCK_BYTES, 0);
        bytes.extend(record(7, 0));
        assert_eq!(recycled_record(&bytes[..]).unwrap(), Some(BLOCK_BYTES as u64));
        for length in 0..27 {
            assert_eq!(recycled_record(&record(1, 20)[..length]).unwrap(), None);
        }
        assert_eq!(recycled_record(&record(5, 20)[..7]).unwrap(), Some(0));
    }
}
