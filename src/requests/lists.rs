//! Lists of all groups, made once for everybody who asks within a moment.
//!
//! Some client libraries fetch the whole list for every lookup, and with a thousand groups it is a megabyte. What it says
//! of addresses, settings and verdicts is never older than the answer; ages and the last INFO may be
//! [`Lists::AGE_MS_MAX`] old.
//! What does not live here: what a list says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

use crate::model::{Age, Instant, Naming, Revision};
use crate::requests::{Session, View};
use crate::resp::{Protocol, Reply, encode_each};
use crate::sentinel::{GroupLines, Layout};

/// The lists that were made last.
#[derive(Debug, Default)]
pub struct Lists {
    masters: Shelf<(Protocol, Naming), Bytes>,
    lines: Shelf<Layout, Arc<GroupLines>>,
    /// Changes with every verdict and role that this node sees.
    verdicts: AtomicU64,
}

/// One list of each kind.
#[derive(Debug)]
struct Shelf<K, T>(Mutex<Vec<(K, Kept<T>)>>);

#[derive(Debug)]
struct Kept<T> {
    revision: Revision,
    verdicts: u64,
    made_at: Instant,
    list: T,
}

impl Lists {
    /// How old ages in a list may be.
    pub const AGE_MS_MAX: Age = 100;

    /// A verdict, or a role, has changed: what was made before is old. To be said after it can be seen.
    pub fn verdict_changed(&self) {
        self.verdicts.fetch_add(1, Ordering::Release);
    }
}

impl<K, T> Default for Shelf<K, T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<K: PartialEq, T: Clone> Shelf<K, T> {
    /// The list, made anew when the one that is kept is old. Who asks meanwhile waits for it instead of making another.
    fn get(&self, kind: K, verdicts: &AtomicU64, view: &View<'_>, make: impl FnOnce() -> T) -> T {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Before it is made: a verdict that changes meanwhile may be in it or not.
        let verdicts = verdicts.load(Ordering::Acquire);
        let revision = view.state.revision();
        let good = |kept: &Kept<T>| {
            (kept.revision, kept.verdicts) == (revision, verdicts)
                && kept.made_at <= view.now
                && view.now.since(kept.made_at) < Lists::AGE_MS_MAX
        };
        if let Some((_, kept)) = shelf.iter().find(|(of, kept)| *of == kind && good(kept)) {
            return kept.list.clone();
        }
        let list = make();
        shelf.retain(|(of, _)| *of != kind);
        let kept = Kept {
            revision,
            verdicts,
            made_at: view.now,
            list: list.clone(),
        };
        shelf.push((kind, kept));
        list
    }
}

/// About what an entry of MASTERS takes.
const ENTRY_BYTES: usize = 1_536;

/// The answer to MASTERS: encoded already, where lists are kept, one entry after the other.
pub(super) fn masters<E>(session: &Session, view: &View<'_>, entries: impl FnOnce() -> E) -> Reply
where
    E: ExactSizeIterator<Item = Reply>,
{
    let Some(lists) = view.sightings.lists() else {
        return Reply::Array(entries().collect());
    };
    let protocol = session.protocol();
    let encoded = || {
        let entries = entries();
        let mut out = BytesMut::with_capacity(entries.len() * ENTRY_BYTES);
        encode_each(entries, protocol, &mut out);
        out.freeze()
    };
    let kind = (protocol, view.naming(session.face()));
    Reply::Raw(lists.masters.get(kind, &lists.verdicts, view, encoded))
}

/// The lines of INFO about groups.
pub(super) fn lines(layout: Layout, view: &View<'_>, make: impl FnOnce() -> GroupLines) -> Arc<GroupLines> {
    let make = || Arc::new(make());
    match view.sightings.lists() {
        Some(lists) => lists.lines.get(layout, &lists.verdicts, view, make),
        None => make(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::machine::{Command, Entry, State, apply};
    use crate::model::{Address, GroupId, GroupName, Sighting, Timestamp};
    use crate::requests::{Clients, Dials, NoFiles, NodeStatus, Sightings, Stats};

    #[derive(Default)]
    struct Board(Lists);

    impl Sightings for Board {
        fn sighting(&self, _: GroupId, _: Address) -> Option<Sighting> {
            None
        }

        fn lists(&self) -> Option<&Lists> {
            Some(&self.0)
        }
    }

    impl Clients for Board {
        fn list(&self) -> String {
            String::new()
        }

        fn count(&self) -> u64 {
            0
        }

        fn subscribers(&self) -> u64 {
            0
        }
    }

    /// How often a list of `protocol` was made, one look after the other.
    struct Looks {
        board: Board,
        made: Cell<u32>,
    }

    impl Looks {
        fn look(&self, state: &State, now: u64, protocol: Protocol) -> u32 {
            let view = View {
                state: Arc::new(state.clone()),
                sightings: &self.board,
                node: &NodeStatus::default(),
                clients: &self.board,
                dials: Arc::new(Dials::default()),
                scripts: Arc::default(),
                files: &NoFiles,
                stats: &Stats::default(),
                now: Instant(now),
                wall: Timestamp(0),
            };
            let Board(lists) = &self.board;
            let make = || {
                self.made.set(self.made.get() + 1);
                Bytes::new()
            };
            lists
                .masters
                .get((protocol, Naming::Addresses), &lists.verdicts, &view, make);
            self.made.get()
        }
    }

    #[test]
    fn a_list_is_made_again_when_anything_but_ages_changed_and_after_a_moment() {
        let looks = Looks {
            board: Board::default(),
            made: Cell::new(0),
        };
        let mut state = State::default();
        assert_eq!(looks.look(&state, 1_000, Protocol::Resp2), 1);
        assert_eq!(looks.look(&state, 1_099, Protocol::Resp2), 1, "a moment later");
        assert_eq!(looks.look(&state, 1_099, Protocol::Resp3), 2, "in other words");
        assert_eq!(looks.look(&state, 1_099, Protocol::Resp2), 2, "both are kept");
        assert_eq!(looks.look(&state, 1_100, Protocol::Resp2), 3, "its ages are old");
        looks.board.0.verdict_changed();
        assert_eq!(looks.look(&state, 1_100, Protocol::Resp2), 4, "a verdict changed");
        let entry = Entry {
            at: Timestamp(1),
            command: Command::Monitor {
                name: GroupName::new("a-b").expect("a name"),
                primary: "127.0.0.1:1".parse().expect("an address"),
                host: None,
                quorum: 1,
                settings: Vec::new(),
            },
        };
        apply(&mut state, &entry);
        assert!(state.revision() > 0);
        assert_eq!(looks.look(&state, 1_100, Protocol::Resp2), 5, "the state changed");
        assert_eq!(
            looks.look(&state, 1_050, Protocol::Resp2),
            6,
            "it is of later than the look"
        );
    }
}
