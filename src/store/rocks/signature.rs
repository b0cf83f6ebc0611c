//! Which directory a write-ahead log belongs to.
//!
//! RocksDB knows the tables and the manifest of a database by an id, but not its write-ahead logs: one of another
//! directory, of the same number and length, would be read as ours. So every batch begins with a signature that only
//! the log has, and a log that does not begin with ours is refused.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rocksdb::WriteBatch;
use sha2::{Digest, Sha256};

use crate::store::rocks::error::OpenError;

const BYTES: usize = 16;
/// The first batch of a log lies within this.
const FRONT_BYTES: u64 = 1024;
/// A log without a batch is shorter: it names the log before it.
const EMPTY_BYTES_MAX: u64 = 64;

/// The name of a directory in its write-ahead logs.
pub(super) type Signature = [u8; BYTES];

/// The signature of a directory.
pub(super) fn of(incarnation: &str) -> Signature {
    let digest = Sha256::new()
        .chain_update(b"cfgserver log of ")
        .chain_update(incarnation)
        .finalize();
    std::array::from_fn(|place| digest[place])
}

/// A batch that is signed.
pub(super) fn batch(signature: &Signature) -> WriteBatch {
    let mut batch = WriteBatch::default();
    batch.put_log_data(signature);
    batch
}

/// Every write-ahead log must begin with our signature.
pub(super) fn check(dir: &Path, database_dir: &Path, incarnation: &str) -> Result<(), OpenError> {
    let foreign = foreign_log(database_dir, &of(incarnation)).map_err(|error| OpenError::from_io(dir, &error))?;
    match foreign {
        None => Ok(()),
        Some(name) => Err(OpenError::Damaged {
            dir: dir.to_owned(),
            reason: format!("{name} is not readable, or of another directory"),
        }),
    }
}

fn foreign_log(database_dir: &Path, signature: &Signature) -> io::Result<Option<String>> {
    for entry in fs::read_dir(database_dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".log") || entry.metadata()?.len() <= EMPTY_BYTES_MAX {
            continue;
        }
        let mut front = Vec::new();
        File::open(entry.path())?.take(FRONT_BYTES).read_to_end(&mut front)?;
        if !front.windows(BYTES).any(|window| window == signature) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
