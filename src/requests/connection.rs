//! Requests about the connection: PING, HELLO, AUTH, QUIT, RESET.

use bytes::Bytes;

use crate::requests::client::{self, TextFault};
use crate::requests::{Effect, Session, View};
use crate::resp::{Protocol, Reply};
use crate::sentinel::{REDIS_VERSION, errors};

/// The only user that exists, without a password.
const DEFAULT_USER: &[u8] = b"default";

pub(super) fn ping(session: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    if args.len() > 2 {
        return Effect::Reply(errors::arity("ping"));
    }
    let argument = args.get(1).cloned();
    if session.protocol == Protocol::Resp2 && session.subscribed() {
        let text = Reply::Bulk(argument.unwrap_or_default());
        return Effect::Reply(Reply::Array(vec![Reply::bulk("pong"), text]));
    }
    Effect::Reply(argument.map_or(Reply::Simple("PONG".into()), Reply::Bulk))
}

/// What HELLO asks for.
#[derive(Default)]
struct Hello {
    protocol: Option<Protocol>,
    name: Option<String>,
}

pub(super) fn hello(session: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    match parse_hello(args) {
        Ok(hello) => {
            if let Some(protocol) = hello.protocol {
                session.protocol = protocol;
            }
            if let Some(name) = hello.name {
                session.name = name;
            }
            Effect::Reply(introduction(session))
        }
        Err(refusal) => Effect::Reply(refusal),
    }
}

fn parse_hello(args: &[Bytes]) -> Result<Hello, Reply> {
    let mut hello = Hello::default();
    let Some(version) = args.get(1) else {
        return Ok(hello);
    };
    hello.protocol = Some(match client::parse_integer(version) {
        Some(2) => Protocol::Resp2,
        Some(3) => Protocol::Resp3,
        Some(_) => return Err(Reply::error(errors::NO_PROTOCOL)),
        None => return Err(Reply::error(errors::HELLO_VERSION)),
    });
    let mut rest = &args[2..];
    while let [option, ..] = rest {
        match (option.to_ascii_lowercase().as_slice(), rest) {
            (b"auth", [_, user, _, after @ ..]) => {
                if user.as_ref() != DEFAULT_USER {
                    return Err(Reply::error(errors::WRONG_PASSWORD));
                }
                rest = after;
            }
            (b"setname", [_, name, after @ ..]) => {
                hello.name = Some(client_name(name)?);
                rest = after;
            }
            _ => return Err(errors::hello_option(option)),
        }
    }
    Ok(hello)
}

/// A client name, or why it is none.
pub(super) fn client_name(name: &[u8]) -> Result<String, Reply> {
    client::plain_text(name).map_err(|fault| match fault {
        TextFault::Character => Reply::error(errors::CLIENT_NAME),
        TextFault::TooLong => Reply::error(errors::CLIENT_TEXT_TOO_LONG),
    })
}

fn introduction(session: &Session) -> Reply {
    let protocol = match session.protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    };
    Reply::Map(vec![
        (Reply::bulk("server"), Reply::bulk("redis")),
        (Reply::bulk("version"), Reply::bulk(REDIS_VERSION)),
        (Reply::bulk("proto"), Reply::Integer(protocol)),
        (Reply::bulk("id"), Reply::Integer(session.id as i64)),
        (Reply::bulk("mode"), Reply::bulk("sentinel")),
        (Reply::bulk("modules"), Reply::Array(Vec::new())),
    ])
}

pub(super) fn auth(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    Effect::Reply(match args {
        [_, _] => Reply::error(errors::NO_PASSWORD_SET),
        [_, user, _] if user.as_ref() == DEFAULT_USER => Reply::OK,
        [_, _, _] => Reply::error(errors::WRONG_PASSWORD),
        _ => Reply::error(errors::SYNTAX),
    })
}

pub(super) fn quit(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    Effect::Close(Reply::OK)
}

pub(super) fn reset(session: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    session.reset();
    Effect::Reply(Reply::Simple("RESET".into()))
}
