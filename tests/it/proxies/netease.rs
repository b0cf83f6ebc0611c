//! NetEase's twemproxy-163 (nutcracker 0.4.1), a build with assertions, seen from its sentinel connection.
//!
//! ```text
//! connect: every group looked up in one write --> the answers, paired by order --> ROLE of every instance
//!   --> psubscribe --> its first confirmation: ready; psubscribe again at each heartbeat
//! an error, a loss: not ready; after a heartbeat the next sentinel of the list
//! not ready a heartbeat after the connect: the next sentinel at once
//! ```
//!
//! Clients are served only while it is ready. It never asks for an address a second time on one connection.
//! What does not live here: the connections to the instances, the pool's distribution.

use std::collections::BTreeMap;

use super::double::{Action, Double};
use super::host::resolve;
use super::reply::{NO_RESP, Next, NullArray, Replies, Reply};

/// What it sends when all instances are masters, and at each heartbeat.
pub(crate) const SUBSCRIBE: &[u8] = b"*2\r\n$10\r\npsubscribe\r\n$14\r\n+switch-master\r\n";
const CHANNEL: &[u8] = b"+switch-master";
/// Line ends that it wants to see in the answer to a lookup.
const ANSWER_LINES_MIN: usize = 5;
/// Characters of `ip:port`; the rest is cut off, also before it compares.
const ADDRESS_CHARS_MAX: usize = 31;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No connection; clients are rejected.
    Uninitialized,
    /// This many lookups are answered.
    WaitingAddr(usize),
    /// The instances are asked for their role.
    WaitingRole,
    /// The first confirmation comes next.
    WaitingPsub,
    /// Ready.
    WaitingRecvPub,
    /// A failed assertion ended it.
    Dead,
}

/// What a reply that it does not like leads to.
enum Fault {
    Close(String),
    Abort(&'static str),
}

impl Fault {
    fn close<T>(why: String) -> Result<T, Self> {
        Err(Self::Close(why))
    }
}

struct Group {
    name: String,
    /// `ip:port`, cut; empty before the first answer.
    address: String,
}

/// One pool with its list of sentinels.
pub(crate) struct Netease {
    groups: Vec<Group>,
    sentinels: usize,
    sentinel: usize,
    heartbeat_ms: u64,
    retry_ms: u64,
    state: State,
    replies: Replies,
}

impl Netease {
    /// A pool of these groups, with a list of so many sentinels.
    pub(crate) fn new(groups: &[&str], sentinels: usize, heartbeat_ms: u64) -> Self {
        let group = |name: &&str| Group {
            name: (*name).to_owned(),
            address: String::new(),
        };
        let mut groups: Vec<_> = groups.iter().map(group).collect();
        groups.sort_by(|one, other| (one.name.len(), &one.name).cmp(&(other.name.len(), &other.name)));
        Self {
            groups,
            sentinels,
            sentinel: 0,
            heartbeat_ms,
            retry_ms: heartbeat_ms,
            state: State::Uninitialized,
            replies: Replies::new(NullArray::Reply),
        }
    }

    /// A request was not answered within the pool's `timeout:`, when it has one.
    pub(crate) fn unanswered(&mut self) -> Vec<Action> {
        self.close("a request was not answered in time".to_owned(), self.heartbeat_ms)
    }

    fn is_connected(&self) -> bool {
        !matches!(self.state, State::Uninitialized | State::Dead)
    }

    fn close(&mut self, why: String, retry_ms: u64) -> Vec<Action> {
        if !self.is_connected() {
            return Vec::new();
        }
        self.leave(retry_ms);
        vec![Action::Close(why)]
    }

    /// The next connection goes to the next sentinel, also when this one would work.
    fn leave(&mut self, retry_ms: u64) {
        self.state = State::Uninitialized;
        self.sentinel = (self.sentinel + 1) % self.sentinels;
        self.retry_ms = retry_ms;
    }

    fn handle(&mut self, reply: &Reply, actions: &mut Vec<Action>) -> Result<(), Fault> {
        match self.state {
            State::WaitingAddr(index) => self.answer(index, reply, actions),
            State::WaitingRole => Fault::close(format!("{:?} before it is due", reply.title())),
            State::WaitingPsub => {
                confirmation(reply)?;
                self.state = State::WaitingRecvPub;
                Ok(())
            }
            State::WaitingRecvPub => match reply.lines().nth(2) {
                Some(line) if line.starts_with(b"psubscribe") => confirmation(reply),
                Some(line) if line.starts_with(b"pmessage") => self.message(reply, actions),
                _ => Fault::close(format!("{:?} is neither confirmation nor message", reply.title())),
            },
            State::Uninitialized | State::Dead => Ok(()),
        }
    }

    /// Replies belong to groups by their order alone.
    fn answer(&mut self, index: usize, reply: &Reply, actions: &mut Vec<Action>) -> Result<(), Fault> {
        let lines: Vec<&[u8]> = reply.lines().collect();
        if lines.len() < ANSWER_LINES_MIN {
            return Fault::close(format!("a lookup was answered {:?}", reply.title()));
        }
        let address = cut(format!("{}:{}", text(lines[2]), text(lines[4])));
        let group = &mut self.groups[index];
        // Whatever begins like the current address is the current address.
        if group.address.is_empty() || !address.starts_with(&group.address) {
            actions.push(group.moved(address));
        }
        if index + 1 < self.groups.len() {
            self.state = State::WaitingAddr(index + 1);
            return Ok(());
        }
        for group in &self.groups {
            connects(&group.address)?;
        }
        self.state = State::WaitingRole;
        actions.push(Action::AskRoles);
        Ok(())
    }

    fn message(&mut self, reply: &Reply, actions: &mut Vec<Action>) -> Result<(), Fault> {
        let lines: Vec<&[u8]> = reply.lines().collect();
        let is_switch = |line: usize| lines.get(line).is_some_and(|line| line.starts_with(CHANNEL));
        let (true, true, Some(payload)) = (is_switch(4), is_switch(6), lines.get(8)) else {
            return Fault::close("a message of another pattern or channel".to_owned());
        };
        let payload = text(payload);
        // The fifth word is all that is left.
        let words: Vec<&str> = payload.splitn(5, ' ').collect();
        let &[name, old_host, old_port, new_host, new_port] = words.as_slice() else {
            return Fault::close(format!("a message of too few words: {payload:?}"));
        };
        let Some(group) = self.groups.iter_mut().find(|group| name.starts_with(&group.name)) else {
            actions.push(Action::Warn(format!("{name} is not in this pool")));
            return Ok(());
        };
        let old = cut(format!("{old_host}:{old_port}"));
        if old != group.address {
            return Fault::close(format!("{name} was at {old}, {} is at {}", group.name, group.address));
        }
        let new = cut(format!("{new_host}:{new_port}"));
        if new == group.address {
            actions.push(Action::Warn(format!(
                "{} stays, its connections are made anew",
                group.name
            )));
            return Ok(());
        }
        // The next client's request connects.
        if let Err(Fault::Abort(assertion)) = connects(&new)
            && assertion != UNRESOLVED
        {
            return Err(Fault::Abort(assertion));
        }
        actions.push(group.moved(new));
        Ok(())
    }
}

impl Group {
    fn moved(&mut self, to: String) -> Action {
        Action::Moved {
            group: self.name.clone(),
            from: std::mem::replace(&mut self.address, to.clone()),
            to,
        }
    }
}

impl Double for Netease {
    fn connected(&mut self) -> Vec<Action> {
        if self.state == State::Dead {
            return Vec::new();
        }
        self.replies.clear();
        self.state = State::WaitingAddr(0);
        let lookup = |group: &Group| {
            let name = &group.name;
            format!(
                "*3\r\n$8\r\nsentinel\r\n$23\r\nget-master-addr-by-name\r\n${}\r\n{name}\r\n",
                name.len()
            )
        };
        let lookups: String = self.groups.iter().map(lookup).collect();
        vec![Action::Send(lookups.into_bytes())]
    }

    fn received(&mut self, bytes: &[u8]) -> Vec<Action> {
        let mut actions = Vec::new();
        self.replies.push(bytes);
        while self.is_connected() {
            let fault = match self.replies.next() {
                Next::More => break,
                Next::Reply(reply) => self.handle(&reply, &mut actions),
                Next::Garbage => Fault::close(NO_RESP.to_owned()),
            };
            match fault {
                Ok(()) => {}
                Err(Fault::Close(why)) => actions.extend(self.close(why, self.heartbeat_ms)),
                Err(Fault::Abort(assertion)) => {
                    self.state = State::Dead;
                    actions.push(Action::Abort(assertion.to_owned()));
                }
            }
        }
        actions
    }

    fn disconnected(&mut self) -> Vec<Action> {
        if self.state != State::Dead {
            self.leave(self.heartbeat_ms);
        }
        Vec::new()
    }

    fn timer(&mut self) -> Vec<Action> {
        match self.state {
            State::Uninitialized | State::Dead => Vec::new(),
            State::WaitingRecvPub => vec![Action::Send(SUBSCRIBE.to_vec())],
            State::WaitingAddr(_) | State::WaitingRole | State::WaitingPsub => {
                self.close("not ready within a heartbeat".to_owned(), 0)
            }
        }
    }

    /// One that is no master, or does not answer, keeps the whole pool waiting for the timer.
    fn roles(&mut self, masters: &BTreeMap<String, bool>) -> Vec<Action> {
        if self.state != State::WaitingRole {
            return Vec::new();
        }
        let is_master = |group: &Group| masters.get(&group.name).copied().unwrap_or_default();
        if let Some(group) = self.groups.iter().find(|group| !is_master(group)) {
            return vec![Action::Warn(format!(
                "{} of {} is no master",
                group.address, group.name
            ))];
        }
        self.state = State::WaitingPsub;
        vec![Action::Send(SUBSCRIBE.to_vec())]
    }

    fn timer_ms(&self) -> Option<u64> {
        Some(self.heartbeat_ms)
    }

    fn retry_ms(&self) -> u64 {
        self.retry_ms
    }

    fn sentinel(&self) -> usize {
        self.sentinel
    }

    fn ready(&self) -> bool {
        self.state == State::WaitingRecvPub
    }

    fn addresses(&self) -> BTreeMap<String, String> {
        let known = self.groups.iter().filter(|group| !group.address.is_empty());
        known.map(|group| (group.name.clone(), group.address.clone())).collect()
    }
}

/// Title and channel must begin rightly, and the very last character must be a 1.
fn confirmation(reply: &Reply) -> Result<(), Fault> {
    let begins = |line: usize, wanted: &[u8]| reply.lines().nth(line).is_some_and(|line| line.starts_with(wanted));
    if !begins(2, b"psubscribe") || !begins(4, CHANNEL) {
        return Fault::close(format!("{:?} confirms no subscription", reply.title()));
    }
    if !reply.bytes().ends_with(b"1\r\n") {
        return Fault::close("a confirmation whose count does not end with 1".to_owned());
    }
    Ok(())
}

/// The host does not resolve: fatal at the initialisation, an error for the client later.
const UNRESOLVED: &str = "c->sd > 0";

/// Whether it can try to connect there.
fn connects(address: &str) -> Result<(), Fault> {
    let Some((host, port)) = address.rsplit_once(':') else {
        return Fault::close(format!("{address} has no port"));
    };
    if host.is_empty() {
        return Err(Fault::Abort("src != NULL && srclen != 0"));
    }
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Fault::close(format!("{address} has no port"));
    }
    if !port.parse().is_ok_and(|port: u64| (1..=65_535).contains(&port)) {
        return Err(Fault::Abort("nc_valid_port(port)"));
    }
    match resolve(host) {
        Some(_) => Ok(()),
        None => Err(Fault::Abort(UNRESOLVED)),
    }
}

/// A line without its line end.
fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}

/// `ip:port` as it fits.
fn cut(mut address: String) -> String {
    if let Some((end, _)) = address.char_indices().nth(ADDRESS_CHARS_MAX) {
        address.truncate(end);
    }
    address
}

#[path = "netease/tests.rs"]
mod tests;
