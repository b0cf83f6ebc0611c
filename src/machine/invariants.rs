//! What must hold after every entry. A broken one is a rejection, not a panic: one bad committed entry must not
//! crash-loop every node.

use std::collections::BTreeSet;

use crate::machine::{State, Touched};
use crate::model::{Group, Stage};

/// Checks the groups that an entry touched; the text says which rule broke.
pub fn check(state: &State, touched: &Touched) -> Result<(), String> {
    let mut groups = touched.groups.iter().filter_map(|id| state.group(*id));
    groups.try_for_each(|group| check_group(state, group))
}

fn check_group(state: &State, group: &Group) -> Result<(), String> {
    let broken = |rule: &str| Err(format!("group {}: {rule}", group.name));
    if !group.members.contains_key(&group.primary) {
        return broken("the primary is not a member");
    }
    let own = |address| state.group_at(address).is_some_and(|other| other.id == group.id);
    if !group.members.keys().all(|address| own(*address)) {
        return broken("a member belongs to another group");
    }
    if !group.hosts.keys().all(|address| group.members.contains_key(address)) {
        return broken("a host name is not a member's");
    }
    let places: BTreeSet<_> = group.hosts.iter().map(|(address, host)| (host, address.port)).collect();
    if places.len() != group.hosts.len() {
        return broken("two members have one host name");
    }
    if group.config_epoch > group.epoch {
        return broken("the config epoch is ahead of the epoch");
    }
    if group.config.quorum == 0 || group.config.down_after_ms == 0 {
        return broken("a setting is zero");
    }
    if group.version > state.revision() {
        return broken("the version is ahead of the revision");
    }
    let chain = group
        .switches
        .windows(2)
        .all(|pair| pair[0].to == pair[1].from && pair[0].epoch < pair[1].epoch);
    let current = group.switches.last().is_none_or(|switch| switch.to == group.primary);
    if !chain || !current {
        return broken("the switches are not one chain that ends at the primary");
    }
    let Some(failover) = &group.failover else { return Ok(()) };
    if failover.epoch != group.epoch {
        return broken("the open failover is not of the last epoch");
    }
    let (expected, rule) = match failover.stage {
        Stage::Promote | Stage::Undo { .. } => (
            failover.old_primary,
            "the address changed before the promotion was complete",
        ),
        Stage::Reconfigure { .. } => (failover.candidate, "the address is not the promoted candidate's"),
    };
    if group.primary == expected {
        Ok(())
    } else {
        broken(rule)
    }
}
