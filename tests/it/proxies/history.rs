//! What happened to one driven proxy, in order, and the rules that a history is judged by.

use std::fmt;
use std::time::Instant;

/// Why a proxy closed its connection by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// What the server sent.
    Sent,
    /// The server said that it has not caught up: the answer that makes a proxy try again later.
    Loading,
    /// The server said that it knows no such group.
    Unknown,
    /// It was not ready in time: a primary that was told does not say that it is one, or the machine is busy.
    Late,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// The connection to the sentinel on this port is up.
    Connected(u16),
    /// It could not be opened.
    Refused(u16),
    /// The server closed it.
    Lost,
    /// The proxy closed it.
    Closed { cause: Cause, why: String },
    /// The proxy's process ended itself.
    Aborted(String),
    /// A server of the proxy has another address.
    Moved { group: String, from: String, to: String },
    /// What the instance said to ROLE right after a move to it.
    Role {
        group: String,
        address: String,
        asked: Instant,
        master: bool,
    },
    /// All instances were asked for their roles, and whether all said master.
    Asked(bool),
    /// Clients are served, or no longer.
    Ready(bool),
    /// A timer ran out: a heartbeat, when it is ready.
    Beat,
    /// The proxy logged something.
    Warned(String),
}

/// One thing that happened, and when.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Instant,
    pub(crate) what: Happening,
}

/// Everything that happened to one proxy.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) started: Instant,
    pub(crate) entries: Vec<Entry>,
}

impl History {
    /// What happened from that moment on.
    pub(crate) fn since(&self, at: Instant) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.at >= at)
    }

    /// The first rule that was broken from that moment on: no abort, and no close but for the tolerated causes.
    pub(crate) fn fault_since(&self, at: Instant, tolerated: &[Cause]) -> Option<&Entry> {
        self.since(at).find(|entry| match &entry.what {
            Happening::Aborted(_) => true,
            Happening::Closed { cause, .. } => !tolerated.contains(cause),
            _ => false,
        })
    }

    /// The first interruption from that moment on: the connection ended, or clients were turned away.
    pub(crate) fn interruption_since(&self, at: Instant) -> Option<&Entry> {
        self.since(at).find(|entry| {
            matches!(
                entry.what,
                Happening::Lost
                    | Happening::Refused(_)
                    | Happening::Closed { .. }
                    | Happening::Aborted(_)
                    | Happening::Ready(false)
            )
        })
    }

    /// When it first moved the group to that address, from that moment on.
    pub(crate) fn moved_at(&self, at: Instant, group: &str, address: &str) -> Option<Instant> {
        let mut moves = self.since(at).filter(
            |entry| matches!(&entry.what, Happening::Moved { group: moved, to, .. } if moved == group && to == address),
        );
        moves.next().map(|entry| entry.at)
    }

    /// How many happenings a rule picks, from that moment on.
    pub(crate) fn count_since(&self, at: Instant, picks: impl Fn(&Happening) -> bool) -> usize {
        self.since(at).filter(|entry| picks(&entry.what)).count()
    }
}

/// For messages: the last of it, with milliseconds since the start.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.entries.iter().filter(|entry| entry.what != Happening::Beat);
        let shown: Vec<&Entry> = shown.collect();
        for entry in &shown[shown.len().saturating_sub(30)..] {
            let after = entry.at.saturating_duration_since(self.started).as_millis();
            writeln!(f, "  {after:>6} ms {:?}", entry.what)?;
        }
        Ok(())
    }
}
