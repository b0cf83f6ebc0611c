//! An operator: changes settings, adds and removes names on random nodes, and remembers what was acknowledged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Serialize;

use crate::chance::Chance;
use crate::client::{Client, Value};
use crate::crew::Stop;
use crate::moment::{last, ms};
use crate::register::{Held, Lost, Register, Verdict};

const PACE_MS: u64 = 20;
/// Longer than a node takes for a write that it forwards.
const PATIENCE: Duration = Duration::from_secs(8);
const CONNECTED: Duration = Duration::from_millis(500);
const NAMES: u64 = 4;
/// Nobody is there: these names are only monitored and removed.
const NOWHERE: &str = "10.77.99.9";
/// More than there are nodes: a name of the operator never has a failover.
const QUORUM: &str = "100";
/// What a new name has.
const DOWN_AFTER_DEFAULT: u64 = 30_000;
const FAILOVER_TIMEOUT_DEFAULT: u64 = 180_000;

/// How the operator's writes ended.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Tally {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    /// Writes without an answer that were done after somebody had looked.
    pub(crate) late: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.late += other.late;
    }
}

#[derive(Default)]
pub(crate) struct Ledger {
    registers: BTreeMap<String, Register>,
    /// What refusals showed to be gone.
    lost: Vec<Lost>,
    tally: Tally,
    last_acknowledged: Option<u64>,
}

impl Ledger {
    /// Compares all that was acknowledged with what a node tells; answers what is gone.
    pub(crate) fn compare(&mut self, masters: &Value) -> Vec<Lost> {
        let mut registers = std::mem::take(&mut self.registers);
        for (name, register) in &mut registers {
            self.weigh(register.compare(name, held(name, masters), ms()));
        }
        self.registers = registers;
        std::mem::take(&mut self.lost)
    }

    fn weigh(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Known | Verdict::Done => {}
            Verdict::DoneLate => self.tally.late += 1,
            Verdict::Lost(lost) => self.lost.push(lost),
        }
    }

    /// The group was removed and monitored again: its settings are the defaults.
    pub(crate) fn forget(&mut self, group: &str) {
        if let Some(register) = self.registers.get_mut(group) {
            *register = Register::with(Some(FAILOVER_TIMEOUT_DEFAULT));
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}

/// The operator's memory. Who holds it keeps the operator from writing.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<Ledger>>);

impl Desk {
    pub(crate) fn hold(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap()
    }

    pub(crate) fn acknowledged_since(&self, from: u64) -> bool {
        self.hold().last_acknowledged.is_some_and(|at| at >= from)
    }
}

pub(crate) struct Operator {
    /// Makes its names its own.
    pub(crate) number: u64,
    /// A group of which it sets failover-timeout.
    pub(crate) group: String,
    pub(crate) nodes: Vec<SocketAddr>,
    pub(crate) chance: Chance,
    pub(crate) desk: Desk,
    pub(crate) stop: Stop,
}

impl Operator {
    pub(crate) fn run(mut self) {
        let mut value = 100_000 * (self.number + 1);
        let mut clients: BTreeMap<SocketAddr, Client> = BTreeMap::new();
        while !self.stop.is_set() {
            value += 1;
            let node = *self.chance.pick(&self.nodes);
            {
                let desk = self.desk.clone();
                let mut ledger = desk.hold();
                self.write(&mut ledger, &mut clients, node, value);
            }
            // Also lets go of the desk, for whoever waits for it.
            last(PACE_MS);
        }
    }

    fn write(&mut self, ledger: &mut Ledger, clients: &mut BTreeMap<SocketAddr, Client>, node: SocketAddr, value: u64) {
        let mut client = match clients.remove(&node) {
            Some(client) => client,
            None => match Client::reach(node, CONNECTED) {
                Ok(mut client) => {
                    client.patience(PATIENCE);
                    client
                }
                // It was never sent.
                Err(_) => return ledger.tally.refused += 1,
            },
        };
        let (name, words, effect) = self.choose(&ledger.registers, value);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = client.try_call(&words);
        let register = ledger.registers.entry(name.clone()).or_default();
        match answer {
            Ok(answer) if answer.is_ok() => {
                register.acknowledge(effect);
                ledger.tally.acknowledged += 1;
                ledger.last_acknowledged = Some(ms());
            }
            Ok(answer) => {
                let verdict = settle(register, &name, &answer, effect);
                ledger.weigh(verdict);
                ledger.tally.refused += 1;
            }
            Err(_) => {
                register.leave_open(effect, ms());
                ledger.tally.unknown += 1;
                return;
            }
        }
        clients.insert(node, client);
    }

    fn choose(&mut self, registers: &BTreeMap<String, Register>, value: u64) -> (String, Vec<String>, Held) {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let number = value.to_string();
        let place = self.chance.within(0, NAMES);
        if place == NAMES {
            let words = own(&["SENTINEL", "SET", &self.group, "failover-timeout", &number]);
            return (self.group.clone(), words, Some(value));
        }
        let name = format!("op-{}-{place}", self.number);
        let there = registers.get(&name).is_some_and(|register| register.guess().is_some());
        if !there {
            let port = (7_000 + 100 * self.number + place).to_string();
            let words = own(&["SENTINEL", "MONITOR", &name, NOWHERE, &port, QUORUM]);
            (name, words, Some(DOWN_AFTER_DEFAULT))
        } else if self.chance.permille(300) {
            let words = own(&["SENTINEL", "REMOVE", &name]);
            (name, words, None)
        } else {
            let words = own(&["SENTINEL", "SET", &name, "down-after-milliseconds", &number]);
            (name, words, Some(value))
        }
    }
}

/// Some refusals say what is there, and that nothing was done; any other error may come from a write that was done.
fn settle(register: &mut Register, name: &str, answer: &Value, effect: Held) -> Verdict {
    let text = answer.text();
    if text.contains("Duplicate master") {
        register.observe(name, true)
    } else if text.contains("No such master") {
        register.observe(name, false)
    } else {
        register.leave_open(effect, ms());
        Verdict::Known
    }
}

/// The value of a register as a node tells it: see [`Operator::choose`] for which setting stands for what.
fn held(name: &str, masters: &Value) -> Held {
    let found = masters.items().iter().find(|one| one.field("name") == Some(name))?;
    let setting = if name.starts_with("op-") {
        "down-after-milliseconds"
    } else {
        "failover-timeout"
    };
    found.field(setting)?.parse().ok()
}
