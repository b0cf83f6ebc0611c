//! A cfgserver node as a real process.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::{Client, Process, SOON, Value, World, wait_until};

/// How to start a node. The listen address and the data directory follow from the port.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeOptions {
    pub(crate) id: u64,
    pub(crate) port: u16,
    /// More words for the command line.
    pub(crate) words: Vec<String>,
}

/// A node: its process may run or not; folder, port and log stay.
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) port: u16,
    words: Vec<String>,
    folder: PathBuf,
    log: PathBuf,
    stop_file: PathBuf,
    process: Option<Process>,
}

impl Node {
    /// A cluster of one, running.
    pub(crate) fn alone(world: &World) -> Self {
        let options = NodeOptions {
            id: 1,
            port: world.port(),
            words: Vec::new(),
        };
        let mut node = Self::new(world, options);
        node.start();
        node.wait_ready();
        node
    }

    /// A node that is not started yet.
    pub(crate) fn new(world: &World, options: NodeOptions) -> Self {
        let name = format!("node-{}-{}", options.id, options.port);
        let log = world.folder().join(format!("{name}.log"));
        world.watch_log(&log);
        Self {
            id: options.id,
            port: options.port,
            words: options.words,
            folder: world.folder().join(&name),
            stop_file: world.folder().join(format!("{name}.stop")),
            log,
            process: None,
        }
    }

    /// Adds to the command line of every later start.
    pub(crate) fn add_words(&mut self, words: &[&str]) {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// The command that `start` runs.
    pub(crate) fn command(&self) -> Command {
        let mut command = cfgserver();
        command
            .arg("serve")
            .args(["--node-id", &self.id.to_string()])
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--data-dir", &self.folder.to_string_lossy()])
            .args(["--log-level", "debug"])
            .args(&self.words)
            .env("CFGSERVER_STOP_FILE", &self.stop_file);
        command
    }

    /// Starts the process; does not wait for it.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        assert!(!self.is_running(), "node {} still runs", self.id);
        self.process = Some(Process::start(&mut self.command(), &self.log));
    }

    /// Waits until the node answers lookups.
    #[track_caller]
    pub(crate) fn wait_ready(&mut self) {
        wait_until(&format!("node {} answers", self.id), SOON, || {
            let log = self.log_text();
            let end = &log[log.len().saturating_sub(1000)..];
            assert!(self.is_running(), "node {} ended:\n{end}", self.id);
            let answer = self.try_call(&["SENTINEL", "MASTERS"]);
            answer.is_some_and(|answer| matches!(answer, Value::Array(_)))
        });
    }

    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.port).unwrap_or_else(|error| panic!("node {}: {error}", self.id))
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub(crate) fn call(&self, words: &[&str]) -> Value {
        self.client().call(words)
    }

    /// One request; `None` when there is no answer.
    pub(crate) fn try_call(&self, words: &[&str]) -> Option<Value> {
        Client::connect(self.port)
            .and_then(|mut client| client.try_call(words))
            .ok()
    }

    /// A line of the node's INFO; empty when it does not answer or has no such line.
    pub(crate) fn info(&self, name: &str) -> String {
        let Some(answer) = self.try_call(&["INFO", "everything"]) else {
            return String::new();
        };
        let prefix = format!("{name}:");
        let line = answer.text().lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_default().to_owned()
    }

    /// The port that this node tells for a group; 0 when it knows none.
    pub(crate) fn primary_of(&self, group: &str) -> u16 {
        let answer = self.try_call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group]);
        let port = answer.and_then(|answer| answer.items().get(1).map(|port| port.text().to_owned()));
        port.and_then(|port| port.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    /// `kill -9`.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// SIGTERM; answers how it ended and how long that took.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> (ExitStatus, Duration) {
        self.process.take().expect("it runs").terminate(SOON)
    }

    /// Waits for the process to end by itself.
    #[track_caller]
    pub(crate) fn wait_ended(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("node {} ends", self.id);
        self.process.take().expect("it was started").wait(&what, limit)
    }

    pub(crate) fn freeze(&mut self) {
        self.process.as_mut().expect("it runs").freeze();
    }

    pub(crate) fn thaw(&mut self) {
        self.process.as_mut().expect("it runs").thaw();
    }

    /// Makes the running node abort when it comes to the stop point of that name.
    pub(crate) fn stop_at(&self, point: &str) {
        std::fs::write(&self.stop_file, point).unwrap();
    }

    pub(crate) fn disarm(&self) {
        let _ = std::fs::remove_file(&self.stop_file);
    }

    /// Everything that the node logged, over all its starts.
    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Resident memory of the running process, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        let id = self.process.as_ref().expect("it runs").id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The binary under test, without settings from the environment of whoever runs the tests.
pub(crate) fn cfgserver() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfgserver"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CFGSERVER_") {
            command.env_remove(name);
        }
    }
    command
}
