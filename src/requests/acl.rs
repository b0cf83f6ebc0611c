//! ACL: one user, `default`, who may do everything. Users of one's own come with the security work.

use bytes::Bytes;

use crate::requests::client::parse_integer;
use crate::requests::spec::{self, CATEGORIES, Spec};
use crate::requests::{Effect, Session, View, table};
use crate::resp::Reply;
use crate::sentinel::errors;

/// The only user, without a password.
pub(super) const DEFAULT_USER: &str = "default";

pub(super) fn who_am_i(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    Effect::Reply(Reply::bulk(DEFAULT_USER))
}

pub(super) fn users(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    Effect::Reply(Reply::Array(vec![Reply::bulk(DEFAULT_USER)]))
}

pub(super) fn list(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    let line = format!("user {DEFAULT_USER} on nopass ~* &* +@all");
    Effect::Reply(Reply::Array(vec![Reply::bulk(line)]))
}

pub(super) fn get_user(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    if args[2] != DEFAULT_USER {
        return Effect::Reply(Reply::Null);
    }
    let field = |name: &str, value| (Reply::bulk(name), value);
    Effect::Reply(Reply::Map(vec![
        field("flags", Reply::Set(Reply::bulks(["on", "nopass"]))),
        field("passwords", Reply::Array(Vec::new())),
        field("commands", Reply::bulk("+@all")),
        field("keys", Reply::bulk("~*")),
        field("channels", Reply::bulk("&*")),
        field("selectors", Reply::Array(Vec::new())),
    ]))
}

pub(super) fn cat(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    let plain = |category: &'static str| category.trim_start_matches('@');
    Effect::Reply(match args {
        [_, _] => Reply::Array(Reply::bulks(CATEGORIES.map(plain))),
        [_, _, name] => {
            let named = |category: &&'static str| plain(category).as_bytes().eq_ignore_ascii_case(name);
            match CATEGORIES.into_iter().find(named) {
                Some(category) => Reply::Array(Reply::bulks(members(category))),
                None => errors::acl_category(name),
            }
        }
        _ => errors::subcommand_shape("ACL", &args[1]),
    })
}

fn members(category: &'static str) -> impl Iterator<Item = &'static str> {
    let rows = table()
        .iter()
        .flat_map(|row| std::iter::once(row).chain(row.subcommands));
    let belongs = move |row: &&Spec| row.categories().contains(&category);
    rows.filter(belongs).map(|row| row.name)
}

pub(super) fn dry_run(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    Effect::Reply(if args[2] != DEFAULT_USER {
        errors::acl_user(&args[2])
    } else if let Some(spec) = spec::by_words(&args[3..]) {
        // What Redis says of a request that could not be made.
        if spec.takes(args.len() - 3) {
            Reply::OK
        } else {
            errors::arity(spec.name)
        }
    } else {
        errors::acl_command(&args[3])
    })
}

pub(super) fn delete_user(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    Effect::Reply(if args[2..].iter().any(|user| user == DEFAULT_USER) {
        Reply::error(errors::ACL_DEFAULT_STAYS)
    } else {
        Reply::Integer(0)
    })
}

pub(super) fn log(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    Effect::Reply(match args {
        [_, _] => Reply::Array(Vec::new()),
        [_, _, word] if word.eq_ignore_ascii_case(b"reset") => Reply::OK,
        [_, _, count] if parse_integer(count).is_some() => Reply::Array(Vec::new()),
        [_, _, _] => Reply::error(errors::NOT_AN_INTEGER),
        _ => errors::subcommand_shape("ACL", &args[1]),
    })
}

pub(super) fn no_file(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    Effect::Reply(Reply::error(errors::ACL_NO_FILE))
}

pub(super) fn not_yet(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    Effect::Reply(Reply::error(errors::ACL_NOT_YET))
}

pub(super) fn help(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    spec::help("acl")
}
