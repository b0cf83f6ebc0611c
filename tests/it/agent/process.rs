//! An agent with its folder: `agent.toml`, state, log.

use std::path::PathBuf;
use std::process::{ExitStatus, Output};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value as Json;

use crate::world::{Process, SOON, World, cfgserver, wait_for};

/// An agent: its process may run or not.
pub(crate) struct Agent {
    folder: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl Agent {
    /// An agent of these nodes that is not started yet; `rest` is what its configuration says besides.
    pub(crate) fn new(world: &World, ports: &[u16], rest: &str) -> Self {
        let folder = world.folder().join(format!("agent-{}", world.port()));
        std::fs::create_dir_all(&folder).unwrap();
        let log = folder.join("log");
        world.watch_log(&log);
        let agent = Self {
            folder,
            log,
            process: None,
        };
        agent.configure(ports, rest);
        agent
    }

    /// Another configuration for its next start.
    pub(crate) fn configure(&self, ports: &[u16], rest: &str) {
        let nodes: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let text = format!("nodes = [{}]\nlog-level = \"debug\"\n{rest}", nodes.join(", "));
        std::fs::write(self.file("agent.toml"), text).unwrap();
    }

    /// The path of a file in its folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.file("cfgserver-agent/state.json")
    }

    #[track_caller]
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "the agent still runs");
        let mut command = cfgserver();
        command.arg("agent").arg("--config").arg(self.file("agent.toml"));
        self.process = Some(Process::start(&mut command, &self.log));
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.process.take().expect("it runs").terminate(SOON).0
    }

    /// Waits for it to end by itself.
    pub(crate) fn wait_ended(&mut self) -> ExitStatus {
        self.process.take().expect("it runs").wait("the agent ends", SOON)
    }

    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How many lines of its log have all these words.
    pub(crate) fn logged(&self, words: &[&str]) -> usize {
        let log = self.log_text();
        log.lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count()
    }

    /// `cfgserver agent <verb>`.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let mut command = cfgserver();
        command
            .arg("agent")
            .args(words)
            .arg("--config")
            .arg(self.file("agent.toml"));
        command.output().unwrap()
    }

    /// The proxy that it runs, while it does.
    fn proxy(&self) -> Option<Pid> {
        let note = std::fs::read(self.file("cfgserver-agent/child.json")).ok()?;
        let note: Json = serde_json::from_slice(&note).ok()?;
        Pid::from_raw(note["pid"].as_i64()?.try_into().ok()?)
    }

    /// What `agent status` says, and whether that is "up to date".
    pub(crate) fn status(&self) -> (Json, bool) {
        let output = self.run(&["status", "--json"]);
        let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (json, output.status.success())
    }

    /// Waits until everything is up to date.
    #[track_caller]
    pub(crate) fn wait_up_to_date(&self) -> Json {
        wait_for("the agent is up to date", SOON, || {
            let (status, good) = self.status();
            good.then_some(status)
        })
    }

    /// Waits until its status has this port for a group.
    #[track_caller]
    pub(crate) fn wait_primary(&self, group: &str, port: u16) -> Json {
        let expected = format!("127.0.0.1:{port}");
        wait_for(&format!("the agent has {expected} for {group}"), SOON, || {
            let status = self.status().0;
            (status["groups"][group]["primary"] == expected.as_str()).then_some(status)
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // With `kill -9`: its proxy stays, and would for ever.
        drop(self.process.take());
        if let Some(proxy) = self.proxy() {
            let _ = kill_process_group(proxy, Signal::KILL);
        }
    }
}
