//! What an operator was told about one setting or name, and whether what is there agrees. Pure.

use serde::Serialize;

/// One name: `None` is "not there".
pub(crate) type Held = Option<u64>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Register {
    acknowledged: Held,
    /// Writes without an answer: each may have been done, or be done later.
    open: Vec<Held>,
}

/// An acknowledged write that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Lost {
    pub(crate) name: String,
    pub(crate) acknowledged: Held,
    pub(crate) found: Held,
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

    pub(crate) fn leave_open(&mut self, value: Held) {
        self.open.push(value);
    }

    /// What it most likely holds: to choose the next write.
    pub(crate) fn guess(&self) -> Held {
        self.acknowledged
    }

    /// A refusal said whether the name is there; answers what was lost if nothing explains that.
    pub(crate) fn observe(&mut self, name: &str, there: bool) -> Option<Lost> {
        if self.acknowledged.is_some() == there {
            return None;
        }
        let explained = self.open.iter().rev().find(|held| held.is_some() == there).copied();
        let found = explained.unwrap_or(there.then_some(0));
        let lost = explained.is_none().then(|| Lost {
            name: name.to_owned(),
            acknowledged: self.acknowledged,
            found,
        });
        self.acknowledged = found;
        lost
    }

    /// Compares with what is there, and goes on from there.
    pub(crate) fn compare(&mut self, name: &str, found: Held) -> Option<Lost> {
        let known = found == self.acknowledged || self.open.contains(&found);
        let lost = (!known).then(|| Lost {
            name: name.to_owned(),
            acknowledged: self.acknowledged,
            found,
        });
        self.acknowledged = found;
        self.open.clear();
        lost
    }
}
