//! What operators do to groups, what the leader learns about them, and the nodes of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::machine::apply::{Change, primary_of, replica_of};
use crate::machine::{MemberFacts, Outcome, Rejection, ResetGroup, SharedSetting};
use crate::model::{
    Address, ClusterId, EventKind, Failover, FailoverKind, Group, GroupConfig, GroupId, GroupName, InstanceRef, Member,
    Monitored, Node, NodeId, Revision, Setting,
};

/// Commands of one group that have another name. Redis has some 240, of which a handful is ever sent.
const RENAMED_MAX: usize = 256;

pub(super) fn monitor(
    change: &mut Change<'_>,
    name: &GroupName,
    wanted: &Monitored,
    settings: &[Setting],
) -> Result<(), Rejection> {
    let (primary, quorum) = (wanted.address, wanted.quorum);
    if quorum == 0 {
        return Err(Rejection::Invalid);
    }
    if let Some(group) = change.state.group_named(name.as_str()) {
        let current = Monitored {
            address: group.primary,
            host: group.hosts.get(&group.primary).cloned(),
            quorum: group.config.quorum,
        };
        let same = wanted.same_as(&group.monitored) || wanted.same_as(&current);
        return if same { Ok(()) } else { Err(Rejection::DuplicateName) };
    }
    if let Some(other) = change.state.group_at(primary) {
        return Err(Rejection::AddressTaken(other.name.clone()));
    }
    let mut config = GroupConfig {
        quorum,
        ..GroupConfig::default()
    };
    for setting in settings {
        put_setting(&mut config, setting)?;
    }
    let header = change.state.header_mut();
    header.next_group += 1;
    let group = Group {
        id: GroupId(header.next_group),
        name: name.clone(),
        monitored: wanted.clone(),
        config,
        primary,
        members: BTreeMap::from([(primary, Member::default())]),
        hosts: wanted.host.iter().map(|host| (primary, host.clone())).collect(),
        epoch: 0,
        config_epoch: 0,
        failover: None,
        outage: None,
        switches: Vec::new(),
        abort: None,
        version: change.revision,
        created: change.revision,
    };
    change.tell(
        group.id,
        EventKind::Monitor {
            primary: primary_of(&group),
            quorum,
        },
    );
    change.put(group);
    Ok(())
}

/// MONITOR and SET in one entry. The quorum is a setting like the others where the group exists.
pub(super) fn configure(
    change: &mut Change<'_>,
    name: &GroupName,
    wanted: &Monitored,
    settings: &[Setting],
) -> Result<(), Rejection> {
    let Some(group) = change.state.group_named(name.as_str()).cloned() else {
        monitor(change, name, wanted, &[])?;
        return set(change, name, settings);
    };
    let named = group.hosts.get(&group.primary);
    let same_name = named.is_some() && named == wanted.host.as_ref() && group.primary.port == wanted.address.port;
    if group.primary != wanted.address && !same_name {
        return Err(Rejection::DuplicateName);
    }
    let mut config = group.config.clone();
    let mut differing = Vec::new();
    for setting in [Setting::Quorum(wanted.quorum)].iter().chain(settings) {
        let before = config.clone();
        put_setting(&mut config, setting)?;
        if config != before {
            differing.push(setting.clone());
        }
    }
    if differing.is_empty() {
        return Ok(());
    }
    set(change, name, &differing)
}

pub(super) fn remove(change: &mut Change<'_>, name: &GroupName) -> Result<(), Rejection> {
    let id = change
        .state
        .group_named(name.as_str())
        .ok_or(Rejection::NoSuchGroup)?
        .id;
    let group = change.state.group(id);
    let failover = group.and_then(|group| group.failover.as_ref());
    if failover.is_some_and(|open| open.kind == FailoverKind::Coordinated && open.is_undecided()) {
        // Its primary may be holding writes back, or have stepped down: nobody would take that back any more.
        return Err(Rejection::InProgress);
    }
    if let Some(group) = change.take(id) {
        change.tell(id, EventKind::Unmonitor(primary_of(&group)));
    }
    Ok(())
}

pub(super) fn set(change: &mut Change<'_>, name: &GroupName, settings: &[Setting]) -> Result<(), Rejection> {
    let group = change.state.group_named(name.as_str()).ok_or(Rejection::NoSuchGroup)?;
    let mut group = group.as_ref().clone();
    let before = group.config.clone();
    for setting in settings {
        let (option, value) = put_setting(&mut group.config, setting)?;
        let kind = EventKind::Set {
            primary: primary_of(&group),
            option: Arc::from(option),
            value: Arc::from(value.as_str()),
        };
        change.tell(group.id, kind);
    }
    if group.config == before {
        change.mark();
    } else {
        change.put(group);
    }
    Ok(())
}

/// Puts one setting in its place; gives its name and its value as shown to subscribers.
fn put_setting(config: &mut GroupConfig, setting: &Setting) -> Result<(&'static str, String), Rejection> {
    const MASK: &str = "******";
    let positive = |value: u64| if value == 0 { Err(Rejection::Invalid) } else { Ok(value) };
    Ok(match setting {
        Setting::Quorum(value) => {
            positive(u64::from(*value))?;
            config.quorum = *value;
            ("quorum", value.to_string())
        }
        Setting::DownAfterMs(value) => {
            config.down_after_ms = positive(*value)?;
            ("down-after-milliseconds", value.to_string())
        }
        Setting::FailoverTimeoutMs(value) => {
            config.failover_timeout_ms = positive(*value)?;
            ("failover-timeout", value.to_string())
        }
        Setting::ParallelSyncs(value) => {
            positive(u64::from(*value))?;
            config.parallel_syncs = *value;
            ("parallel-syncs", value.to_string())
        }
        Setting::RefusedAfterMs(value) => {
            config.refused_after_ms = *value;
            ("refused-after-milliseconds", value.to_string())
        }
        Setting::RebootDownAfterMs(value) => {
            config.reboot_down_after_ms = *value;
            ("master-reboot-down-after-period", value.to_string())
        }
        Setting::Mode(value) => {
            config.mode = *value;
            ("mode", format!("{value:?}").to_lowercase())
        }
        Setting::Identity(value) => {
            config.identity = *value;
            ("identity", format!("{value:?}").to_lowercase())
        }
        Setting::AuthUser(value) => {
            config.auth_user.clone_from(value);
            ("auth-user", value.clone())
        }
        Setting::AuthPass(value) => {
            config.auth_pass.clone_from(value);
            ("auth-pass", MASK.to_owned())
        }
        Setting::RenameCommand { command, to } => {
            if command.is_empty() || to.is_empty() {
                return Err(Rejection::Invalid);
            }
            let usual = command.to_ascii_lowercase();
            if command.eq_ignore_ascii_case(to) {
                config.renamed.remove(&usual);
            } else {
                config.renamed.insert(usual, to.clone());
            }
            if config.renamed.len() > RENAMED_MAX {
                return Err(Rejection::Invalid);
            }
            ("rename-command", format!("{command} {to}"))
        }
        Setting::NotificationScript(value) => {
            config.notification_script.clone_from(value);
            ("notification-script", value.clone())
        }
        Setting::ClientReconfigScript(value) => {
            config.client_reconfig_script.clone_from(value);
            ("client-reconfig-script", value.clone())
        }
        Setting::Automatic(value) => {
            config.automatic = *value;
            ("failover", value.to_string())
        }
    })
}

pub(super) fn reset(change: &mut Change<'_>, resets: &[ResetGroup]) -> Result<Outcome, Rejection> {
    let mut groups = Vec::with_capacity(resets.len());
    for reset in resets {
        let group = change.planned(reset.group, reset.on)?;
        if group.failover.as_ref().is_some_and(Failover::is_undecided) {
            return Err(Rejection::InProgress);
        }
        groups.push((group, reset));
    }
    for (mut group, reset) in groups {
        let primary = group.primary;
        group
            .members
            .retain(|address, _| *address == primary || !reset.forget.contains(address));
        let members = &group.members;
        group.hosts.retain(|address, _| members.contains_key(address));
        group.failover = None;
        group.outage = None;
        group.abort = None;
        change.tell(group.id, EventKind::Reset(primary_of(&group)));
        change.put(group);
    }
    Ok(Outcome::Count(resets.len() as u64))
}

pub(super) fn learn(
    change: &mut Change<'_>,
    id: GroupId,
    on: Revision,
    members: &BTreeMap<Address, MemberFacts>,
) -> Result<(), Rejection> {
    let mut group = change.planned(id, on)?;
    let before = group.members.clone();
    for (address, facts) in members {
        let elsewhere = change.state.group_at(*address).is_some_and(|other| other.id != id);
        if elsewhere {
            continue;
        }
        let known = group.members.insert(*address, facts.clone());
        if known.is_none() {
            change.tell(id, EventKind::Replica(replica_of(&group, *address)));
        }
    }
    if group.members != before {
        change.put(group);
    }
    Ok(())
}

pub(super) fn nodes(change: &mut Change<'_>, nodes: &BTreeMap<NodeId, Node>) {
    if change.state.nodes() == nodes {
        return;
    }
    let places = told(change);
    let before = std::mem::replace(&mut change.state.header_mut().nodes, nodes.clone());
    let gone = before.keys().filter(|id| !nodes.contains_key(id));
    let header = change.state.header_mut();
    header.removed.extend(gone);
    header.shared.announced.retain(|id, _| nodes.contains_key(id));
    change.mark();
    let new = nodes.iter().filter(|(id, _)| !before.contains_key(id));
    let groups: Vec<_> = change.state.groups().cloned().collect();
    for (_, node) in new {
        for group in &groups {
            change.tell(group.id, EventKind::NodeAdded(node_of(group, node)));
        }
    }
    tell_moved(change, &places);
}

fn node_of(group: &Group, node: &Node) -> InstanceRef {
    InstanceRef::Node {
        group: group.name.clone(),
        my_id: node.my_id.clone(),
        host: node.host().into(),
        port: node.port().into(),
        primary: group.primary,
    }
}

/// Where clients are told that each node is.
fn told(change: &Change<'_>) -> BTreeMap<NodeId, (String, String)> {
    let header = change.state.header();
    let places = header.nodes.iter();
    places.map(|(id, node)| (*id, header.shared.told(*id, node))).collect()
}

/// Says of each node that was told elsewhere before where it is told now.
fn tell_moved(change: &mut Change<'_>, before: &BTreeMap<NodeId, (String, String)>) {
    let groups: Vec<_> = change.state.groups().cloned().collect();
    for (id, (host, port)) in told(change) {
        let was_elsewhere = before
            .get(&id)
            .is_some_and(|place| *place != (host.clone(), port.clone()));
        let Some(node) = change.state.nodes().get(&id).filter(|_| was_elsewhere) else {
            continue;
        };
        let my_id = node.my_id.clone();
        for group in &groups {
            let kind = EventKind::NodeMoved {
                primary: primary_of(group),
                my_id: my_id.clone(),
                host: Arc::from(host.as_str()),
                port: Arc::from(port.as_str()),
            };
            change.tell(group.id, kind);
        }
    }
}

/// All or nothing; only a node of the cluster announces anything.
pub(super) fn share(change: &mut Change<'_>, settings: &[SharedSetting]) -> Result<(), Rejection> {
    let mut shared = change.state.header().shared.clone();
    for setting in settings {
        match setting {
            SharedSetting::AnnounceHost { node, .. } | SharedSetting::AnnouncePort { node, .. }
                if !change.state.nodes().contains_key(node) =>
            {
                return Err(Rejection::Invalid);
            }
            _ => shared.put(setting),
        }
    }
    if change.state.header().shared != shared {
        let places = told(change);
        change.state.header_mut().shared = shared;
        change.mark();
        tell_moved(change, &places);
    }
    Ok(())
}

pub(super) fn found(change: &mut Change<'_>, cluster: &ClusterId) {
    if change.state.header().cluster.is_none() {
        let header = change.state.header_mut();
        header.cluster = Some(cluster.clone());
        header.level = 1;
        change.mark();
    }
}
