//! The directives of redis.conf that stand in a sentinel.conf: which of them mean something here, and which nothing.

/// What becomes of an ordinary directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ordinary {
    /// It has a counterpart, or needs a decision.
    Means(&'static str),
    /// It means nothing to a node.
    Nothing,
}

const LISTEN: &str = "cfgserver serve has --listen for this";
const LOG: &str = "a node logs to standard error: let the service manager keep it";
const PROCESS: &str = "a node stays in the foreground: let the service manager run it";
const PASSWORDS: &str = "cfgserver has no passwords and ACLs for clients yet: keep its port inside a trusted network";
const TLS: &str = "cfgserver has no TLS yet: keep its port inside a trusted network";
const SLOW: &str = "cfgserver serve has --subscriber-queue-bytes for slow subscribers";

const MEANS: &[(&str, &str)] = &[
    ("aclfile", PASSWORDS),
    ("bind", LISTEN),
    ("client-output-buffer-limit", SLOW),
    ("daemonize", PROCESS),
    ("dir", "cfgserver serve has --data-dir for this"),
    ("logfile", LOG),
    ("log-format", "cfgserver serve has --log-format for this"),
    ("loglevel", "cfgserver serve has --log-level for this"),
    ("maxclients", "cfgserver serve has --connections-max for this"),
    ("pidfile", PROCESS),
    ("port", LISTEN),
    ("requirepass", PASSWORDS),
    ("supervised", PROCESS),
    ("syslog-enabled", LOG),
    ("syslog-facility", LOG),
    ("syslog-ident", LOG),
    ("user", PASSWORDS),
];

const OF_TLS: &[&str] = &[
    "tls-auth-clients",
    "tls-auth-clients-user",
    "tls-auto-reload-interval",
    "tls-ca-cert-dir",
    "tls-ca-cert-file",
    "tls-cert-file",
    "tls-ciphers",
    "tls-ciphersuites",
    "tls-client-cert-file",
    "tls-client-key-file",
    "tls-client-key-file-pass",
    "tls-cluster",
    "tls-dh-params-file",
    "tls-key-file",
    "tls-key-file-pass",
    "tls-port",
    "tls-prefer-server-ciphers",
    "tls-protocols",
    "tls-replication",
    "tls-session-cache-size",
    "tls-session-cache-timeout",
    "tls-session-caching",
];

/// The rest of what Redis up to 8 and Valkey up to 9 know; in order.
const NOTHING: &[&str] = &[
    "acl-pubsub-default",
    "acllog-max-len",
    "active-defrag-cycle-max",
    "active-defrag-cycle-min",
    "active-defrag-ignore-bytes",
    "active-defrag-max-scan-fields",
    "active-defrag-threshold-lower",
    "active-defrag-threshold-upper",
    "active-expire-effort",
    "activedefrag",
    "activerehashing",
    "always-show-logo",
    "aof-disable-auto-gc",
    "aof-load-truncated",
    "aof-rewrite-cpulist",
    "aof-rewrite-incremental-fsync",
    "aof-timestamp-enabled",
    "aof-use-rdb-preamble",
    "aof_rewrite_cpulist",
    "appenddirname",
    "appendfilename",
    "appendfsync",
    "appendonly",
    "auto-aof-rewrite-min-size",
    "auto-aof-rewrite-percentage",
    "bgsave-cpulist",
    "bgsave_cpulist",
    "bind-source-addr",
    "bio-cpulist",
    "bio_cpulist",
    "busy-reply-threshold",
    "client-default-resp",
    "client-query-buffer-limit",
    "cluster-allow-pubsubshard-when-down",
    "cluster-allow-reads-when-down",
    "cluster-allow-replica-migration",
    "cluster-announce-bus-port",
    "cluster-announce-hostname",
    "cluster-announce-human-nodename",
    "cluster-announce-ip",
    "cluster-announce-port",
    "cluster-announce-tls-port",
    "cluster-config-file",
    "cluster-enabled",
    "cluster-link-sendbuf-limit",
    "cluster-migration-barrier",
    "cluster-node-timeout",
    "cluster-port",
    "cluster-preferred-endpoint-type",
    "cluster-replica-no-failover",
    "cluster-replica-validity-factor",
    "cluster-require-full-coverage",
    "cluster-slave-no-failover",
    "cluster-slave-validity-factor",
    "commandlog-execution-slower-than",
    "commandlog-large-reply-max-len",
    "commandlog-large-request-max-len",
    "commandlog-reply-larger-than",
    "commandlog-request-larger-than",
    "commandlog-slow-execution-max-len",
    "crash-log-enabled",
    "crash-memcheck-enabled",
    "databases",
    "dbfilename",
    "disable-thp",
    "dual-channel-replication-enabled",
    "dynamic-hz",
    "enable-debug-command",
    "enable-module-command",
    "enable-protected-configs",
    "events-per-io-thread",
    "extended-redis-compatibility",
    "hash-max-listpack-entries",
    "hash-max-listpack-value",
    "hash-max-ziplist-entries",
    "hash-max-ziplist-value",
    "hide-user-data-from-log",
    "hll-sparse-max-bytes",
    "hz",
    "ignore-warnings",
    "import-mode",
    "io-threads",
    "io-threads-always-active",
    "io-threads-do-reads",
    "jemalloc-bg-thread",
    "latency-monitor-threshold",
    "latency-tracking",
    "latency-tracking-info-percentiles",
    "lazyfree-lazy-eviction",
    "lazyfree-lazy-expire",
    "lazyfree-lazy-server-del",
    "lazyfree-lazy-user-del",
    "lazyfree-lazy-user-flush",
    "lfu-decay-time",
    "lfu-log-factor",
    "list-compress-depth",
    "list-max-listpack-size",
    "list-max-ziplist-entries",
    "list-max-ziplist-size",
    "list-max-ziplist-value",
    "loadmodule",
    "locale-collate",
    "log-timestamp-format",
    "lua-enable-insecure-api",
    "lua-time-limit",
    "masterauth",
    "masteruser",
    "max-new-connections-per-cycle",
    "max-new-tls-connections-per-cycle",
    "maxmemory",
    "maxmemory-clients",
    "maxmemory-eviction-tenacity",
    "maxmemory-policy",
    "maxmemory-samples",
    "min-replicas-max-lag",
    "min-replicas-to-write",
    "min-slaves-max-lag",
    "min-slaves-to-write",
    "mptcp",
    "no-appendfsync-on-rewrite",
    "notify-keyspace-events",
    "oom-score-adj",
    "oom-score-adj-values",
    "prefetch-batch-max-size",
    "primaryauth",
    "primaryuser",
    "proc-title-template",
    "propagation-error-behavior",
    "protected-mode",
    "proto-max-bulk-len",
    "rdb-del-sync-files",
    "rdb-save-incremental-fsync",
    "rdb-version-check",
    "rdbchecksum",
    "rdbcompression",
    "rdma-bind",
    "rdma-completion-vector",
    "rdma-port",
    "rdma-rx-size",
    "rename-command",
    "repl-backlog-size",
    "repl-backlog-ttl",
    "repl-disable-tcp-nodelay",
    "repl-diskless-load",
    "repl-diskless-sync",
    "repl-diskless-sync-delay",
    "repl-diskless-sync-max-replicas",
    "repl-diskless-sync-period",
    "repl-mptcp",
    "repl-ping-replica-period",
    "repl-ping-slave-period",
    "repl-rdb-channel",
    "repl-timeout",
    "replica-announce-ip",
    "replica-announce-port",
    "replica-announced",
    "replica-full-sync-buffer-limit",
    "replica-ignore-disk-write-errors",
    "replica-ignore-maxmemory",
    "replica-lazy-flush",
    "replica-priority",
    "replica-read-only",
    "replica-serve-stale-data",
    "replicaof",
    "req-res-logfile",
    "sanitize-dump-payload",
    "save",
    "server-cpulist",
    "server_cpulist",
    "set-max-intset-entries",
    "set-max-listpack-entries",
    "set-max-listpack-value",
    "set-proc-title",
    "shutdown-on-sigint",
    "shutdown-on-sigterm",
    "shutdown-timeout",
    "slave-announce-ip",
    "slave-announce-port",
    "slave-announced",
    "slave-ignore-maxmemory",
    "slave-lazy-flush",
    "slave-priority",
    "slave-read-only",
    "slave-serve-stale-data",
    "slaveof",
    "slot-migration-max-failover-repl-bytes",
    "slowlog-log-slower-than",
    "slowlog-max-len",
    "socket-mark-id",
    "stop-writes-on-bgsave-error",
    "stream-node-max-bytes",
    "stream-node-max-entries",
    "tcp-backlog",
    "tcp-keepalive",
    "timeout",
    "tracking-table-max-keys",
    "unixsocket",
    "unixsocketgroup",
    "unixsocketperm",
    "zset-max-listpack-entries",
    "zset-max-listpack-value",
    "zset-max-ziplist-entries",
    "zset-max-ziplist-value",
];

/// How many words may stand behind a directive. Redis knows no comment behind a value: it would be one word too many.
const ANY_NUMBER: &[&str] = &[
    "bind",
    "client-output-buffer-limit",
    "latency-tracking-info-percentiles",
    "loadmodule",
    "oom-score-adj-values",
    "rdma-bind",
    "save",
    "shutdown-on-sigint",
    "shutdown-on-sigterm",
    "user",
];
const TWO: &[&str] = &["rename-command", "replicaof", "slaveof"];

/// What becomes of a directive in lower case, and its name for a note; `None` when Redis does not know it.
pub(super) fn ordinary(name: &str) -> Option<(&'static str, Ordinary)> {
    if let Some((known, what)) = MEANS.iter().find(|(known, _)| *known == name) {
        return Some((known, Ordinary::Means(what)));
    }
    if let Some(known) = OF_TLS.iter().find(|known| **known == name) {
        return Some((known, Ordinary::Means(TLS)));
    }
    let at = NOTHING.binary_search(&name).ok()?;
    Some((NOTHING[at], Ordinary::Nothing))
}

/// Whether so many words may stand behind it.
pub(super) fn takes(name: &str, words: usize) -> bool {
    match words {
        0 => false,
        1 => !TWO.contains(&name),
        2 => TWO.contains(&name) || ANY_NUMBER.contains(&name),
        _ => ANY_NUMBER.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directives_stand_in_order_so_that_each_is_found() {
        assert!(NOTHING.is_sorted());
        assert!(
            NOTHING
                .iter()
                .all(|name| ordinary(name) == Some((name, Ordinary::Nothing)))
        );
        assert!(MEANS.iter().all(|(name, _)| NOTHING.binary_search(name).is_err()));
        assert!(ANY_NUMBER.iter().chain(TWO).all(|name| ordinary(name).is_some()));
        assert_eq!(ordinary("dance"), None);
        assert_eq!(ordinary("tls-port"), Some(("tls-port", Ordinary::Means(TLS))));
    }
}
