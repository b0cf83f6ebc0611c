//! A client as a child process, and what it says.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::world::now;

/// Long enough for a client to notice, look up, and write again on a busy machine.
pub(crate) const FOLLOW: Duration = Duration::from_secs(60);
/// So many acknowledged writes are traffic.
const TRAFFIC: usize = 20;
/// So much of what a client said last is shown when a test fails.
const SHOWN: usize = 25;

/// One line of a client.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// What it is.
    Client(String),
    /// A write was acknowledged.
    Wrote(u64),
    /// A write failed, as far as the application is told.
    Failed,
    /// Where its writes go.
    Primary(u16),
    /// Where its reads go.
    Replica(u16),
    /// Anything else that it had to tell.
    Trouble,
}

/// When a line came, what it means, and its text.
#[derive(Clone, Debug)]
struct Line {
    at: Instant,
    happening: Happening,
    text: String,
}

/// A running client. It ends when this is dropped.
pub(crate) struct Program {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<Line>>>,
    reader: Option<JoinHandle<()>>,
}

impl Program {
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for text in output.lines().map_while(Result::ok) {
                let happening = understand(&text);
                let at = now();
                book.lock().unwrap().push(Line { at, happening, text });
            }
        });
        Self {
            name: name.to_owned(),
            child,
            lines,
            reader: Some(reader),
        }
    }

    /// A place in what it said: now.
    pub(crate) fn mark(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// Waits until, after `mark`, its writes go to that primary, its reads to one of those instances, and then writes are
    /// acknowledged.
    #[track_caller]
    pub(crate) fn wait_traffic(&mut self, mark: usize, primary: u16, read_from: &[u16]) {
        self.wait(&format!("it writes to {primary}"), mark, |lines| {
            let port = |line: &Line| match line.happening {
                Happening::Primary(port) => Some(port),
                _ => None,
            };
            lines.iter().rev().find_map(port) == Some(primary)
        });
        self.wait(&format!("it reads from one of {read_from:?}"), mark, |lines| {
            let port = |line: &Line| match line.happening {
                Happening::Replica(port) => Some(port),
                _ => None,
            };
            lines
                .iter()
                .rev()
                .find_map(port)
                .is_some_and(|port| read_from.contains(&port))
        });
        let mark = self.mark();
        self.wait("writes are acknowledged", mark, |lines| {
            let wrote = |line: &&Line| matches!(line.happening, Happening::Wrote(_));
            lines.iter().filter(wrote).count() >= TRAFFIC
        });
    }

    #[track_caller]
    fn wait(&mut self, what: &str, mark: usize, condition: impl Fn(&[Line]) -> bool) {
        let deadline = now() + FOLLOW;
        loop {
            if condition(&self.lines.lock().unwrap()[mark..]) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || now() > deadline {
                let why = ended.map_or("not in time".to_owned(), |status| format!("it ended, {status}"));
                panic!(
                    "{}: {what}: {why}; it said last:\n{}",
                    self.name,
                    self.end_of_lines(mark)
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it said last about anything but good writes, and its last good write.
    fn end_of_lines(&self, mark: usize) -> String {
        let lines = self.lines.lock().unwrap();
        let start = lines.get(mark.min(lines.len().saturating_sub(1))).map(|line| line.at);
        let mut shown: Vec<String> = Vec::new();
        let mut wrote = false;
        for line in lines.iter().rev() {
            let first_write = matches!(line.happening, Happening::Wrote(_)) && !std::mem::replace(&mut wrote, true);
            if first_write || !matches!(line.happening, Happening::Wrote(_)) {
                let since = start.map_or(Duration::ZERO, |start| line.at.saturating_duration_since(start));
                shown.push(format!("  {:7.3} s  {}", since.as_secs_f64(), line.text));
            }
            if shown.len() == SHOWN {
                break;
            }
        }
        shown.reverse();
        shown.join("\n")
    }

    /// Every value that was acknowledged after `mark`.
    pub(crate) fn written_since(&self, mark: usize) -> BTreeSet<u64> {
        let lines = self.lines.lock().unwrap();
        let value = |line: &Line| match line.happening {
            Happening::Wrote(value) => Some(value),
            _ => None,
        };
        lines[mark..].iter().filter_map(value).collect()
    }

    /// Acknowledged and failed writes since `mark`, and the longest time between two that were acknowledged.
    pub(crate) fn traffic(&self, mark: usize) -> Traffic {
        let lines = self.lines.lock().unwrap();
        // The gap may have begun with the last good write before the mark.
        let before = lines[..mark]
            .iter()
            .rev()
            .find(|line| matches!(line.happening, Happening::Wrote(_)));
        let mut traffic = Traffic::default();
        let mut last = before.map(|line| line.at);
        for line in &lines[mark..] {
            match line.happening {
                Happening::Wrote(_) => {
                    traffic.acknowledged += 1;
                    let gap = last.map_or(Duration::ZERO, |last| line.at - last);
                    traffic.gap = traffic.gap.max(gap);
                    last = Some(line.at);
                }
                Happening::Failed => traffic.failed += 1,
                _ => {}
            }
        }
        traffic
    }

    /// What it calls itself.
    pub(crate) fn version(&self) -> String {
        let lines = self.lines.lock().unwrap();
        let said = lines.iter().find_map(|line| match &line.happening {
            Happening::Client(version) => Some(version.clone()),
            _ => None,
        });
        said.unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// What a writer counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) acknowledged: usize,
    pub(crate) failed: usize,
    pub(crate) gap: Duration,
}

fn understand(text: &str) -> Happening {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return Happening::Trouble;
    };
    let port = |name: &str| {
        value
            .get(name)
            .and_then(|port| port.as_u64())
            .and_then(|port| u16::try_from(port).ok())
    };
    if let Some(value) = value.get("wrote").and_then(|value| value.as_u64()) {
        Happening::Wrote(value)
    } else if value.get("failed").is_some() {
        Happening::Failed
    } else if let Some(port) = port("primary") {
        Happening::Primary(port)
    } else if let Some(port) = port("replica") {
        Happening::Replica(port)
    } else if let Some(name) = value.get("client").and_then(|name| name.as_str()) {
        let version = value.get("version").and_then(|version| version.as_str());
        Happening::Client(format!("{name} {}", version.unwrap_or_default()))
    } else {
        Happening::Trouble
    }
}
