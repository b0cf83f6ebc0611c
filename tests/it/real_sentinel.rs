//! The shared transcripts and the field order of maps, against a real redis-sentinel.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::transcripts::{Step, escape, files, matches, read};
use bytes::BytesMut;
use cfgserver::resp::{AnswerDecoder, AnswerLimits, Reply, encode_request};

/// How long one read waits, and how often it is tried before an answer is missing.
const READ_PATIENCE: (Duration, usize) = (Duration::from_millis(100), 50);

/// A Sentinel of this test (redis-server in that role, so that no package starts one as a service), ended with it.
struct Sentinel {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    /// `None` when there is no redis-server on this machine.
    fn start() -> Option<Self> {
        let version = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if version.is_err() {
            let all = std::env::var("CFGSERVER_TEST_ALL").is_ok_and(|value| value == "1");
            assert!(!all, "redis-server is not on PATH");
            println!("skipped: redis-server is not on PATH");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("sentinel.conf");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let text = format!("port {port}\nbind 127.0.0.1\ndir {}\n", folder.path().display());
        fs::write(&config, text).expect("a configuration");
        let process = Command::new("redis-server")
            .arg(&config)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        Some(Self {
            process,
            port,
            _folder: folder,
        })
    }

    fn connect(&self) -> Connection {
        Connection::to(self.port)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection over which transcripts are replayed.
pub(crate) struct Connection(TcpStream);

impl Connection {
    /// Waits until somebody listens there.
    pub(crate) fn to(port: u16) -> Self {
        let (pause, tries) = READ_PATIENCE;
        for _ in 0..tries {
            if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                stream.set_read_timeout(Some(pause)).expect("a timeout");
                return Self(stream);
            }
            std::thread::sleep(pause);
        }
        panic!("nobody listens on port {port}");
    }

    /// Makes a step of the transcript at `path`, and says how the answer differs from what is expected.
    pub(crate) fn replay(&mut self, path: &Path, step: &Step, expected: &str) -> Result<(), String> {
        let Some(request) = step.request() else {
            panic!("{} cannot be done to a real server", step.place(path));
        };
        self.send(&request.0);
        let got = escape(&self.read_until(|got| matches(expected, &escape(got))));
        if matches(expected, &got) {
            return Ok(());
        }
        let place = step.place(path);
        Err(format!("{place}\n  expected {expected}\n  got      {got}"))
    }

    /// Reads until nothing comes for a moment.
    pub(crate) fn read_rest(&mut self) {
        let mut buffer = [0; 4096];
        while self.0.read(&mut buffer).is_ok_and(|count| count > 0) {}
    }

    fn send(&mut self, arguments: &[impl AsRef<[u8]>]) {
        let mut out = BytesMut::new();
        encode_request(arguments, &mut out);
        self.0.write_all(&out).expect("sending a request");
    }

    /// Reads until `enough` says so, the other side closes, or patience ends.
    fn read_until(&mut self, mut enough: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let mut got = Vec::new();
        let mut patience = READ_PATIENCE.1;
        let mut buffer = [0; 4096];
        while !enough(&got) && patience > 0 {
            match self.0.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => got.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => patience -= 1,
                Err(error) => panic!("reading: {error}"),
            }
        }
        got
    }

    /// The flat reply to a request of RESP2.
    fn ask(&mut self, arguments: &[&str]) -> Reply {
        self.send(arguments);
        let mut reply = None;
        self.read_until(|got| {
            let mut decoder = AnswerDecoder::new(AnswerLimits::INSTANCE);
            reply = decoder.decode(&mut BytesMut::from(got)).expect("an answer");
            reply.is_some()
        });
        reply.expect("an answer in time")
    }
}

#[test]
fn shared_transcripts_hold_for_redis_sentinel() {
    replay("shared");
}

/// Where we differ on purpose, a Sentinel says what the transcript has it say.
#[test]
fn what_differs_from_redis_sentinel_is_what_it_was() {
    replay("differs");
}

#[track_caller]
fn replay(prefix: &str) {
    for path in files(prefix) {
        // One each: groups that a transcript leaves behind must not reach the next.
        let Some(sentinel) = Sentinel::start() else {
            return;
        };
        let mut connection = sentinel.connect();
        for step in read(&path).0 {
            let made = connection.replay(&path, &step, step.theirs());
            assert!(made.is_ok(), "{}", made.unwrap_err());
        }
    }
}

/// The names of a flat map of RESP2.
fn names(map: &Reply) -> Vec<String> {
    let Reply::Array(items) = map else {
        panic!("not a flat map: {map:?}");
    };
    let name = |item: &Reply| match item {
        Reply::Bulk(name) => String::from_utf8_lossy(name).into_owned(),
        other => panic!("not a bulk string: {other:?}"),
    };
    items.iter().step_by(2).map(name).collect()
}

/// The first fields of our MASTER, as a transcript fixes them, are those of a real Sentinel in its order.
#[test]
fn master_begins_with_the_fields_of_redis_sentinel() {
    let Some(sentinel) = Sentinel::start() else {
        return;
    };
    let mut connection = sentinel.connect();
    connection.ask(&["SENTINEL", "MONITOR", "sigma-server1", "127.0.0.1", "1", "2"]);
    let theirs = names(&connection.ask(&["SENTINEL", "MASTER", "sigma-server1"]));
    let lookups = files("lookups").remove(0);
    let (steps, _) = read(&lookups);
    let master = steps
        .iter()
        .find(|step| step.place(&lookups).ends_with("> SENTINEL MASTER sigma-server1"));
    let bytes = master
        .expect("a MASTER in the transcript")
        .expected
        .replace("\\r\\n", "\r\n");
    let mut decoder = AnswerDecoder::new(AnswerLimits::INSTANCE);
    let ours = decoder.decode(&mut BytesMut::from(bytes.as_bytes())).unwrap().unwrap();
    let ours = names(&ours);
    assert_eq!(ours[..theirs.len()], theirs, "ours: {ours:?}");
}
