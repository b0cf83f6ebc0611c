//! The leader's book of votes. A new term starts a new one.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::detect::{Ballot, Tally, VoteAck, VoteReport};
use crate::failover::Voices;
use crate::model::{Age, GroupId, Instant, NodeId, Term, VoteKey};

/// A node's votes no longer count when it has not refreshed them for this long.
const VOTES_EXPIRE_MS: Age = 1_500;

/// Votes of one term.
pub(super) struct Book {
    page: Mutex<Page>,
}

struct Page {
    term: Term,
    ballot: Ballot,
}

impl Book {
    pub(super) fn new() -> Self {
        Self {
            page: Mutex::new(Page {
                term: 0,
                ballot: Ballot::new(VOTES_EXPIRE_MS),
            }),
        }
    }

    /// Takes a report for the leader of `term`; also the groups whose votes changed.
    pub(super) fn receive(
        &self,
        term: Term,
        from: NodeId,
        report: &VoteReport,
        now: Instant,
    ) -> (VoteAck, BTreeSet<GroupId>) {
        self.page(term).ballot.receive(from, report, now)
    }

    pub(super) fn tally(
        &self,
        term: Term,
        key: &VoteKey,
        electorate: impl Iterator<Item = NodeId>,
        now: Instant,
    ) -> Tally {
        self.page(term).ballot.tally(key, electorate, now)
    }

    /// What each node of the electorate says.
    pub(super) fn voices(
        &self,
        term: Term,
        key: &VoteKey,
        electorate: impl Iterator<Item = NodeId>,
        now: Instant,
    ) -> Voices {
        let page = self.page(term);
        electorate
            .map(|node| (node, page.ballot.judgement(node, key, now)))
            .collect()
    }

    /// Drops expired votes: the groups that they were about, and when the next ones expire.
    pub(super) fn expire(&self, term: Term, now: Instant) -> (BTreeSet<GroupId>, Option<Instant>) {
        let mut page = self.page(term);
        let changed = page.ballot.expire(now);
        (changed, page.ballot.next_expiry(now))
    }

    fn page(&self, term: Term) -> MutexGuard<'_, Page> {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if page.term != term {
            page.term = term;
            page.ballot.clear();
        }
        page
    }
}
