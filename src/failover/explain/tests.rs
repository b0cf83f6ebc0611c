//! What is explained, in one scene after another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::detect::Tally;
use crate::failover::testing::{ADDRESSES, facts, group, member, scene};
use crate::model::{Automatic, Group, LinkState, Outage, Sighting, Timestamp};

const NOW: Instant = Instant(1_000_000);
const WALL: Timestamp = Timestamp(1_700_000_000_000);

struct Case {
    group: Group,
    sightings: BTreeMap<Address, Sighting>,
    tally: Tally,
}

impl Case {
    /// A primary that two of three nodes say is down, one good replica and one that loads.
    fn down() -> Self {
        let [primary, first, second] = ADDRESSES;
        let mut group = group();
        group.config.quorum = 2;
        group.members.insert(first, member("b"));
        group.members.insert(second, member("c"));
        let seen = |run_id, role, verdict| Sighting {
            verdict,
            link: LinkState::Connected,
            ok_reply_at: NOW,
            facts: Some(Arc::new(facts(run_id, role))),
            facts_at: Some(NOW),
            ..Sighting::default()
        };
        let mut loading = facts("c", Role::Replica);
        loading.loading = true;
        let sightings = BTreeMap::from([
            (
                primary,
                seen(
                    "a",
                    Role::Primary,
                    Verdict::Down {
                        since: NOW.minus(1_500),
                    },
                ),
            ),
            (first, seen("b", Role::Replica, Verdict::Up)),
            (
                second,
                Sighting {
                    facts: Some(Arc::new(loading)),
                    ..seen("c", Role::Replica, Verdict::Up)
                },
            ),
        ]);
        let tally = Tally {
            down: 2,
            up: 0,
            electorate: 3,
            reach: BTreeMap::from([(1, BTreeSet::from([first, second])), (2, BTreeSet::new())]),
            ..Tally::default()
        };
        Self {
            group,
            sightings,
            tally,
        }
    }

    fn lines(&self) -> Vec<String> {
        let scene = Scene {
            group: &self.group,
            sightings: &self.sightings,
            tally: &self.tally,
            wall: WALL,
            ..scene()
        };
        let voices = BTreeMap::from([(1, Some(Judgement::Down)), (2, Some(Judgement::Down)), (3, None)]);
        explain(&scene, &Memory::new(Instant(0)), Some(&voices), NOW)
    }

    fn line(&self, start: &str) -> String {
        let lines = self.lines();
        let found = lines.iter().find(|line| line.starts_with(start));
        found.cloned().unwrap_or_default()
    }
}

#[test]
fn everything_that_decides_is_told() {
    let mut case = Case::down();
    case.group.outage = Some(Outage {
        since: Timestamp(WALL.0 - 12_000),
        votes: 2,
    });
    case.group.config.automatic = Automatic::OffUntil(Timestamp(WALL.0 + 700_000));
    let expected = [
        "group g: primary 10.0.0.1:6379, epoch 0, config epoch 0, version 1",
        "state: the primary is down, agreed 12 s ago",
        "next attempt: not for another 11 min, then at once if the primary is down",
        "held back: automatic failover is off",
        "votes: 2 down, 0 up of 3 nodes; quorum 2",
        "node 1 (leads): down; reaches 10.0.0.2:6379, 10.0.0.3:6379",
        "node 2: down; reaches no replica",
        "node 3: not heard",
        "node 1 sees 10.0.0.1:6379: down for 1500 ms, master, offset 100, 1 keys 0 ms ago",
        "replica 10.0.0.2:6379: up, replica, offset 100, 1 keys 0 ms ago; the best to be promoted",
        "replica 10.0.0.3:6379: up, replica, offset 100, 1 keys 0 ms ago; not to be promoted: loading its data",
    ];
    assert_eq!(case.lines(), expected);
}

#[test]
fn the_next_attempt_is_told_whatever_holds_it() {
    let mut case = Case::down();
    assert_eq!(case.line("next attempt"), "next attempt: at once");
    case.sightings.remove(&ADDRESSES[1]);
    assert_eq!(case.line("next attempt"), "next attempt: when a replica changes");
    assert!(
        case.line("replica 10.0.0.2")
            .ends_with("not seen yet; not to be promoted: not seen yet")
    );
    case.group.config.automatic = Automatic::Off;
    assert_eq!(
        case.line("next attempt"),
        "next attempt: not before SENTINEL SET ... failover on"
    );
    case.group.config.automatic = Automatic::On;
    case.tally.down = 1;
    let waits = "next attempt: when enough nodes say that the primary is down";
    assert_eq!(case.line("next attempt"), waits);
    assert_eq!(case.line("state"), "state: the primary is suspected, too few votes yet");
    (case.tally.down, case.tally.up, case.group.config.quorum) = (1, 2, 1);
    assert_eq!(
        case.line("state"),
        "state: a majority sees the primary up: votes for down do not count"
    );
    case.group.config.quorum = 4;
    assert!(
        case.line("votes")
            .ends_with("more than there are nodes: no automatic failover")
    );
}
