//! Requests at a glance: what has to be known of one before it is its turn.

use crate::resp::Request;
use crate::sentinel::SWITCH_CHANNEL;

/// Whether the answer to it may be followed by events.
pub(super) fn asks_for_events(request: &Request) -> bool {
    is_one_of(request, &[b"SUBSCRIBE", b"PSUBSCRIBE"])
}

/// Whether the answer to it may be followed by other events than changed addresses.
pub(super) fn asks_for_more_than_switches(request: &Request) -> bool {
    asks_for_events(request) && request.0.iter().skip(1).any(|name| name != SWITCH_CHANNEL)
}

/// Whether the answer to it holds the node's counters.
pub(super) fn asks_for_counters(request: &Request) -> bool {
    is_one_of(request, &[b"INFO"])
}

/// The first lines of an HTTP request: a web page had a browser on this machine send it.
pub(super) fn is_foreign(request: &Request) -> bool {
    is_one_of(request, &[b"POST", b"Host:"])
}

/// What somebody sends who wants to know what is wrong.
pub(super) fn is_operator(request: &Request) -> bool {
    is_one_of(request, &[b"SENTINEL", b"CFG", b"INFO", b"PING"])
}

fn is_one_of(request: &Request, names: &[&[u8]]) -> bool {
    names.iter().any(|name| request.name().eq_ignore_ascii_case(name))
}
