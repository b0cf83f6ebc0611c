//! SUBSCRIBE, PSUBSCRIBE, UNSUBSCRIBE, PUNSUBSCRIBE.

use bytes::Bytes;

use crate::requests::session::Kind;
use crate::requests::{Effect, Session, View};
use crate::resp::{Reply, glob_matches};
use crate::sentinel::{SWITCH_CHANNEL, errors};

pub(super) fn subscribe(session: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    add(session, view, Kind::Channel, &args[1..])
}

pub(super) fn psubscribe(session: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    add(session, view, Kind::Pattern, &args[1..])
}

pub(super) fn unsubscribe(session: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    take_away(session, Kind::Channel, &args[1..])
}

pub(super) fn punsubscribe(session: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    take_away(session, Kind::Pattern, &args[1..])
}

/// One confirmation per name. Right after that of a subscription to switches comes what the client missed: it may
/// have looked addresses up before it subscribed, and proxies repeat the subscription as a heartbeat.
fn add(session: &mut Session, view: &View<'_>, kind: Kind, names: &[Bytes]) -> Effect {
    let verb = match kind {
        Kind::Channel => "subscribe",
        Kind::Pattern => "psubscribe",
    };
    let mut replies = Vec::new();
    for name in names {
        if session.subscribe(kind, name).is_err() {
            replies.push(Reply::error(errors::TOO_MANY_SUBSCRIPTIONS));
            break;
        }
        replies.push(confirmation(verb, Reply::Bulk(name.clone()), session));
        let to_switches = match kind {
            Kind::Channel => name.as_ref() == SWITCH_CHANNEL.as_bytes(),
            Kind::Pattern => glob_matches(name, SWITCH_CHANNEL.as_bytes()),
        };
        if to_switches {
            replies.extend(session.catch_up(view));
        }
    }
    Effect::Reply(flat(replies))
}

fn take_away(session: &mut Session, kind: Kind, names: &[Bytes]) -> Effect {
    let verb = match kind {
        Kind::Channel => "unsubscribe",
        Kind::Pattern => "punsubscribe",
    };
    let all: Vec<Bytes>;
    let names = if names.is_empty() {
        all = session.names(kind).iter().cloned().collect();
        &all
    } else {
        names
    };
    if names.is_empty() {
        return Effect::Reply(confirmation(verb, Reply::Null, session));
    }
    let mut replies = Vec::new();
    for name in names {
        session.unsubscribe(kind, name);
        replies.push(confirmation(verb, Reply::Bulk(name.clone()), session));
    }
    Effect::Reply(flat(replies))
}

fn confirmation(verb: &str, name: Reply, session: &Session) -> Reply {
    let count = Reply::Integer(session.subscriptions() as i64);
    Reply::Push(vec![Reply::bulk(verb), name, count])
}

/// One reply, or several in a row.
fn flat(replies: Vec<Reply>) -> Reply {
    let mut flat = Vec::with_capacity(replies.len());
    for reply in replies {
        match reply {
            Reply::Many(replies) => flat.extend(replies),
            one => flat.push(one),
        }
    }
    match flat.len() {
        1 => flat.remove(0),
        _ => Reply::Many(flat),
    }
}
