//! A row of the table of requests, and how rows are found. Arity errors, HELP, COMMAND and the refusals of a connection that subscribes or of a node
//! that is not ready all come from here: a new request is one row and one function.

use bytes::Bytes;

use crate::requests::{Effect, Session, View, table};
use crate::resp::Reply;
use crate::sentinel::errors;

/// Carries out a request; the arguments include its name.
pub(super) type Run = fn(&mut Session, &View<'_>, &[Bytes]) -> Effect;

/// A request, or a container of requests.
pub struct Spec {
    /// Name in lower case, `container|name` in a container.
    pub name: &'static str,
    /// Number of arguments, the names included: exactly `n`, or at least `n` when it is `-n`.
    pub arity: i32,
    /// Redis's flags. `loading`: answered also while the node has not caught up.
    pub flags: &'static [&'static str],
    /// What follows the name, for HELP.
    pub usage: &'static str,
    /// What it does, for HELP and COMMAND DOCS.
    pub summary: &'static str,
    /// Version of Redis, or of cfgserver for its own, that had it first.
    pub since: &'static str,
    /// Family.
    pub group: &'static str,
    /// Requests of a container.
    pub subcommands: &'static [Spec],
    /// A RESP2 connection may ask for it while it subscribes.
    pub while_subscribed: bool,
    pub(super) run: Run,
}

impl Spec {
    /// The name without its container.
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit_once('|').map_or(self.name, |(_, short)| short)
    }

    /// Whether it is answered while the node has not caught up.
    pub fn while_not_ready(&self) -> bool {
        self.flags.contains(&"loading")
    }

    /// Redis's categories, from the flags.
    pub fn categories(&self) -> Vec<&'static str> {
        let has = |flag| self.flags.contains(&flag);
        let mut categories = Vec::new();
        if has("admin") {
            categories.extend(["@admin", "@dangerous"]);
        }
        if has("pubsub") {
            categories.push("@pubsub");
        }
        categories.push(if has("fast") { "@fast" } else { "@slow" });
        if self.group == "connection" {
            categories.push("@connection");
        }
        categories
    }

    fn takes(&self, arguments: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity < 0 {
            arguments >= wanted
        } else {
            arguments == wanted
        }
    }
}

/// The row of a request, or the error that its name or its number of arguments deserves.
pub(super) fn find(args: &[Bytes]) -> Result<&'static Spec, Reply> {
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
    rows.iter()
        .find(|row| row.short_name().as_bytes().eq_ignore_ascii_case(name))
}
