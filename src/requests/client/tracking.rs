//! CLIENT TRACKING and what belongs to it. A Sentinel has no keys, so nothing is ever invalidated; but libraries ask
//! for it, and must get the answers that they know.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::requests::client::parse_integer;
use crate::requests::{Effect, Session, View};
use crate::resp::Reply;
use crate::sentinel::errors;

use super::rows::Row;

/// Prefixes of one connection, and the bytes of all of them. Each is compared with each.
const PREFIXES_MAX: usize = 256;
const PREFIX_BYTES_MAX: usize = 1 << 18;

/// How a connection wants keys tracked.
#[derive(Clone, Debug, Default)]
pub(in crate::requests) struct Tracking {
    /// The connection that invalidations go to; 0 is itself.
    redirect: u64,
    modes: Modes,
    prefixes: BTreeSet<Bytes>,
    /// CACHING was asked for the next request.
    caches_next: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Modes {
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
}

impl Tracking {
    /// As CLIENT LIST shows it.
    pub(in crate::requests) fn redirection(&self) -> i64 {
        i64::try_from(self.redirect).unwrap_or(i64::MAX)
    }

    /// CACHING holds for one request.
    pub(in crate::requests) fn next_request_passed(&mut self) {
        self.caches_next = false;
    }

    fn flags(&self) -> Vec<&'static str> {
        let Modes {
            broadcast,
            opt_in,
            opt_out,
            no_loop,
        } = self.modes;
        let flags = [
            (true, "on"),
            (broadcast, "bcast"),
            (opt_in, "optin"),
            (opt_in && self.caches_next, "caching-yes"),
            (opt_out, "optout"),
            (opt_out && self.caches_next, "caching-no"),
            (no_loop, "noloop"),
        ];
        flags
            .into_iter()
            .filter(|(set, _)| *set)
            .map(|(_, name)| name)
            .collect()
    }
}

pub(in crate::requests) fn get_redirection(session: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    let redirection = session.tracking.as_ref().map_or(-1, Tracking::redirection);
    Effect::Reply(Reply::Integer(redirection))
}

pub(in crate::requests) fn info(session: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    let tracking = session.tracking.as_ref();
    let flags = tracking.map_or(vec!["off"], Tracking::flags);
    let redirection = tracking.map_or(-1, Tracking::redirection);
    let prefixes = tracking.into_iter().flat_map(|tracking| &tracking.prefixes);
    Effect::Reply(Reply::Map(vec![
        (Reply::bulk("flags"), Reply::Set(Reply::bulks(flags))),
        (Reply::bulk("redirect"), Reply::Integer(redirection)),
        (Reply::bulk("prefixes"), Reply::Array(Reply::bulks(prefixes))),
    ]))
}

pub(in crate::requests) fn caching(session: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    let Some(tracking) = &mut session.tracking else {
        return Effect::Reply(Reply::error(errors::CACHING_WITHOUT_TRACKING));
    };
    let (fits, refusal) = match args[2].to_ascii_lowercase().as_slice() {
        b"yes" => (tracking.modes.opt_in, errors::CACHING_YES_WITHOUT_OPTIN),
        b"no" => (tracking.modes.opt_out, errors::CACHING_NO_WITHOUT_OPTOUT),
        _ => (false, errors::SYNTAX),
    };
    tracking.caches_next |= fits;
    Effect::Reply(if fits { Reply::OK } else { Reply::error(refusal) })
}

/// The options of TRACKING.
#[derive(Default)]
struct Options {
    redirect: u64,
    modes: Modes,
    prefixes: Vec<Bytes>,
}

pub(in crate::requests) fn tracking(session: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    let options = match parse(view, &args[3..]) {
        Ok(options) => options,
        Err(refusal) => return Effect::Reply(refusal),
    };
    Effect::Reply(match args[2].to_ascii_lowercase().as_slice() {
        b"on" => match turned_on(session.tracking.as_ref(), options) {
            Ok(tracking) => {
                session.tracking = Some(tracking);
                Reply::OK
            }
            Err(refusal) => refusal,
        },
        b"off" => {
            session.tracking = None;
            Reply::OK
        }
        _ => Reply::error(errors::SYNTAX),
    })
}

fn parse(view: &View<'_>, mut words: &[Bytes]) -> Result<Options, Reply> {
    let mut options = Options::default();
    while let [word, rest @ ..] = words {
        words = rest;
        match (word.to_ascii_lowercase().as_slice(), rest) {
            (b"redirect", [id, rest @ ..]) => {
                words = rest;
                if options.redirect != 0 {
                    return Err(Reply::error(errors::TRACKING_REDIRECTS_TWICE));
                }
                let id = parse_integer(id).ok_or(Reply::error(errors::NOT_AN_INTEGER))?;
                let lines = view.clients.list();
                let known = lines.lines().map(Row::parse).map(|row| row.id);
                let known = known.into_iter().find(|known| i64::try_from(*known) == Ok(id));
                options.redirect = known.ok_or(Reply::error(errors::TRACKING_REDIRECTS_NOWHERE))?;
            }
            (b"prefix", [prefix, rest @ ..]) => {
                words = rest;
                options.prefixes.push(Bytes::copy_from_slice(prefix));
            }
            (b"bcast", _) => options.modes.broadcast = true,
            (b"optin", _) => options.modes.opt_in = true,
            (b"optout", _) => options.modes.opt_out = true,
            (b"noloop", _) => options.modes.no_loop = true,
            _ => return Err(Reply::error(errors::SYNTAX)),
        }
    }
    Ok(options)
}

fn turned_on(before: Option<&Tracking>, options: Options) -> Result<Tracking, Reply> {
    let Options {
        redirect,
        modes,
        prefixes,
    } = options;
    let refuse = |text: &'static str| Err(Reply::error(text));
    if !modes.broadcast && !prefixes.is_empty() {
        return refuse(errors::TRACKING_PREFIX_WITHOUT_BCAST);
    }
    if before.is_some_and(|before| before.modes.broadcast != modes.broadcast) {
        return refuse(errors::TRACKING_SWITCHES_BCAST);
    }
    if modes.broadcast && (modes.opt_in || modes.opt_out) {
        return refuse(errors::TRACKING_BCAST_WITH_OPT);
    }
    if modes.opt_in && modes.opt_out {
        return refuse(errors::TRACKING_OPTIN_AND_OPTOUT);
    }
    let other_opt =
        |before: &Tracking| (modes.opt_in && before.modes.opt_out) || (modes.opt_out && before.modes.opt_in);
    if before.is_some_and(other_opt) {
        return refuse(errors::TRACKING_SWITCHES_OPT);
    }
    let mut known = before.map(|before| before.prefixes.clone()).unwrap_or_default();
    let bytes: usize = known.iter().chain(&prefixes).map(Bytes::len).sum();
    if known.len() + prefixes.len() > PREFIXES_MAX || bytes > PREFIX_BYTES_MAX {
        return refuse(errors::TRACKING_TOO_MANY_PREFIXES);
    }
    no_overlap(&known, &prefixes)?;
    let nothing_said = modes.broadcast && prefixes.is_empty();
    known.extend(prefixes);
    if nothing_said {
        known.insert(Bytes::new());
    }
    Ok(Tracking {
        redirect,
        modes,
        prefixes: known,
        caches_next: false,
    })
}

/// No prefix may begin with another one.
fn no_overlap(known: &BTreeSet<Bytes>, new: &[Bytes]) -> Result<(), Reply> {
    let overlap = |a: &Bytes, b: &Bytes| a.starts_with(b) || b.starts_with(a);
    for (index, prefix) in new.iter().enumerate() {
        if let Some(other) = known.iter().find(|other| overlap(prefix, other)) {
            return Err(errors::prefix_overlaps_known(prefix, other));
        }
        if let Some(other) = new[index + 1..].iter().find(|other| overlap(prefix, other)) {
            return Err(errors::prefix_overlaps_given(prefix, other));
        }
    }
    Ok(())
}
