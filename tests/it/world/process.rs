//! A child process with a log file, signalled and ended by its id.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::{now, wait_for};

/// A running child. It ends, hard, when this is dropped.
pub(crate) struct Process {
    child: Child,
    stopped: bool,
}

impl Process {
    /// Starts `command`; what it prints is appended to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, stopped: false }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status when it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// `kill -9`, and waits for its end.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Asks it to end (SIGTERM) and waits; answers how it ended and how long that took.
    pub(crate) fn terminate(mut self, limit: Duration) -> (ExitStatus, Duration) {
        let started = now();
        self.signal("TERM");
        let status = wait_for("the process ends after SIGTERM", limit, || self.ended());
        (status, now() - started)
    }

    /// Waits for it to end by itself.
    pub(crate) fn wait(mut self, what: &str, limit: Duration) -> ExitStatus {
        wait_for(what, limit, || self.ended())
    }

    /// Hangs it (SIGSTOP).
    pub(crate) fn freeze(&mut self) {
        self.signal("STOP");
        self.stopped = true;
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn thaw(&mut self) {
        self.signal("CONT");
        self.stopped = false;
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.id())])
            .status()
            .unwrap();
        assert!(done.success(), "kill -{name} {} failed", self.id());
    }

    fn end(&mut self) {
        // SIGKILL also ends a process that is stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
