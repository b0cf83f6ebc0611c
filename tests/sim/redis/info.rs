//! INFO, as an instance prints it.

use std::fmt::Write as _;

use super::{Fleet, Index, Replica, Server};

impl Fleet {
    /// The sections that cfgserver reads, in the layout of Redis 7.0; older ones lack some lines.
    pub(crate) fn info(&self, who: Index, now: u64) -> String {
        let server = &self.servers[who];
        let mut text = String::with_capacity(640);
        let loading = server.loading(now);
        let uptime = now.saturating_sub(server.started_at) / 1_000;
        _ = write!(
            text,
            "# Server\r\nredis_version:{}\r\nrun_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{uptime}\r\n\r\n\
             # Persistence\r\nloading:{}\r\n\r\n# Replication\r\n",
            server.version,
            server.run_id_text(),
            server.address.port,
            u8::from(loading),
        );
        match server.follows {
            None => text.push_str("role:master\r\n"),
            Some(_) => self.replica_lines(who, now, &mut text),
        }
        self.lines_of_replicas(who, now, &mut text);
        let second = server.second_lineage.map_or_else(|| "0".repeat(40), id);
        let offset = self.offset(who, now);
        if !server.version.starts_with('2') {
            _ = write!(
                text,
                "master_replid:{}\r\nmaster_replid2:{second}\r\n",
                id(server.lineage)
            );
        }
        if server.pauses_writes() {
            let state = if server.failing_over.is_some() {
                "waiting-for-sync"
            } else {
                "no-failover"
            };
            _ = write!(text, "master_failover_state:{state}\r\n");
        }
        _ = write!(text, "master_repl_offset:{offset}\r\n\r\n# Keyspace\r\n");
        let keys = if loading { 0 } else { self.keys(who) };
        if keys > 0 {
            _ = write!(text, "db0:keys={keys},expires=0,avg_ttl=0\r\n");
        }
        text
    }

    fn replica_lines(&self, who: Index, now: u64, text: &mut String) {
        let server = &self.servers[who];
        let Some(primary) = server.follows else { return };
        let up = server.link_up();
        let syncing = server.syncing();
        // While a copy is on its way it has no offset of its own.
        let offset = if syncing { 0 } else { self.offset(who, now) };
        _ = write!(
            text,
            "role:slave\r\nmaster_host:{}\r\nmaster_port:{}\r\nmaster_link_status:{}\r\nmaster_last_io_seconds_ago:{}\r\n\
             master_sync_in_progress:{}\r\nslave_repl_offset:{offset}\r\n",
            primary.ip,
            primary.port,
            if up { "up" } else { "down" },
            if up { 1 } else { -1 },
            u8::from(syncing),
        );
        if !up {
            let down_s = server
                .link_lost_at
                .map_or(-1, |lost_at| (now.saturating_sub(lost_at) / 1_000) as i64);
            _ = write!(text, "master_link_down_since_seconds:{down_s}\r\n");
        }
        _ = write!(
            text,
            "slave_priority:{}\r\nslave_read_only:1\r\nreplica_announced:1\r\n",
            server.priority
        );
    }

    fn lines_of_replicas(&self, who: Index, now: u64, text: &mut String) {
        for (count, (other, _, state)) in self.copies(who).enumerate() {
            let (ip, port, offset) = (
                self.servers[other].address.ip,
                self.servers[other].address.port,
                self.offset(other, now),
            );
            _ = write!(
                text,
                "slave{count}:ip={ip},port={port},state={state},offset={offset},lag=0\r\n"
            );
        }
    }

    /// Who copies from it, and what INFO calls that.
    pub(super) fn copies(&self, of: Index) -> impl Iterator<Item = (Index, Replica, &'static str)> {
        let copies = move |(other, server): (Index, &Server)| {
            let (from, state) = match server.replica {
                Replica::Up { from, .. } => (from, "online"),
                Replica::Transfer { from } => (from, "wait_bgsave"),
                Replica::Loading { from } => (from, "send_bulk"),
                Replica::Down => return None,
            };
            (from == of && other != of && server.running).then_some((other, server.replica, state))
        };
        self.servers.iter().enumerate().filter_map(copies)
    }
}

fn id(lineage: u32) -> String {
    format!("{lineage:040x}")
}
