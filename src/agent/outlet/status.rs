//! What the outlet says about itself.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{Revision, Timestamp};
use crate::template::TemplateError;

/// Why there can be no outlet.
#[derive(Debug, thiserror::Error)]
pub enum OutletError {
    /// The folder for what must be remembered.
    #[error("cannot make the state-dir {}: {error}", path.display())]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The template cannot be read.
    #[error("cannot read the template {}: {error}", path.display())]
    Unreadable {
        /// The template.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The template cannot be followed.
    #[error("{} {error}", path.display())]
    Template {
        /// The template.
        path: PathBuf,
        /// What is wrong, and on which line.
        error: TemplateError,
    },
}

/// A server that is somewhere else now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The group.
    pub group: String,
    /// `pool/server` of the proxy's file; `None` where there is no such file.
    pub server: Option<String>,
    /// `host:port` before; `None`: nothing was known.
    pub from: Option<String>,
    /// `host:port` now.
    pub to: String,
    /// The group's version that says so.
    pub version: Revision,
}

/// What became of a call to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was as it should be.
    Unchanged,
    /// The proxy runs with what the table says.
    Applied {
        /// Servers that are somewhere else than in the file before. Empty for changes of other kinds.
        moved: Vec<Move>,
        /// For how long the proxy did not listen (child), or how long its restart took (command).
        proxy_down_ms: u64,
    },
    /// Something is in the way. The file is whole: the old one, or the new one when the reason says so.
    Refused {
        /// What, in one line.
        reason: String,
    },
}

/// How the outlet stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutletStatus {
    /// The operator's file.
    pub template: Option<PathBuf>,
    /// The file that the proxy reads.
    pub file: Option<PathBuf>,
    /// When the file was written last.
    pub written: Option<Timestamp>,
    /// When the proxy was restarted last because of a change.
    pub restarted: Option<Timestamp>,
    /// How long that took.
    pub proxy_down_ms: Option<u64>,
    /// The supervised child.
    pub child: Option<ChildStatus>,
    /// What is in the way now.
    pub fault: Option<String>,
    /// Servers that keep their address for a reason.
    pub unfollowed: Vec<Unfollowed>,
    /// Servers that follow a group, and cannot be put where it is.
    pub stuck: Vec<Unfollowed>,
    /// The hook.
    pub hook: Option<HookStatus>,
}

/// A server that does not follow a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfollowed {
    /// `pool/server`, or `pool/address` without a name.
    pub server: String,
    /// Why.
    pub reason: String,
}

/// How the child stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildStatus {
    /// Its process id; `None`: it does not run.
    pub pid: Option<u32>,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// How often it was started again because it had ended by itself.
    pub revived: u64,
    /// How it ended by itself last.
    pub last_end: Option<String>,
}

/// How the hook stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookStatus {
    /// When it was told last and agreed.
    pub told: Option<Timestamp>,
    /// Whether it is yet to be told of something.
    pub pending: bool,
    /// Why it could not be told.
    pub fault: Option<String>,
}
