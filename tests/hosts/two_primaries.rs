//! Finds when two instances of a group accepted writes at once, and how much of that nothing excuses. Pure.
//!
//! Two may accept writes only while the old one is out of reach, and for at most two seconds after it is in reach again.

use std::net::Ipv4Addr;

use serde::Serialize;

use super::reach::ReachedBy;

/// How long an old primary that is in reach again may go on.
pub(crate) const GRACE_MS: u64 = 2_000;
/// Replies further apart than this are no span: between them anything may have happened.
const GAP_MS: u64 = 300;

/// From the first to the last accepted write of an unbroken row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Adds an accepted write; `broken` says that one was refused since the last.
pub(crate) fn extend(spans: &mut Vec<Span>, at: u64, broken: bool) {
    match spans.last_mut() {
        Some(last) if !broken && at <= last.to + GAP_MS => last.to = at,
        _ => spans.push(Span { from: at, to: at }),
    }
}

/// Two instances of one group accepted writes at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Overlap {
    pub(crate) group: String,
    pub(crate) old: Ipv4Addr,
    pub(crate) new: Ipv4Addr,
    pub(crate) from_ms: u64,
    pub(crate) lasted_ms: u64,
    /// Without excuse: nodes with a majority reached the old one, for more than the grace.
    pub(crate) excess_ms: u64,
    /// The same when any node counts, also one that is cut off from the majority.
    pub(crate) strict_excess_ms: u64,
}

/// The times at which both accepted.
pub(crate) fn both(old: &[Span], new: &[Span]) -> Vec<Span> {
    let mut found = Vec::new();
    for one in old {
        for other in new {
            let (from, to) = (one.from.max(other.from), one.to.min(other.to));
            if from < to {
                found.push(Span { from, to });
            }
        }
    }
    found
}

/// How much of `span` is not excused by the history of the old primary. `excuses` says which states excuse.
pub(crate) fn excess_ms(span: Span, timeline: &[(u64, ReachedBy)], excuses: impl Fn(ReachedBy) -> bool) -> u64 {
    let mut excused: Vec<Span> = Vec::new();
    for (place, (from, state)) in timeline.iter().enumerate() {
        if excuses(*state) {
            let end = timeline.get(place + 1).map_or(u64::MAX, |(next, _)| next + GRACE_MS);
            excused.push(Span { from: *from, to: end });
        }
    }
    let mut at = span.from;
    let mut excess = 0;
    for excuse in excused {
        if excuse.to <= at || excuse.from >= span.to {
            continue;
        }
        excess += excuse.from.saturating_sub(at);
        at = at.max(excuse.to);
    }
    excess + span.to.saturating_sub(at)
}
