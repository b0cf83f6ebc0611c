//! The command line of the agent. Its settings live in a file of their own; argv and environment only name it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::agent::{Config, ConfigError};
use crate::cli::Refusal;
use crate::telemetry::{LogFormat, LogLevel};

const CONFIG: &str = "CFGSERVER_AGENT_CONFIG";
const LOG_LEVEL: &str = "CFGSERVER_AGENT_LOG_LEVEL";
const LOG_FORMAT: &str = "CFGSERVER_AGENT_LOG_FORMAT";

pub(super) const HELP: &str = r#"A configuration:

  nodes = ["10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"]   # all of them, as in --listen; host names are fine
  state-dir = "/var/lib/cfgserver-agent"   # one per agent [default: cfgserver-agent beside this file]

  [proxy]
  kind = "nutcracker"                      # or "bdrp"
  template = "/etc/nutcracker/nutcracker.yml"
  restart = ["systemctl", "restart", "nutcracker"]
  # run = ["nutcracker", "-c", "{file}", "-o", "/tmp/nc.log"]   # instead of restart: the agent runs the proxy
  # output = "/run/nutcracker.yml"         # the file to write [default: the template itself]
  # check = ["nutcracker", "-t", "-c", "{file}"]   # [] checks nothing

  [groups]                                 # server (or pool/server) -> group, where the names differ
  shard-a = "orders-1"

  [hook]                                   # instead of, or beside, [proxy]
  command = ["/usr/local/bin/told"]        # gets one JSON document on standard input for each change
  groups = ["orders-1"]                    # [default: those of the proxy's file]
  timeout-ms = 10000

  [pace]
  debounce-ms = 30           # a change waits for this much quiet,
  debounce-max-ms = 200      # but not longer than this
  restart-pause-ms = 1000    # shortest pause between two restarts
  settle-ms = 5000           # replicas (bdrp: all facts) must have been the same for so long
  refresh-ms = 10000         # everything is looked up again this often

Further keys: cluster (follow only this cluster_id; naming another one than before makes the agent change over),
log-level, log-format. Relative paths are relative to the folder of the file.

Environment: CFGSERVER_AGENT_CONFIG, CFGSERVER_AGENT_LOG_LEVEL, CFGSERVER_AGENT_LOG_FORMAT. Options win over the
environment, the environment wins over the file.

Exit codes: 0 well ended (status: up to date), 1 cannot start (status: not up to date), 64 usage."#;

#[derive(Debug, Args)]
pub(super) struct AgentLine {
    #[command(subcommand)]
    verb: Option<AgentVerb>,
    #[command(flatten)]
    flags: AgentFlags,
}

#[derive(Debug, Args)]
struct AgentFlags {
    /// The agent's configuration, in TOML
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// How much to log [default: log-level of the file, else info]
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<LogLevel>,
    /// Form of the log lines [default: log-format of the file, else text]
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum AgentVerb {
    /// Show what the agent of this configuration does; exit code 0 when everything is up to date, else 1
    Status {
        /// As a JSON document
        #[arg(long)]
        json: bool,
    },
    /// Print the effective configuration and what it follows, or say what is wrong with it
    Check,
}

/// What is asked of the agent.
#[derive(Debug)]
pub enum AgentInvocation {
    /// Run it.
    Run(Box<Config>),
    /// Show the status of the one that runs.
    Status {
        /// Its configuration.
        config: Box<Config>,
        /// For programs.
        json: bool,
    },
    /// Show what it would run with.
    Check(Box<Config>),
}

/// Reads the configuration that argv or the environment names.
pub(super) fn read(
    line: AgentLine,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<AgentInvocation, Refusal> {
    let mut flags = line.flags;
    for (name, value) in environment {
        if value.is_empty() {
            continue;
        }
        match name.to_str() {
            Some(CONFIG) => _ = flags.config.get_or_insert(value.into()),
            Some(LOG_LEVEL) if flags.log_level.is_none() => flags.log_level = Some(word(LOG_LEVEL, &value)?),
            Some(LOG_FORMAT) if flags.log_format.is_none() => flags.log_format = Some(word(LOG_FORMAT, &value)?),
            _ => {}
        }
    }
    let Some(path) = flags.config else {
        return Err(Refusal::misused(format!(
            "agent needs --config FILE (or {CONFIG}); see cfgserver agent --help"
        )));
    };
    let mut config = Config::load(&path)?;
    config.log_level = flags.log_level.unwrap_or(config.log_level);
    config.log_format = flags.log_format.unwrap_or(config.log_format);
    let config = Box::new(config);
    Ok(match line.verb {
        None => AgentInvocation::Run(config),
        Some(AgentVerb::Status { json }) => AgentInvocation::Status { config, json },
        Some(AgentVerb::Check) => AgentInvocation::Check(config),
    })
}

fn word<T: ValueEnum>(variable: &str, value: &OsString) -> Result<T, Refusal> {
    let text = value.to_string_lossy();
    T::from_str(&text, false).map_err(|_| {
        let known = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let known: Vec<String> = known.map(|value| value.get_name().to_owned()).collect();
        Refusal::cannot_start(format!("{variable}: '{text}' is none of {}", known.join(", ")))
    })
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self::cannot_start(error.to_string())
    }
}
