//! Linearizability: is there one order of what clients asked, in which each got the answer that it got?
//!
//! The search is that of Wing and Gong with the memory of Lowe: an operation may come next when everything that ended
//! before it began has come; a pair of (what has come, state) is looked at once. Pure: a history in, an order or the
//! longest attempt out.
//!
//! Two freedoms of the operators' interface are part of the order, not of the specification:
//! - an operation without an answer takes effect at any time after it began, or never;
//! - a read serves what its place has applied: it may be behind, but never behind what the same place has answered
//!   before. So it follows the operations of its place, and is followed by everything that began after its answer.

//!
//! What is held to which: MONITOR, SET, REMOVE and an opened FAILOVER go through the log and are linearizable, their
//! rejections too; so are refusals of FAILOVER, which the leader gives only while it holds its lease. Lookups (`SENTINEL
//! MASTER`, `get-master-addr-by-name`, ...) are answered by any node from what it has applied: they never go back on
//! one process of a node, and follow what that process has acknowledged. What says that nothing was done has done
//! nothing.

mod group;
mod history;
pub(crate) mod words;

pub(crate) use group::{Answer, Call, Group, GroupSpec, QUORUM, Seen, Shape};
pub(crate) use history::{Histories, Ticket};
pub(crate) use words::asked;

use std::collections::BTreeSet;
use std::fmt::Debug;

/// What the operations of a history mean.
pub(crate) trait Specification {
    type Call: Debug;
    type Answer: Debug;
    type State: Clone + Ord + Debug;

    /// The state after a call that got this answer, or none that is known; `None`: impossible.
    fn step(state: &Self::State, call: &Self::Call, answer: Option<&Self::Answer>) -> Option<Self::State>;

    /// With this answer the call changes no state at all. Another one may change nothing now, and something later.
    fn only_looks(call: &Self::Call, answer: &Self::Answer) -> bool;
}

/// One operation of a history.
#[derive(Clone, Debug)]
pub(crate) struct Operation<C, A> {
    pub(crate) call: C,
    /// `None`: it is not known whether it took effect.
    pub(crate) answer: Option<A>,
    pub(crate) invoked_at: u64,
    pub(crate) answered_at: u64,
    /// Where it was asked: a connection.
    pub(crate) place: u64,
    /// It reads what the place has applied.
    pub(crate) may_be_behind: bool,
    /// Its place had applied it when it answered.
    pub(crate) is_applied: bool,
}

impl<C, A> Operation<C, A> {
    /// It must come before another.
    fn precedes(&self, other: &Self) -> bool {
        let ended = self.answer.is_some() && self.answered_at < other.invoked_at;
        ended && (!other.may_be_behind || (self.place == other.place && self.is_applied))
    }
}

/// No order explains a history; the longest attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Operations, by their place in the history, in the order that explains most of them.
    pub(crate) explained: Vec<usize>,
    /// For people.
    pub(crate) text: String,
}

/// What has come, a bit each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Done(Vec<u64>);

impl Done {
    fn none(length: usize) -> Self {
        Self(vec![0; length.div_ceil(64)])
    }

    fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    fn with(&self, index: usize) -> Self {
        let mut with = self.clone();
        with.0[index / 64] |= 1 << (index % 64);
        with
    }
}

/// An order that explains a history, or the reason to believe that there is none.
pub(crate) fn check<S: Specification>(
    start: &S::State,
    history: &[Operation<S::Call, S::Answer>],
) -> Result<Vec<usize>, Violation> {
    let search = Search::<S>::new(history);
    search.run(start)
}

struct Search<'a, S: Specification> {
    history: &'a [Operation<S::Call, S::Answer>],
    /// Which operations must come before each.
    before: Vec<Vec<usize>>,
}

/// A point of the search, and what is still to be tried from it.
struct Point<State> {
    done: Done,
    next: Vec<(usize, State)>,
}

impl<'a, S: Specification> Search<'a, S> {
    fn new(history: &'a [Operation<S::Call, S::Answer>]) -> Self {
        let before = |other: &Operation<S::Call, S::Answer>| {
            let each = history.iter().enumerate();
            each.filter(|(_, one)| one.precedes(other))
                .map(|(index, _)| index)
                .collect()
        };
        Self {
            history,
            before: history.iter().map(before).collect(),
        }
    }

    fn run(&self, start: &S::State) -> Result<Vec<usize>, Violation> {
        let mut seen = BTreeSet::new();
        let mut order: Vec<usize> = Vec::new();
        let mut longest: (Vec<usize>, S::State) = (Vec::new(), start.clone());
        let mut stack = vec![self.point(Done::none(self.history.len()), start.clone())];
        while let Some(point) = stack.last_mut() {
            if self.complete(&point.done) {
                return Ok(order);
            }
            let Some((index, state)) = point.next.pop() else {
                stack.pop();
                order.pop();
                continue;
            };
            let done = point.done.with(index);
            if !seen.insert((done.clone(), state.clone())) {
                continue;
            }
            order.push(index);
            if order.len() > longest.0.len() {
                longest = (order.clone(), state.clone());
            }
            stack.push(self.point(done, state));
        }
        Err(self.violation(longest.0, &longest.1))
    }

    fn complete(&self, done: &Done) -> bool {
        let mut each = self.history.iter().enumerate();
        each.all(|(index, operation)| operation.answer.is_none() || done.has(index))
    }

    fn may_come(&self, done: &Done, index: usize) -> bool {
        !done.has(index) && self.before[index].iter().all(|other| done.has(*other))
    }

    fn point(&self, done: Done, state: S::State) -> Point<S::State> {
        let mut next = Vec::new();
        for (index, operation) in self.history.iter().enumerate() {
            if !self.may_come(&done, index) {
                continue;
            }
            let Some(after) = S::step(&state, &operation.call, operation.answer.as_ref()) else {
                continue;
            };
            match &operation.answer {
                Some(answer) if S::only_looks(&operation.call, answer) => {
                    // To have it now is never worse than later.
                    next = vec![(index, after)];
                    break;
                }
                None if after == state => {}
                _ => next.push((index, after)),
            }
        }
        // Tried from the end: those that must come, and that began first, before those that may never come.
        next.sort_by_key(|(index, _)| {
            let operation = &self.history[*index];
            (operation.answer.is_some(), std::cmp::Reverse(operation.invoked_at))
        });
        Point { done, next }
    }

    fn violation(&self, explained: Vec<usize>, state: &S::State) -> Violation {
        use std::fmt::Write as _;
        let mut text = String::from("no order explains it; most of it by:\n");
        for index in &explained {
            _ = writeln!(text, "  {}", self.line(*index));
        }
        _ = writeln!(text, "then, with {state:?}, none of these can come:");
        for (index, operation) in self.history.iter().enumerate() {
            if !explained.contains(&index) && operation.answer.is_some() {
                let waits = self.before[index].iter().any(|other| !explained.contains(other));
                _ = writeln!(text, "  {}{}", self.line(index), if waits { " (waits)" } else { "" });
            }
        }
        Violation { explained, text }
    }

    fn line(&self, index: usize) -> String {
        let operation = &self.history[index];
        let Operation {
            call,
            answer,
            invoked_at,
            answered_at,
            place,
            ..
        } = operation;
        match answer {
            Some(answer) => format!("[{invoked_at}..{answered_at}] at {place}: {call:?} -> {answer:?}"),
            None => format!("[{invoked_at}..] at {place}: {call:?} -> unknown"),
        }
    }
}
