//! A client of one group: asks any node for the primary, writes unique numbers there, and follows what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::{Client, Value};
use crate::crew::Stop;
use crate::moment::{last, ms};
use crate::writes::{Outcome, Write};

/// Between two writes, and between two attempts to find a primary.
const PACE_MS: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(1);
/// Numbers in one list of Redis.
const BLOCK: u32 = 1_000;

/// The latest address of each group that anybody was told by +switch-master.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<BTreeMap<String, SocketAddr>>>);

impl Told {
    pub(crate) fn tell(&self, group: &str, address: SocketAddr) {
        self.0.lock().unwrap().insert(group.to_owned(), address);
    }

    /// Takes the news: each is told once.
    fn take(&self, group: &str) -> Option<SocketAddr> {
        self.0.lock().unwrap().remove(group)
    }
}

/// Everything that a writer did so far.
#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<Vec<Write>>>);

impl Book {
    /// The writes that ended at or after `from`.
    pub(crate) fn since(&self, from: u64) -> Vec<Write> {
        let writes = self.0.lock().unwrap();
        let start = writes.partition_point(|write| write.at < from);
        writes[start..].to_vec()
    }

    pub(crate) fn acknowledged_since(&self, from: u64) -> bool {
        let is_acknowledged = |write: &Write| write.outcome == Outcome::Acknowledged;
        self.since(from).iter().any(is_acknowledged)
    }
}

pub(crate) struct Writer {
    pub(crate) group: String,
    pub(crate) nodes: Vec<SocketAddr>,
    pub(crate) told: Told,
    pub(crate) book: Book,
    pub(crate) stop: Stop,
}

impl Writer {
    pub(crate) fn run(self) {
        let mut turn = 0;
        let mut number = 0;
        let mut hint = None;
        while !self.stop.is_set() {
            match hint.take().or_else(|| self.ask(&mut turn)) {
                Some(primary) => hint = self.write_to(primary, &mut number),
                None => last(PACE_MS),
            }
        }
    }

    /// The primary by the word of the next node that answers.
    fn ask(&self, turn: &mut usize) -> Option<SocketAddr> {
        let node = self.nodes[*turn % self.nodes.len()];
        *turn += 1;
        let mut client = Client::reach(node, PATIENCE).ok()?;
        primary_of(&mut client, &self.group)
    }

    /// Writes until something fails, or until another primary is told: that is answered.
    fn write_to(&self, primary: SocketAddr, number: &mut u32) -> Option<SocketAddr> {
        let IpAddr::V4(by) = primary.ip() else { return None };
        // What was told before the connection is old.
        self.told.take(&self.group);
        let mut client = Client::reach(primary, PATIENCE).ok()?;
        while !self.stop.is_set() {
            if let Some(news) = self.told.take(&self.group).filter(|news| *news != primary) {
                return Some(news);
            }
            *number += 1;
            let key = key(&self.group, *number / BLOCK);
            let answer = client.try_call(&["RPUSH", &key, &number.to_string()]);
            let outcome = match &answer {
                Ok(Value::Integer(_)) => Outcome::Acknowledged,
                Ok(_) => Outcome::Refused,
                Err(_) => Outcome::Unknown,
            };
            self.note(*number, by, outcome);
            if outcome != Outcome::Acknowledged {
                last(PACE_MS);
                return None;
            }
            last(PACE_MS);
        }
        None
    }

    fn note(&self, number: u32, by: Ipv4Addr, outcome: Outcome) {
        let mut writes = self.book.0.lock().unwrap();
        writes.push(Write {
            number,
            at: ms(),
            by,
            outcome,
        });
    }
}

fn key(group: &str, block: u32) -> String {
    format!("writes:{group}:{block}")
}

/// What a node answers for a group.
pub(crate) fn primary_of(client: &mut Client, group: &str) -> Option<SocketAddr> {
    let answer = client.try_call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group]).ok()?;
    let [ip, port] = answer.items() else { return None };
    Some((ip.text().parse::<Ipv4Addr>().ok()?, port.text().parse().ok()?).into())
}

/// The numbers that an instance holds, of the lists in which `low` to `high` are.
pub(crate) fn numbers_held(at: SocketAddr, group: &str, low: u32, high: u32) -> Option<BTreeSet<u32>> {
    let mut client = Client::reach(at, Duration::from_secs(10)).ok()?;
    let mut found = BTreeSet::new();
    for block in low / BLOCK..=high / BLOCK {
        let answer = client.try_call(&["LRANGE", &key(group, block), "0", "-1"]).ok()?;
        let Value::Array(items) = answer else { return None };
        found.extend(items.iter().filter_map(|item| item.text().parse::<u32>().ok()));
    }
    Some(found)
}
