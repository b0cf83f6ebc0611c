//! INFO: the parser agrees with a model that keeps every line and looks fields up afterwards.

use cfgserver::detect::{INFO_BYTES_MAX, InfoError, REPLICA_LINES_MAX, parse_info};
use cfgserver::model::{Address, Facts, HostName, Lineage, NamedReplica, ReplicaLine, Role, RunId};

/// Any text at all.
pub(super) fn agrees_with_the_model(bytes: &[u8]) {
    assert_eq!(parse_info(bytes), facts(bytes));
}

struct Lines(Vec<(String, String)>);

impl Lines {
    fn of(bytes: &[u8]) -> Self {
        let mut lines = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            let Ok(mut line) = String::from_utf8(line.to_vec()) else {
                continue;
            };
            if line.ends_with('\r') {
                line.pop();
            }
            if let Some(colon) = line.find(':') {
                lines.push((line[..colon].to_owned(), line[colon + 1..].to_owned()));
            }
        }
        Self(lines)
    }

    fn last(&self, keys: &[&str]) -> Option<&str> {
        let mut found = self.0.iter().filter(|(key, _)| keys.contains(&key.as_str()));
        found.next_back().map(|(_, value)| value.as_str())
    }

    fn number(&self, key: &str) -> u64 {
        self.last(&[key]).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.last(&[key]) == Some(value)
    }

    fn text(&self, key: &str) -> String {
        let mut text = self.last(&[key]).unwrap_or("").to_owned();
        while text.len() > 255 {
            text.pop();
        }
        text
    }

    fn id(&self, key: &str) -> Option<&str> {
        let good = |id: &&str| (1..=64).contains(&id.len()) && id.chars().all(|letter| letter.is_ascii_alphanumeric());
        self.last(&[key]).filter(good)
    }

    /// Values of `dbN` or `slaveN`, in order.
    fn numbered(&self, prefix: &str) -> Vec<&str> {
        let numbered = |key: &str| {
            let rest = key.strip_prefix(prefix).unwrap_or("");
            !rest.is_empty() && rest.chars().all(|letter| letter.is_ascii_digit())
        };
        let values = self.0.iter().filter(|(key, _)| numbered(key));
        values.map(|(_, value)| value.as_str()).collect()
    }
}

fn facts(bytes: &[u8]) -> Result<Facts, InfoError> {
    if bytes.len() > INFO_BYTES_MAX {
        return Err(InfoError::TooLong);
    }
    let lines = Lines::of(bytes);
    let run_id = lines.id("run_id").ok_or(InfoError::NoRunId)?;
    let role = match lines.last(&["role"]) {
        Some("master") => Role::Primary,
        Some("slave") => Role::Replica,
        _ => return Err(InfoError::NoRole),
    };
    let replid = |key| lines.id(key).filter(|id| !id.trim_matches('0').is_empty());
    let up = lines.is("master_link_status", "up");
    let down_s = lines
        .last(&["master_link_down_since_seconds"])
        .and_then(|value| value.parse::<i64>().ok());
    let down_ms = down_s
        .filter(|seconds| *seconds >= 0)
        .map(|seconds| (seconds as u64).saturating_mul(1_000));
    let port = lines
        .last(&["master_port"])
        .and_then(|value| value.parse().ok())
        .unwrap_or(0_u16);
    let host = lines.text("master_host");
    let priority = lines.last(&["slave_priority", "replica_priority"]);
    let keys = |line: &str| {
        let count = line.split(',').find(|part| part.starts_with("keys="))?;
        count["keys=".len()..].parse::<u64>().ok()
    };
    let (mut replicas, mut named_replicas) = (Vec::new(), Vec::new());
    let kept = lines.numbered("slave").into_iter().filter_map(replica);
    kept.take(REPLICA_LINES_MAX).for_each(|kept| match kept {
        Kept::At(line) => replicas.push(line),
        Kept::Named(line) => named_replicas.push(line),
    });
    Ok(Facts {
        run_id: RunId::new(run_id),
        version: lines.text("redis_version"),
        role,
        lineage: replid("master_replid").map(|first| Lineage {
            replid: first.into(),
            replid2: replid("master_replid2").map(Into::into),
        }),
        primary_offset: lines.number("master_repl_offset"),
        replica_offset: lines.number("slave_repl_offset"),
        primary: host.parse().ok().and_then(|ip| Address::new(ip, port).ok()),
        primary_host: host,
        primary_port: port,
        primary_link_up: up,
        primary_link_down_ms: if up || role == Role::Primary { Some(0) } else { down_ms },
        sync_in_progress: lines.is("master_sync_in_progress", "1"),
        priority: priority.and_then(|value| value.parse().ok()).unwrap_or(100),
        announced: !lines.is("replica_announced", "0"),
        loading: lines.is("loading", "1"),
        keys: lines
            .numbered("db")
            .into_iter()
            .fold(0, |sum: u64, line| sum.saturating_add(keys(line).unwrap_or(0))),
        uptime_s: lines.number("uptime_in_seconds"),
        failing_over: lines
            .last(&["master_failover_state"])
            .map(|state| state != "no-failover"),
        replicas,
        named_replicas,
    })
}

/// A replica's line, with an address or a host name.
enum Kept {
    At(ReplicaLine),
    Named(NamedReplica),
}

fn replica(line: &str) -> Option<Kept> {
    let parts: Vec<&str> = line.split(',').collect();
    let last = |key: &str| {
        let mut values = parts.iter().filter_map(|part| part.split_once('='));
        values.rfind(|(name, _)| *name == key).map(|(_, value)| value)
    };
    let (host, port, online, offset) = if line.contains('=') {
        let online = last("state").unwrap_or("online") == "online" && !last("type").unwrap_or("").starts_with("rdb");
        let offset = last("offset").and_then(|value| value.parse().ok()).unwrap_or(0);
        (last("ip")?, last("port")?, online, offset)
    } else {
        let online = parts.get(2).is_none_or(|state| *state == "online");
        (parts[0], *parts.get(1)?, online, 0)
    };
    if let Ok(address) = Address::parse(host, port) {
        return Some(Kept::At(ReplicaLine {
            address,
            online,
            offset,
        }));
    }
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some(Kept::Named(NamedReplica {
        host: HostName::new(host).ok()?,
        port,
        online,
        offset,
    }))
}
