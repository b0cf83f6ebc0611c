//! What counts, and what does not.

use super::*;
use crate::model::RunId;

const VOTERS: [NodeId; 3] = [1, 2, 3];

fn key(group: u64) -> VoteKey {
    VoteKey {
        group: GroupId(group),
        epoch: 4,
        address: "10.0.0.1:6379".parse().unwrap(),
        run_id: Some(RunId::new("aa")),
    }
}

fn vote(group: u64, verdict: Judgement) -> Vote {
    Vote {
        key: key(group),
        verdict,
        reach: BTreeSet::from(["10.0.0.2:6379".parse().unwrap()]),
        fit: None,
    }
}

fn whole(sequence: u64, votes: &[Vote]) -> VoteReport {
    VoteReport {
        sequence,
        whole: true,
        votes: votes.to_vec(),
    }
}

fn part(sequence: u64, votes: &[Vote]) -> VoteReport {
    VoteReport {
        whole: false,
        ..whole(sequence, votes)
    }
}

fn groups(ids: &[u64]) -> BTreeSet<GroupId> {
    ids.iter().copied().map(GroupId).collect()
}

fn counts(ballot: &Ballot, key: &VoteKey, now: u64) -> (u32, u32) {
    let tally = ballot.tally(key, VOTERS.into_iter(), Instant(now));
    assert_eq!(tally.electorate, 3);
    (tally.down, tally.up)
}

#[test]
fn a_whole_report_is_taken_and_counted() {
    let mut ballot = Ballot::new(1_500);
    let report = whole(7, &[vote(1, Judgement::Down), vote(2, Judgement::Up)]);
    let (ack, changed) = ballot.receive(1, &report, Instant(0));
    assert_eq!((ack, changed), (VoteAck::Taken, groups(&[1, 2])));
    assert_eq!(counts(&ballot, &key(1), 10), (1, 0));
    assert_eq!(counts(&ballot, &key(2), 10), (0, 1));
    let tally = ballot.tally(&key(1), VOTERS.into_iter(), Instant(10));
    assert_eq!(tally.reach, BTreeMap::from([(1, vote(1, Judgement::Down).reach)]));
}

#[test]
fn a_node_that_does_not_say_whom_it_would_promote_is_believed_for_all_that_it_reaches() {
    let fit = |says: Option<BTreeSet<_>>| {
        let mut ballot = Ballot::new(1_500);
        let vote = Vote {
            fit: says,
            ..vote(1, Judgement::Down)
        };
        ballot.receive(1, &whole(7, &[vote]), Instant(0));
        ballot.tally(&key(1), VOTERS.into_iter(), Instant(10)).fit
    };
    assert_eq!(fit(None), BTreeMap::from([(1, vote(1, Judgement::Down).reach)]));
    assert_eq!(fit(Some(BTreeSet::new())), BTreeMap::from([(1, BTreeSet::new())]));
}

#[test]
fn a_change_is_taken_when_nothing_before_it_is_missing() {
    let mut ballot = Ballot::new(1_500);
    ballot.receive(
        1,
        &whole(7, &[vote(1, Judgement::Up), vote(2, Judgement::Up)]),
        Instant(0),
    );
    let (ack, changed) = ballot.receive(1, &part(8, &[vote(1, Judgement::Down)]), Instant(50));
    assert_eq!((ack, changed), (VoteAck::Taken, groups(&[1])));
    assert_eq!(counts(&ballot, &key(1), 50), (1, 0));
    assert_eq!(
        counts(&ballot, &key(2), 50),
        (0, 1),
        "groups that a part does not name keep their votes"
    );
}

#[test]
fn a_gap_or_a_stranger_is_asked_for_the_whole_set() {
    let mut ballot = Ballot::new(1_500);
    let change = [vote(1, Judgement::Down)];
    assert_eq!(
        ballot.receive(1, &part(1, &change), Instant(0)),
        (VoteAck::WantWhole, groups(&[]))
    );
    ballot.receive(1, &whole(7, &[vote(1, Judgement::Up)]), Instant(0));
    assert_eq!(ballot.receive(1, &part(9, &change), Instant(10)).0, VoteAck::WantWhole);
    assert_eq!(
        counts(&ballot, &key(1), 10),
        (0, 1),
        "a report that was not taken changes nothing"
    );
    assert_eq!(ballot.receive(1, &whole(10, &change), Instant(20)).0, VoteAck::Taken);
    assert_eq!(counts(&ballot, &key(1), 20), (1, 0));
}

#[test]
fn a_late_duplicate_does_not_bring_back_an_old_opinion() {
    let mut ballot = Ballot::new(1_500);
    ballot.receive(1, &whole(7, &[vote(1, Judgement::Down)]), Instant(0));
    ballot.receive(1, &whole(8, &[vote(1, Judgement::Up)]), Instant(10));
    assert_eq!(
        ballot.receive(1, &whole(7, &[vote(1, Judgement::Down)]), Instant(20)).0,
        VoteAck::WantWhole
    );
    assert_eq!(counts(&ballot, &key(1), 20), (0, 1));
}

#[test]
fn a_group_that_a_whole_report_does_not_name_has_no_vote() {
    let mut ballot = Ballot::new(1_500);
    ballot.receive(
        1,
        &whole(7, &[vote(1, Judgement::Down), vote(2, Judgement::Up)]),
        Instant(0),
    );
    let (_, changed) = ballot.receive(1, &whole(8, &[vote(2, Judgement::Up)]), Instant(10));
    assert_eq!(changed, groups(&[1]));
    assert_eq!(counts(&ballot, &key(1), 10), (0, 0));
}

#[test]
fn votes_expire_unless_they_are_refreshed() {
    let mut ballot = Ballot::new(1_500);
    ballot.receive(1, &whole(7, &[vote(1, Judgement::Down)]), Instant(0));
    assert_eq!(ballot.next_expiry(Instant(0)), Some(Instant(1_500)));
    ballot.receive(1, &part(8, &[]), Instant(1_000));
    assert_eq!(counts(&ballot, &key(1), 2_499), (1, 0));
    assert_eq!(counts(&ballot, &key(1), 2_500), (0, 0));
    assert_eq!(ballot.next_expiry(Instant(2_500)), None);
    assert_eq!(ballot.expire(Instant(2_500)), groups(&[1]));
    assert_eq!(ballot.receive(1, &part(9, &[]), Instant(2_600)).0, VoteAck::WantWhole);
    assert_eq!(
        ballot.receive(1, &whole(3, &[]), Instant(2_700)).0,
        VoteAck::Taken,
        "expired is forgotten"
    );
}

#[test]
fn an_expiry_is_told_with_the_next_report() {
    let mut ballot = Ballot::new(1_500);
    ballot.receive(1, &whole(7, &[vote(1, Judgement::Down)]), Instant(0));
    let (_, changed) = ballot.receive(2, &whole(7, &[vote(2, Judgement::Up)]), Instant(1_600));
    assert_eq!(changed, groups(&[1, 2]));
}

#[test]
fn only_the_electorate_counts() {
    let mut ballot = Ballot::new(1_500);
    for node in [1, 3, 8] {
        ballot.receive(node, &whole(1, &[vote(1, Judgement::Down)]), Instant(0));
    }
    assert_eq!(counts(&ballot, &key(1), 0), (2, 0));
    let tally = ballot.tally(&key(1), [1].into_iter(), Instant(0));
    assert_eq!((tally.down, tally.electorate), (1, 1));
}

#[test]
fn a_vote_about_another_key_says_nothing() {
    let mut ballot = Ballot::new(1_500);
    ballot.receive(1, &whole(1, &[vote(1, Judgement::Down)]), Instant(0));
    let other = [
        VoteKey { epoch: 5, ..key(1) },
        VoteKey {
            address: "10.0.0.9:6379".parse().unwrap(),
            ..key(1)
        },
        VoteKey {
            run_id: Some(RunId::new("bb")),
            ..key(1)
        },
        VoteKey { run_id: None, ..key(1) },
        key(2),
    ];
    for key in other {
        assert_eq!(counts(&ballot, &key, 0), (0, 0), "{key:?}");
    }
}

#[test]
fn a_vote_of_a_node_that_has_not_heard_of_the_run_id_counts() {
    let mut ballot = Ballot::new(1_500);
    let mut early = vote(1, Judgement::Down);
    early.key.run_id = None;
    ballot.receive(1, &whole(1, &[early]), Instant(0));
    assert_eq!(counts(&ballot, &key(1), 0), (1, 0));
}

#[test]
fn unknown_is_neither_up_nor_down_but_reaches() {
    let mut ballot = Ballot::new(1_500);
    ballot.receive(1, &whole(1, &[vote(1, Judgement::Unknown)]), Instant(0));
    let tally = ballot.tally(&key(1), VOTERS.into_iter(), Instant(0));
    assert_eq!((tally.down, tally.up, tally.reach.len()), (0, 0, 1));
}

#[test]
fn a_new_leadership_starts_with_nothing() {
    let mut ballot = Ballot::new(1_500);
    ballot.receive(1, &whole(7, &[vote(1, Judgement::Down)]), Instant(0));
    ballot.clear();
    assert_eq!(counts(&ballot, &key(1), 0), (0, 0));
    assert_eq!(ballot.receive(1, &part(8, &[]), Instant(10)).0, VoteAck::WantWhole);
}

#[test]
fn a_report_survives_the_wire() {
    let report = part(8, &[vote(1, Judgement::Down)]);
    let bytes = rmp_serde::to_vec_named(&report).unwrap();
    assert_eq!(rmp_serde::from_slice::<VoteReport>(&bytes).unwrap(), report);
}
