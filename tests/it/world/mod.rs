//! Real processes for tests: cfgserver nodes, redis-server instances, and clients that talk to them.
//!
//! A [`World`] owns a folder and ports; what is started in it ends with it, by process id. A test whose node
//! logged an ERROR that it did not expect fails.

mod client;
pub(crate) mod cluster;
mod group;
mod node;
mod ports;
mod process;
mod redis;
mod subscriber;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use client::{Client, Value};
pub(crate) use cluster::Cluster;
pub(crate) use group::Group;
pub(crate) use node::{Node, NodeOptions, cfgserver};
pub(crate) use process::Process;
pub(crate) use redis::Redis;
pub(crate) use subscriber::Subscriber;

/// Long enough for whatever should happen at once, on a machine that does other things too.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Long enough for a failover with the settings of these tests.
pub(crate) const FAILOVER: Duration = Duration::from_secs(40);

/// The place in which one test happens.
pub(crate) struct World {
    folder: tempfile::TempDir,
    ports: ports::Ports,
    logs: RefCell<Vec<NodeLog>>,
}

struct NodeLog {
    path: PathBuf,
    expected: Vec<String>,
}

impl World {
    /// A world, or `None` after saying why there is none here: a program is missing.
    pub(crate) fn open() -> Option<Self> {
        ["redis-server", "redis-cli"]
            .into_iter()
            .all(has_program)
            .then(Self::bare)
    }

    /// The same for tests that end a node at a stop point: the binary must have them.
    pub(crate) fn with_stop_points() -> Option<Self> {
        if !cfg!(feature = "stop-points") {
            skip("the binary has no stop points (feature stop-points)");
            return None;
        }
        Self::open()
    }

    /// A world for tests that need no Redis.
    pub(crate) fn bare() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            ports: ports::Ports::default(),
            logs: RefCell::default(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A port of 127.0.0.1 that is nobody else's while this world lives.
    pub(crate) fn port(&self) -> u16 {
        self.ports.take()
    }

    /// Says that a line with `text` may be logged as an ERROR by any node of this world.
    pub(crate) fn expect_error(&self, text: &str) {
        for log in self.logs.borrow_mut().iter_mut() {
            log.expected.push(text.to_owned());
        }
    }

    /// An ERROR in this file fails the test, unless it was expected.
    pub(crate) fn watch_log(&self, path: &Path) {
        let mut logs = self.logs.borrow_mut();
        if logs.iter().all(|log| log.path != path) {
            logs.push(NodeLog {
                path: path.to_owned(),
                expected: Vec::new(),
            });
        }
    }

    fn show_logs(&self) {
        for log in self.logs.borrow().iter() {
            let text = std::fs::read_to_string(&log.path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("---- end of {}", log.path.display());
            for line in &lines[lines.len().saturating_sub(40)..] {
                eprintln!("{line}");
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
            if std::env::var_os("CFGSERVER_TEST_KEEP").is_some() {
                self.folder.disable_cleanup(true);
                eprintln!("kept {}", self.folder.path().display());
            }
            return;
        }
        for log in self.logs.borrow().iter() {
            let text = std::fs::read_to_string(&log.path).unwrap_or_default();
            let unexpected: Vec<&str> = text
                .lines()
                .filter(|line| is_own_error(line) && !log.expected.iter().any(|known| line.contains(known)))
                .collect();
            assert!(
                unexpected.is_empty(),
                "unexpected errors in {}:\n{}",
                log.path.display(),
                unexpected.join("\n")
            );
        }
    }
}

fn is_own_error(line: &str) -> bool {
    line.contains(" ERROR ") && line.contains("cfgserver::") || line.contains("panicked at")
}

/// Whether a program can be started here. When not, says so, and fails where nothing may be skipped.
pub(crate) fn has_program(name: &str) -> bool {
    let found = Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// Says that a test is skipped; under `CFGSERVER_TEST_ALL` that is a failure.
pub(crate) fn skip(reason: &str) {
    assert!(
        std::env::var_os("CFGSERVER_TEST_ALL").is_none(),
        "nothing may be skipped here, but {reason}"
    );
    eprintln!("skipped: {reason}");
}

/// The real clock of the tests.
#[expect(clippy::disallowed_methods, reason = "real processes live in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits for a condition; fails with `what` when it does not come in time.
#[track_caller]
pub(crate) fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, limit, || condition().then_some(()));
}

/// Waits for a value; fails with `what` when it does not come in time.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut value: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + limit;
    loop {
        if let Some(value) = value() {
            return value;
        }
        assert!(now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Holds a rule for a while: fails with `what` as soon as it is broken.
#[track_caller]
pub(crate) fn holds_for(what: &str, duration: Duration, mut rule: impl FnMut() -> bool) {
    let end = now() + duration;
    while now() < end {
        assert!(rule(), "no longer true: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
