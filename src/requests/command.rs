//! COMMAND: the table, for clients and redis-cli.

use bytes::Bytes;

use crate::requests::spec::{self, Spec};
use crate::requests::{Effect, Session, View, table, usage};
use crate::resp::{Reply, glob_matches};
use crate::sentinel::errors;

pub(super) fn all(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    Effect::Reply(Reply::Array(table().iter().map(shape).collect()))
}

pub(super) fn count(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    Effect::Reply(Reply::Integer(table().len() as i64))
}

pub(super) fn info(session: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    if args.len() == 2 {
        return all(session, view, args);
    }
    let shapes = args[2..]
        .iter()
        .map(|name| spec::by_full_name(name).map_or(Reply::Null, shape));
    Effect::Reply(Reply::Array(shapes.collect()))
}

pub(super) fn docs(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    let rows: Vec<_> = if args.len() == 2 {
        table().iter().collect()
    } else {
        args[2..].iter().filter_map(|name| spec::by_full_name(name)).collect()
    };
    Effect::Reply(documents(rows))
}

pub(super) fn list(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    let rows = table()
        .iter()
        .flat_map(|row| std::iter::once(row).chain(row.subcommands));
    let wanted: Box<dyn Fn(&Spec) -> bool> = match &args[2..] {
        [] => Box::new(|_| true),
        [filter, kind, value] if filter.eq_ignore_ascii_case(b"filterby") => {
            match kind.to_ascii_lowercase().as_slice() {
                b"module" => Box::new(|_| false),
                b"aclcat" => {
                    let category = format!("@{}", String::from_utf8_lossy(value).to_lowercase());
                    Box::new(move |row| row.categories().contains(&category.as_str()))
                }
                b"pattern" => Box::new(|row| glob_matches(&value.to_ascii_lowercase(), row.name.as_bytes())),
                _ => return Effect::Reply(Reply::error(errors::SYNTAX)),
            }
        }
        _ => return Effect::Reply(Reply::error(errors::SYNTAX)),
    };
    let names = rows.filter(|row| wanted(row)).map(|row| Reply::bulk(row.name));
    Effect::Reply(Reply::Array(names.collect()))
}

pub(super) fn help(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    spec::help("command")
}

/// None of the requests has keys: whoever asks for those of one is told so, as Redis does.
pub(super) fn get_keys(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    Effect::Reply(Reply::error(match spec::by_words(&args[2..]) {
        Some(_) => errors::NO_KEYS,
        None => errors::INVALID_COMMAND,
    }))
}

/// The ten elements that describe a request. There are no keys in any of them.
fn shape(row: &Spec) -> Reply {
    let statuses = |texts: &[&'static str]| {
        let simple = texts.iter().map(|text| Reply::Simple((*text).into()));
        Reply::Set(simple.collect())
    };
    // Redis writes no subcommands as a set of none, and some as an array.
    let subcommands = match row.subcommands {
        [] => Reply::Set(Vec::new()),
        rows => Reply::Array(rows.iter().map(shape).collect()),
    };
    Reply::Array(vec![
        Reply::bulk(row.name),
        Reply::Integer(i64::from(row.arity)),
        statuses(row.flags),
        Reply::Integer(0),
        Reply::Integer(0),
        Reply::Integer(0),
        statuses(&row.categories()),
        Reply::Set(Reply::bulks(row.tips)),
        Reply::Set(Vec::new()),
        subcommands,
    ])
}

fn documents<'a>(rows: impl IntoIterator<Item = &'a Spec>) -> Reply {
    let documents = rows.into_iter().map(|row| (Reply::bulk(row.name), document(row)));
    Reply::Map(documents.collect())
}

fn document(row: &Spec) -> Reply {
    let mut fields = vec![
        (Reply::bulk("summary"), Reply::bulk(row.summary)),
        (Reply::bulk("since"), Reply::bulk(row.since)),
        (Reply::bulk("group"), Reply::bulk(row.group)),
    ];
    let arguments = usage::arguments(row.usage);
    if !arguments.is_empty() {
        fields.push((Reply::bulk("arguments"), Reply::Array(arguments)));
    }
    if !row.subcommands.is_empty() {
        fields.push((Reply::bulk("subcommands"), documents(row.subcommands)));
    }
    Reply::Map(fields)
}
