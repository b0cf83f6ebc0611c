//! The rows of CLIENT.

use crate::requests::client;
use crate::requests::client::{kill, tracking};
use crate::requests::spec::Spec;

use super::{ADMIN, CONNECTION, ROW};

const CLIENT_ROW: Spec = Spec {
    categories: CONNECTION,
    ..ROW
};

pub(super) const REQUESTS: &[Spec] = &[
    Spec {
        name: "client|caching",
        arity: 3,
        usage: "(YES|NO)",
        summary: "Says whether the next request is tracked, in mode OPTIN or OPTOUT.",
        since: "6.0.0",
        run: tracking::caching,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|getname",
        arity: 2,
        summary: "The name of this connection.",
        since: "2.6.9",
        run: client::get_name,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|getredir",
        arity: 2,
        summary: "The connection that invalidations are sent to: 0 this one, -1 none are.",
        since: "6.0.0",
        run: tracking::get_redirection,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|help",
        arity: 2,
        flags: &["loading", "stale"],
        summary: "This text.",
        since: "5.0.0",
        run: client::help,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|id",
        arity: 2,
        summary: "The number of this connection.",
        since: "5.0.0",
        run: client::id,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|info",
        arity: 2,
        tips: &["nondeterministic_output"],
        summary: "The line of this connection in LIST.",
        since: "6.2.0",
        run: client::info,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|kill",
        arity: -3,
        flags: ADMIN,
        usage: "(<ip:port>|[ID <client-id>] [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [USER <username>] [ADDR <ip:port>] \
                [LADDR <ip:port>] [SKIPME (YES|NO)])",
        summary: "Closes connections.",
        since: "2.4.0",
        run: kill::kill,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|list",
        arity: -2,
        flags: ADMIN,
        tips: &["nondeterministic_output"],
        usage: "[TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <client-id> [<client-id> ...]]",
        summary: "A line about each connection.",
        since: "2.4.0",
        run: client::list,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|no-evict",
        arity: 3,
        flags: ADMIN,
        usage: "(ON|OFF)",
        summary: "Accepted. No connection is ever closed for its memory but a subscriber that does not read.",
        since: "7.0.0",
        run: client::no_evict,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|pause",
        arity: -3,
        flags: ADMIN,
        usage: "<timeout> [WRITE|ALL]",
        summary: "Holds the requests of all clients of this node for so many milliseconds; with WRITE only PUBLISH.",
        since: "3.0.0",
        run: client::pause,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|reply",
        arity: 3,
        usage: "(ON|OFF|SKIP)",
        summary: "Whether requests of this connection are answered.",
        since: "3.2.0",
        run: client::reply,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|setinfo",
        arity: 4,
        usage: "(LIB-NAME <libname>|LIB-VER <libver>)",
        summary: "Notes which client library this is.",
        since: "7.2.0",
        run: client::set_info,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|setname",
        arity: 3,
        usage: "<connection-name>",
        summary: "Names this connection.",
        since: "2.6.9",
        run: client::set_name,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|tracking",
        arity: -3,
        usage: "(ON|OFF) [REDIRECT <client-id>] [PREFIX <prefix> [PREFIX <prefix> ...]] [BCAST] [OPTIN] [OPTOUT] \
                [NOLOOP]",
        summary: "Accepted and shown. There are no keys here, so nothing is ever invalidated.",
        since: "6.0.0",
        run: tracking::tracking,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|trackinginfo",
        arity: 2,
        summary: "How this connection tracks keys.",
        since: "6.2.0",
        run: tracking::info,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|unblock",
        arity: -3,
        flags: ADMIN,
        usage: "<client-id> [TIMEOUT|ERROR]",
        summary: "Answers 0: no request here blocks.",
        since: "5.0.0",
        run: client::unblock,
        ..CLIENT_ROW
    },
    Spec {
        name: "client|unpause",
        arity: 2,
        flags: ADMIN,
        summary: "Ends PAUSE. Under PAUSE ALL it waits like every other request.",
        since: "6.2.0",
        run: client::unpause,
        ..CLIENT_ROW
    },
];
