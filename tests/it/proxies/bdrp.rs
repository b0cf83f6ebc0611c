//! Baidu BDRP's nutcracker 0.2.4, its official build (with assertions), seen from its sentinel connection.
//!
//! ```text
//! connect: 70 bytes out --> SEND_REQ --INFO read--> ACK_INFO --ack read--> ACK_SUB: messages move servers
//!                           an error anywhere: closed, once more after the retry interval
//! ```
//!
//! It reads by the place of lines, not by their names. It serves its clients whatever becomes of the sentinel.
//! What does not live here: the slots, the read replicas, the rewriting of its file.

use std::collections::BTreeMap;

use super::double::{Action, Double};
use super::host::{Family, resolve};
use super::reply::{NO_RESP, Next, NullArray, Replies, Reply};

/// All that it ever sends on a connection, in one write.
pub(crate) const REQUEST: &[u8] =
    b"*2\r\n$4\r\ninfo\r\n$8\r\nsentinel\r\n*2\r\n$10\r\nPSUBSCRIBE\r\n$14\r\n+switch-master\r\n";
/// Bytes of a buffer unless `-m` says otherwise; a line must fit in one.
const BUFFER_BYTES: usize = 16_384;
/// What the buffer's own header takes.
const BUFFER_HEADER_BYTES: usize = 48;
/// Characters of `ip:port:weight`; the rest is cut off.
const PNAME_CHARS_MAX: usize = 31;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No connection.
    Away,
    /// The reply to INFO comes next.
    SendReq,
    /// The confirmation of the subscription comes next.
    AckInfo,
    /// Messages come.
    AckSub,
    /// A failed assertion ended it.
    Dead,
}

/// What a reply that it does not like leads to.
enum Fault {
    Close(String),
    Abort(&'static str),
}

impl Fault {
    fn close<T>(why: &str) -> Result<T, Self> {
        Err(Self::Close(why.to_owned()))
    }
}

struct Server {
    pool: String,
    name: String,
    /// Where it connects to.
    address: String,
    /// `ip:port:weight` as compared and written to its file, cut.
    pname: String,
}

impl Server {
    fn group(&self) -> String {
        format!("{}-{}", self.pool, self.name)
    }
}

/// One proxy with its one sentinel.
pub(crate) struct Bdrp {
    servers: Vec<Server>,
    retry_ms: u64,
    line_bytes_max: usize,
    state: State,
    replies: Replies,
    closed_at_once: u32,
}

impl Bdrp {
    /// A proxy with these servers, each as `pool-server` and `ip:port`.
    pub(crate) fn new(servers: &[(&str, String)], retry_ms: u64) -> Self {
        let server = |(group, address): &(&str, String)| {
            let (pool, name) = group.split_once('-').expect("a server is named pool-server");
            Server {
                pool: pool.to_owned(),
                name: name.to_owned(),
                address: address.clone(),
                pname: pname(address),
            }
        };
        Self {
            servers: servers.iter().map(server).collect(),
            retry_ms,
            line_bytes_max: BUFFER_BYTES - BUFFER_HEADER_BYTES,
            state: State::Away,
            replies: Replies::new(NullArray::Garbage),
            closed_at_once: 0,
        }
    }

    /// The same proxy with `-m`.
    pub(crate) fn with_buffer(mut self, bytes: usize) -> Self {
        self.line_bytes_max = bytes - BUFFER_HEADER_BYTES;
        self
    }

    fn handle(&mut self, reply: &Reply, actions: &mut Vec<Action>) -> Result<(), Fault> {
        let mut lines = Lines::new(reply, self.line_bytes_max);
        match self.state {
            State::SendReq => {
                self.info(&mut lines, actions)?;
                self.state = State::AckInfo;
            }
            State::AckInfo => {
                confirmation(&mut lines)?;
                self.state = State::AckSub;
            }
            State::AckSub => self.message(&mut lines, actions)?,
            State::Away | State::Dead => {}
        }
        Ok(())
    }

    fn info(&mut self, lines: &mut Lines<'_>, actions: &mut Vec<Action>) -> Result<(), Fault> {
        let Some(count) = lines.nth(3)?.strip_prefix(b"sentinel_masters:") else {
            return Fault::close("line 3 of INFO is not sentinel_masters");
        };
        let count = Cursor(count).until(b'\r', "a number of masters")?;
        let count = number(copied(count)?, "a number of masters")?;
        lines.nth(6)?;
        for index in 0..count {
            let Ok(line) = lines.nth(7 + index) else {
                return Fault::close("fewer or longer lines of masters than it reads");
            };
            self.master(line, actions)?;
        }
        Ok(())
    }

    /// `master0:name=pool-server,status=ok,address=ip:port,`
    fn master(&mut self, line: &[u8], actions: &mut Vec<Action>) -> Result<(), Fault> {
        let mut cursor = Cursor(line);
        cursor.until(b':', "a master's prefix")?;
        cursor.until(b'=', "a master's name")?;
        let pool = copied(cursor.until(b'-', "a pool's name")?)?;
        let server = copied(cursor.until(b',', "a server's name")?)?;
        if cursor.until(b',', "a status")? != b"status=ok" {
            actions.push(Action::Warn(format!("{pool}-{server} is not ok, used anyway")));
        }
        cursor.until(b'=', "an address")?;
        let host = copied(cursor.until(b':', "a host")?)?;
        let port = number(copied(cursor.until(b',', "a port")?)?, "a port")?;
        self.switch(&pool, &server, &host, port, actions)
    }

    fn message(&mut self, lines: &mut Lines<'_>, actions: &mut Vec<Action>) -> Result<(), Fault> {
        lines.nth_is(3, "pmessage")?;
        // Line 5 is the pattern, which it does not read.
        lines.nth_is(7, "+switch-master")?;
        let mut cursor = Cursor(lines.nth(9)?);
        let pool = copied(cursor.until(b'-', "a pool's name")?)?;
        let server = copied(cursor.until(b' ', "a server's name")?)?;
        cursor.until(b' ', "the old host")?;
        cursor.until(b' ', "the old port")?;
        let host = copied(cursor.until(b' ', "the new host")?)?;
        let port = number(copied(cursor.until(b'\r', "the new port")?)?, "the new port")?;
        self.switch(&pool, &server, &host, port, actions)
    }

    fn switch(
        &mut self,
        pool: &str,
        name: &str,
        host: &str,
        port: u64,
        actions: &mut Vec<Action>,
    ) -> Result<(), Fault> {
        let mut servers = self.servers.iter_mut();
        let Some(server) = servers.find(|server| server.pool == pool && server.name == name) else {
            actions.push(Action::Warn(format!("{pool}-{name} is not served here")));
            return Ok(());
        };
        let address = format!("{host}:{port}");
        let pname = pname(&address);
        if server.pname == pname {
            return Ok(());
        }
        if !(1..=65_535).contains(&port) {
            return Err(Fault::Abort("nc_valid_port(port)"));
        }
        match resolve(host) {
            None => {
                actions.push(Action::Warn(format!("{address} does not resolve")));
                return Ok(());
            }
            Some(Family::V6) => return Err(Fault::Abort("server->family == info.family")),
            Some(Family::V4) => {}
        }
        if pname != format!("{address}:1") {
            actions.push(Action::Warn(format!(
                "its file says {pname} now and will not load again"
            )));
        }
        server.pname = pname;
        let from = std::mem::replace(&mut server.address, address.clone());
        actions.push(Action::Moved {
            group: server.group(),
            from,
            to: address,
        });
        Ok(())
    }

    fn abort(&mut self, assertion: &str, actions: &mut Vec<Action>) {
        self.state = State::Dead;
        actions.push(Action::Abort(assertion.to_owned()));
    }
}

impl Double for Bdrp {
    fn connected(&mut self) -> Vec<Action> {
        if self.state == State::Dead {
            return Vec::new();
        }
        self.replies.clear();
        self.state = State::SendReq;
        vec![Action::Send(REQUEST.to_vec())]
    }

    /// Replies that came together are all handled, also those after one that closes the connection.
    fn received(&mut self, bytes: &[u8]) -> Vec<Action> {
        let mut actions = Vec::new();
        if matches!(self.state, State::Away | State::Dead) {
            return actions;
        }
        self.replies.push(bytes);
        let mut close: Option<String> = None;
        loop {
            let fault = match self.replies.next() {
                Next::More => break,
                Next::Reply(reply) => self.handle(&reply, &mut actions),
                Next::Garbage => {
                    close.get_or_insert(NO_RESP.to_owned());
                    break;
                }
            };
            match fault {
                Ok(()) => {}
                Err(Fault::Close(why)) => {
                    close.get_or_insert(why);
                }
                Err(Fault::Abort(assertion)) => {
                    self.abort(assertion, &mut actions);
                    return actions;
                }
            }
        }
        if let Some(why) = close {
            self.state = State::Away;
            actions.push(Action::Close(why));
        }
        actions
    }

    fn disconnected(&mut self) -> Vec<Action> {
        if self.state != State::Dead {
            self.state = State::Away;
        }
        Vec::new()
    }

    /// The official build does not survive that; it was seen at the second connection.
    fn closed_at_once(&mut self) -> Vec<Action> {
        let mut actions = self.disconnected();
        self.closed_at_once += 1;
        if self.closed_at_once == 2 && self.state != State::Dead {
            self.abort("!conn->connecting", &mut actions);
        }
        actions
    }

    fn timer(&mut self) -> Vec<Action> {
        Vec::new()
    }

    fn roles(&mut self, _masters: &BTreeMap<String, bool>) -> Vec<Action> {
        Vec::new()
    }

    fn timer_ms(&self) -> Option<u64> {
        None
    }

    fn retry_ms(&self) -> u64 {
        self.retry_ms
    }

    fn sentinel(&self) -> usize {
        0
    }

    fn ready(&self) -> bool {
        self.state != State::Dead
    }

    fn addresses(&self) -> BTreeMap<String, String> {
        let address = |server: &Server| (server.group(), server.address.clone());
        self.servers.iter().map(address).collect()
    }
}

/// The lines of a reply by number, from 1 on; forward only.
struct Lines<'a> {
    lines: Box<dyn Iterator<Item = &'a [u8]> + 'a>,
    bytes_max: usize,
    read: u64,
}

impl<'a> Lines<'a> {
    fn new(reply: &'a Reply, bytes_max: usize) -> Self {
        Self {
            lines: Box::new(reply.lines()),
            bytes_max,
            read: 0,
        }
    }

    fn nth(&mut self, number: u64) -> Result<&'a [u8], Fault> {
        loop {
            self.read += 1;
            match self.lines.next() {
                None => return Fault::close(&format!("there is no line {number}")),
                // With its line feed.
                Some(line) if line.len() + 1 > self.bytes_max => return Fault::close("a line exceeds the buffer"),
                Some(line) if self.read == number => return Ok(line),
                Some(_) => {}
            }
        }
    }

    fn nth_is(&mut self, number: u64, wanted: &str) -> Result<(), Fault> {
        let line = self.nth(number)?;
        if line.strip_suffix(b"\r") == Some(wanted.as_bytes()) {
            return Ok(());
        }
        let line = String::from_utf8_lossy(line);
        Fault::close(&format!("line {number} is {line:?}, not {wanted}"))
    }
}

fn confirmation(lines: &mut Lines<'_>) -> Result<(), Fault> {
    lines.nth_is(3, "psubscribe")?;
    lines.nth_is(5, "+switch-master")?;
    lines.nth_is(6, ":1")
}

/// What is left of a line.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// What stands before the next such byte, which is taken too.
    fn until(&mut self, byte: u8, what: &str) -> Result<&'a [u8], Fault> {
        let Some(at) = self.0.iter().position(|other| *other == byte) else {
            return Fault::close(&format!("{what} does not end with {:?}", char::from(byte)));
        };
        let (text, rest) = self.0.split_at(at);
        self.0 = &rest[1..];
        Ok(text)
    }
}

/// A text that it keeps; copying an empty one fails an assertion.
fn copied(text: &[u8]) -> Result<String, Fault> {
    if text.is_empty() {
        return Err(Fault::Abort("src != NULL && srclen != 0"));
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn number(text: String, what: &str) -> Result<u64, Fault> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Fault::close(&format!("{what} is {text:?}"));
    }
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// `ip:port:weight` as it fits.
fn pname(address: &str) -> String {
    let mut pname = format!("{address}:1");
    if let Some((end, _)) = pname.char_indices().nth(PNAME_CHARS_MAX) {
        pname.truncate(end);
    }
    pname
}

#[path = "bdrp/tests.rs"]
mod tests;
