//! The rows of CFG.

use crate::requests::spec::Spec;
use crate::requests::{cfg, changes, explain, groups};

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
        name: "cfg|explain",
        arity: 3,
        usage: "<group>",
        summary: "Why a group is not failed over, or how far its failover is: votes, replicas, what holds it back.",
        run: explain::group,
        ..CFG_ROW
    },
    Spec {
        name: "cfg|groups",
        arity: 2,
        flags: &["admin"],
        summary: "The groups with their settings, named as SENTINEL SET does. Passwords are not shown.",
        waits_until_ready: true,
        run: groups::groups,
        ..CFG_ROW
    },
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
        name: "cfg|monitor",
        arity: -6,
        usage: "<group> <ip> <port> <quorum> [<option> <value> ...]",
        summary: "SENTINEL MONITOR and SENTINEL SET at once. A group that is there gets the settings that differ.",
        run: changes::configure,
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
