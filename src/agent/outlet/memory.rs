//! What must survive the agent: small JSON files in its state folder.
//!
//! A file that cannot be read counts as forgotten, with a word in the log: at worst the proxy is restarted, or the
//! hook told, once more. Nothing is synced: these files must survive the agent, and after a power cut the proxy has
//! started anew anyway; a sync would stand between a switch and its clients.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::agent::state::replace;

/// A file of the state folder.
#[derive(Clone, Debug)]
pub(super) struct Note(PathBuf);

/// With what the proxy runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Running {
    /// Digest of what it was started with; `None`: not known.
    pub(super) started_with: Option<String>,
    /// The file was changed, and a restart is owed.
    pub(super) restart_owed: bool,
}

impl Note {
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        Self(folder.join(name))
    }

    pub(super) fn load<T: DeserializeOwned>(&self) -> Option<T> {
        let read = fs::read(&self.0).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        match read {
            Ok(value) => Some(value),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                warn!(target: "cfgserver::agent", file = %self.0.display(), %error, "forgotten: it cannot be read");
                None
            }
        }
    }

    /// Keeps a value. A full disk must not stop the work: it is logged.
    pub(super) fn save(&self, value: &impl Serialize) {
        if let Err(error) = self.write(value) {
            warn!(target: "cfgserver::agent", file = %self.0.display(), %error, "cannot be remembered");
        }
    }

    pub(super) fn forget(&self) {
        let _ = fs::remove_file(&self.0);
    }

    fn write(&self, value: &impl Serialize) -> io::Result<()> {
        replace(&self.0, &serde_json::to_vec(value)?)
    }
}
