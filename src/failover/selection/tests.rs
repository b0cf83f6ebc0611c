use super::*;
use crate::failover::LinkFault;
use crate::failover::memory::LinkMemory;
use crate::failover::testing::{ADDRESSES, facts, group, member, scene};
use crate::model::{Group, Lineage, Sighting};

const NOW: Instant = Instant(1_000_000);

/// The reason against the only replica, if any, when its sighting is `seen`.
fn reason(group: &Group, seen: Sighting, purpose: Purpose) -> Option<Unfit> {
    unfit_among(group, &BTreeMap::from([(ADDRESSES[1], seen)]), purpose)
}

fn unfit_among(group: &Group, sightings: &BTreeMap<Address, Sighting>, purpose: Purpose) -> Option<Unfit> {
    unfit_with(group, sightings, &Memory::new(NOW), purpose)
}

fn unfit_with(
    group: &Group,
    sightings: &BTreeMap<Address, Sighting>,
    memory: &Memory,
    purpose: Purpose,
) -> Option<Unfit> {
    let scene = Scene {
        group,
        sightings,
        ..scene()
    };
    let selection = select(&scene, memory, purpose, NOW);
    assert_eq!(selection.chosen.is_none(), selection.unfit.contains_key(&ADDRESSES[1]));
    selection.unfit.get(&ADDRESSES[1]).cloned()
}

fn watched() -> (Group, Sighting) {
    let mut group = group();
    group.members.insert(ADDRESSES[1], member("b"));
    let seen = Sighting {
        verdict: Verdict::Up,
        link: LinkState::Connected,
        ok_reply_at: NOW,
        facts: Some(Arc::new(facts("b", Role::Replica))),
        facts_at: Some(NOW),
        ..Sighting::default()
    };
    (group, seen)
}

fn changed(change: impl Fn(&mut Facts)) -> Option<Unfit> {
    let (group, mut seen) = watched();
    let mut facts = facts("b", Role::Replica);
    change(&mut facts);
    seen.facts = Some(Arc::new(facts));
    reason(&group, seen, Purpose::Outage)
}

#[test]
fn a_healthy_synced_replica_is_good() {
    let (group, seen) = watched();
    assert_eq!(reason(&group, seen, Purpose::Outage), None);
}

#[test]
fn each_filter_gives_its_reason() {
    let unfit = |change: fn(&mut Sighting)| {
        let (group, mut seen) = watched();
        change(&mut seen);
        reason(&group, seen, Purpose::Outage)
    };
    assert_eq!(
        unfit(|seen| seen.verdict = Verdict::Down { since: NOW }),
        Some(Unfit::Down)
    );
    assert_eq!(unfit(|seen| seen.verdict = Verdict::Unknown), Some(Unfit::Unseen));
    assert_eq!(
        unfit(|seen| seen.link = LinkState::Disconnected),
        Some(Unfit::Disconnected)
    );
    assert_eq!(unfit(|seen| seen.facts = None), Some(Unfit::NoInfo));
    assert_eq!(changed(|facts| facts.priority = 0), Some(Unfit::PriorityZero));
    // Who does not want to be shown can still be promoted, as by Sentinel.
    assert_eq!(changed(|facts| facts.announced = false), None);
    assert_eq!(changed(|facts| facts.loading = true), Some(Unfit::Loading));
    assert_eq!(changed(|facts| facts.sync_in_progress = true), Some(Unfit::Resyncing));
    assert_eq!(
        changed(|facts| facts.run_id = RunId::new("another")),
        Some(Unfit::Restarted)
    );
    assert_eq!(changed(|facts| facts.replica_offset = 1), Some(Unfit::NothingReceived));
    let lost = |facts: &mut Facts| (facts.keys, facts.lineage) = (0, None);
    assert_eq!(changed(lost), Some(Unfit::Empty));
    assert_eq!(
        changed(|facts| facts.primary_link_down_ms = Some(300_001)),
        Some(Unfit::CutOffTooLong),
        "ten times the default down-after"
    );
    assert_eq!(changed(|facts| facts.primary_link_down_ms = Some(300_000)), None);
}

/// Its failover would be given up for that, again and again.
#[test]
fn a_replica_that_copied_a_stream_unknown_to_the_log_is_not_chosen() {
    let lineage = |replid: &str| {
        let replid = replid.into();
        Some(Lineage { replid, replid2: None })
    };
    let elsewhere = |facts: &mut Facts| facts.lineage = lineage("of another stream");
    assert_eq!(changed(elsewhere), Some(Unfit::NeverInSync));
    let (mut group, mut seen) = watched();
    group.members.get_mut(&ADDRESSES[1]).unwrap().lineage = lineage("its own");
    let mut known = facts("b", Role::Replica);
    known.lineage = lineage("its own");
    seen.facts = Some(Arc::new(known));
    assert_eq!(reason(&group, seen, Purpose::Outage), None);
}

/// Found by the simulator, seed 8619: held by the brake, while the primary came back as a replica.
#[test]
fn a_primary_that_came_back_as_a_replica_has_been_down_since_its_replicas_lost_it() {
    let (mut group, mut seen) = watched();
    group.config.down_after_ms = 500;
    group.members.insert(ADDRESSES[0], member("a"));
    let mut replica = facts("b", Role::Replica);
    replica.primary_link_down_ms = Some(28_000);
    seen.facts = Some(Arc::new(replica));
    let primary = |role| Sighting {
        verdict: Verdict::Down {
            since: Instant(NOW.0 - 19_000),
        },
        facts: Some(Arc::new(facts("a", role))),
        ..seen.clone()
    };
    let unfit = |role| {
        let sightings = BTreeMap::from([(ADDRESSES[0], primary(role)), (ADDRESSES[1], seen.clone())]);
        unfit_among(&group, &sightings, Purpose::Outage)
    };
    assert_eq!(unfit(Role::Primary), Some(Unfit::CutOffTooLong));
    assert_eq!(unfit(Role::Replica), None);
}

/// Found by the simulator, seed 2892: it copied from a stranger that had taken the primary's address.
#[test]
fn a_replica_that_now_follows_somebody_elses_primary_is_not_promoted() {
    let stranger = "192.168.0.9:6379".parse().unwrap();
    let unfit = changed(|facts| {
        facts.lineage.as_mut().unwrap().replid = "their-data".into();
        facts.primary = Some(stranger);
    });
    assert!(matches!(unfit, Some(Unfit::Quarantined(_))), "{unfit:?}");
}

#[test]
fn a_link_that_is_only_being_opened_is_no_connection() {
    let (group, mut seen) = watched();
    seen.link = LinkState::Disconnected;
    let sightings = BTreeMap::from([(ADDRESSES[1], seen)]);
    let unfit = |link: LinkMemory| {
        let mut memory = Memory::new(NOW);
        memory.links.insert(ADDRESSES[1], link);
        unfit_with(&group, &sightings, &memory, Purpose::Outage)
    };
    let fault = LinkFault::Failed;
    assert_eq!(unfit(LinkMemory::Opening), Some(Unfit::Disconnected));
    assert_eq!(unfit(LinkMemory::Failed { at: NOW, fault }), Some(Unfit::Disconnected));
    let open = LinkMemory::Open {
        facts: Arc::new(facts("b", Role::Replica)),
        facts_at: NOW,
        reading: false,
    };
    assert_eq!(unfit(open), None);
}

/// It was restarted since, and no order link was wanted: an operator's failover refused it for ever.
#[test]
fn a_refused_link_counts_until_the_replica_is_heard_again() {
    let (group, mut seen) = watched();
    let mut unfit = |heard_at: Instant| {
        seen.ok_reply_at = heard_at;
        let mut memory = Memory::new(NOW);
        let refused = LinkMemory::Failed {
            at: Instant(NOW.0 - 500),
            fault: LinkFault::Refused,
        };
        memory.links.insert(ADDRESSES[1], refused);
        let sightings = BTreeMap::from([(ADDRESSES[1], seen.clone())]);
        unfit_with(&group, &sightings, &memory, Purpose::Planned)
    };
    assert_eq!(unfit(Instant(NOW.0 - 500)), Some(Unfit::Disconnected));
    assert_eq!(unfit(Instant(NOW.0 - 499)), None);
}

#[test]
fn a_copy_of_a_primary_that_has_written_nothing_is_complete() {
    let (mut group, seen) = watched();
    group.members.insert(ADDRESSES[0], member("a"));
    let unfit = |written: u64| {
        let mut primary = facts("a", Role::Primary);
        primary.primary_offset = written;
        let mut replica = facts("b", Role::Replica);
        replica.replica_offset = 0;
        let with = |facts: Facts| Sighting {
            facts: Some(Arc::new(facts)),
            ..seen.clone()
        };
        let sightings = BTreeMap::from([(ADDRESSES[0], with(primary)), (ADDRESSES[1], with(replica))]);
        unfit_among(&group, &sightings, Purpose::Planned)
    };
    assert_eq!(unfit(0), None);
    assert_eq!(unfit(14), Some(Unfit::NothingReceived));
}

#[test]
fn info_may_be_older_in_peace_than_in_an_outage() {
    let (group, mut seen) = watched();
    seen.facts_at = Some(Instant(NOW.0 - 5_001));
    assert_eq!(reason(&group, seen.clone(), Purpose::Planned), None);
    assert_eq!(reason(&group, seen.clone(), Purpose::Outage), Some(Unfit::InfoTooOld));
    seen.facts_at = Some(Instant(NOW.0 - 30_001));
    assert_eq!(reason(&group, seen, Purpose::Planned), Some(Unfit::InfoTooOld));
}

#[test]
fn silence_of_five_seconds_is_too_much() {
    let (group, mut seen) = watched();
    seen.ok_reply_at = Instant(NOW.0 - 5_001);
    seen.facts_at = Some(Instant(NOW.0 - 5_001));
    assert_eq!(reason(&group, seen, Purpose::Planned), Some(Unfit::Silent));
}

#[test]
fn what_is_on_record_counts() {
    let (mut group, seen) = watched();
    group.members.get_mut(&ADDRESSES[1]).unwrap().synced = false;
    assert_eq!(reason(&group, seen.clone(), Purpose::Outage), Some(Unfit::NeverInSync));
    group.members.get_mut(&ADDRESSES[1]).unwrap().quarantine = Some("why".into());
    assert_eq!(
        reason(&group, seen, Purpose::Outage),
        Some(Unfit::Quarantined("why".into()))
    );
}

/// Found by the simulator, seed 3865: FLUSHALL, then the primary and the leader died, and nobody was ever promoted.
#[test]
fn keys_that_clients_deleted_are_not_lost() {
    let unfit = |written: Option<(u64, u64)>, change: &dyn Fn(&mut Group, &mut Facts)| {
        let (mut group, seen) = watched();
        let mut replica = facts("b", Role::Replica);
        (replica.keys, replica.replica_offset) = (0, 160);
        change(&mut group, &mut replica);
        let with = |facts: Facts| Sighting {
            facts: Some(Arc::new(facts)),
            ..seen.clone()
        };
        let mut sightings = BTreeMap::from([(ADDRESSES[1], with(replica))]);
        if let Some((offset, keys)) = written {
            let mut primary = facts("a", Role::Primary);
            (primary.primary_offset, primary.keys) = (offset, keys);
            sightings.insert(ADDRESSES[0], with(primary));
        }
        unfit_among(&group, &sightings, Purpose::Outage)
    };
    let as_is = |_: &mut Group, _: &mut Facts| {};
    let empty = Some(Unfit::Empty);
    assert_eq!(unfit(Some((100, 10)), &as_is), None, "past the last sight of keys");
    assert_eq!(unfit(Some((160, 0)), &as_is), None, "the primary was seen empty too");
    assert_eq!(unfit(Some((160, 10)), &as_is), empty, "as far as that, and without");
    assert_eq!(unfit(Some((200, 10)), &as_is), empty, "there are newer keys");
    assert_eq!(unfit(None, &as_is), None, "this process had keys of this stream");
    let never_had = |group: &mut Group, _: &mut Facts| {
        group.members.get_mut(&ADDRESSES[1]).unwrap().non_empty = false;
    };
    assert_eq!(unfit(None, &never_had), empty, "it may be behind the first key");
    let other_stream = |_: &mut Group, facts: &mut Facts| {
        facts.lineage.as_mut().unwrap().replid = "of a primary that came back empty".into();
        facts.lineage.as_mut().unwrap().replid2 = Some("data".into());
    };
    assert_eq!(unfit(None, &other_stream), empty);
}

/// Its primary may be hung, and acknowledge writes when it goes on: a switch to a master of its own would lose them.
#[test]
fn a_master_is_no_candidate_of_a_switch_that_loses_nothing() {
    let (group, seen) = watched();
    let master = |purpose| {
        let facts = Some(Arc::new(facts("b", Role::Primary)));
        reason(&group, Sighting { facts, ..seen.clone() }, purpose)
    };
    assert_eq!(master(Purpose::Coordinated), Some(Unfit::Master));
    assert_eq!(master(Purpose::Planned), None);
}
