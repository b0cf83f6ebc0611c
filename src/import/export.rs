//! The way back: the cluster's groups as a sentinel.conf.

use std::fmt::Write;

use super::present::{Present, Standing};
use crate::model::GroupName;

/// Sentinel's own defaults are not written, as it does not write them.
const SETTINGS: &[(&str, &str)] = &[
    ("down-after-milliseconds", "30000"),
    ("failover-timeout", "180000"),
    ("parallel-syncs", "1"),
    ("master-reboot-down-after-period", "0"),
    ("auth-user", ""),
    ("notification-script", ""),
    ("client-reconfig-script", ""),
];

/// What each Sentinel needs to take the groups over. Passwords are left open: the cluster does not tell them.
pub fn export(present: &Present) -> String {
    let mut text = String::from(
        "# Groups of a cfgserver cluster, for redis-sentinel. Add port, dir and whatever else the Sentinel needs.\n",
    );
    if present.groups.values().any(|standing| !standing.host.is_empty()) {
        text.push_str("sentinel resolve-hostnames yes\n");
    }
    for (name, standing) in &present.groups {
        put_group(&mut text, name, standing);
    }
    text
}

fn put_group(text: &mut String, name: &GroupName, standing: &Standing) {
    let name = quoted(name.as_str());
    let (host, port) = standing.place().words();
    let quorum = standing.setting("quorum");
    _ = writeln!(text, "\nsentinel monitor {name} {host} {port} {quorum}");
    for (option, default) in SETTINGS {
        let value = standing.setting(option);
        if value != *default && !value.is_empty() {
            _ = writeln!(text, "sentinel {option} {name} {}", quoted(value));
        }
    }
    let renamed = standing.setting("rename-command").split(',');
    for (usual, own) in renamed.filter_map(|pair| pair.split_once('=')) {
        _ = writeln!(text, "sentinel rename-command {name} {} {}", quoted(usual), quoted(own));
    }
    if !standing.setting("auth-pass").is_empty() {
        _ = writeln!(
            text,
            "# sentinel auth-pass {name} ... (the cluster has one, and does not tell it)"
        );
    }
    let failover = standing.setting("failover");
    if !matches!(failover, "" | "on") {
        _ = writeln!(
            text,
            "# automatic failover of {name} is off ({failover}) in the cluster; a Sentinel has no such setting"
        );
    }
    for replica in &standing.replicas {
        _ = writeln!(text, "sentinel known-replica {name} {} {}", replica.ip, replica.port);
    }
}

/// A word as Redis reads it back.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for byte in word.bytes() {
        match byte {
            b'"' | b'\\' => {
                quoted.push('\\');
                quoted.push(char::from(byte));
            }
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => _ = write!(quoted, "\\x{byte:02x}"),
        }
    }
    quoted.push('"');
    quoted
}
