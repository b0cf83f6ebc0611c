//! A row of the table of requests, and how rows are found. Arity errors, HELP, COMMAND and the refusals of a connection that subscribes or of a node
//! that is not ready all come from here: a new request is one row and one function.

use std::fmt;

use bytes::Bytes;

use crate::requests::{Effect, Session, View, table};
use crate::resp::Reply;
use crate::sentinel::errors;

/// Every category of Redis, in its order.
pub(super) const CATEGORIES: [&str; 21] = [
    "@keyspace",
    "@read",
    "@write",
    "@set",
    "@sortedset",
    "@list",
    "@hash",
    "@string",
    "@bitmap",
    "@hyperloglog",
    "@geo",
    "@stream",
    "@pubsub",
    "@admin",
    "@fast",
    "@slow",
    "@blocking",
    "@dangerous",
    "@connection",
    "@transaction",
    "@scripting",
];

/// Carries out a request; the arguments include its name.
pub(super) type Run = fn(&mut Session, &View<'_>, &[Bytes]) -> Effect;

/// A request, or a container of requests.
pub struct Spec {
    /// Name in lower case, `container|name` in a container.
    pub name: &'static str,
    /// Number of arguments, the names included: exactly `n`, or at least `n` when it is `-n`.
    pub arity: i32,
    /// Redis's flags.
    pub flags: &'static [&'static str],
    /// Redis's categories, beyond those that follow from the flags.
    pub categories: &'static [&'static str],
    /// Redis's hints for clients.
    pub tips: &'static [&'static str],
    /// What follows the name, for HELP and COMMAND DOCS.
    pub usage: &'static str,
    /// What it does, for HELP and COMMAND DOCS.
    pub summary: &'static str,
    /// Version of Redis, or of cfgserver for its own, that had it first.
    pub since: &'static str,
    /// Family.
    pub group: &'static str,
    /// Requests of a container.
    pub subcommands: &'static [Spec],
    /// Not answered while the node has not caught up.
    pub waits_until_ready: bool,
    /// A RESP2 connection may ask for it while it subscribes.
    pub while_subscribed: bool,
    pub(super) run: Run,
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Spec {
    /// The name without its container.
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit_once('|').map_or(self.name, |(_, short)| short)
    }

    /// Redis's categories, in its order.
    pub fn categories(&self) -> Vec<&'static str> {
        let has = |flag| self.flags.contains(&flag);
        let follows = |category: &str| match category {
            "@admin" | "@dangerous" => has("admin"),
            "@pubsub" => has("pubsub"),
            "@fast" => has("fast"),
            "@slow" => !has("fast"),
            _ => false,
        };
        let belongs = |category: &&str| follows(category) || self.categories.contains(category);
        CATEGORIES.iter().copied().filter(belongs).collect()
    }

    /// Whether it is sure to leave names, subscriptions and everything else of the session as they are. Those are the
    /// requests that come by the thousand.
    pub(super) fn leaves_session(&self) -> bool {
        self.name.starts_with("sentinel|") || ["ping", "info", "role"].contains(&self.name)
    }

    /// Whether a request is called this: `container|name`, or the name of a row without subcommands.
    fn is_named(&self, args: &[Bytes]) -> bool {
        let (Some(name), row) = (args.first(), self.name.as_bytes()) else {
            return false;
        };
        let Some(end) = name.len().checked_sub(row.len()) else {
            // Longer than the request's first word: a row within a container.
            let bar = row.get(name.len()) == Some(&b'|');
            let in_container = bar && row[..name.len()].eq_ignore_ascii_case(name);
            return in_container
                && args
                    .get(1)
                    .is_some_and(|word| row[name.len() + 1..].eq_ignore_ascii_case(word));
        };
        end == 0 && self.subcommands.is_empty() && row.eq_ignore_ascii_case(name)
    }

    pub(super) fn takes(&self, arguments: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity < 0 {
            arguments >= wanted
        } else {
            arguments == wanted
        }
    }
}

/// The row of a request, or the error that its name or its number of arguments deserves. Most requests are the same as
/// the one before: `last` is looked at first.
pub(super) fn find(args: &[Bytes], last: Option<&'static Spec>) -> Result<&'static Spec, Reply> {
    if let Some(last) = last.filter(|last| last.is_named(args) && last.takes(args.len())) {
        return Ok(last);
    }
    let name = args.first().map(Bytes::as_ref).unwrap_or_default();
    let spec = named(table(), name).ok_or_else(|| errors::unknown_command(args))?;
    let spec = match args.get(1) {
        Some(subcommand) if !spec.subcommands.is_empty() => named(spec.subcommands, subcommand)
            .ok_or_else(|| errors::unknown_subcommand(&spec.name.to_uppercase(), subcommand))?,
        _ => spec,
    };
    if spec.takes(args.len()) {
        Ok(spec)
    } else {
        Err(errors::arity(spec.name))
    }
}

/// The row that a whole request belongs to, whatever its number of arguments.
pub(super) fn by_words(words: &[Bytes]) -> Option<&'static Spec> {
    let top = named(table(), words.first()?)?;
    match words.get(1) {
        Some(subcommand) if !top.subcommands.is_empty() => named(top.subcommands, subcommand),
        _ => Some(top),
    }
}

/// The row with this name; a container's row is also found as `container|name`.
pub(super) fn by_full_name(name: &[u8]) -> Option<&'static Spec> {
    let container = name.split(|byte| *byte == b'|').next().unwrap_or_default();
    let top = named(table(), container)?;
    if container.len() == name.len() {
        return Some(top);
    }
    named(top.subcommands, &name[container.len() + 1..])
}

/// HELP of a container.
pub(super) fn help(container: &str) -> Effect {
    let upper = container.to_uppercase();
    let mut lines = vec![format!(
        "{upper} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    )];
    let rows = named(table(), container.as_bytes()).map_or(&[] as &[Spec], |spec| spec.subcommands);
    for row in rows.iter().filter(|row| row.short_name() != "help") {
        let name = row.short_name().to_uppercase();
        lines.push(format!("{name} {}", row.usage).trim_end().to_owned());
        lines.push(format!("    {}", row.summary));
    }
    lines.push("HELP".to_owned());
    lines.push("    Prints this help.".to_owned());
    let lines = lines.into_iter().map(|line| Reply::Simple(line.into()));
    Effect::Reply(Reply::Array(lines.collect()))
}

fn named(rows: &'static [Spec], name: &[u8]) -> Option<&'static Spec> {
    rows.iter().find(|row| is_short_name(row.name.as_bytes(), name))
}

/// Whether `name` is what stands behind the last bar of `row`. Every request comes here, past most of the rows: it looks
/// at the end of each, where most of them differ.
fn is_short_name(row: &[u8], name: &[u8]) -> bool {
    let Some(start) = row.len().checked_sub(name.len()) else {
        return false;
    };
    let (container, short) = row.split_at(start);
    let whole = container.last().is_none_or(|byte| *byte == b'|');
    whole && short.eq_ignore_ascii_case(name) && !name.contains(&b'|')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_is_found_again_for_the_same_request_only() {
        let words = |line: &str| crate::resp::split_line(line.as_bytes()).unwrap();
        let lines = [
            "PING",
            "ping x",
            "SENTINEL MASTERS",
            "sentinel master a",
            "SENTINEL",
            "SENTINEL MASTERS x",
            "SENTINEL|MASTERS",
            "CLIENT ID",
            "PINGS",
            "PIN",
        ];
        for last in lines {
            let last = find(&words(last), None).ok();
            for line in lines {
                let alone = find(&words(line), None).map(|spec| spec.name);
                assert_eq!(
                    find(&words(line), last).map(|spec| spec.name),
                    alone,
                    "{line} after {last:?}"
                );
            }
        }
    }

    #[test]
    fn a_row_is_found_by_what_stands_behind_the_bar() {
        for (row, name, found) in [
            ("ping", "PING", true),
            ("sentinel|master", "Master", true),
            ("sentinel|master", "sentinel|master", false),
            ("sentinel|masters", "master", false),
            ("sentinel|get-master", "master", false),
            ("sentinel|master", "", false),
            ("ping", "xping", false),
        ] {
            assert_eq!(is_short_name(row.as_bytes(), name.as_bytes()), found, "{row} {name}");
        }
    }
}
