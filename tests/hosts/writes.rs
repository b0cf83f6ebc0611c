//! What a writer knows about its writes, and which of them are missing afterwards. Pure.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Outcome {
    Acknowledged,
    /// Answered with an error: not done.
    Refused,
    /// No answer: done or not.
    Unknown,
}

/// One write of a unique number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) number: u32,
    /// When it ended.
    pub(crate) at: u64,
    /// The instance it went to.
    pub(crate) by: Ipv4Addr,
    pub(crate) outcome: Outcome,
}

/// A row of acknowledged writes to one instance that are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Loss {
    pub(crate) group: String,
    pub(crate) instance: Ipv4Addr,
    pub(crate) count: u32,
    /// When the first and the last of them were acknowledged.
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

/// The numbers that were acknowledged and are not there, and the rows that they form.
pub(crate) fn missing(group: &str, writes: &[Write], found: &BTreeSet<u32>) -> (BTreeSet<u32>, Vec<Loss>) {
    let mut gone = BTreeSet::new();
    let mut rows: Vec<Loss> = Vec::new();
    let mut unbroken = false;
    for write in writes.iter().filter(|write| write.outcome == Outcome::Acknowledged) {
        if found.contains(&write.number) {
            unbroken = false;
            continue;
        }
        gone.insert(write.number);
        match rows.last_mut() {
            Some(row) if unbroken && row.instance == write.by => {
                row.count += 1;
                row.to_ms = write.at;
            }
            _ => rows.push(Loss {
                group: group.to_owned(),
                instance: write.by,
                count: 1,
                from_ms: write.at,
                to_ms: write.at,
            }),
        }
        unbroken = true;
    }
    (gone, rows)
}

/// A row of writes to one instance that were not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    pub(crate) instance: Ipv4Addr,
    pub(crate) outcome: Outcome,
    pub(crate) count: u32,
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

/// What was not acknowledged, in rows of one kind.
pub(crate) fn failures(writes: &[Write]) -> Vec<Failure> {
    let mut rows: Vec<Failure> = Vec::new();
    for write in writes.iter().filter(|write| write.outcome != Outcome::Acknowledged) {
        match rows.last_mut() {
            Some(row) if row.instance == write.by && row.outcome == write.outcome => {
                row.count += 1;
                row.to_ms = write.at;
            }
            _ => rows.push(Failure {
                instance: write.by,
                outcome: write.outcome,
                count: 1,
                from_ms: write.at,
                to_ms: write.at,
            }),
        }
    }
    rows
}

/// The longest time between two acknowledged writes from `from` to `to`, both ends counted as writes.
pub(crate) fn longest_gap_ms(writes: &[Write], from: u64, to: u64) -> u64 {
    let acknowledged = writes.iter().filter(|write| write.outcome == Outcome::Acknowledged);
    let times = acknowledged.map(|write| write.at).filter(|at| (from..to).contains(at));
    let mut last = from;
    let mut longest = 0;
    for at in times.chain([to]) {
        longest = longest.max(at - last);
        last = at;
    }
    longest
}
