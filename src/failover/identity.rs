//! Rule 9: evidence that an instance belongs elsewhere, and the replicated facts of one that does not.
//!
//! A restarted process stays a member. Reused addresses are what this guards against: an instance of another group,
//! or a foreign one, that turns up at a member's address must be reported and never ordered.

use std::sync::Arc;

use crate::machine::State;
use crate::model::{Address, Facts, Group, GroupId, GroupName, Identity, Lineage, Member, Naming, Role, RunId};

/// What groups other than the planned one know, and what is set for all of them.
pub trait Elsewhere {
    /// The other group that has an instance at this address.
    fn address(&self, group: GroupId, address: Address) -> Option<GroupName>;
    /// Another group in which this process was seen.
    fn run_id(&self, group: GroupId, run_id: &RunId) -> Option<GroupName>;
    /// Another group whose primary has, or had, this replication id.
    fn replid(&self, group: GroupId, replid: &str) -> Option<GroupName>;
    /// Host names are resolved: that is set for all groups.
    fn resolves_names(&self) -> bool {
        false
    }
    /// How instances are told where others are.
    fn naming(&self) -> Naming {
        Naming::Addresses
    }
}

impl Elsewhere for State {
    fn address(&self, group: GroupId, address: Address) -> Option<GroupName> {
        let other = self.group_at(address)?;
        (other.id != group).then(|| other.name.clone())
    }

    fn run_id(&self, group: GroupId, run_id: &RunId) -> Option<GroupName> {
        let other = self.groups_of_run_id(run_id).find(|id| *id != group)?;
        self.group(other).map(|other| other.name.clone())
    }

    fn replid(&self, group: GroupId, replid: &str) -> Option<GroupName> {
        let other = self.groups_of_replid(replid).find(|id| *id != group)?;
        self.group(other).map(|other| other.name.clone())
    }

    fn resolves_names(&self) -> bool {
        self.header().shared.resolve_hostnames
    }

    fn naming(&self) -> Naming {
        self.header().shared.naming()
    }
}

/// Why the instance at `address` does not belong to `group`; `None` while nothing says so.
pub(super) fn evidence(
    group: &Group,
    elsewhere: &dyn Elsewhere,
    address: Address,
    member: &Member,
    facts: &Facts,
) -> Option<Arc<str>> {
    if let Some(other) = elsewhere.address(group.id, address) {
        return Some(format!("address belongs to group '{other}'").into());
    }
    if let Some(other) = elsewhere.run_id(group.id, &facts.run_id) {
        return Some(format!("run id is known in group '{other}'").into());
    }
    if strictly_unknown(group, address, member, &facts.run_id) {
        return Some("unknown run id, identity is strict".into());
    }
    if of_group_lineage(group, member, facts) {
        return None;
    }
    let is_primary = address == group.primary;
    let other = ids(facts, is_primary).find_map(|id| elsewhere.replid(group.id, id));
    if let Some(other) = other {
        return Some(format!("replication id is known in group '{other}'").into());
    }
    if is_primary {
        // Its role, its replicas and its data are judged by other rules: it is what MONITOR named.
        return None;
    }
    foreign_company(group, facts)
}

/// With `identity strict`, only the processes that are already on record are trusted. The first sighting of the
/// primary is what MONITOR vouched for.
fn strictly_unknown(group: &Group, address: Address, member: &Member, run_id: &RunId) -> bool {
    let vouched = address == group.primary && member.run_id.is_none();
    group.config.identity == Identity::Strict && !vouched && member.run_id.as_ref() != Some(run_id)
}

/// Its data descends from what this group, or this very member of it, had.
fn of_group_lineage(group: &Group, member: &Member, facts: &Facts) -> bool {
    let own = member.lineage.as_ref().filter(|_| member.synced);
    related(facts.lineage.as_ref(), group_lineage(group)) || related(facts.lineage.as_ref(), own)
}

/// The replication ids that say whose data it has. A master that was restarted has a new one, and from Redis 7 on the
/// second one says where it comes from. What MONITOR named may have been split off another group on purpose.
fn ids(facts: &Facts, is_primary: bool) -> impl Iterator<Item = &str> {
    let lineage = facts.lineage.iter();
    lineage.flat_map(move |lineage| {
        let second = lineage.replid2.as_deref().filter(|_| !is_primary);
        [Some(lineage.replid.as_ref()), second].into_iter().flatten()
    })
}

fn foreign_company(group: &Group, facts: &Facts) -> Option<Arc<str>> {
    match facts.role {
        Role::Replica => {
            let primary = facts.primary?;
            // A server too old for replication ids says nothing more; one of ours lists it then, or it is repaired.
            let ours = group.members.contains_key(&primary) || was_primary(group, primary);
            (!ours).then(|| format!("follows {primary}, which is not of this group").into())
        }
        Role::Primary => {
            let stranger = facts
                .replicas
                .iter()
                .find(|line| !group.members.contains_key(&line.address))?;
            Some(format!("has replica {}, which is not of this group", stranger.address).into())
        }
    }
}

/// The address was a primary of this group, as far back as its switches go.
pub(super) fn was_primary(group: &Group, address: Address) -> bool {
    address == group.primary || group.switches.iter().any(|switch| switch.from == address)
}

/// The replication ids by which the group's data is recognised.
pub(super) fn group_lineage(group: &Group) -> Option<&Lineage> {
    group.primary_member().and_then(|member| member.lineage.as_ref())
}

/// Both are known and are on the same stream now.
pub(super) fn same_replid(one: Option<&Lineage>, other: Option<&Lineage>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.replid == other.replid)
}

/// It copied a stream that is neither the group's nor the one that it had when it was last put on record.
pub(super) fn copied_other_data(group: &Group, member: Option<&Member>, facts: &Facts) -> bool {
    let known = [member.and_then(|member| member.lineage.as_ref()), group_lineage(group)];
    let its = facts.lineage.as_ref();
    let kept = known.into_iter().any(|known| related(its, known));
    facts.role == Role::Replica && its.is_some() && known.iter().any(Option::is_some) && !kept
}

/// What it had has made room for a copy that is not whole yet, though its lineage is still the old one.
pub(super) fn loads_a_copy(facts: &Facts) -> bool {
    facts.role == Role::Replica && facts.loading
}

/// Both are known and share an id.
pub(super) fn related(one: Option<&Lineage>, other: Option<&Lineage>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.related(other))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::failover::testing::{ADDRESSES, Other, facts, group, member};
    use crate::model::ReplicaLine;

    const FOREIGN: &str = "192.168.0.9:6379";

    fn lineage(replid: &str) -> Option<Lineage> {
        Some(Lineage {
            replid: replid.into(),
            replid2: None,
        })
    }

    fn why(address: Address, facts: &Facts) -> Option<String> {
        evidence(&group(), &Other, address, &member("b"), facts).map(|why| why.to_string())
    }

    #[test]
    fn a_restarted_process_stays_a_member() {
        assert_eq!(why(ADDRESSES[1], &facts("restarted", Role::Replica)), None);
        let mut emptied = facts("restarted", Role::Replica);
        emptied.lineage = lineage("fresh");
        assert_eq!(why(ADDRESSES[1], &emptied), None);
    }

    #[test]
    fn what_another_group_knows_is_evidence() {
        let address = why(ADDRESSES[2], &facts("b", Role::Replica)).unwrap();
        assert_eq!(address, "address belongs to group 'other'");
        let run_id = why(ADDRESSES[1], &facts("theirs", Role::Replica)).unwrap();
        assert_eq!(run_id, "run id is known in group 'other'");
        let mut data = facts("b", Role::Replica);
        data.lineage = lineage("their-data");
        assert_eq!(
            why(ADDRESSES[1], &data).unwrap(),
            "replication id is known in group 'other'"
        );
    }

    /// Found by the simulator, seed 164: an instance of another group that was restarted at a member's address.
    #[test]
    fn a_restarted_master_of_another_group_is_known_by_its_second_replication_id() {
        let mut restarted = facts("new", Role::Primary);
        restarted.lineage = Some(Lineage {
            replid: "fresh".into(),
            replid2: Some("their-data".into()),
        });
        assert_eq!(
            why(ADDRESSES[1], &restarted).unwrap(),
            "replication id is known in group 'other'"
        );
        assert_eq!(
            why(ADDRESSES[0], &restarted),
            None,
            "a primary that was split off on purpose"
        );
    }

    #[test]
    fn foreign_company_is_evidence_only_without_the_groups_lineage() {
        let stranger: Address = FOREIGN.parse().unwrap();
        let mut follower = facts("b", Role::Replica);
        follower.primary = Some(stranger);
        assert_eq!(
            why(ADDRESSES[1], &follower),
            None,
            "the same primary under another address"
        );
        follower.lineage = lineage("fresh");
        assert!(why(ADDRESSES[1], &follower).unwrap().starts_with("follows "));
        let mut master = facts("b", Role::Primary);
        master.lineage = lineage("fresh");
        master.replicas.push(ReplicaLine {
            address: stranger,
            online: true,
            offset: 1,
        });
        assert!(why(ADDRESSES[1], &master).unwrap().starts_with("has replica "));
        assert_eq!(
            why(ADDRESSES[0], &master),
            None,
            "the primary's replicas are discovered"
        );
    }

    #[test]
    fn a_strict_group_trusts_only_what_is_on_record() {
        let mut group = group();
        group.config.identity = Identity::Strict;
        let strict = |address, member: &Member, run_id| {
            evidence(&group, &Other, address, member, &facts(run_id, Role::Replica)).is_some()
        };
        assert!(!strict(ADDRESSES[1], &member("b"), "b"));
        assert!(strict(ADDRESSES[1], &member("b"), "restarted"));
        assert!(
            strict(ADDRESSES[1], &Member::default(), "b"),
            "a discovered replica waits too"
        );
        assert!(
            !strict(ADDRESSES[0], &Member::default(), "a"),
            "MONITOR vouched for its primary"
        );
    }
}
