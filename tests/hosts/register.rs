//! What an operator was told about one setting or name, and whether what is there agrees. Pure.

use serde::Serialize;

/// One name: `None` is "not there".
pub(crate) type Held = Option<u64>;

/// How long a write without an answer may still be on its way.
const LATE_MS: u64 = 60_000;

/// A write without an answer: it may have been done, or be done later.
#[derive(Clone, Copy, Debug)]
struct Open {
    at: u64,
    value: Held,
    /// Somebody looked since, and it was not done then, or overwritten.
    is_old: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Register {
    acknowledged: Held,
    open: Vec<Open>,
}

/// What is there does not follow from what was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Lost {
    pub(crate) name: String,
    pub(crate) acknowledged: Held,
    pub(crate) found: Held,
}

/// How what is there is explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Known,
    /// A write without an answer was done.
    Done,
    /// The same, and somebody had looked in between: it was done late.
    DoneLate,
    Lost(Lost),
}

impl Register {
    pub(crate) fn with(value: Held) -> Self {
        Self {
            acknowledged: value,
            open: Vec::new(),
        }
    }

    pub(crate) fn acknowledge(&mut self, value: Held) {
        self.acknowledged = value;
    }

    pub(crate) fn leave_open(&mut self, value: Held, at: u64) {
        let is_old = false;
        self.open.push(Open { at, value, is_old });
    }

    /// What it most likely holds: to choose the next write.
    pub(crate) fn guess(&self) -> Held {
        self.acknowledged
    }

    /// A refusal said whether the name is there.
    pub(crate) fn observe(&mut self, name: &str, there: bool) -> Verdict {
        if self.acknowledged.is_some() == there {
            return Verdict::Known;
        }
        // Which value, is not known.
        self.explain(name, there.then_some(0), |value| value.is_some() == there)
    }

    /// Compares with what is there, and goes on from there.
    pub(crate) fn compare(&mut self, name: &str, found: Held, at: u64) -> Verdict {
        let verdict = if found == self.acknowledged {
            Verdict::Known
        } else {
            self.explain(name, found, |value| value == found)
        };
        self.acknowledged = found;
        self.open.retain(|open| open.at + LATE_MS > at);
        self.open.iter_mut().for_each(|open| open.is_old = true);
        verdict
    }

    fn explain(&mut self, name: &str, found: Held, fits: impl Fn(Held) -> bool) -> Verdict {
        let explained = self.open.iter().rev().find(|open| fits(open.value)).copied();
        let acknowledged = std::mem::replace(&mut self.acknowledged, explained.map_or(found, |open| open.value));
        match explained {
            Some(open) if open.is_old => Verdict::DoneLate,
            Some(_) => Verdict::Done,
            None => Verdict::Lost(Lost {
                name: name.to_owned(),
                acknowledged,
                found,
            }),
        }
    }
}
