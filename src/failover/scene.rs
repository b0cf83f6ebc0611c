//! What the planner looks at.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::detect::Tally;
use crate::failover::Elsewhere;
use crate::model::{Address, Facts, Group, NodeId, Sighting, Timestamp};

/// One group, as the leader sees it at one moment.
pub struct Scene<'a> {
    /// What the cluster has agreed on.
    pub group: &'a Group,
    /// What this node sees of the members.
    pub sightings: &'a BTreeMap<Address, Sighting>,
    /// The votes for [`Group::vote_key`].
    pub tally: &'a Tally,
    /// What other groups know.
    pub elsewhere: &'a dyn Elsewhere,
    /// This node.
    pub node: NodeId,
    /// The time that an entry proposed now would get, for the brake on flapping and the end of maintenance only.
    pub wall: Timestamp,
}

impl Scene<'_> {
    /// Enough nodes say Down, and it is not so that a majority freshly sees the same primary Up.
    pub(super) fn outage_agreed(&self) -> bool {
        self.tally.down >= self.group.config.quorum && !self.seen_up_by_majority()
    }

    /// A majority freshly sees the primary Up.
    pub(super) fn seen_up_by_majority(&self) -> bool {
        self.tally.up.saturating_mul(2) > self.tally.electorate
    }

    /// INFO of an instance, with the host names of members replaced by their addresses.
    pub(super) fn with_names_found(&self, facts: Arc<Facts>) -> Arc<Facts> {
        self.group.with_names_found(&facts).map_or(facts, Arc::new)
    }

    /// Somebody, or this node itself, says Down.
    pub(super) fn alarm(&self) -> bool {
        let own = self.sightings.get(&self.group.primary);
        self.tally.down > 0 || own.is_some_and(|sighting| sighting.verdict.is_down())
    }
}
