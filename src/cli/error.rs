//! Why a configuration is refused, and with which exit code.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::cli::{EXIT_CANNOT_START, EXIT_USAGE};
use crate::model::NodeId;

/// Why a configuration cannot be served. Each shows as one line that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A variable has a value that its option does not take.
    #[error("{variable}: {fault}")]
    Environment {
        /// Name of the variable.
        variable: String,
        /// What is wrong.
        fault: String,
    },
    /// The file has an unknown name or a value that its option does not take.
    #[error("{} line {line}: {fault}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        fault: String,
    },
    /// A file that was named cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The secret file does not hold a secret.
    #[error("{option} {}: {fault}", path.display())]
    Secret {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
    /// Founding and joining at once.
    #[error("peers and join contradict each other: peers founds a cluster, join waits to be added to one")]
    PeersAndJoin,
    /// The own node id is not among the founding nodes.
    #[error("node-id {node_id} is not among the peers ({peers})")]
    NotAmongPeers {
        /// Own id.
        node_id: NodeId,
        /// The peers as given.
        peers: String,
    },
    /// Two settings say different things about where this node is.
    #[error("{what}")]
    Address {
        /// Both settings, and how to agree.
        what: String,
    },
    /// Nodes that talk beyond this machine need a secret.
    #[error("a cluster that reaches beyond loopback ({reason}) needs a secret: set cluster-secret-file")]
    SecretMissing {
        /// The address that reaches beyond.
        reason: String,
    },
    /// The reserve leaves nothing for clients.
    #[error("connections-reserve {reserve} must be smaller than connections-max {max}")]
    Reserve {
        /// Reserve.
        reserve: u64,
        /// Limit.
        max: u64,
    },
}

/// What the process says on standard error before it ends, and its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Exit code.
    pub code: u8,
    text: String,
}

impl Refusal {
    pub(super) fn usage(error: &clap::Error) -> Self {
        Self {
            code: EXIT_USAGE,
            text: error.to_string().trim_end().to_owned(),
        }
    }

    /// A command line that lacks something.
    pub(super) fn misused(fault: String) -> Self {
        Self {
            code: EXIT_USAGE,
            text: format!("cfgserver: {fault}"),
        }
    }

    /// A configuration that cannot be run with.
    pub(super) fn cannot_start(fault: String) -> Self {
        Self {
            code: EXIT_CANNOT_START,
            text: format!("cfgserver: {fault}"),
        }
    }
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self::cannot_start(error.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What clap says about one option, without its usage lines.
pub(super) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    first.trim_start_matches("error: ").to_owned()
}
