//! Members that are known by host names: which ones they are, and the address at which such a member is found now.

use std::collections::BTreeMap;

use crate::machine::Rejection;
use crate::machine::apply::{Change, replica_of};
use crate::machine::failover::switch;
use crate::model::{Address, EventKind, GroupId, HostName, Revision};

/// A name is given to the member at its address, or to nobody: what another group has is left to it, and a name that
/// another member has is taken from it by [`readdress`] only.
pub(super) fn name(
    change: &mut Change<'_>,
    id: GroupId,
    on: Revision,
    hosts: &BTreeMap<Address, HostName>,
) -> Result<(), Rejection> {
    let mut group = change.planned(id, on)?;
    let before = group.clone();
    for (address, host) in hosts {
        let elsewhere = change.state.group_at(*address).is_some_and(|other| other.id != id);
        if elsewhere || group.member_named(host, address.port).is_some() {
            continue;
        }
        if !group.members.contains_key(address) {
            group.members.entry(*address).or_default();
            change.tell(id, EventKind::Replica(replica_of(&group, *address)));
        }
        group.hosts.insert(*address, host.clone());
    }
    if group != before {
        change.put(group);
    }
    Ok(())
}

/// The member keeps what is on record about it: whether it is what it was is judged by what is seen at its new address,
/// as after any restart. A primary's clients are told as by any other switch: their addresses stay one chain.
pub(super) fn readdress(
    change: &mut Change<'_>,
    id: GroupId,
    on: Revision,
    from: Address,
    to: Address,
) -> Result<(), Rejection> {
    let mut group = change.planned(id, on)?;
    if group.failover.is_some() {
        return Err(Rejection::InProgress);
    }
    if let Some(other) = change.state.group_at(to).filter(|other| other.id != id) {
        return Err(Rejection::AddressTaken(other.name.clone()));
    }
    let known = group.members.contains_key(&to);
    let taken = known && (from == group.primary || to == group.primary || group.hosts.contains_key(&to));
    let (Some(member), Some(host)) = (group.members.remove(&from), group.hosts.remove(&from)) else {
        return Err(Rejection::Invalid);
    };
    if taken || from == to || from.port != to.port {
        return Err(Rejection::Invalid);
    }
    // Somebody who was discovered at that address meanwhile is the same one: the newer record counts.
    group.members.entry(to).or_insert(member);
    group.hosts.insert(to, host.clone());
    if let Some(abort) = &mut group.abort {
        abort.replicas.remove(&from);
    }
    if from == group.primary {
        group.epoch += 1;
        change.tell(id, EventKind::NewEpoch(group.epoch));
        switch(change, &mut group, (to, Some(host)), false);
    } else {
        change.tell(id, EventKind::Replica(replica_of(&group, to)));
    }
    change.put(group);
    Ok(())
}
