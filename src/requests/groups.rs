//! CFG GROUPS: what is configured, and where the instances are.

use bytes::Bytes;

use crate::model::{Group, Timestamp};
use crate::requests::{Effect, Session, View};
use crate::resp::Reply;
use crate::sentinel::{identity_name, mode_name, renamed};

/// A map per group. Settings have the names and the form that SENTINEL SET takes.
pub(super) fn groups(session: &mut Session, view: &View<'_>, _: &[Bytes]) -> Effect {
    session.listed(view);
    let now = view.state.time(view.wall);
    let entries = view.state.groups_by_name().map(|group| entry(group, now));
    Effect::Reply(Reply::Array(entries.collect()))
}

fn entry(group: &Group, now: Timestamp) -> Reply {
    const MASK: &str = "******";
    let config = &group.config;
    let replicas: Vec<String> = group.replicas().map(|(address, _)| address.to_string()).collect();
    let masked = if config.auth_pass.is_empty() { "" } else { MASK };
    let fields = [
        ("name", group.name.to_string()),
        ("ip", group.primary.ip.to_string()),
        ("port", group.primary.port.to_string()),
        ("replicas", replicas.join(",")),
        ("version", group.version.to_string()),
        ("quorum", config.quorum.to_string()),
        ("down-after-milliseconds", config.down_after_ms.to_string()),
        ("failover-timeout", config.failover_timeout_ms.to_string()),
        ("parallel-syncs", config.parallel_syncs.to_string()),
        (
            "master-reboot-down-after-period",
            config.reboot_down_after_ms.to_string(),
        ),
        ("refused-after-milliseconds", config.refused_after_ms.to_string()),
        ("mode", mode_name(config.mode).to_owned()),
        ("identity", identity_name(config.identity).to_owned()),
        ("auth-user", config.auth_user.clone()),
        ("auth-pass", masked.to_owned()),
        ("notification-script", config.notification_script.clone()),
        ("client-reconfig-script", config.client_reconfig_script.clone()),
        ("rename-command", renamed(config)),
        (
            "host-name",
            group
                .hosts
                .get(&group.primary)
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        ("failover", config.automatic.at(now).to_string()),
    ];
    let fields = fields
        .into_iter()
        .map(|(name, value)| (Reply::bulk(name), Reply::bulk(value)));
    Reply::Map(fields.collect())
}
