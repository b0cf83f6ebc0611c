//! One pretend instance: its process, its role and its data.

use std::sync::Arc;

use crate::model::{Address, Age, Instant};

/// What its process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It answers.
    Up,
    /// It holds its connections and says nothing.
    Hung,
    /// It does not run.
    Killed,
}

/// One pretend instance.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) address: Address,
    pub(super) life: Life,
    /// Since when it lives so.
    pub(super) since: Instant,
    pub(super) run_id: Arc<str>,
    pub(super) data: Data,
    /// Whom it follows; a primary follows nobody.
    pub(super) following: Option<Address>,
    pub(super) link: Upstream,
}

/// A data set, as far as a monitor sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) replid: Arc<str>,
    pub(super) replid2: Option<Arc<str>>,
    pub(super) offset: u64,
    pub(super) keys: u64,
}

/// The link of a replica to the instance that it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upstream {
    /// In sync.
    Up,
    /// Lost, or not yet made.
    Down { since: Instant },
}

impl Data {
    /// Every group begins with this much.
    const KEYS: u64 = 1_000;
    const OFFSET: u64 = 1_000;

    pub(super) fn filled(replid: Arc<str>) -> Self {
        Self {
            replid,
            replid2: None,
            offset: Self::OFFSET,
            keys: Self::KEYS,
        }
    }

    pub(super) fn empty(replid: Arc<str>) -> Self {
        Self {
            replid,
            replid2: None,
            offset: 0,
            keys: 0,
        }
    }

    /// A history of its own begins, from the same data.
    pub(super) fn branch(&mut self, replid: Arc<str>) {
        self.replid2 = Some(std::mem::replace(&mut self.replid, replid));
    }
}

impl Instance {
    /// A silent primary is given up by its replicas after this long (`repl-timeout`).
    const REPL_TIMEOUT_MS: Age = 60_000;

    pub(super) fn is_primary(&self) -> bool {
        self.following.is_none()
    }

    /// Whether a replica that is connected to it stays so.
    pub(super) fn holds_replicas(&self, now: Instant) -> bool {
        match self.life {
            Life::Up => true,
            Life::Hung => now.since(self.since) < Self::REPL_TIMEOUT_MS,
            Life::Killed => false,
        }
    }
}
