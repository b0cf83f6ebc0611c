//! The file that makes a directory ours: `CFGSERVER`, four lines of text.
//!
//! It is there before the database is, and never changes once the database is complete. So a directory whose
//! database is gone is told from a new one. Format 1 is a directory from before the file
//! `SYNCED`: it gets one when it is opened. What does not live here: the database.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::store::rocks::error::OpenError;

/// What lies in the directory. A change of it needs a new number.
pub(super) const FORMAT: u32 = 2;
/// The same without the file `SYNCED`, and without the name of the directory in its write-ahead logs.
const FORMAT_WITHOUT_SYNCED: u32 = 1;
/// The name of the file.
pub(super) const NAME: &str = "CFGSERVER";
const HEADLINE: &str = "cfgserver data directory";

/// How far the directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The database is being made; nothing was ever acknowledged.
    Creating,
    /// The database is there and must be complete.
    Ready,
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) incarnation: String,
    pub(super) stage: Stage,
    /// The file `SYNCED` must be there, and every write-ahead log is signed.
    pub(super) synced: bool,
}

impl Marker {
    /// Reads the file; `None` when there is none.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, OpenError> {
        match fs::read(dir.join(NAME)) {
            Ok(bytes) => Self::parse(dir, &bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::from_io(dir, &error)),
        }
    }

    fn parse(dir: &Path, bytes: &[u8]) -> Result<Self, OpenError> {
        let damaged = || OpenError::Damaged {
            dir: dir.to_owned(),
            reason: format!("{NAME} is not readable"),
        };
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let mut lines = text.lines();
        if lines.next() != Some(HEADLINE) {
            return Err(damaged());
        }
        let mut field = |name: &str| lines.next().and_then(|line| line.strip_prefix(name)).map(str::trim);
        let format = field("format ").ok_or_else(damaged)?;
        let synced = format == FORMAT.to_string();
        if !synced && format != FORMAT_WITHOUT_SYNCED.to_string() {
            return Err(OpenError::Format {
                dir: dir.to_owned(),
                found: format.escape_default().to_string(),
                known: FORMAT,
            });
        }
        let incarnation = field("incarnation ").ok_or_else(damaged)?.to_owned();
        let stage = match field("stage ") {
            Some("creating") => Stage::Creating,
            Some("ready") => Stage::Ready,
            _ => return Err(damaged()),
        };
        Ok(Self {
            incarnation,
            stage,
            synced,
        })
    }

    pub(super) fn text(&self) -> String {
        let stage = match self.stage {
            Stage::Creating => "creating",
            Stage::Ready => "ready",
        };
        let format = if self.synced { FORMAT } else { FORMAT_WITHOUT_SYNCED };
        format!(
            "{HEADLINE}\nformat {format}\nincarnation {}\nstage {stage}\n",
            self.incarnation
        )
    }

    /// Makes an empty directory ours, durably. Of two processes that try, one succeeds and both read its marker.
    pub(super) fn claim(dir: &Path, incarnation: &str) -> Result<Self, OpenError> {
        let mut marker = Self {
            incarnation: incarnation.to_owned(),
            stage: Stage::Creating,
            synced: true,
        };
        let claim = || -> io::Result<()> {
            // A link appears whole and never replaces a file.
            let draft = marker.write_draft(dir)?;
            let linked = fs::hard_link(&draft, dir.join(NAME));
            fs::remove_file(&draft)?;
            match linked {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => sync_dir(dir),
            }
        };
        claim().map_err(|error| OpenError::from_io(dir, &error))?;
        if let Some(there) = Self::read(dir)? {
            marker = there;
        }
        Ok(marker)
    }

    /// Says, durably, that the database is complete and `SYNCED` is there. Only for the holder of the database's lock.
    pub(super) fn complete(mut self, dir: &Path) -> Result<Self, OpenError> {
        self.stage = Stage::Ready;
        self.synced = true;
        let replace = || -> io::Result<()> {
            let draft = self.write_draft(dir)?;
            fs::rename(draft, dir.join(NAME))?;
            sync_dir(dir)
        };
        replace().map_err(|error| OpenError::from_io(dir, &error))?;
        Ok(self)
    }

    fn write_draft(&self, dir: &Path) -> io::Result<std::path::PathBuf> {
        let draft = dir.join(format!("{NAME}.{}", self.incarnation));
        let mut file = File::create(&draft)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        Ok(draft)
    }
}

/// A name that may lie in a new directory: a draft of the marker that a crash left, or what a fresh file system has.
pub(super) fn may_lie_in_new_directory(name: &str) -> bool {
    name == "lost+found" || name.strip_prefix(NAME).is_some_and(|rest| rest.starts_with('.'))
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
