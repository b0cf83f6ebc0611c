//! CLIENT KILL, in its old and its new form.

use bytes::Bytes;

use crate::requests::acl::DEFAULT_USER;
use crate::requests::client::parse_integer;
use crate::requests::{Effect, Local, Session, View};
use crate::resp::Reply;
use crate::sentinel::errors;

use super::rows::{Kind, Row};

/// Which connections are closed; what is not asked for is `None`.
#[derive(Debug, Default)]
struct Filter {
    id: Option<u64>,
    kind: Option<Kind>,
    address: Option<Bytes>,
    local: Option<Bytes>,
    spares_me: bool,
}

impl Filter {
    fn takes(&self, row: &Row<'_>, me: u64) -> bool {
        let is = |wanted: &Option<Bytes>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
        self.id.is_none_or(|id| id == row.id)
            && self.kind.is_none_or(|kind| kind == row.kind())
            && is(&self.address, row.address)
            && is(&self.local, row.local)
            && !(self.spares_me && row.id == me)
    }
}

pub(in crate::requests) fn kill(session: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    let old_form = args.len() == 3;
    let filter = if old_form {
        Ok(Filter {
            address: Some(args[2].clone()),
            ..Filter::default()
        })
    } else {
        parse(&args[2..])
    };
    let filter = match filter {
        Ok(filter) => filter,
        Err(refusal) => return Effect::Reply(refusal),
    };
    let lines = view.clients.list();
    let rows = lines.lines().map(Row::parse);
    let mut ids: Vec<u64> = rows
        .filter(|row| filter.takes(row, session.id))
        .map(|row| row.id)
        .collect();
    let reply = match ids.len() {
        0 if old_form => return Effect::Reply(Reply::error(errors::NO_SUCH_CLIENT)),
        _ if old_form => Reply::OK,
        count => Reply::Integer(count as i64),
    };
    let all = ids.len();
    ids.retain(|id| *id != session.id);
    let then = if ids.len() < all {
        Effect::Close(reply)
    } else {
        Effect::Reply(reply)
    };
    if ids.is_empty() {
        return then;
    }
    Effect::then(Local::Disconnect(ids), then)
}

/// Pairs of an option and its value; of one that comes twice the last counts.
fn parse(mut options: &[Bytes]) -> Result<Filter, Reply> {
    let mut filter = Filter {
        spares_me: true,
        ..Filter::default()
    };
    while let [option, rest @ ..] = options {
        let [value, rest @ ..] = rest else {
            return Err(Reply::error(errors::SYNTAX));
        };
        match option.to_ascii_lowercase().as_slice() {
            b"id" => {
                let id = parse_integer(value).filter(|id| *id > 0);
                let id = id.and_then(|id| u64::try_from(id).ok());
                filter.id = Some(id.ok_or(Reply::error(errors::CLIENT_ID_TOO_SMALL))?);
            }
            b"type" => filter.kind = Some(Kind::parse(value)?),
            b"addr" => filter.address = Some(value.clone()),
            b"laddr" => filter.local = Some(value.clone()),
            // Everybody is the default user.
            b"user" if value == DEFAULT_USER => {}
            b"user" => return Err(errors::no_such_user(value)),
            b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.spares_me = true,
            b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.spares_me = false,
            _ => return Err(Reply::error(errors::SYNTAX)),
        }
        options = rest;
    }
    Ok(filter)
}
