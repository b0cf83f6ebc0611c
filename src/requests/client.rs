//! CLIENT: who is connected, and what it calls itself.

use bytes::Bytes;

use crate::requests::connection::client_name;
use crate::requests::{Effect, Session, View, spec};
use crate::resp::Reply;
use crate::sentinel::errors;

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
    Subscribers,
    Others,
    Nobody,
    Ids(Vec<i64>),
}

impl Filter {
    fn takes(&self, line: &str) -> bool {
        let subscribes = line.contains(" flags=P");
        match self {
            Self::All => true,
            Self::Subscribers => subscribes,
            Self::Others => !subscribes,
            Self::Nobody => false,
            Self::Ids(ids) => {
                let id = line.split(' ').next().and_then(|word| word.strip_prefix("id="));
                id.and_then(|id| id.parse().ok()).is_some_and(|id| ids.contains(&id))
            }
        }
    }
}

fn parse_filter(options: &[Bytes]) -> Result<Filter, Reply> {
    let [option, values @ ..] = options else {
        return Ok(Filter::All);
    };
    match (option.to_ascii_lowercase().as_slice(), values) {
        (b"type", [name]) => match name.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Filter::Others),
            b"pubsub" => Ok(Filter::Subscribers),
            b"master" | b"replica" | b"slave" => Ok(Filter::Nobody),
            _ => Err(errors::client_type(name)),
        },
        (b"id", [_, ..]) => {
            let ids: Option<Vec<_>> = values.iter().map(|id| parse_integer(id)).collect();
            let ids = ids.filter(|ids| ids.iter().all(|id| *id > 0));
            ids.map(Filter::Ids).ok_or(Reply::error(errors::INVALID_CLIENT_ID))
        }
        _ => Err(Reply::error(errors::SYNTAX)),
    }
}

pub(super) fn help(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    spec::help("client")
}
