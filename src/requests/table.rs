//! The table: one row per request.
//!
//! What does not live here: what a row is for (that is in `spec`), and what a request does.

mod own;

use bytes::Bytes;

use crate::requests::spec::Spec;
use crate::requests::{Effect, Session, View, changes, client, command, connection, info, lookups, pubsub};
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
/// Answers from what was applied: waits until the node is ready.
const LOOKUP: &[&str] = &["admin"];
const ADMIN: &[&str] = &["admin", "loading", "stale"];

const ROW: Spec = Spec {
    name: "",
    arity: 0,
    flags: ALWAYS,
    usage: "",
    summary: "",
    since: "1.0.0",
    group: "connection",
    subcommands: &[],
    while_subscribed: false,
    run: container_only,
};

const SENTINEL_ROW: Spec = Spec {
    flags: LOOKUP,
    since: "2.8.4",
    group: "sentinel",
    ..ROW
};

const CFG_ROW: Spec = Spec {
    flags: ADMIN,
    since: "0.1.0",
    group: "cfgserver",
    ..ROW
};

static TABLE: &[Spec] = &[
    Spec {
        name: "ping",
        arity: -1,
        flags: &["loading", "stale", "fast"],
        summary: "Answers PONG, or its argument.",
        while_subscribed: true,
        run: connection::ping,
        ..ROW
    },
    Spec {
        name: "hello",
        arity: -1,
        flags: BEFORE_AUTH,
        summary: "Chooses the protocol and introduces the client.",
        since: "6.0.0",
        run: connection::hello,
        ..ROW
    },
    Spec {
        name: "auth",
        arity: -2,
        flags: BEFORE_AUTH,
        summary: "Authenticates the connection.",
        run: connection::auth,
        ..ROW
    },
    Spec {
        name: "quit",
        arity: -1,
        flags: BEFORE_AUTH,
        summary: "Closes the connection.",
        while_subscribed: true,
        run: connection::quit,
        ..ROW
    },
    Spec {
        name: "reset",
        arity: 1,
        flags: BEFORE_AUTH,
        summary: "Makes the connection as good as new.",
        since: "6.2.0",
        while_subscribed: true,
        run: connection::reset,
        ..ROW
    },
    Spec {
        name: "client",
        arity: -2,
        flags: &[],
        summary: "Requests about client connections.",
        since: "2.4.0",
        subcommands: CLIENT,
        ..ROW
    },
    Spec {
        name: "command",
        arity: -1,
        flags: &["loading", "stale"],
        summary: "Describes the requests that this server knows.",
        since: "2.8.13",
        group: "server",
        subcommands: COMMAND,
        run: command::all,
        ..ROW
    },
    Spec {
        name: "info",
        arity: -1,
        flags: &["loading", "stale"],
        summary: "Facts about this node, by section.",
        group: "server",
        run: info::info,
        ..ROW
    },
    Spec {
        name: "role",
        arity: 1,
        flags: &["noscript", "stale", "fast", "admin"],
        summary: "Says that this is a Sentinel, and the names of its groups.",
        since: "2.8.12",
        group: "server",
        run: lookups::role,
        ..ROW
    },
    Spec {
        name: "subscribe",
        arity: -2,
        flags: SUBSCRIPTION,
        summary: "Listens to channels of events.",
        since: "2.0.0",
        group: "pubsub",
        while_subscribed: true,
        run: pubsub::subscribe,
        ..ROW
    },
    Spec {
        name: "psubscribe",
        arity: -2,
        flags: SUBSCRIPTION,
        summary: "Listens to the channels that match patterns.",
        since: "2.0.0",
        group: "pubsub",
        while_subscribed: true,
        run: pubsub::psubscribe,
        ..ROW
    },
    Spec {
        name: "unsubscribe",
        arity: -1,
        flags: SUBSCRIPTION,
        summary: "Stops listening to channels.",
        since: "2.0.0",
        group: "pubsub",
        while_subscribed: true,
        run: pubsub::unsubscribe,
        ..ROW
    },
    Spec {
        name: "punsubscribe",
        arity: -1,
        flags: SUBSCRIPTION,
        summary: "Stops listening to patterns.",
        since: "2.0.0",
        group: "pubsub",
        while_subscribed: true,
        run: pubsub::punsubscribe,
        ..ROW
    },
    Spec {
        name: "sentinel",
        arity: -2,
        flags: &["admin"],
        summary: "Requests of Redis Sentinel.",
        subcommands: SENTINEL,
        ..SENTINEL_ROW
    },
    Spec {
        name: "cfg",
        arity: -2,
        summary: "Requests about the cluster of cfgserver nodes.",
        subcommands: own::CFG,
        ..CFG_ROW
    },
];

const CLIENT: &[Spec] = &[
    Spec {
        name: "client|getname",
        arity: 2,
        summary: "The name of this connection.",
        since: "2.6.9",
        run: client::get_name,
        ..ROW
    },
    Spec {
        name: "client|help",
        arity: 2,
        summary: "This text.",
        since: "5.0.0",
        run: client::help,
        ..ROW
    },
    Spec {
        name: "client|id",
        arity: 2,
        summary: "The number of this connection.",
        since: "5.0.0",
        run: client::id,
        ..ROW
    },
    Spec {
        name: "client|info",
        arity: 2,
        summary: "The line of this connection in LIST.",
        since: "6.2.0",
        run: client::info,
        ..ROW
    },
    Spec {
        name: "client|list",
        arity: -2,
        flags: &["admin", "noscript", "loading", "stale"],
        usage: "[TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <id> [<id> ...]]",
        summary: "A line about each connection.",
        since: "2.4.0",
        run: client::list,
        ..ROW
    },
    Spec {
        name: "client|setinfo",
        arity: 4,
        usage: "(LIB-NAME|LIB-VER) <value>",
        summary: "Notes which client library this is.",
        since: "7.2.0",
        run: client::set_info,
        ..ROW
    },
    Spec {
        name: "client|setname",
        arity: 3,
        usage: "<name>",
        summary: "Names this connection.",
        since: "2.6.9",
        run: client::set_name,
        ..ROW
    },
];

const COMMAND_ROW: Spec = Spec {
    flags: &["loading", "stale"],
    since: "2.8.13",
    group: "server",
    ..ROW
};

const COMMAND: &[Spec] = &[
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
        usage: "[<command-name> ...]",
        summary: "What requests do.",
        since: "7.0.0",
        run: command::docs,
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
        usage: "[<command-name> ...]",
        summary: "The shape of requests.",
        run: command::info,
        ..COMMAND_ROW
    },
    Spec {
        name: "command|list",
        arity: -2,
        usage: "[FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
        summary: "The names of requests.",
        since: "7.0.0",
        run: command::list,
        ..COMMAND_ROW
    },
];

const SENTINEL: &[Spec] = &[
    Spec {
        name: "sentinel|ckquorum",
        arity: 3,
        usage: "<master-name>",
        summary: "Whether enough nodes are up for a failover of the group.",
        run: lookups::check_quorum,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|failover",
        arity: 3,
        flags: ADMIN,
        usage: "<master-name>",
        summary: "Promotes a replica of the group now.",
        run: changes::failover,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|flushconfig",
        arity: 2,
        flags: ADMIN,
        summary: "Does nothing: what is acknowledged is on disk.",
        run: lookups::flush_config,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|get-master-addr-by-name",
        arity: 3,
        usage: "<master-name>",
        summary: "IP address and port of the group's primary.",
        run: lookups::get_master_address,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|help",
        arity: 2,
        flags: &["loading", "stale"],
        summary: "This text.",
        since: "6.2.0",
        run: lookups::help,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|is-master-down-by-addr",
        arity: 6,
        usage: "<ip> <port> <current-epoch> <runid>",
        summary: "Whether this node sees the primary at that address down.",
        run: lookups::is_master_down,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|master",
        arity: 3,
        usage: "<master-name>",
        summary: "State and settings of the group.",
        run: lookups::master,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|masters",
        arity: 2,
        summary: "State and settings of every group.",
        run: lookups::masters,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|monitor",
        arity: 6,
        flags: ADMIN,
        usage: "<name> <ip> <port> <quorum>",
        summary: "Watches a new group, on every node.",
        run: changes::monitor,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|myid",
        arity: 2,
        flags: &["admin", "loading", "stale"],
        summary: "The id of this node.",
        since: "6.2.0",
        run: lookups::my_id,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|remove",
        arity: 3,
        flags: ADMIN,
        usage: "<master-name>",
        summary: "Stops watching the group.",
        run: changes::remove,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|replicas",
        arity: 3,
        usage: "<master-name>",
        summary: "State of the group's replicas.",
        since: "5.0.0",
        run: lookups::replicas,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|reset",
        arity: 3,
        flags: ADMIN,
        usage: "<pattern>",
        summary: "Forgets unreachable replicas and open failovers of the groups that match.",
        run: changes::reset,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|sentinels",
        arity: 3,
        usage: "<master-name>",
        summary: "The other nodes.",
        run: lookups::sentinels,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|set",
        arity: -5,
        flags: ADMIN,
        usage: "<master-name> <option> <value> [<option> <value> ...]",
        summary: "Changes settings of the group, all or none.",
        run: changes::set,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|slaves",
        arity: 3,
        usage: "<master-name>",
        summary: "The old name of REPLICAS.",
        since: "2.8.0",
        run: lookups::replicas,
        ..SENTINEL_ROW
    },
];
