//! Why a data directory cannot be used: one line each, with what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why a data directory was not opened. Its text is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a directory.
    #[error("data directory {dir:?} is not a directory: choose another one")]
    NotADirectory {
        /// The data directory.
        dir: PathBuf,
    },
    /// Another process has it open.
    #[error("data directory {dir:?} is in use by another process: stop that one, or choose another directory")]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// It holds something else.
    #[error(
        "data directory {dir:?} holds {found} but is not a data directory of cfgserver (no CFGSERVER file): \
         choose an empty one"
    )]
    Foreign {
        /// The data directory.
        dir: PathBuf,
        /// One of the files that are there.
        found: String,
    },
    /// Written by another version.
    #[error(
        "data directory {dir:?} has format {found}, this program reads format {known}: \
         use the version of cfgserver that wrote it"
    )]
    Format {
        /// The data directory.
        dir: PathBuf,
        /// What is there.
        found: String,
        /// What this program reads.
        known: u32,
    },
    /// It was a data directory, but its database is gone.
    #[error(
        "data directory {dir:?} has lost its database ({reason}): put back what was moved away, \
         or empty it and let the node join under a new node id"
    )]
    Missing {
        /// The data directory.
        dir: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// Torn, truncated or altered.
    #[error(
        "data directory {dir:?} is damaged ({reason}): do not repair it; \
         empty it and let the node join under a new node id"
    )]
    Damaged {
        /// The data directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No right to write.
    #[error("data directory {dir:?} cannot be written ({reason}): give this user the right, or choose another one")]
    Unwritable {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The disk is full.
    #[error("data directory {dir:?} is on a full disk ({reason}): make room and start again")]
    Full {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Anything else.
    #[error("data directory {dir:?} cannot be opened ({reason}): see to the disk and start again")]
    Failed {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl OpenError {
    /// From an error of the file system.
    pub(super) fn from_io(dir: &Path, error: &io::Error) -> Self {
        let (dir, reason) = (dir.to_owned(), one_line(&error.to_string()));
        match error.kind() {
            io::ErrorKind::NotADirectory => Self::NotADirectory { dir },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Unwritable { dir, reason },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { dir, reason },
            io::ErrorKind::InvalidData => Self::Damaged { dir, reason },
            _ => Self::Failed { dir, reason },
        }
    }

    /// From an error of RocksDB.
    pub(super) fn from_rocksdb(dir: &Path, error: &rocksdb::Error) -> Self {
        Self::from_text(dir, error.as_ref())
    }

    /// RocksDB tells its errors apart by their text only.
    fn from_text(dir: &Path, text: &str) -> Self {
        let (dir, reason) = (dir.to_owned(), one_line(text));
        let says = |part: &str| text.contains(part);
        if says("No space left") || says("quota exceeded") {
            Self::Full { dir, reason }
        } else if says("Permission denied") || says("Read-only file system") {
            Self::Unwritable { dir, reason }
        } else if says("lock hold by current process") || (says("LOCK") && says("temporarily unavailable")) {
            Self::InUse { dir }
        } else if says("does not exist") || says("No such file") {
            Self::Missing { dir, reason }
        } else if text.starts_with("IO error") {
            Self::Failed { dir, reason }
        } else {
            Self::Damaged { dir, reason }
        }
    }
}

/// An error of RocksDB as one of I/O.
pub(super) fn io_error(error: &rocksdb::Error) -> io::Error {
    let text = one_line(error.as_ref());
    let kind = if text.contains("No space left") {
        io::ErrorKind::StorageFull
    } else if matches!(error.kind(), rocksdb::ErrorKind::Corruption) {
        io::ErrorKind::InvalidData
    } else {
        io::ErrorKind::Other
    };
    io::Error::new(kind, text)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_has_to_do_follows_from_the_cause() {
        let cases = [
            (
                "IO error: No space left on device: While appending to file: /d/db/1.log: No space left",
                "make room",
            ),
            (
                "IO error: While open a file for lock: /d/db/LOCK: Permission denied",
                "give this user the right",
            ),
            (
                "IO error: While open: /d/db/LOCK: Read-only file system",
                "give this user the right",
            ),
            (
                "IO error: While lock file: /d/db/LOCK: Resource temporarily unavailable",
                "stop that one",
            ),
            (
                "IO error: lock hold by current process, acquire time 1 acquiring thread 2: /d/db/LOCK",
                "stop that one",
            ),
            (
                "Invalid argument: /d/db: does not exist (create_if_missing is false)",
                "has lost its database",
            ),
            (
                "IO error: No such file or directory: While opening /d/db/MANIFEST-1",
                "has lost its database",
            ),
            ("IO error: Input/output error: While pread", "see to the disk"),
            (
                "Corruption: checksum\nmismatch",
                "damaged (Corruption: checksum mismatch)",
            ),
        ];
        for (cause, advice) in cases {
            let line = OpenError::from_text(Path::new("/d"), cause).to_string();
            assert!(
                line.contains(advice) && line.contains("\"/d\"") && !line.contains('\n'),
                "{cause:?}: {line:?}"
            );
        }
    }
}
