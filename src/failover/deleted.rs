//! Rule 10: an empty replica is no candidate while the group has keys. Keys that clients deleted are another matter
//! than keys that were lost: then the group has none, and its replicas are as good as ever.

use std::sync::Arc;

use crate::failover::draft::Draft;
use crate::failover::identity::{group_lineage, related, same_replid};
use crate::model::{Address, Age, Facts, Member, Role};

/// What all members say is as fresh as this when it settles that nobody has the group's keys.
const FRESH_MS: Age = 5_000;
/// A replica that never received anything reports offset 0, or 1 from Redis 4 on.
pub(super) const OFFSET_OF_NOTHING: u64 = 1;

/// How much of the stream it has.
pub(super) fn offset(facts: &Facts) -> u64 {
    match facts.role {
        Role::Primary => facts.primary_offset,
        Role::Replica => facts.replica_offset,
    }
}

/// The replica is empty because the primary's stream told it to delete, not because it lost anything.
pub(super) fn by_clients(draft: &Draft<'_>, member: &Member, facts: &Facts) -> bool {
    let received = offset(facts) > OFFSET_OF_NOTHING && !facts.loading && !facts.sync_in_progress;
    if facts.keys > 0 || !received {
        return false;
    }
    let deleted = match primary_on_same_stream(draft, facts) {
        // Past the point at which the primary was last seen with keys. Behind it there may be newer ones.
        Some(primary) if primary.keys > 0 => offset(facts) > primary.primary_offset,
        Some(primary) => offset(facts) >= primary.primary_offset,
        None => had_keys_of_stream(draft, member, facts),
    };
    deleted && !others_have_newer(draft, facts)
}

/// Another replica is further on in the same stream, and has keys there.
fn others_have_newer(draft: &Draft<'_>, facts: &Facts) -> bool {
    let newer = |(address, _): (&Address, &Member)| {
        let other = draft.facts(*address).map(|(other, _)| other);
        other.is_some_and(|other| {
            let same_stream = match (&other.lineage, &facts.lineage) {
                (Some(one), Some(other)) => one.replid == other.replid,
                _ => other.primary == facts.primary,
            };
            same_stream && other.keys > 0 && offset(&other) > offset(facts)
        })
    };
    draft.group.replicas().any(newer)
}

/// Nobody who leads now has seen the primary (it died with its leader): this very process had keys of this very stream.
/// Another stream comes with another replication id, so these keys went as they came.
fn had_keys_of_stream(draft: &Draft<'_>, member: &Member, facts: &Facts) -> bool {
    let its = facts.lineage.as_ref();
    let same_stream = same_replid(its, group_lineage(draft.group)) && same_replid(its, member.lineage.as_ref());
    member.synced && member.non_empty && same_stream && member.run_id.as_ref() == Some(&facts.run_id)
}

/// The recorded primary as it was seen last, if the replica copies that very stream.
pub(super) fn primary_on_same_stream(draft: &Draft<'_>, facts: &Facts) -> Option<Arc<Facts>> {
    let (primary, _) = draft.facts(draft.group.primary)?;
    let same_process = draft.group.primary_member().and_then(|member| member.run_id.as_ref()) == Some(&primary.run_id);
    let same_stream = match (&primary.lineage, &facts.lineage) {
        (Some(_), Some(_)) => related(primary.lineage.as_ref(), facts.lineage.as_ref()),
        // Servers too old for replication ids.
        _ => facts.primary == Some(draft.group.primary),
    };
    (same_process && same_stream && primary.role == Role::Primary).then_some(primary)
}

/// Some replica in sync shows that the group has no keys any more: what a leader must not forget, because the next one
/// may never see the primary.
pub(super) fn shown_by_replicas(draft: &Draft<'_>) -> bool {
    let shows = |(address, member): (&Address, &Member)| {
        let facts = draft.facts(*address).filter(|_| draft.sees_up(*address));
        let facts = facts.filter(|(_, at)| *at >= draft.memory.took_over_at);
        let in_sync = member.synced && member.quarantine.is_none();
        in_sync && facts.is_some_and(|(facts, _)| by_clients(draft, member, &facts))
    };
    draft.group.replicas().any(shows)
}

/// Every member of the group answers, and none has a key or is given any. Wherever the last ones went, nobody is left to
/// wait for; a member that is away may still have them.
pub(super) fn nobody_has_any(draft: &Draft<'_>) -> bool {
    let ours = |(_, member): &(&Address, &Member)| member.quarantine.is_none();
    draft.group.members.iter().filter(ours).all(|(address, _)| {
        let facts = draft.facts(*address).filter(|_| draft.is_connected(*address));
        facts.is_some_and(|(facts, at)| {
            let fresh = at >= draft.memory.took_over_at && draft.now.since(at) <= FRESH_MS;
            let stranger = facts
                .primary
                .filter(|followed| !draft.group.members.contains_key(followed));
            let copies = facts.sync_in_progress || (facts.primary_link_up && stranger.is_some());
            fresh && facts.keys == 0 && !facts.loading && !copies
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::failover::testing::{ADDRESSES, facts, group, member, scene};
    use crate::failover::{Memory, Scene};
    use crate::model::{Instant, Sighting};

    const NOW: Instant = Instant(1_000_000);
    /// How much the primary had written when it was last seen.
    const WRITTEN: u64 = 100;

    /// A primary and two replicas. The primary's clients deleted all keys, and the first replica has done so too.
    struct Deleted {
        primary: Option<Facts>,
        first: Facts,
        second: Facts,
    }

    impl Deleted {
        fn new() -> Self {
            let [mut primary, mut first, mut second] = [
                facts("a", Role::Primary),
                facts("b", Role::Replica),
                facts("c", Role::Replica),
            ];
            primary.primary_offset = WRITTEN;
            for replica in [&mut first, &mut second] {
                replica.replica_offset = WRITTEN;
            }
            for facts in [&mut primary, &mut first, &mut second] {
                facts.keys = 0;
            }
            Self {
                primary: Some(primary),
                first,
                second,
            }
        }

        /// The same with servers that are too old for replication ids.
        fn old() -> Self {
            let mut all = Self::new();
            let (primary, replicas) = (all.primary.as_mut(), [&mut all.first, &mut all.second]);
            for facts in primary.into_iter().chain(replicas) {
                facts.lineage = None;
            }
            all
        }

        /// The first replica is empty because its keys were deleted.
        fn first_was_told_to(&self) -> bool {
            let [primary, first, second] = ADDRESSES;
            let mut group = group();
            group.members.insert(first, member("b"));
            group.members.insert(second, member("c"));
            let seen = [(first, &self.first), (second, &self.second)].into_iter();
            let seen = seen.chain(self.primary.as_ref().map(|facts| (primary, facts)));
            let sighting = |facts: &Facts| Sighting {
                facts: Some(Arc::new(facts.clone())),
                facts_at: Some(NOW),
                ..Sighting::default()
            };
            let sightings: BTreeMap<Address, Sighting> =
                seen.map(|(address, facts)| (address, sighting(facts))).collect();
            let scene = Scene {
                group: &group,
                sightings: &sightings,
                ..scene()
            };
            let memory = Memory::new(NOW);
            by_clients(&Draft::new(&scene, &memory, NOW), &member("b"), &self.first)
        }
    }

    fn told(mut all: Deleted, change: impl FnOnce(&mut Deleted)) -> bool {
        change(&mut all);
        all.first_was_told_to()
    }

    #[test]
    fn a_replica_as_far_as_its_empty_primary_was_told_to_delete() {
        assert!(told(Deleted::new(), |_| {}));
        assert!(!told(Deleted::new(), |all| all.first.replica_offset = WRITTEN - 1));
        assert!(!told(Deleted::new(), |all| all.first.keys = 1), "it is not empty");
        assert!(!told(Deleted::new(), |all| all.first.loading = true));
    }

    #[test]
    fn a_primary_that_had_keys_when_it_was_last_seen_deleted_them_later() {
        let with_keys = |all: &mut Deleted| all.primary.as_mut().unwrap().keys = 1;
        assert!(!told(Deleted::new(), with_keys));
        assert!(told(Deleted::new(), |all| {
            with_keys(all);
            all.first.replica_offset = WRITTEN + 1;
        }));
    }

    #[test]
    fn without_its_primary_a_process_speaks_for_itself_by_its_replication_id() {
        assert!(told(Deleted::new(), |all| all.primary = None));
        assert!(!told(Deleted::new(), |all| {
            all.primary = None;
            all.first.lineage.as_mut().unwrap().replid = "of another stream".into();
        }));
        assert!(!told(Deleted::old(), |all| all.primary = None));
    }

    /// Written again after the deletion, and the first replica was not sent that.
    #[test]
    fn newer_keys_on_another_replica_of_the_same_stream_are_what_the_group_has() {
        let newer = |all: &mut Deleted| {
            all.second.keys = 1;
            all.second.replica_offset = WRITTEN + 1;
        };
        assert!(!told(Deleted::new(), newer));
        assert!(
            told(Deleted::new(), |all| all.second.keys = 1),
            "not newer: older, or as far"
        );
        assert!(
            told(Deleted::new(), |all| {
                newer(all);
                all.second.lineage.as_mut().unwrap().replid = "of another stream".into();
            }),
            "offsets compare within a stream only"
        );
    }

    /// Found by the simulator, among servers of version 2.8.
    #[test]
    fn servers_without_replication_ids_are_on_the_same_stream_when_they_follow_the_same_address() {
        let newer = |all: &mut Deleted| {
            all.second.keys = 1;
            all.second.replica_offset = WRITTEN + 1;
        };
        assert!(told(Deleted::old(), |_| {}));
        assert!(!told(Deleted::old(), newer));
        assert!(told(Deleted::old(), |all| {
            newer(all);
            all.second.primary = "10.0.0.9:6379".parse().ok();
        }));
    }
}
