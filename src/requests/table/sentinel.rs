//! The rows of SENTINEL.

use crate::requests::spec::Spec;
use crate::requests::{changes, config, debug, lookups};

use super::ROW;

/// The row of SENTINEL itself, but for its subcommands.
pub(super) const CONTAINER: Spec = Spec {
    name: "sentinel",
    arity: -2,
    flags: &["admin"],
    summary: "Requests of Redis Sentinel.",
    since: "2.8.4",
    group: "sentinel",
    ..ROW
};

const SENTINEL_ROW: Spec = CONTAINER;

/// Answers from what was applied.
const LOOKUP_ROW: Spec = Spec {
    waits_until_ready: true,
    ..SENTINEL_ROW
};

pub(super) const REQUESTS: &[Spec] = &[
    Spec {
        name: "sentinel|ckquorum",
        arity: 3,
        usage: "<master-name>",
        summary: "Whether enough nodes are up for a failover of the group.",
        run: lookups::check_quorum,
        ..LOOKUP_ROW
    },
    Spec {
        name: "sentinel|config",
        arity: -4,
        usage: "(GET <parameter> [<parameter> ...]|SET <parameter> <value> [<parameter> <value> ...])",
        summary: "Settings that are not of one group.",
        since: "6.2.0",
        run: config::config,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|debug",
        arity: -2,
        usage: "[<parameter> <value> [<parameter> <value> ...]]",
        summary: "Periods of this node in milliseconds; sets some until it ends.",
        since: "7.0.0",
        run: debug::debug,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|failover",
        arity: -3,
        usage: "<master-name> [COORDINATED] [TO <ip:port>]",
        summary: "Promotes a replica of the group now; COORDINATED: losing no write, or doing nothing.",
        run: changes::failover,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|flushconfig",
        arity: 2,
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
        ..LOOKUP_ROW
    },
    Spec {
        name: "sentinel|get-primary-addr-by-name",
        arity: 3,
        usage: "<primary-name>",
        summary: "The name that Valkey has for GET-MASTER-ADDR-BY-NAME.",
        run: lookups::get_master_address,
        ..LOOKUP_ROW
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
        name: "sentinel|info-cache",
        arity: -3,
        usage: "<master-name> [<master-name> ...]",
        summary: "The last INFO of the group's instances, as this node got it.",
        since: "3.2.0",
        run: lookups::info_cache,
        ..LOOKUP_ROW
    },
    Spec {
        name: "sentinel|is-master-down-by-addr",
        arity: 6,
        usage: "<ip> <port> <current-epoch> <runid>",
        summary: "Whether this node sees the primary at that address down.",
        run: lookups::is_master_down,
        ..LOOKUP_ROW
    },
    Spec {
        name: "sentinel|is-primary-down-by-addr",
        arity: 6,
        usage: "<ip> <port> <current-epoch> <runid>",
        summary: "The name that Valkey has for IS-MASTER-DOWN-BY-ADDR.",
        run: lookups::is_master_down,
        ..LOOKUP_ROW
    },
    Spec {
        name: "sentinel|master",
        arity: 3,
        usage: "<master-name>",
        summary: "State and settings of the group.",
        run: lookups::master,
        ..LOOKUP_ROW
    },
    Spec {
        name: "sentinel|masters",
        arity: 2,
        summary: "State and settings of every group.",
        run: lookups::masters,
        ..LOOKUP_ROW
    },
    Spec {
        name: "sentinel|monitor",
        arity: 6,
        usage: "<name> <ip> <port> <quorum>",
        summary: "Watches a new group, on every node.",
        run: changes::monitor,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|myid",
        arity: 2,
        summary: "The id of this node.",
        since: "6.2.0",
        run: lookups::my_id,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|pending-scripts",
        arity: 2,
        summary: "The scripts that run or wait on this node.",
        run: lookups::pending_scripts,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|primaries",
        arity: 2,
        summary: "The name that Valkey has for MASTERS.",
        run: lookups::masters,
        ..LOOKUP_ROW
    },
    Spec {
        name: "sentinel|primary",
        arity: 3,
        usage: "<primary-name>",
        summary: "The name that Valkey has for MASTER.",
        run: lookups::master,
        ..LOOKUP_ROW
    },
    Spec {
        name: "sentinel|remove",
        arity: 3,
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
        ..LOOKUP_ROW
    },
    Spec {
        name: "sentinel|reset",
        arity: 3,
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
        ..LOOKUP_ROW
    },
    Spec {
        name: "sentinel|set",
        arity: -5,
        usage: "<master-name> <option> <value> [<option> <value> ...]",
        summary: "Changes settings of the group, all or none.",
        run: changes::set,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|simulate-failure",
        arity: -3,
        usage: "[CRASH-AFTER-ELECTION] [CRASH-AFTER-PROMOTION] [HELP]",
        summary: "Has this node end with status 99 in its next failover.",
        since: "3.2.0",
        run: debug::simulate_failure,
        ..SENTINEL_ROW
    },
    Spec {
        name: "sentinel|slaves",
        arity: 3,
        usage: "<master-name>",
        summary: "The old name of REPLICAS.",
        since: "2.8.0",
        run: lookups::replicas,
        ..LOOKUP_ROW
    },
];
