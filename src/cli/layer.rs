//! One source of settings, each of which may be missing: the options, the environment or the file.
//!
//! The three sources share this type, so that an option cannot exist in one and not in the others.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Command, FromArgMatches};
use serde::Deserialize;

use crate::cli::{ConfigError, Peers, ReadPolicy, RunScripts, Whole, YesNo};
use crate::detect::Probing;
use crate::model::HostPort;
use crate::telemetry::{LogFormat, LogLevel};

const ENVIRONMENT_PREFIX: &str = "CFGSERVER_";
const HOUR_MS: u64 = 3_600_000;

/// The settings that one source gives.
#[derive(Clone, Debug, Default, PartialEq, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Layer {
    /// Number of this node in its cluster, never reused [default: 1]
    #[arg(long, value_name = "ID")]
    pub node_id: Option<Whole<1, { i64::MAX as u64 }>>,
    /// Address to listen on [default: 127.0.0.1:26379]
    #[arg(long, value_name = "IP:PORT", value_parser = ip_port)]
    pub listen: Option<SocketAddr>,
    /// Address of a second listener, read-only, for old proxies: whoever connects there hears only of changed
    /// addresses, of groups that it can understand [default: none]
    #[arg(long, value_name = "IP:PORT", value_parser = ip_port)]
    pub proxy_listen: Option<SocketAddr>,
    /// Folder that keeps everything this node must remember [default: ./cfgserver-data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Found a cluster of these nodes, the same on every node, own entry included
    #[arg(long, value_name = "ID=HOST:PORT,...")]
    pub peers: Option<Peers>,
    /// Start empty and wait to be added to the cluster of this node
    #[arg(long, value_name = "HOST:PORT")]
    pub join: Option<HostPort>,
    /// Address told to peers and clients [default: the own entry of --peers, else --listen]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<HostPort>,
    /// File with the secret that the nodes of a cluster share
    #[arg(long, value_name = "FILE")]
    pub cluster_secret_file: Option<PathBuf>,
    /// How much to log [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// Form of the log lines [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Answer every connection on --listen as a plain Sentinel does, proxies that need filtered events included
    /// [default: no]
    #[arg(long, value_name = "YES|NO")]
    pub strict_sentinel: Option<YesNo>,
    /// applied: answer lookups from what this node has applied, also without a majority; contact: answer them with
    /// -LOADING while no majority is known to be in contact with the leader [default: applied]
    #[arg(long, value_name = "POLICY")]
    pub read_policy: Option<ReadPolicy>,
    /// Refuse SENTINEL SET of notification-script and client-reconfig-script on this node, and run none here
    /// [default: yes]
    #[arg(long, value_name = "YES|NO")]
    pub deny_scripts_reconfig: Option<YesNo>,
    /// leader: this node runs scripts while it leads, so that each event is told once; always: also while it does
    /// not, as each Sentinel does [default: leader]
    #[arg(long, value_name = "WHEN")]
    pub run_scripts: Option<RunScripts>,
    /// all: every node watches every primary closely, and the leader the replicas too; few: a primary is watched by the
    /// leader and so many others that they are a quorum and one more, for large fleets. The same on every node
    /// [default: all]
    #[arg(long, value_name = "NODES")]
    pub probed_by: Option<Probing>,
    /// Connections accepted at the same time [default: 10000]
    #[arg(long, value_name = "COUNT")]
    pub connections_max: Option<Whole<128, 1_000_000>>,
    /// How many of them are kept for peers and operators [default: 64]
    #[arg(long, value_name = "COUNT")]
    pub connections_reserve: Option<Whole<8, 1_000_000>>,
    /// Bytes that may wait for one subscriber before it is disconnected [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    pub subscriber_queue_bytes: Option<Whole<4_096, 1_073_741_824>>,
    /// How long a request may stay half sent, in milliseconds [default: 60000]
    #[arg(long, value_name = "MS")]
    pub half_frame_ms: Option<Whole<100, HOUR_MS>>,
    /// How long a write may take that is forwarded to the leader, in milliseconds [default: 5000]
    #[arg(long, value_name = "MS")]
    pub forward_ms: Option<Whole<100, HOUR_MS>>,
    /// Shortest pause between two probes of an instance, in milliseconds [default: 50]
    #[arg(long, value_name = "MS")]
    pub probe_floor_ms: Option<Whole<10, 1_000>>,
    /// Pause between two INFO of a healthy instance, in milliseconds [default: 10000]
    #[arg(long, value_name = "MS")]
    pub info_every_ms: Option<Whole<100, HOUR_MS>>,
    /// A pause of this node's own scheduler from this long on does not count against an instance, in
    /// milliseconds [default: 500]
    #[arg(long, value_name = "MS")]
    pub stall_ms: Option<Whole<100, 60_000>>,
    /// TOML file with settings under the names of these options
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

impl Layer {
    /// The settings that the environment gives.
    ///
    /// An empty variable counts as not set. Unknown names with our prefix are no error: an orchestrator that
    /// runs a service called cfgserver puts its own variables there.
    pub fn from_environment<E>(environment: E) -> Result<Self, ConfigError>
    where
        E: IntoIterator<Item = (OsString, OsString)>,
    {
        let set: BTreeMap<OsString, OsString> =
            environment.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let options = Self::augment_args(Command::new("environment").no_binary_name(true).disable_help_flag(true));
        let mut layer = Self::default();
        for option in options.get_arguments().filter_map(|option| option.get_long()) {
            let variable = format!("{ENVIRONMENT_PREFIX}{}", option.to_ascii_uppercase().replace('-', "_"));
            let Some(value) = set.get(&OsString::from(&variable)) else {
                continue;
            };
            let mut word = OsString::from(format!("--{option}="));
            word.push(value);
            let one = options
                .clone()
                .try_get_matches_from([word])
                .and_then(|matches| Self::from_arg_matches(&matches))
                .map_err(|error| ConfigError::Environment {
                    fault: crate::cli::error::one_line(&error),
                    variable,
                })?;
            layer = one.over(layer);
        }
        Ok(layer)
    }

    /// The settings that the text of a file gives; `path` is for the message.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::File {
            path: path.to_owned(),
            line: error
                .span()
                .map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count()),
            fault: error.message().replace('\n', " "),
        })
    }

    /// These settings, and those of `below` where these give none.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            node_id: self.node_id.or(below.node_id),
            listen: self.listen.or(below.listen),
            proxy_listen: self.proxy_listen.or(below.proxy_listen),
            data_dir: self.data_dir.or(below.data_dir),
            peers: self.peers.or(below.peers),
            join: self.join.or(below.join),
            advertise: self.advertise.or(below.advertise),
            cluster_secret_file: self.cluster_secret_file.or(below.cluster_secret_file),
            log_level: self.log_level.or(below.log_level),
            log_format: self.log_format.or(below.log_format),
            strict_sentinel: self.strict_sentinel.or(below.strict_sentinel),
            read_policy: self.read_policy.or(below.read_policy),
            probed_by: self.probed_by.or(below.probed_by),
            deny_scripts_reconfig: self.deny_scripts_reconfig.or(below.deny_scripts_reconfig),
            run_scripts: self.run_scripts.or(below.run_scripts),
            connections_max: self.connections_max.or(below.connections_max),
            connections_reserve: self.connections_reserve.or(below.connections_reserve),
            subscriber_queue_bytes: self.subscriber_queue_bytes.or(below.subscriber_queue_bytes),
            half_frame_ms: self.half_frame_ms.or(below.half_frame_ms),
            forward_ms: self.forward_ms.or(below.forward_ms),
            probe_floor_ms: self.probe_floor_ms.or(below.probe_floor_ms),
            info_every_ms: self.info_every_ms.or(below.info_every_ms),
            stall_ms: self.stall_ms.or(below.stall_ms),
            config: self.config.or(below.config),
        }
    }
}

fn ip_port(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is not IP:PORT, such as 127.0.0.1:26379 or [::1]:26379"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn every_option_is_read_from_the_environment() {
        let options = Layer::augment_args(Command::new("test"));
        for option in options.get_arguments().filter_map(|option| option.get_long()) {
            let variable = format!("CFGSERVER_{}", option.to_uppercase().replace('-', "_"));
            let value = match option {
                "listen" | "proxy-listen" | "join" | "advertise" => "127.0.0.1:7",
                "peers" => "1=127.0.0.1:7",
                "log-level" => "warn",
                "log-format" => "json",
                "strict-sentinel" | "deny-scripts-reconfig" => "yes",
                "read-policy" => "contact",
                "probed-by" => "few",
                "run-scripts" => "always",
                _ => "4096",
            };
            let layer = Layer::from_environment(environment(&[(&variable, value)]));
            if option == "probe-floor-ms" {
                assert!(layer.unwrap_err().to_string().contains("from 10 to 1000"));
            } else {
                assert_ne!(layer.unwrap(), Layer::default(), "{variable} is not read");
            }
        }
    }

    #[test]
    fn an_empty_or_unknown_variable_counts_as_not_set() {
        let pairs = [
            ("CFGSERVER_NODE_ID", ""),
            ("CFGSERVER_PORT", "tcp://10.0.0.1"),
            ("PATH", "/bin"),
        ];
        assert_eq!(Layer::from_environment(environment(&pairs)).unwrap(), Layer::default());
    }

    #[test]
    fn a_bad_variable_is_named_on_one_line() {
        let error = Layer::from_environment(environment(&[("CFGSERVER_NODE_ID", "0")])).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("CFGSERVER_NODE_ID: ") && text.lines().count() == 1,
            "{text}"
        );
    }

    #[test]
    fn a_file_has_the_names_of_the_options() {
        let text = "node-id = 3\nlisten = \"127.0.0.1:9\"\npeers = \"3=127.0.0.1:9\"\nlog-level = \"debug\"\n\
                    strict-sentinel = \"yes\"\nread-policy = \"contact\"\nconnections-max = 500\n";
        let layer = Layer::from_toml(text, Path::new("a.toml")).unwrap();
        assert_eq!(layer.node_id.unwrap().get(), 3);
        assert_eq!(layer.log_level, Some(LogLevel::Debug));
        assert_eq!(layer.peers.unwrap().to_string(), "3=127.0.0.1:9");
        assert_eq!(layer.strict_sentinel, Some(YesNo::Yes));
        assert_eq!(layer.read_policy, Some(ReadPolicy::Contact));
        assert_eq!(layer.connections_max.unwrap().get(), 500);
    }

    #[test]
    fn a_fault_in_a_file_is_told_with_its_line() {
        for (text, line, fault) in [
            ("node-id = 1\nnode_id = 2\n", 2, "unknown field `node_id`"),
            ("\n\nlisten = \"nowhere\"", 3, "invalid socket address"),
            ("node-id = 0", 1, "must be a whole number from 1"),
            ("config = \"other.toml\"", 1, "unknown field `config`"),
            ("[cluster]\nnode-id = 1\n", 1, "unknown field `cluster`"),
            ("node-id = 1\nnode-id = 1\n", 2, "duplicate key"),
            ("node-id =", 1, ""),
        ] {
            let error = Layer::from_toml(text, Path::new("a.toml")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("a.toml line {line}: ")), "{error}");
            assert!(error.contains(fault) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn a_listen_address_without_an_ip_address_is_told_what_is_missing() {
        let fault = ip_port("localhost:26379").unwrap_err();
        assert!(fault.starts_with("'localhost:26379' is not IP:PORT"), "{fault}");
        assert!(ip_port("[::1]:26379").is_ok());
    }

    #[test]
    fn what_is_above_wins() {
        let above = Layer::from_toml("node-id = 3\n", Path::new("a")).unwrap();
        let below = Layer::from_toml("node-id = 4\nstall-ms = 700\n", Path::new("b")).unwrap();
        let both = above.over(below);
        assert_eq!(both.node_id.unwrap().get(), 3);
        assert_eq!(both.stall_ms.unwrap().get(), 700);
    }
}
