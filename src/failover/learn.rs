//! What the log must remember of the members, learnt from their INFO: new replicas, run ids, lineages, the marks of
//! rule 10, and quarantine. One command for all changes of a group, and none without a change.

use std::collections::BTreeMap;

use crate::failover::deleted;
use crate::failover::draft::Draft;
use crate::failover::identity::{evidence, group_lineage, related, same_replid};
use crate::failover::names;
use crate::machine::Command;
use crate::model::{Address, Age, Facts, Group, Member, Role};
use crate::mutation::{self, Mutation};

/// How often INFO is read while a replica is on its way into the group.
const JOINING_MS: Age = 1_000;
/// The most members that a primary's INFO may bring a group to.
const MEMBERS_MAX: usize = 128;

/// What to make of a primary that came back empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emptiness {
    /// It is another matter (`emptied`): its facts are not learnt yet.
    Suspicious,
    /// Nobody has the data, or nothing is to be done about it: the facts are what they are.
    Accepted,
}

/// Proposes what is new about the members.
pub(super) fn plan(draft: &mut Draft<'_>, emptiness: Emptiness) {
    if emptiness == Emptiness::Suspicious && draft.memory.emptied_at.is_some() {
        return;
    }
    let mut changes = known_members(draft);
    forget_keys(draft, &mut changes);
    discover(draft, &mut changes);
    follow_joining(draft);
    if changes.is_empty() {
        if may_discover(draft, &changes) {
            names::discover(draft, MEMBERS_MAX.saturating_sub(draft.group.members.len()));
        }
        return;
    }
    let (group, on) = draft.target();
    draft.propose(Command::Learn {
        group,
        on,
        members: changes,
    });
}

/// What is new about the members on record.
pub(super) fn known_members(draft: &mut Draft<'_>) -> BTreeMap<Address, Member> {
    let mut changes = BTreeMap::new();
    for (address, member) in &draft.group.members {
        if !draft.sees_up(*address) && !demoted_and_there(draft, *address) {
            continue;
        }
        let Some((facts, at)) = draft.facts(*address) else {
            continue;
        };
        if names::in_doubt(draft, *address, member, &facts) {
            names::look_again(draft, *address);
            continue;
        }
        let learnt = learnt(draft, *address, member, &facts).filter(|learnt| learnt != member);
        match learnt {
            // What this node saw before it led may be older than what is on record.
            Some(_) if at < draft.memory.took_over_at => draft.refresh_info_since(draft.memory.took_over_at),
            Some(learnt) => {
                changes.insert(*address, learnt);
            }
            None => {}
        }
    }
    changes
}

/// A primary that was restarted as a replica counts as Down for its role alone, maybe before it had loaded its data. To be
/// reinstated it must be on record as the process that it is.
fn demoted_and_there(draft: &Draft<'_>, address: Address) -> bool {
    let demoted = draft.memory.demoted.is_some_and(|(demoted, _)| demoted == address);
    demoted && address == draft.group.primary && draft.is_connected(address)
}

/// The group has no keys any more, by what its members show: the primary's mark says so, for whoever leads next.
fn forget_keys(draft: &Draft<'_>, changes: &mut BTreeMap<Address, Member>) {
    let primary = draft.group.primary;
    let known = changes.get(&primary).or(draft.group.primary_member());
    let marked = known.filter(|member| member.non_empty && member.quarantine.is_none());
    let gone = |_: &&Member| deleted::shown_by_replicas(draft) || deleted::nobody_has_any(draft);
    if let Some(member) = marked.filter(gone).cloned() {
        changes.insert(
            primary,
            Member {
                non_empty: false,
                ..member
            },
        );
    }
}

/// The member as it is now; `None` when its INFO says nothing reliable.
fn learnt(draft: &Draft<'_>, address: Address, member: &Member, facts: &Facts) -> Option<Member> {
    if facts.loading {
        return None;
    }
    let quarantine = evidence(draft.group, draft.scene.elsewhere, address, member, facts);
    if quarantine.is_some() {
        // Its identity is not ours to record: another group may own it.
        let mut member = member.clone();
        member.quarantine = quarantine;
        if mutation::is_on(Mutation::QuarantinedOnRecord) {
            member.run_id = Some(facts.run_id.clone());
        }
        return Some(member);
    }
    if address == draft.group.primary {
        return learnt_of_primary(member, facts);
    }
    Some(Member {
        run_id: Some(facts.run_id.clone()),
        lineage: facts.lineage.clone(),
        synced: in_sync(draft.group, facts) || (member.synced && unbroken(draft.group, member, facts)),
        non_empty: facts.keys > 0,
        quarantine: None,
    })
}

/// Nothing says that it belongs elsewhere.
fn learnt_of_primary(member: &Member, facts: &Facts) -> Option<Member> {
    if facts.role == Role::Primary {
        return Some(Member {
            run_id: Some(facts.run_id.clone()),
            lineage: facts.lineage.clone(),
            synced: true,
            non_empty: facts.keys > 0,
            quarantine: None,
        });
    }
    // One that was restarted as a replica, and has copied nobody since: it may have to be reinstated. Otherwise a
    // primary that says it is a replica has somebody else's lineage.
    let as_it_was = same_replid(member.lineage.as_ref(), facts.lineage.as_ref());
    let copied_nobody = !facts.primary_link_up && !facts.sync_in_progress;
    (as_it_was && copied_nobody).then(|| Member {
        run_id: Some(facts.run_id.clone()),
        quarantine: None,
        ..member.clone()
    })
}

/// It is in sync with the group's lineage now.
fn in_sync(group: &Group, facts: &Facts) -> bool {
    let copies = facts.role == Role::Replica && facts.primary_link_up && !facts.sync_in_progress;
    if !copies {
        return false;
    }
    match (group_lineage(group), &facts.lineage) {
        (Some(ours), Some(its)) => ours.related(its),
        // A server too old for replication ids: the address must do.
        _ => facts.primary == Some(group.primary),
    }
}

/// Its data still descends from what it had when it was in sync.
fn unbroken(group: &Group, member: &Member, facts: &Facts) -> bool {
    let lineage = facts.lineage.as_ref();
    let kept = related(lineage, member.lineage.as_ref()) || related(lineage, group_lineage(group));
    let same_process = member.run_id.as_ref() == Some(&facts.run_id);
    kept || (lineage.is_none() && same_process) || mutation::is_on(Mutation::SyncedForEver)
}

/// Replicas that are on their way into the group are followed by the second: until they are in sync and on record
/// nobody could be promoted.
fn follow_joining(draft: &mut Draft<'_>) {
    let Some((facts, at)) = draft.facts(draft.group.primary) else {
        return;
    };
    let listed = facts.replicas.iter().any(|line| {
        let known = draft.group.members.contains_key(&line.address);
        let taken = draft.scene.elsewhere.address(draft.group.id, line.address).is_some();
        !line.online && !known && !taken
    });
    let joining = |(address, member): (&Address, &Member)| {
        !member.synced && member.quarantine.is_none() && draft.sees_up(*address)
    };
    if !draft.sees_up(draft.group.primary) || !(listed || draft.group.replicas().any(joining)) {
        return;
    }
    let again = at.plus(JOINING_MS);
    if draft.now >= again {
        draft.refresh_info_since(again);
    } else {
        draft.wake_by(again);
    }
}

/// The primary's word about its replicas counts.
fn may_discover(draft: &mut Draft<'_>, changes: &BTreeMap<Address, Member>) -> bool {
    let primary = draft.group.primary;
    let Some((facts, at)) = draft.facts(primary) else {
        return false;
    };
    let quarantined = changes
        .get(&primary)
        .or(draft.group.primary_member())
        .is_some_and(|member| member.quarantine.is_some());
    if !draft.sees_up(primary) || facts.role != Role::Primary || quarantined {
        return false;
    }
    if let Some(forgot_at) = draft.memory.forgot_at.filter(|forgot_at| at < *forgot_at) {
        // An INFO from before a RESET may still list what was forgotten.
        draft.refresh_info_since(forgot_at);
        return false;
    }
    true
}

/// Replicas that the primary lists and the group does not know.
fn discover(draft: &mut Draft<'_>, changes: &mut BTreeMap<Address, Member>) {
    let primary = draft.group.primary;
    let Some((facts, _)) = draft.facts(primary).filter(|_| may_discover(draft, changes)) else {
        return;
    };
    for line in facts.replicas.iter().filter(|line| line.online) {
        let address = line.address;
        let known = draft.group.members.contains_key(&address);
        let taken = draft.scene.elsewhere.address(draft.group.id, address).is_some();
        let room = draft.group.members.len() + changes.len() < MEMBERS_MAX;
        if !known && !taken && room {
            changes.insert(address, Member::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::failover::testing::{ADDRESSES, facts, group, member, scene};
    use crate::failover::{Memory, Scene};
    use crate::model::{Instant, LinkState, RunId, Sighting, Verdict};

    const NOW: Instant = Instant(1_000_000);

    /// Found by the simulator, seed 7619 of an earlier day: it was loading until it counted as Down for its role, and was
    /// never reinstated, because it was not on record.
    #[test]
    fn a_primary_that_is_down_for_its_role_alone_is_recorded() {
        let mut group = group();
        group.members.insert(ADDRESSES[1], member("b"));
        let mut restarted = facts("restarted", Role::Replica);
        restarted.primary_link_up = false;
        let learns = |link| {
            let seen = Sighting {
                verdict: Verdict::Down { since: NOW },
                link,
                facts: Some(Arc::new(restarted.clone())),
                facts_at: Some(NOW),
                ..Sighting::default()
            };
            let scene = Scene {
                group: &group,
                sightings: &BTreeMap::from([(ADDRESSES[0], seen)]),
                ..scene()
            };
            let mut memory = Memory::new(NOW);
            memory.observe(&scene, NOW);
            let changes = known_members(&mut Draft::new(&scene, &memory, NOW));
            changes.get(&ADDRESSES[0]).and_then(|member| member.run_id.clone())
        };
        assert_eq!(learns(LinkState::Connected), Some(RunId::new("restarted")));
        assert_eq!(learns(LinkState::Disconnected), None, "it may be gone");
    }

    /// Found by the simulator, seed 1055794: it was quarantined while the identity was strict, and stayed so for ever.
    #[test]
    fn a_primary_restarted_as_a_replica_is_recorded_without_its_former_quarantine() {
        let quarantined = Member {
            quarantine: Some("unknown run id".into()),
            ..member("a")
        };
        let mut restarted = facts("restarted", Role::Replica);
        restarted.primary_link_up = false;
        let learnt = learnt_of_primary(&quarantined, &restarted);
        let expected = Member {
            run_id: Some(RunId::new("restarted")),
            ..member("a")
        };
        assert_eq!(learnt, Some(expected));
    }
}
