//! The agent's configuration: one TOML file, read and checked as a whole.
//!
//! What does not live here: argv and environment (`cli`), and the proxy's own file (`template`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{GroupName, HostPort};
use crate::telemetry::{LogFormat, LogLevel};

const STATE_DIR: &str = "cfgserver-agent";
const HOUR_MS: u64 = 3_600_000;
/// Stands in a command for the path of the file that it is about.
pub const FILE_WORD: &str = "{file}";

/// What an agent runs with, without contradictions. Every path is absolute or below the working folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file that it came from.
    pub file: PathBuf,
    /// All nodes of the cluster; host names are resolved at each connection.
    pub nodes: Vec<HostPort>,
    /// Only this cluster is followed; `None`: the one that was met first.
    pub cluster: Option<String>,
    /// Folder that keeps what the agent must remember.
    pub state_dir: PathBuf,
    /// How much to log.
    pub log_level: LogLevel,
    /// Form of the log lines.
    pub log_format: LogFormat,
    /// The proxy whose file is written.
    pub proxy: Option<Proxy>,
    /// Server of the file (or `pool/server`) -> name of its group, where they differ.
    pub groups: BTreeMap<String, String>,
    /// The command that is told of changes.
    pub hook: Option<Hook>,
    /// How fast changes are passed on.
    pub pace: Pace,
}

/// What the proxy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Stock twemproxy.
    Nutcracker,
    /// Baidu's fork: servers have read replicas, and the proxy rewrites its own file.
    Bdrp,
}

/// The proxy whose file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// What it is.
    pub kind: Kind,
    /// The operator's own file.
    pub template: PathBuf,
    /// The file that the proxy reads. May be the template itself, except for BDRP.
    pub output: PathBuf,
    /// Says whether a file is good; empty: nothing is asked.
    pub check: Vec<String>,
    /// How the proxy comes to read a new file.
    pub process: Process,
}

/// How the proxy comes to read a new file. Never an empty command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Process {
    /// Someone else runs it; this command restarts it.
    Restart(Vec<String>),
    /// The agent starts and supervises it.
    Run(Vec<String>),
}

/// The command that is told of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Gets one JSON document on standard input for each change. Never empty.
    pub command: Vec<String>,
    /// Groups that it is told of; `None`: those of the proxy's file.
    pub groups: Option<BTreeSet<String>>,
    /// It may take this long.
    pub timeout: Duration,
}

/// How fast changes are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A change waits for this much quiet.
    pub debounce: Duration,
    /// And never longer than this.
    pub debounce_max: Duration,
    /// Shortest pause between two restarts of the proxy.
    pub restart_pause: Duration,
    /// A change of read replicas alone must be this old.
    pub settle: Duration,
    /// Everything is looked up again this often, whatever was heard.
    pub refresh: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(30),
            debounce_max: Duration::from_millis(200),
            restart_pause: Duration::from_millis(1_000),
            settle: Duration::from_millis(5_000),
            refresh: Duration::from_millis(10_000),
        }
    }
}

/// Why there is no configuration. Each shows as one line that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// An unknown key, or a value that a key does not take.
    #[error("{} line {line}: {fault}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        fault: String,
    },
    /// Keys that do not go together.
    #[error("{}: {fault}", path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// Which, and what to do.
        fault: String,
    },
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error| ConfigError::Unreadable {
            path: path.to_owned(),
            error,
        };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        // Whoever reads the status may be in another folder than the agent.
        let path = std::path::absolute(path).map_err(unreadable)?;
        Self::parse(&text, &path)
    }

    /// Checks the text of a file. Relative paths are relative to the folder of `path`, so that the agent and
    /// `agent status` mean the same files, whatever folder they are started in.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let written: Written = toml::from_str(text).map_err(|error| ConfigError::Value {
            path: path.to_owned(),
            line: error
                .span()
                .map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count()),
            fault: error.message().replace('\n', " "),
        })?;
        written.checked(path).map_err(|fault| ConfigError::Contradiction {
            path: path.to_owned(),
            fault,
        })
    }

    /// The folder of the file: relative paths in it, those of commands included, are meant from here.
    pub fn folder(&self) -> &Path {
        folder(&self.file)
    }
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    nodes: Vec<HostPort>,
    cluster: Option<String>,
    state_dir: Option<PathBuf>,
    #[serde(default)]
    log_level: LogLevel,
    #[serde(default)]
    log_format: LogFormat,
    proxy: Option<WrittenProxy>,
    groups: Option<BTreeMap<String, GroupName>>,
    hook: Option<WrittenHook>,
    #[serde(default)]
    pace: WrittenPace,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenProxy {
    kind: Kind,
    template: PathBuf,
    output: Option<PathBuf>,
    check: Option<Vec<String>>,
    restart: Option<Vec<String>>,
    run: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenHook {
    command: Vec<String>,
    groups: Option<BTreeSet<GroupName>>,
    timeout_ms: Option<Ms<1, HOUR_MS>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenPace {
    debounce_ms: Option<Ms<0, 60_000>>,
    debounce_max_ms: Option<Ms<0, 60_000>>,
    restart_pause_ms: Option<Ms<0, HOUR_MS>>,
    settle_ms: Option<Ms<0, HOUR_MS>>,
    refresh_ms: Option<Ms<100, HOUR_MS>>,
}

/// Milliseconds from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "i64")]
struct Ms<const MIN: u64, const MAX: u64>(Duration);

impl<const MIN: u64, const MAX: u64> TryFrom<i64> for Ms<MIN, MAX> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match u64::try_from(number) {
            Ok(ms) if (MIN..=MAX).contains(&ms) => Ok(Self(Duration::from_millis(ms))),
            _ => Err(format!("must be a whole number from {MIN} to {MAX}")),
        }
    }
}

impl Written {
    fn checked(self, path: &Path) -> Result<Config, String> {
        let base = folder(path);
        let nodes = distinct(self.nodes)?;
        if self.cluster.as_ref().is_some_and(|cluster| cluster.trim().is_empty()) {
            return Err("cluster is empty: give the cluster_id that INFO raft shows, or leave it out".to_owned());
        }
        if self.groups.is_some() && self.proxy.is_none() {
            return Err("[groups] maps the servers of a proxy's file: it needs [proxy]".to_owned());
        }
        let hook = self.hook.map(WrittenHook::checked).transpose()?;
        match (&self.proxy, &hook) {
            (None, None) => return Err("nothing to do: give [proxy], [hook] or both".to_owned()),
            (None, Some(hook)) if hook.groups.is_none() => {
                return Err("[hook] groups is needed where there is no [proxy] to take them from".to_owned());
            }
            _ => {}
        }
        let names = self.groups.unwrap_or_default().into_iter();
        Ok(Config {
            file: path.to_owned(),
            nodes,
            cluster: self.cluster,
            state_dir: base.join(self.state_dir.unwrap_or_else(|| PathBuf::from(STATE_DIR))),
            log_level: self.log_level,
            log_format: self.log_format,
            proxy: self.proxy.map(|proxy| proxy.checked(base)).transpose()?,
            groups: names.map(|(server, group)| (server, group.into())).collect(),
            hook,
            pace: self.pace.checked()?,
        })
    }
}

fn distinct(nodes: Vec<HostPort>) -> Result<Vec<HostPort>, String> {
    if nodes.is_empty() {
        return Err("nodes is empty: give the addresses of all cfgserver nodes".to_owned());
    }
    let twice = nodes.iter().enumerate().find(|(at, node)| nodes[..*at].contains(node));
    match twice {
        Some((_, node)) => Err(format!("nodes names {node} twice")),
        None => Ok(nodes),
    }
}

impl WrittenProxy {
    fn checked(self, base: &Path) -> Result<Proxy, String> {
        let process = match (self.restart, self.run) {
            (Some(restart), None) => Process::Restart(command("[proxy] restart", restart)?),
            (None, Some(run)) => Process::Run(command("[proxy] run", run)?),
            (None, None) => {
                return Err("[proxy] needs restart (someone else runs the proxy) or run (the agent does)".to_owned());
            }
            (Some(_), Some(_)) => return Err("[proxy] restart and run contradict each other: give one".to_owned()),
        };
        let template = base.join(self.template);
        let output = self.output.map(|output| base.join(output));
        let output = match (self.kind, output) {
            (_, Some(output)) if output != template => output,
            (Kind::Nutcracker, _) => template.clone(),
            (Kind::Bdrp, _) => {
                return Err(
                    "[proxy] output must be another file than the template: this proxy rewrites its file".to_owned(),
                );
            }
        };
        let check = match (self.check, self.kind) {
            (Some(check), _) => check,
            (None, Kind::Nutcracker) => ["nutcracker", "-t", "-c", FILE_WORD].map(str::to_owned).into(),
            (None, Kind::Bdrp) => Vec::new(),
        };
        if !check.is_empty() && !check.iter().any(|word| word.contains(FILE_WORD)) {
            return Err(format!(
                "[proxy] check has no {FILE_WORD}: it would not see the new file"
            ));
        }
        Ok(Proxy {
            kind: self.kind,
            template,
            output,
            check,
            process,
        })
    }
}

impl WrittenHook {
    const TIMEOUT: Duration = Duration::from_millis(10_000);

    fn checked(self) -> Result<Hook, String> {
        let groups = self.groups.map(|names| names.into_iter().map(String::from).collect());
        if groups.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err("[hook] groups is empty".to_owned());
        }
        Ok(Hook {
            command: command("[hook] command", self.command)?,
            groups,
            timeout: self.timeout_ms.map_or(Self::TIMEOUT, |ms| ms.0),
        })
    }
}

impl WrittenPace {
    fn checked(self) -> Result<Pace, String> {
        let default = Pace::default();
        let debounce = self.debounce_ms.map_or(default.debounce, |ms| ms.0);
        let pace = Pace {
            debounce,
            debounce_max: self
                .debounce_max_ms
                .map_or(default.debounce_max.max(debounce), |ms| ms.0),
            restart_pause: self.restart_pause_ms.map_or(default.restart_pause, |ms| ms.0),
            settle: self.settle_ms.map_or(default.settle, |ms| ms.0),
            refresh: self.refresh_ms.map_or(default.refresh, |ms| ms.0),
        };
        if pace.debounce_max < pace.debounce {
            return Err("[pace] debounce-max-ms must not be smaller than debounce-ms".to_owned());
        }
        Ok(pace)
    }
}

fn command(key: &str, words: Vec<String>) -> Result<Vec<String>, String> {
    match words.first() {
        Some(program) if !program.is_empty() => Ok(words),
        _ => Err(format!(
            "{key} is empty: give a program and its arguments, each in its own quotes"
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
