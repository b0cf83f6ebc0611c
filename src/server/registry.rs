//! Who is connected: seats, the lobby, and the rows of CLIENT LIST.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::Instant;
use crate::requests::Clients;

use super::ServerOptions;
use super::topics::{TopicCounts, Topics};
use super::word::Word;

/// The connections of a server.
pub(super) struct Registry {
    clock: Clock,
    options: ServerOptions,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    seated: usize,
    last_id: u64,
    rows: BTreeMap<u64, Row>,
    /// The way to each of the seated.
    words: BTreeMap<u64, Arc<Word>>,
    /// The server stops: whoever is seated now is told at once.
    stopped: bool,
    /// The waiting ones, the oldest first.
    lobby: VecDeque<(u64, CancellationToken)>,
    /// Of those that subscribe to anything.
    topics: BTreeMap<u64, Topics>,
    topic_counts: TopicCounts,
}

/// What CLIENT LIST shows of a connection.
struct Row {
    /// The line as it was at `at`.
    line: String,
    at: Instant,
    activity: Arc<Mutex<Activity>>,
}

/// What changes with every request, and is put into the line when somebody asks for it.
#[derive(Clone, Copy)]
struct Activity {
    at: Instant,
    request: &'static str,
}

/// Who asks for a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Anyone.
    Client,
    /// Somebody on this machine who looks after the node.
    Operator,
    /// Another node.
    Peer,
}

impl Registry {
    pub(super) fn new(clock: Clock, options: ServerOptions) -> Self {
        Self {
            clock,
            options,
            inner: Mutex::default(),
        }
    }

    /// A seat for anyone.
    pub(super) fn seat(self: &Arc<Self>) -> Option<Seat> {
        self.claim(Claim::Client)
    }

    /// A seat, when there is one left for such a claim.
    pub(super) fn claim(self: &Arc<Self>, claim: Claim) -> Option<Seat> {
        let ServerOptions {
            connections_max,
            reserve,
            ..
        } = self.options;
        let kept = match claim {
            Claim::Client => reserve,
            Claim::Operator => reserve / 2,
            Claim::Peer => 0,
        };
        let mut inner = self.lock();
        if inner.seated >= connections_max.saturating_sub(kept) {
            return None;
        }
        inner.seated += 1;
        inner.last_id += 1;
        let (id, word) = (inner.last_id, Arc::new(Word::default()));
        if inner.stopped {
            word.stop();
        }
        inner.words.insert(id, word.clone());
        let activity = Activity {
            at: self.clock.now(),
            request: "NULL",
        };
        Some(Seat {
            id,
            word,
            activity: Arc::new(Mutex::new(activity)),
            registry: self.clone(),
        })
    }

    /// Closes these connections; how many of them there were.
    pub(super) fn disconnect(&self, ids: &[u64]) -> usize {
        let mut inner = self.lock();
        let ended: Vec<_> = ids.iter().filter_map(|id| inner.words.remove(id)).collect();
        for id in ids {
            // Gone for whoever asks next, also while its task has not heard of it.
            inner.rows.remove(id);
        }
        drop(inner);
        ended.iter().for_each(|word| word.end());
        ended.len()
    }

    /// Tells every connection, and those to come, that the server stops.
    pub(super) fn stop(&self) {
        let mut inner = self.lock();
        inner.stopped = true;
        inner.words.values().for_each(|word| word.stop());
    }

    /// A place to wait in for somebody without a seat.
    pub(super) fn enter_lobby(self: &Arc<Self>) -> LobbyPlace {
        let evicted = CancellationToken::new();
        let mut inner = self.lock();
        inner.last_id += 1;
        let id = inner.last_id;
        inner.lobby.push_back((id, evicted.clone()));
        if inner.lobby.len() > self.options.lobby_max
            && let Some((_, oldest)) = inner.lobby.pop_front()
        {
            oldest.cancel();
        }
        LobbyPlace {
            id,
            evicted,
            registry: self.clone(),
        }
    }

    /// How many channels and how many patterns have a subscriber.
    pub(super) fn topics(&self) -> (u64, u64) {
        self.lock().topic_counts.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

/// No code panics while it holds one of these locks, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn put_topics(&mut self, id: u64, after: Topics) {
        let before = self.topics.remove(&id).unwrap_or_default();
        self.topic_counts.replace(&before, &after);
        if after != Topics::default() {
            self.topics.insert(id, after);
        }
    }
}

impl Clients for Registry {
    fn list(&self) -> String {
        let now = self.clock.now();
        let inner = self.lock();
        inner.rows.values().map(|row| row.line_at(now)).collect()
    }

    fn count(&self) -> u64 {
        self.lock().seated as u64
    }

    fn subscribers(&self) -> u64 {
        self.lock().topics.len() as u64
    }
}

impl Row {
    /// The line as it is now: time has gone on since it was written, and so have requests.
    fn line_at(&self, now: Instant) -> String {
        let activity = *lock(&self.activity);
        let word = |word: &str| match word.split_once('=') {
            Some(("age", seconds)) => match seconds.parse::<u64>() {
                Ok(seconds) => format!("age={}", seconds + now.since(self.at) / 1000),
                Err(_) => word.to_owned(),
            },
            Some(("idle", _)) => format!("idle={}", now.since(activity.at) / 1000),
            Some(("cmd", _)) => format!("cmd={}", activity.request),
            _ => word.to_owned(),
        };
        let words = self.line.trim_end_matches('\n').split(' ').map(word);
        words.collect::<Vec<_>>().join(" ") + "\n"
    }
}

/// A place among the connections; free again when it is dropped.
pub(super) struct Seat {
    id: u64,
    word: Arc<Word>,
    activity: Arc<Mutex<Activity>>,
    registry: Arc<Registry>,
}

impl Seat {
    /// The connection's number, `CLIENT ID`.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// What the connection is told from outside.
    pub(super) fn word(&self) -> &Word {
        &self.word
    }

    /// Shows the connection in CLIENT LIST as it is now.
    pub(super) fn show(&self, line: String) {
        let row = Row {
            line,
            at: self.registry.clock.now(),
            activity: self.activity.clone(),
        };
        let mut inner = self.registry.lock();
        if inner.words.contains_key(&self.id) {
            inner.rows.insert(self.id, row);
        }
    }

    /// Shows that a request came: when, and which one.
    pub(super) fn show_request(&self, (at, request): (Instant, &'static str)) {
        *lock(&self.activity) = Activity { at, request };
    }

    /// Counts what the connection subscribes to now.
    pub(super) fn show_topics(&self, topics: Topics) {
        self.registry.lock().put_topics(self.id, topics);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        inner.seated -= 1;
        inner.rows.remove(&self.id);
        inner.words.remove(&self.id);
        inner.put_topics(self.id, Topics::default());
    }
}

/// A place in the lobby; free again when it is dropped.
pub(super) struct LobbyPlace {
    id: u64,
    evicted: CancellationToken,
    registry: Arc<Registry>,
}

impl LobbyPlace {
    /// Cancelled when somebody else needs the place.
    pub(super) fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }
}

impl Drop for LobbyPlace {
    fn drop(&mut self) {
        self.registry.lock().lobby.retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn registry(connections_max: usize, reserve: usize) -> Arc<Registry> {
        let options = ServerOptions {
            connections_max,
            reserve,
            lobby_max: 2,
            ..ServerOptions::default()
        };
        Arc::new(Registry::new(Clock::start(), options))
    }

    #[tokio::test]
    async fn the_reserve_is_for_peers_and_half_of_it_for_operators() {
        let registry = registry(6, 4);
        let mut seats: Vec<Seat> = std::iter::from_fn(|| registry.seat()).collect();
        assert_eq!(seats.len(), 2);
        seats.extend(std::iter::from_fn(|| registry.claim(Claim::Operator)));
        assert_eq!(seats.len(), 4);
        seats.extend(std::iter::from_fn(|| registry.claim(Claim::Peer)));
        assert_eq!(seats.len(), 6);
        seats.truncate(1);
        assert!(registry.seat().is_some(), "a seat that was left is free");
    }

    #[tokio::test]
    async fn a_full_lobby_ends_the_longest_wait() {
        let registry = registry(0, 0);
        let places: Vec<LobbyPlace> = (0..3).map(|_| registry.enter_lobby()).collect();
        let evicted: Vec<bool> = places.iter().map(|place| place.evicted().is_cancelled()).collect();
        assert_eq!(evicted, [true, false, false]);
        drop(places);
        assert_eq!(registry.lock().lobby.len(), 0);
    }

    #[tokio::test]
    async fn rows_are_listed_by_id_and_subscribers_counted() {
        let registry = registry(10, 0);
        let topics = Topics {
            channels: ["x".into()].into(),
            ..Topics::default()
        };
        let (first, second) = (registry.seat().unwrap(), registry.seat().unwrap());
        second.show("id=2 age=0\n".to_owned());
        second.show_topics(topics.clone());
        first.show("id=1 age=5\n".to_owned());
        assert_eq!(registry.list(), "id=1 age=5\nid=2 age=0\n");
        assert_eq!(
            (registry.count(), registry.subscribers(), registry.topics()),
            (2, 1, (1, 0))
        );
        second.show_topics(topics);
        assert_eq!((registry.subscribers(), registry.topics()), (1, (1, 0)));
        drop(second);
        assert_eq!(
            (registry.count(), registry.subscribers(), registry.topics()),
            (1, 0, (0, 0))
        );
    }

    #[tokio::test]
    async fn a_line_is_of_the_moment_in_which_it_is_asked_for() {
        let registry = registry(10, 0);
        let seat = registry.seat().unwrap();
        seat.show("id=1 name= age=10 idle=0 cmd=NULL\n".to_owned());
        let later = registry.clock.now().plus(2_999);
        let line_at = |later| registry.lock().rows[&1].line_at(later);
        assert_eq!(line_at(later), "id=1 name= age=12 idle=2 cmd=NULL\n");
        seat.show_request((later, "ping"));
        assert_eq!(line_at(later), "id=1 name= age=12 idle=0 cmd=ping\n");
    }
}
