//! What a run leaves behind: its story for people, and what it has reached.

use std::collections::BTreeMap;

/// What was reached, and how often.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) marks: BTreeMap<&'static str, u64>,
    /// Rules that had something to judge.
    pub(crate) rules: BTreeMap<&'static str, u64>,
}

impl Coverage {
    pub(crate) fn mark(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    pub(crate) fn add(&mut self, what: &'static str, count: u64) {
        *self.marks.entry(what).or_default() += count;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (what, count) in &other.marks {
            self.add(what, *count);
        }
        for (rule, count) in &other.rules {
            *self.rules.entry(rule).or_default() += count;
        }
    }

    pub(crate) fn of(&self, what: &str) -> u64 {
        self.marks.get(what).copied().unwrap_or_default()
    }
}

/// The story of a run, kept only when it is told.
#[derive(Debug, Default)]
pub(crate) struct Story {
    lines: Option<Vec<String>>,
}

impl Story {
    pub(crate) fn kept() -> Self {
        Self {
            lines: Some(Vec::new()),
        }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    pub(crate) fn tell(&mut self, at: u64, who: &str, what: impl AsRef<str>) {
        if let Some(lines) = &mut self.lines {
            let (seconds, ms) = (at / 1_000, at % 1_000);
            lines.push(format!("{seconds:>4}.{ms:03} {who:<10} {}", what.as_ref()));
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
