//! Which node watches what closely while nothing is going on. Why that is safe: `probe/DESIGN.md`.

use super::{Pace, Watch};
use crate::model::{GroupId, NodeId, Role, Verdict};

/// How many nodes watch a primary closely while nothing is going on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Probing {
    /// All of them.
    #[default]
    All,
    /// The leader, and as many others as a decision may need and one more.
    Few,
}

/// How closely a node watches the members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duty {
    /// Its primary.
    pub primary: Pace,
    /// Each of its replicas.
    pub replicas: Pace,
}

impl Probing {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Few => "few",
        }
    }
}

impl Duty {
    /// Everything is watched.
    pub const ALL: Self = Self {
        primary: Pace::Calm,
        replicas: Pace::Calm,
    };

    /// What `node` does for a group with that quorum while `leader` leads. Without a leader everybody watches everything:
    /// any of them may be next.
    pub fn of(
        probing: Probing,
        node: NodeId,
        leader: Option<NodeId>,
        electorate: &[NodeId],
        (group, quorum): (GroupId, u32),
    ) -> Self {
        let Some(leader) = leader.filter(|leader| *leader != node) else {
            return Self::ALL;
        };
        match probing {
            Probing::All => Self {
                primary: Pace::Calm,
                replicas: Pace::Distant,
            },
            Probing::Few if watches(node, leader, electorate, (group, quorum)) => Self {
                primary: Pace::Calm,
                replicas: Pace::Remote,
            },
            Probing::Few => Self {
                primary: Pace::Remote,
                replicas: Pace::Remote,
            },
        }
    }

    /// How closely to watch an instance that is recorded in that role, while nothing is going on in its group.
    pub fn pace(self, recorded: Role, watch: &Watch, connected: bool) -> Pace {
        if watch.verdict() != Verdict::Up || watch.is_rebooting() || !connected {
            return Pace::Calm;
        }
        match recorded {
            Role::Primary => self.primary,
            Role::Replica => self.replicas,
        }
    }
}

/// Whether a node that does not lead is one of those that watch the primary. They are others for each group.
fn watches(node: NodeId, leader: NodeId, electorate: &[NodeId], (group, quorum): (GroupId, u32)) -> bool {
    let majority = electorate.len() / 2 + 1;
    // The leader is one of them, unless it is on its way out. Those that are left are no majority: what they saw long ago
    // outvotes nobody.
    let wanted = (quorum as usize).saturating_add(1).max(majority);
    let others = wanted - usize::from(electorate.contains(&leader));
    let rank = rank(node, group);
    let before = electorate
        .iter()
        .filter(|other| **other != leader && **other != node && self::rank(**other, group) < rank);
    electorate.contains(&node) && before.count() < others
}

/// The place of a node among those that may watch a group; the same on every node.
fn rank(node: NodeId, group: GroupId) -> (u64, NodeId) {
    // The finaliser of SplitMix64: neighbouring numbers lead far apart.
    let mut bits = (node << 32) ^ group.0;
    for multiplier in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
        bits = (bits ^ (bits >> 30)).wrapping_mul(multiplier);
    }
    (bits ^ (bits >> 31), node)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 5] = [1, 2, 3, 4, 5];

    fn groups() -> impl Iterator<Item = GroupId> {
        (1..=100).map(GroupId)
    }

    /// What a node does for a group, while node 2 leads.
    fn duty(probing: Probing, node: NodeId, group: GroupId, quorum: u32) -> Duty {
        Duty::of(probing, node, Some(2), &NODES, (group, quorum))
    }

    /// How many nodes watch each primary closely.
    fn watchers(quorum: u32, probing: Probing) -> Vec<usize> {
        let watch = |group, node: &NodeId| duty(probing, *node, group, quorum).primary == Pace::Calm;
        let count = |group| NODES.iter().filter(|node| watch(group, node)).count();
        groups().map(count).collect()
    }

    #[test]
    fn a_quorum_and_one_more_watch_a_primary_and_never_less_than_a_majority() {
        assert_eq!(watchers(2, Probing::Few), [3; 100]);
        assert_eq!(watchers(3, Probing::Few), [4; 100]);
        assert_eq!(watchers(1, Probing::Few), [3; 100], "the others are no majority");
        assert_eq!(watchers(u32::MAX, Probing::Few), [5; 100]);
        assert_eq!(watchers(2, Probing::All), [5; 100]);
    }

    #[test]
    fn the_work_is_shared_evenly() {
        let watches = |node, group: &GroupId| duty(Probing::Few, node, *group, 2).primary == Pace::Calm;
        let work = NODES.map(|node| groups().filter(|group| watches(node, group)).count());
        assert_eq!(work[1], 100, "the leader watches all");
        assert_eq!(work.iter().sum::<usize>(), 300);
        assert!(work.iter().all(|groups| *groups >= 30), "{work:?}");
    }

    #[test]
    fn one_node_watches_the_replicas_and_without_a_leader_everybody_does() {
        let replicas = |leader| {
            let duty = |node| Duty::of(Probing::Few, node, leader, &NODES, (GroupId(1), 2));
            NODES.map(|node| duty(node).replicas)
        };
        let remote = Pace::Remote;
        assert_eq!(replicas(Some(2)), [remote, Pace::Calm, remote, remote, remote]);
        assert_eq!(replicas(None), [Pace::Calm; 5]);
    }

    #[test]
    fn who_has_no_vote_watches_nothing_closely() {
        assert_eq!(duty(Probing::Few, 9, GroupId(1), 5).primary, Pace::Remote);
    }
}
