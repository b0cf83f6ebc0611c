//! CLIENT: who is connected, what it calls itself, and how it is served.

pub(super) mod kill;
mod rows;
pub(super) mod tracking;

use bytes::Bytes;

use crate::model::Age;
use crate::requests::connection::client_name;
use crate::requests::{Effect, Held, Local, Session, View, spec};
use crate::resp::Reply;
use crate::sentinel::errors;

use rows::{Kind, Row};

/// Longest name of a client or of its library, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// Why a text cannot stand in CLIENT LIST.
pub(super) enum TextFault {
    /// A space, a control character or beyond ASCII.
    Character,
    /// Too long.
    TooLong,
}

/// A text without spaces and special characters, as names in CLIENT LIST must be.
pub(super) fn plain_text(text: &[u8]) -> Result<String, TextFault> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TextFault::TooLong);
    }
    if !text.iter().all(u8::is_ascii_graphic) {
        return Err(TextFault::Character);
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// An integer as Redis reads one: no plus sign, no leading zeros, no spaces.
pub(super) fn parse_integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

pub(super) fn id(session: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    Effect::Reply(Reply::Integer(session.id as i64))
}

pub(super) fn get_name(session: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    let name = &session.name;
    Effect::Reply(if name.is_empty() {
        Reply::Null
    } else {
        Reply::bulk(name)
    })
}

pub(super) fn set_name(session: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    Effect::Reply(match client_name(&args[2]) {
        Ok(name) => {
            session.name = name;
            Reply::OK
        }
        Err(refusal) => refusal,
    })
}

pub(super) fn set_info(session: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    let (option, field) = match args[2].to_ascii_lowercase().as_slice() {
        b"lib-name" => ("lib-name", &mut session.library_name),
        b"lib-ver" => ("lib-ver", &mut session.library_version),
        _ => return Effect::Reply(errors::client_info_option(&args[2])),
    };
    Effect::Reply(match plain_text(&args[3]) {
        Ok(value) => {
            *field = value;
            Reply::OK
        }
        Err(TextFault::Character) => errors::client_info_value(option),
        Err(TextFault::TooLong) => Reply::error(errors::CLIENT_TEXT_TOO_LONG),
    })
}

pub(super) fn info(session: &mut Session, view: &View<'_>, _: &[Bytes]) -> Effect {
    Effect::Reply(Reply::Verbatim(Bytes::from(session.list_line(view.now))))
}

pub(super) fn list(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    let wanted = match parse_filter(&args[2..]) {
        Ok(wanted) => wanted,
        Err(refusal) => return Effect::Reply(refusal),
    };
    let lines = view.clients.list();
    let chosen: String = lines.split_inclusive('\n').filter(|line| wanted.takes(line)).collect();
    Effect::Reply(Reply::Verbatim(Bytes::from(chosen)))
}

/// Which connections CLIENT LIST shows.
enum Filter {
    All,
    Kind(Kind),
    Ids(Vec<i64>),
}

impl Filter {
    fn takes(&self, line: &str) -> bool {
        let row = Row::parse(line);
        match self {
            Self::All => true,
            Self::Kind(kind) => row.kind() == *kind,
            Self::Ids(ids) => i64::try_from(row.id).is_ok_and(|id| ids.contains(&id)),
        }
    }
}

fn parse_filter(options: &[Bytes]) -> Result<Filter, Reply> {
    let [option, values @ ..] = options else {
        return Ok(Filter::All);
    };
    match (option.to_ascii_lowercase().as_slice(), values) {
        (b"type", [name]) => Kind::parse(name).map(Filter::Kind),
        (b"id", [_, ..]) => {
            let ids: Option<Vec<_>> = values.iter().map(|id| parse_integer(id)).collect();
            let ids = ids.filter(|ids| ids.iter().all(|id| *id > 0));
            ids.map(Filter::Ids).ok_or(Reply::error(errors::INVALID_CLIENT_ID))
        }
        _ => Err(Reply::error(errors::SYNTAX)),
    }
}

pub(super) fn no_evict(session: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    session.no_evict = match args[2].to_ascii_lowercase().as_slice() {
        b"on" => true,
        b"off" => false,
        _ => return Effect::Reply(Reply::error(errors::SYNTAX)),
    };
    Effect::Reply(Reply::OK)
}

pub(super) fn reply(session: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    Effect::Reply(match args[2].to_ascii_lowercase().as_slice() {
        b"on" => {
            session.answer_all();
            Reply::OK
        }
        b"off" => {
            session.answer_none();
            Reply::NOTHING
        }
        b"skip" => {
            session.skip_next_answer();
            Reply::NOTHING
        }
        _ => Reply::error(errors::SYNTAX),
    })
}

pub(super) fn pause(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    let held = match args.get(3).map(|mode| mode.to_ascii_lowercase()).as_deref() {
        None | Some(b"all") if args.len() <= 4 => Held::All,
        Some(b"write") if args.len() == 4 => Held::Publish,
        _ if args.len() > 4 => return Effect::Reply(errors::subcommand_shape("CLIENT", &args[1])),
        _ => return Effect::Reply(Reply::error(errors::PAUSE_MODE)),
    };
    let Some(timeout) = parse_integer(&args[2]) else {
        return Effect::Reply(Reply::error(errors::TIMEOUT_NOT_AN_INTEGER));
    };
    match Age::try_from(timeout) {
        Ok(timeout_ms) => Effect::done(Local::Pause {
            until: view.now.plus(timeout_ms),
            held,
        }),
        Err(_) => Effect::Reply(Reply::error(errors::TIMEOUT_NEGATIVE)),
    }
}

pub(super) fn unpause(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    Effect::done(Local::Unpause)
}

/// No request here blocks, so there is never anybody to unblock.
pub(super) fn unblock(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    Effect::Reply(match args {
        [_, subcommand, _, _, _, ..] => errors::subcommand_shape("CLIENT", subcommand),
        [_, _, _, reason]
            if ![&b"timeout"[..], b"error"]
                .iter()
                .any(|known| reason.eq_ignore_ascii_case(known)) =>
        {
            Reply::error(errors::UNBLOCK_REASON)
        }
        [_, _, id, ..] if parse_integer(id).is_none() => Reply::error(errors::NOT_AN_INTEGER),
        _ => Reply::Integer(0),
    })
}

pub(super) fn help(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    spec::help("client")
}
