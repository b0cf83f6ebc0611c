//! The checked configuration of a node.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{ConfigError, Layer, ReadPolicy, RunScripts, Secret};
use crate::detect::Probing;
use crate::model::{HostPort, NodeId};
use crate::telemetry::{LogFormat, LogLevel};

/// Everything that `serve` needs to know, without contradictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    /// Number of this node, 1 and up.
    pub node_id: NodeId,
    /// Where to listen; the port is never 0.
    pub listen: SocketAddr,
    /// Where old proxies are served as well; another port than that of `listen`.
    pub proxy_listen: Option<SocketAddr>,
    /// Folder of the durable store.
    pub data_dir: PathBuf,
    /// How a node with an empty folder comes to a cluster. A node with data ignores it.
    pub founding: Founding,
    /// Address told to peers and clients.
    pub advertise: HostPort,
    /// File of the secret, for showing.
    pub cluster_secret_file: Option<PathBuf>,
    /// The secret; without one only loopback peers are accepted.
    pub secret: Option<Secret>,
    /// How much to log.
    pub log_level: LogLevel,
    /// Form of the log lines.
    pub log_format: LogFormat,
    /// No filtering by what a connection asked before: a plain Sentinel.
    pub strict_sentinel: bool,
    /// What lookups are answered from.
    pub read_policy: ReadPolicy,
    /// How many nodes watch a primary closely.
    pub probed_by: Probing,
    /// Nobody may set scripts over the wire, and none are run.
    pub deny_scripts_reconfig: bool,
    /// When scripts are run.
    pub run_scripts: RunScripts,
    /// Limits and periods.
    pub limits: Limits,
    /// The file that part of this came from.
    pub config_file: Option<PathBuf>,
}

/// How an empty node comes to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Founding {
    /// A cluster of one.
    Alone,
    /// With these nodes, the own one included.
    Peers(BTreeMap<NodeId, HostPort>),
    /// By being added to the cluster of this node.
    Join(HostPort),
}

/// Limits and periods, with the defaults that need no thought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections accepted at the same time.
    pub connections_max: usize,
    /// How many of them are kept for peers and operators.
    pub connections_reserve: usize,
    /// Bytes that may wait for one subscriber.
    pub subscriber_queue_bytes: usize,
    /// How long a request may stay half sent.
    pub half_frame: Duration,
    /// How long a forwarded write may take.
    pub forward: Duration,
    /// Shortest pause between two probes of an instance.
    pub probe_floor: Duration,
    /// Pause between two INFO of a healthy instance.
    pub info_every: Duration,
    /// An own pause from this long on is subtracted from silences.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_reserve: 64,
            subscriber_queue_bytes: 1_048_576,
            half_frame: Duration::from_secs(60),
            forward: Duration::from_secs(5),
            probe_floor: Duration::from_millis(50),
            info_every: Duration::from_secs(10),
            stall: Duration::from_millis(500),
        }
    }
}

impl ServeConfig {
    /// Reads the environment and the file that `flags` or the environment name, and checks the whole.
    pub fn load<E>(flags: Layer, environment: E) -> Result<Self, ConfigError>
    where
        E: IntoIterator<Item = (OsString, OsString)>,
    {
        let above = flags.over(Layer::from_environment(environment)?);
        let file = match &above.config {
            None => Layer::default(),
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
                    path: path.clone(),
                    error,
                })?;
                Layer::from_toml(&text, path)?
            }
        };
        Self::from_layer(above.over(file))
    }

    /// What an operator should hear about a configuration that is accepted.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Founding::Peers(peers) = &self.founding
            && peers.len() % 2 == 0
        {
            let count = peers.len();
            warnings.push(format!(
                "a cluster of {count} nodes survives no more failures than one of {}",
                count - 1
            ));
        }
        if let Some(proxy_listen) = self.proxy_listen
            && proxy_listen.port() == self.advertise.port
        {
            warnings.push(format!(
                "{} is where other nodes are told to connect, and they must not meet proxy-listen {proxy_listen} there",
                self.advertise
            ));
        }
        warnings
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn options_win_over_environment_over_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"node-id = 3\nlog-level = \"warn\"\nstall-ms = 900\n")
            .unwrap();
        let flags = Layer {
            node_id: Some("5".parse().unwrap()),
            ..Layer::default()
        };
        let environment = [
            ("CFGSERVER_CONFIG".into(), file.path().as_os_str().to_owned()),
            ("CFGSERVER_NODE_ID".into(), "4".into()),
            ("CFGSERVER_LOG_LEVEL".into(), "error".into()),
        ];
        let config = ServeConfig::load(flags, environment).unwrap();
        assert_eq!(config.node_id, 5);
        assert_eq!(config.log_level, LogLevel::Error);
        assert_eq!(config.limits.stall, Duration::from_millis(900));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let flags = Layer {
            config: Some("/does/not/exist.toml".into()),
            ..Layer::default()
        };
        let error = ServeConfig::load(flags, []).unwrap_err().to_string();
        assert!(error.starts_with("cannot read /does/not/exist.toml: "), "{error}");
    }

    #[test]
    fn an_even_number_of_nodes_is_accepted_with_a_warning() {
        let with = |peers: &str| {
            let layer = Layer {
                peers: Some(peers.parse().unwrap()),
                ..Layer::default()
            };
            ServeConfig::load(layer, []).unwrap().warnings().len()
        };
        assert_eq!(with("1=127.0.0.1:26379,2=127.0.0.1:26380"), 1);
        assert_eq!(with("1=127.0.0.1:26379,2=127.0.0.1:26380,3=127.0.0.1:26381"), 0);
    }
}
