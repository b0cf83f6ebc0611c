//! The table: one row per request, one file per container.
//!
//! What does not live here: what a row is for (that is in `spec`), and what a request does.

mod acl;
mod cfg;
mod client;
mod command;
mod sentinel;

use bytes::Bytes;

use crate::requests::spec::Spec;
use crate::requests::{Effect, Session, View, connection, info, lookups, node, publish, pubsub};
use crate::sentinel::errors;

/// All requests, in the order in which COMMAND lists them.
pub fn table() -> &'static [Spec] {
    TABLE
}

fn container_only(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    let subcommand = args.get(1).map(Bytes::as_ref).unwrap_or_default();
    let container = args.first().map(|name| String::from_utf8_lossy(name).to_uppercase());
    Effect::Reply(errors::unknown_subcommand(&container.unwrap_or_default(), subcommand))
}

const ALWAYS: &[&str] = &["noscript", "loading", "stale"];
const BEFORE_AUTH: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"];
const SUBSCRIPTION: &[&str] = &["pubsub", "noscript", "loading", "stale"];
const ADMIN: &[&str] = &["admin", "noscript", "loading", "stale"];
const CONNECTION: &[&str] = &["@connection"];

const ROW: Spec = Spec {
    name: "",
    arity: 0,
    flags: ALWAYS,
    categories: &[],
    tips: &[],
    usage: "",
    summary: "",
    since: "1.0.0",
    group: "connection",
    subcommands: &[],
    waits_until_ready: false,
    while_subscribed: false,
    run: container_only,
};

const SUBSCRIPTION_ROW: Spec = Spec {
    flags: SUBSCRIPTION,
    since: "2.0.0",
    group: "pubsub",
    while_subscribed: true,
    ..ROW
};

static TABLE: &[Spec] = &[
    Spec {
        name: "ping",
        arity: -1,
        flags: &["fast"],
        categories: CONNECTION,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        usage: "[<message>]",
        summary: "Answers PONG, or its argument.",
        while_subscribed: true,
        run: connection::ping,
        ..ROW
    },
    Spec {
        name: "hello",
        arity: -1,
        flags: BEFORE_AUTH,
        categories: CONNECTION,
        usage: "[<protover> [AUTH <username> <password>] [SETNAME <clientname>]]",
        summary: "Chooses the protocol and introduces the client.",
        since: "6.0.0",
        run: connection::hello,
        ..ROW
    },
    Spec {
        name: "auth",
        arity: -2,
        flags: BEFORE_AUTH,
        categories: CONNECTION,
        usage: "[<username>] <password>",
        summary: "Authenticates the connection.",
        run: connection::auth,
        ..ROW
    },
    Spec {
        name: "quit",
        arity: -1,
        flags: BEFORE_AUTH,
        categories: CONNECTION,
        summary: "Closes the connection.",
        while_subscribed: true,
        run: connection::quit,
        ..ROW
    },
    Spec {
        name: "reset",
        arity: 1,
        flags: BEFORE_AUTH,
        categories: CONNECTION,
        summary: "Makes the connection as good as new.",
        since: "6.2.0",
        while_subscribed: true,
        run: connection::reset,
        ..ROW
    },
    Spec {
        name: "acl",
        arity: -2,
        flags: &[],
        summary: "Requests about users and what they may do.",
        since: "6.0.0",
        group: "server",
        subcommands: acl::REQUESTS,
        ..ROW
    },
    Spec {
        name: "client",
        arity: -2,
        flags: &[],
        summary: "Requests about client connections.",
        since: "2.4.0",
        subcommands: client::REQUESTS,
        ..ROW
    },
    Spec {
        name: "command",
        subcommands: command::REQUESTS,
        ..command::CONTAINER
    },
    Spec {
        name: "info",
        arity: -1,
        flags: &["loading", "stale"],
        categories: &["@dangerous"],
        tips: &[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ],
        usage: "[<section> ...]",
        summary: "Facts about this node, by section.",
        group: "server",
        run: info::info,
        ..ROW
    },
    Spec {
        name: "role",
        arity: 1,
        flags: &["noscript", "loading", "stale", "fast"],
        categories: &["@admin", "@dangerous"],
        summary: "Says that this is a Sentinel, and the names of its groups.",
        since: "2.8.12",
        group: "server",
        waits_until_ready: true,
        run: lookups::role,
        ..ROW
    },
    Spec {
        name: "shutdown",
        arity: -1,
        flags: &["admin", "noscript", "loading", "stale", "no_multi", "allow_busy"],
        usage: "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]",
        summary: "Ends this node as SIGTERM does. Nothing has to be saved.",
        group: "server",
        run: node::shut_down,
        ..ROW
    },
    Spec {
        name: "publish",
        arity: 3,
        flags: &["pubsub", "loading", "stale", "fast"],
        usage: "<channel> <message>",
        summary: "Hears the hello of a Sentinel. It is noted, and never acted upon.",
        since: "2.0.0",
        group: "pubsub",
        run: publish::publish,
        ..ROW
    },
    Spec {
        name: "subscribe",
        arity: -2,
        usage: "<channel> [<channel> ...]",
        summary: "Listens to channels of events.",
        run: pubsub::subscribe,
        ..SUBSCRIPTION_ROW
    },
    Spec {
        name: "psubscribe",
        arity: -2,
        usage: "<pattern> [<pattern> ...]",
        summary: "Listens to the channels that match patterns.",
        run: pubsub::psubscribe,
        ..SUBSCRIPTION_ROW
    },
    Spec {
        name: "unsubscribe",
        arity: -1,
        usage: "[<channel> ...]",
        summary: "Stops listening to channels.",
        run: pubsub::unsubscribe,
        ..SUBSCRIPTION_ROW
    },
    Spec {
        name: "punsubscribe",
        arity: -1,
        usage: "[<pattern> ...]",
        summary: "Stops listening to patterns.",
        run: pubsub::punsubscribe,
        ..SUBSCRIPTION_ROW
    },
    Spec {
        name: "sentinel",
        subcommands: sentinel::REQUESTS,
        ..sentinel::CONTAINER
    },
    Spec {
        name: "cfg",
        subcommands: cfg::REQUESTS,
        ..cfg::CONTAINER
    },
];
