//! The rows of COMMAND.

use crate::requests::command;
use crate::requests::spec::Spec;

use super::{CONNECTION, ROW};

const NO_ORDER: &[&str] = &["nondeterministic_output_order"];

/// The row of COMMAND itself, but for its subcommands.
pub(super) const CONTAINER: Spec = Spec {
    name: "command",
    arity: -1,
    flags: &["loading", "stale"],
    categories: CONNECTION,
    tips: NO_ORDER,
    summary: "Describes the requests that this server knows.",
    since: "2.8.13",
    group: "server",
    run: command::all,
    ..ROW
};

const COMMAND_ROW: Spec = Spec {
    name: "",
    tips: &[],
    ..CONTAINER
};

pub(super) const REQUESTS: &[Spec] = &[
    Spec {
        name: "command|count",
        arity: 2,
        summary: "How many requests there are.",
        run: command::count,
        ..COMMAND_ROW
    },
    Spec {
        name: "command|docs",
        arity: -2,
        tips: NO_ORDER,
        usage: "[<command-name> ...]",
        summary: "What requests do.",
        since: "7.0.0",
        run: command::docs,
        ..COMMAND_ROW
    },
    Spec {
        name: "command|getkeys",
        arity: -4,
        usage: "<command> [<arg> ...]",
        summary: "The keys in a request. None of these requests has any.",
        run: command::get_keys,
        ..COMMAND_ROW
    },
    Spec {
        name: "command|getkeysandflags",
        arity: -4,
        usage: "<command> [<arg> ...]",
        summary: "The keys in a request, and what is done to them. None of these requests has any.",
        since: "7.0.0",
        run: command::get_keys,
        ..COMMAND_ROW
    },
    Spec {
        name: "command|help",
        arity: 2,
        summary: "This text.",
        since: "5.0.0",
        run: command::help,
        ..COMMAND_ROW
    },
    Spec {
        name: "command|info",
        arity: -2,
        tips: NO_ORDER,
        usage: "[<command-name> ...]",
        summary: "The shape of requests.",
        run: command::info,
        ..COMMAND_ROW
    },
    Spec {
        name: "command|list",
        arity: -2,
        tips: NO_ORDER,
        usage: "[FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
        summary: "The names of requests.",
        since: "7.0.0",
        run: command::list,
        ..COMMAND_ROW
    },
];
