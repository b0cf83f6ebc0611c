//! Reads the INFO reply of an instance, of any version and any honesty.

use std::sync::Arc;

use crate::model::{Address, Age, Facts, HostName, Lineage, NamedReplica, ReplicaLine, Role, RunId};

/// Longest INFO that is read. Redis writes about 5 KB, with thousands of clients or replicas some hundred.
pub const INFO_BYTES_MAX: usize = 1 << 20;
/// Most replicas that are read from one INFO; further lines are ignored.
pub const REPLICA_LINES_MAX: usize = 1_000;

/// Longest text that is taken over from an INFO.
const TEXT_BYTES_MAX: usize = 255;
/// Priority of an instance that does not tell.
const PRIORITY_DEFAULT: u32 = 100;

/// Why a text is not the INFO of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfoError {
    /// Longer than [`INFO_BYTES_MAX`].
    #[error("info is too long")]
    TooLong,
    /// No usable `run_id`: nothing can be said about a process that cannot be told from another.
    #[error("info has no run_id")]
    NoRunId,
    /// `role` is missing, or neither `master` nor `slave`.
    #[error("info has no role of a data instance")]
    NoRole,
}

/// The fields as they come; what is missing or odd keeps its default.
#[derive(Default)]
struct Fields {
    run_id: Option<RunId>,
    version: String,
    role: Option<Role>,
    replid: Option<Arc<str>>,
    replid2: Option<Arc<str>>,
    primary_offset: u64,
    replica_offset: u64,
    primary_host: String,
    primary_port: u16,
    primary_link_up: bool,
    primary_link_down_s: Option<i64>,
    sync_in_progress: bool,
    priority: Option<u32>,
    not_announced: bool,
    loading: bool,
    keys: u64,
    uptime_s: u64,
    failing_over: Option<bool>,
    replicas: Vec<ReplicaLine>,
    named_replicas: Vec<NamedReplica>,
}

/// The facts of an INFO reply. Unknown lines are skipped, odd values are as good as missing ones; of a line that
/// comes twice the last counts.
pub fn parse_info(text: &[u8]) -> Result<Facts, InfoError> {
    if text.len() > INFO_BYTES_MAX {
        return Err(InfoError::TooLong);
    }
    let mut fields = Fields::default();
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if let Some((key, value)) = line.split_once(':') {
            fields.take(key, value);
        }
    }
    fields.facts()
}

impl Fields {
    fn take(&mut self, key: &str, value: &str) {
        match key {
            "run_id" => self.run_id = identifier(value).map(RunId::new),
            "redis_version" => self.version = short(value),
            "role" => self.role = role(value),
            "master_replid" => self.replid = replication_id(value),
            "master_replid2" => self.replid2 = replication_id(value),
            "master_repl_offset" => self.primary_offset = number(value),
            "slave_repl_offset" => self.replica_offset = number(value),
            "master_host" => self.primary_host = short(value),
            "master_port" => self.primary_port = value.parse().unwrap_or_default(),
            "master_link_status" => self.primary_link_up = value == "up",
            "master_link_down_since_seconds" => self.primary_link_down_s = value.parse().ok(),
            "master_sync_in_progress" => self.sync_in_progress = value == "1",
            "slave_priority" | "replica_priority" => self.priority = value.parse().ok(),
            "replica_announced" => self.not_announced = value == "0",
            "loading" => self.loading = value == "1",
            "master_failover_state" => self.failing_over = Some(value != "no-failover"),
            "uptime_in_seconds" => self.uptime_s = number(value),
            _ => self.take_numbered(key, value),
        }
    }

    /// `dbN` and `slaveN`.
    fn take_numbered(&mut self, key: &str, value: &str) {
        if is_numbered(key, "db") {
            let keys = value.split(',').find_map(|part| part.strip_prefix("keys="));
            self.keys = self.keys.saturating_add(keys.map_or(0, number));
        } else if is_numbered(key, "slave")
            && self.replicas.len() + self.named_replicas.len() < REPLICA_LINES_MAX
            && let Some((host, port, online, offset)) = replica_line(value)
        {
            self.take_replica(host, port, online, offset);
        }
    }

    fn take_replica(&mut self, host: &str, port: &str, online: bool, offset: u64) {
        if let Ok(address) = Address::parse(host, port) {
            self.replicas.push(ReplicaLine {
                address,
                online,
                offset,
            });
        } else if let (Ok(host), Ok(port @ 1..)) = (HostName::new(host), port.parse()) {
            self.named_replicas.push(NamedReplica {
                host,
                port,
                online,
                offset,
            });
        }
    }

    fn facts(self) -> Result<Facts, InfoError> {
        let run_id = self.run_id.ok_or(InfoError::NoRunId)?;
        let role = self.role.ok_or(InfoError::NoRole)?;
        let replid2 = self.replid2;
        let primary_link_down_ms = match role {
            Role::Primary => Some(0),
            Role::Replica if self.primary_link_up => Some(0),
            Role::Replica => self.primary_link_down_s.and_then(milliseconds),
        };
        Ok(Facts {
            run_id,
            version: self.version,
            role,
            lineage: self.replid.map(|replid| Lineage { replid, replid2 }),
            primary_offset: self.primary_offset,
            replica_offset: self.replica_offset,
            primary: Address::parse(&self.primary_host, &self.primary_port.to_string()).ok(),
            primary_host: self.primary_host,
            primary_port: self.primary_port,
            primary_link_up: self.primary_link_up,
            primary_link_down_ms,
            sync_in_progress: self.sync_in_progress,
            priority: self.priority.unwrap_or(PRIORITY_DEFAULT),
            announced: !self.not_announced,
            loading: self.loading,
            keys: self.keys,
            uptime_s: self.uptime_s,
            failing_over: self.failing_over,
            replicas: self.replicas,
            named_replicas: self.named_replicas,
        })
    }
}

fn role(value: &str) -> Option<Role> {
    match value {
        "master" => Some(Role::Primary),
        "slave" => Some(Role::Replica),
        _ => None,
    }
}

/// `ip=..,port=..,state=..,offset=..` or, before Redis 2.8, `ip,port,state`: host, port, whether it is online, offset.
fn replica_line(value: &str) -> Option<(&str, &str, bool, u64)> {
    if value.contains('=') {
        return Some(named_fields(value));
    }
    let mut parts = value.split(',');
    let (host, port) = (parts.next()?, parts.next()?);
    let online = parts.next().is_none_or(|state| state == "online");
    Some((host, port, online, 0))
}

fn named_fields(value: &str) -> (&str, &str, bool, u64) {
    let (mut ip, mut port, mut state, mut kind, mut offset) = ("", "", "online", "", 0);
    for (name, value) in value.split(',').filter_map(|part| part.split_once('=')) {
        match name {
            "ip" => ip = value,
            "port" => port = value,
            "state" => state = value,
            "type" => kind = value,
            "offset" => offset = number(value),
            _ => {}
        }
    }
    // A connection that only carries the initial data set is listed like a replica, and is none.
    let online = state == "online" && !kind.starts_with("rdb");
    (ip, port, online, offset)
}

/// A numbered field name: the prefix, then digits only.
fn is_numbered(key: &str, prefix: &str) -> bool {
    let digits = key.strip_prefix(prefix).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A run id or replication id: letters and digits, 40 in every known version.
fn identifier(value: &str) -> Option<&str> {
    let good = !value.is_empty() && value.len() <= 64 && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    good.then_some(value)
}

/// A replication id; all zeros stand for none.
fn replication_id(value: &str) -> Option<Arc<str>> {
    let id = identifier(value)?;
    id.bytes().any(|byte| byte != b'0').then(|| id.into())
}

fn number(value: &str) -> u64 {
    value.parse().unwrap_or_default()
}

fn short(value: &str) -> String {
    let mut end = value.len().min(TEXT_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value[..end].to_owned()
}

/// Seconds as milliseconds; a negative number says "never".
fn milliseconds(seconds: i64) -> Option<Age> {
    u64::try_from(seconds).ok().map(|seconds| seconds.saturating_mul(1_000))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
