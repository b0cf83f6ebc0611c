//! What a node tells the rest of itself about applied entries, and when it is ready.
//!
//! A starting node is behind. Until it has applied the commit index that it first hears from a leader (or hears
//! none for the grace period) it collects, and then tells one difference. After that every apply is told as it is.
//! What does not live here: openraft, and what a difference looks like (`machine::differences`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::machine::{self, Command, Entry, State};
use crate::model::{Event, Instant, Term};
use crate::watch;

/// How long a starting node waits for a word of a leader before it answers from what it has.
pub(crate) const GRACE_MS: u64 = 5_000;

/// Where applied entries go, in log order. Called on the Raft thread: it must not block.
pub trait ApplySink: Send + Sync {
    /// Entries were applied: the state after them, and their events in order.
    fn applied(&self, state: Arc<State>, events: Vec<Event>);
    /// The state moved as a whole: at start (from nothing to what was on disk, then to what was caught up with) and
    /// when a snapshot arrived.
    fn replaced(&self, before: Arc<State>, after: Arc<State>);
    /// One entry was applied; called for each, before any of it is told. For those who compare nodes.
    fn entry(&self, _entry: Applied<'_>) {}
    /// A snapshot took the place of the state. For those who compare nodes.
    fn snapshot(&self, _index: u64, _state: &State) {}
}

/// An entry that was applied.
#[derive(Clone, Copy, Debug)]
pub struct Applied<'a> {
    /// Its place in the log.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: Term,
    /// What it said, and what came of it; nothing when it is Raft's own.
    pub command: Option<(&'a Entry, &'a machine::Applied)>,
    /// The state after it.
    pub state: &'a State,
}

/// The applied state and the way it is told.
pub(crate) struct Feed {
    sink: Arc<dyn ApplySink>,
    gate: Mutex<Gate>,
    ready: AtomicBool,
    applied: watch::Sender<u64>,
}

struct Gate {
    state: Arc<State>,
    applied: u64,
    /// Set while the node collects.
    collecting: Option<Collecting>,
}

struct Collecting {
    before: Arc<State>,
    /// Commit index to reach.
    target: Option<u64>,
    /// When a leader was last heard, or when the wait began.
    heard: Instant,
}

impl Feed {
    /// Tells the state from disk, and collects from then on.
    pub(crate) fn start(sink: Arc<dyn ApplySink>, state: State, applied: u64, now: Instant) -> Self {
        let state = Arc::new(state);
        sink.replaced(Arc::default(), state.clone());
        let collecting = Collecting {
            before: state.clone(),
            target: None,
            heard: now,
        };
        Self {
            sink,
            gate: Mutex::new(Gate {
                state,
                applied,
                collecting: Some(collecting),
            }),
            ready: AtomicBool::new(false),
            applied: watch::Sender::new(applied),
        }
    }

    /// Lookups may be answered.
    pub(crate) fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The applied state.
    pub(crate) fn state(&self) -> Arc<State> {
        self.gate().state.clone()
    }

    /// Changes whenever the applied index does.
    pub(crate) fn watch_applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// Entries up to `index` were applied.
    pub(crate) fn applied(&self, index: u64, state: State, events: Vec<Event>) {
        let mut gate = self.gate();
        gate.state = Arc::new(state);
        gate.applied = index;
        if gate.collecting.is_none() {
            self.sink.applied(gate.state.clone(), events);
        } else {
            self.open_if_reached(&mut gate);
        }
        self.applied.send_replace(index);
    }

    /// One entry was applied. What it means is told by [`Feed::applied`].
    pub(crate) fn entry(&self, entry: Applied<'_>) {
        self.sink.entry(entry);
    }

    /// Tells a switch that is only proposed: a defect for tests.
    pub(crate) fn foretell(&self, entry: &Entry) {
        if matches!(entry.command, Command::CompletePromotion { .. }) {
            let mut state = State::clone(&self.state());
            let applied = machine::apply(&mut state, entry);
            self.sink.applied(Arc::new(state), applied.events);
        }
    }

    /// A snapshot up to `index` took the place of the state.
    pub(crate) fn replaced(&self, index: u64, state: State) {
        self.sink.snapshot(index, &state);
        let mut gate = self.gate();
        let before = std::mem::replace(&mut gate.state, Arc::new(state));
        gate.applied = index;
        if gate.collecting.is_none() {
            self.sink.replaced(before, gate.state.clone());
        } else {
            self.open_if_reached(&mut gate);
        }
        self.applied.send_replace(index);
    }

    /// A leader was heard; `committed` is the commit index of its own term, once it has one.
    pub(crate) fn heard(&self, committed: Option<u64>, now: Instant) {
        if self.ready() {
            return;
        }
        let mut gate = self.gate();
        if let Some(collecting) = &mut gate.collecting {
            collecting.heard = now;
            collecting.target = collecting.target.or(committed);
        }
        self.open_if_reached(&mut gate);
    }

    /// Opens when no leader was heard for the grace period.
    pub(crate) fn tick(&self, now: Instant) {
        if self.ready() {
            return;
        }
        let mut gate = self.gate();
        // Nothing applied: this node is in no cluster yet, and "no such group" would be a lie.
        let silent = |collecting: &Collecting| now.since(collecting.heard) >= GRACE_MS;
        if gate.applied > 0 && gate.collecting.as_ref().is_some_and(silent) {
            self.open(&mut gate);
        }
    }

    fn open_if_reached(&self, gate: &mut Gate) {
        let target = gate.collecting.as_ref().and_then(|collecting| collecting.target);
        if target.is_some_and(|target| gate.applied >= target) {
            self.open(gate);
        }
    }

    fn open(&self, gate: &mut Gate) {
        if let Some(collecting) = gate.collecting.take() {
            self.sink.replaced(collecting.before, gate.state.clone());
            self.ready.store(true, Ordering::Release);
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::machine::apply;
    use crate::model::{ClusterId, Timestamp};

    /// Counts: applied, replaced.
    #[derive(Default)]
    struct Counter(Mutex<(usize, usize)>);

    impl ApplySink for Counter {
        fn applied(&self, _: Arc<State>, _: Vec<Event>) {
            self.0.lock().unwrap().0 += 1;
        }

        fn replaced(&self, _: Arc<State>, _: Arc<State>) {
            self.0.lock().unwrap().1 += 1;
        }
    }

    fn feed() -> (Arc<Counter>, Feed) {
        let sink = Arc::new(Counter::default());
        let feed = Feed::start(sink.clone(), State::default(), 0, Instant(0));
        (sink, feed)
    }

    fn state() -> State {
        let mut state = State::default();
        let command = Command::Found {
            cluster: ClusterId("c".into()),
        };
        let at = Timestamp(1);
        apply(&mut state, &Entry { command, at });
        state
    }

    #[test]
    fn a_starting_node_tells_nothing_until_it_reached_what_it_heard_first() {
        let (sink, feed) = feed();
        assert_eq!(*sink.0.lock().unwrap(), (0, 1), "the state from disk");
        feed.applied(1, state(), Vec::new());
        feed.heard(None, Instant(10));
        assert!(
            !feed.ready(),
            "a leader without a commit of its own term does not count"
        );
        feed.heard(Some(3), Instant(20));
        feed.heard(Some(9), Instant(30));
        feed.applied(2, state(), Vec::new());
        assert!(!feed.ready());
        assert_eq!(*sink.0.lock().unwrap(), (0, 1));
        feed.applied(3, state(), Vec::new());
        assert!(feed.ready());
        assert_eq!(*sink.0.lock().unwrap(), (0, 2), "one difference");
        feed.applied(4, state(), Vec::new());
        assert_eq!(*sink.0.lock().unwrap(), (1, 2));
    }

    #[test]
    fn a_node_that_hears_no_leader_answers_after_the_grace_period() {
        let (sink, feed) = feed();
        feed.applied(1, state(), Vec::new());
        feed.tick(Instant(GRACE_MS - 1));
        assert!(!feed.ready());
        feed.tick(Instant(GRACE_MS));
        assert!(feed.ready());
        assert_eq!(*sink.0.lock().unwrap(), (0, 2));
    }

    #[test]
    fn a_node_that_is_in_no_cluster_yet_answers_nothing() {
        let (_, feed) = feed();
        feed.tick(Instant(100 * GRACE_MS));
        assert!(!feed.ready(), "it waits to be added, or for its founders");
        feed.heard(Some(1), Instant(101 * GRACE_MS));
        feed.applied(1, state(), Vec::new());
        assert!(feed.ready());
    }

    #[test]
    fn the_grace_period_begins_anew_with_every_word_of_a_leader() {
        let (_, feed) = feed();
        feed.applied(1, state(), Vec::new());
        feed.heard(Some(5), Instant(4_000));
        feed.tick(Instant(GRACE_MS));
        assert!(!feed.ready(), "a leader was heard: it is behind, not alone");
        feed.tick(Instant(4_000 + GRACE_MS));
        assert!(feed.ready());
    }

    #[test]
    fn a_snapshot_later_is_one_difference() {
        let (sink, feed) = feed();
        feed.heard(Some(0), Instant(0));
        assert!(feed.ready());
        feed.replaced(7, state());
        assert_eq!(*sink.0.lock().unwrap(), (0, 3));
        assert_eq!(*feed.watch_applied().borrow(), 7);
    }
}
