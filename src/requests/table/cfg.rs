//! The rows of CFG.

use crate::requests::cfg;
use crate::requests::spec::Spec;

use super::ROW;

/// The row of CFG itself, but for its subcommands.
pub(super) const CONTAINER: Spec = Spec {
    name: "cfg",
    arity: -2,
    flags: &["admin", "loading", "stale"],
    summary: "Requests about the cluster of cfgserver nodes.",
    since: "0.1.0",
    group: "cfgserver",
    ..ROW
};

const CFG_ROW: Spec = CONTAINER;

pub(super) const REQUESTS: &[Spec] = &[
    Spec {
        name: "cfg|help",
        arity: 2,
        summary: "This text.",
        run: cfg::help,
        ..CFG_ROW
    },
    Spec {
        name: "cfg|leader",
        arity: -3,
        usage: "TRANSFER [<node-id>]",
        summary: "Hands leadership over.",
        run: cfg::leader,
        ..CFG_ROW
    },
    Spec {
        name: "cfg|node",
        arity: -3,
        usage: "(ADD <node-id> <host:port>|REMOVE <node-id>)",
        summary: "Adds a node that waits to join, or removes one.",
        run: cfg::node,
        ..CFG_ROW
    },
    Spec {
        name: "cfg|nodes",
        arity: 2,
        summary: "The nodes of the cluster.",
        run: cfg::nodes,
        ..CFG_ROW
    },
];
