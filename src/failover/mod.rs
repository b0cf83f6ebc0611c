//! The planner: what should happen next to one group.
//!
//! ```text
//! Scene  (replicated group, this node's sightings, votes) \
//! Memory (what this leader did and heard since it took over) > plan -> Plan { actions, wake_at }
//! now                                                      /
//!
//! no failover open   idle        outage? -> select -> commit 1; learn; repair; adopt
//! stage Promote      promote     fence, offsets, order, proof -> commit 2; or abort
//! stage Undo         undo        a coordinated one is given up: what was done to the old primary is taken back -> abort
//! stage Reconfigure  reconfigure old primary first, then the others, a few at a time -> end
//! ```
//!
//! Pure, one group at a time: called twice without news it gives the same actions. Whoever carries actions out tells
//! [`Memory`] what was sent and what came back.
//! What does not live here: carrying actions out (`control`), and changing the state (`machine`).

mod adopt;
mod brake;
mod deleted;
mod draft;
mod emptied;
mod explain;
mod fit;
mod held_back;
mod identity;
mod idle;
mod lawful;
mod learn;
mod maintenance;
mod memory;
mod names;
mod order;
mod promote;
mod reach;
mod reconfigure;
mod reinstate;
mod repair;
mod request;
mod scene;
mod selection;
mod soundness;
mod undo;

pub use brake::held_until;
pub use explain::{Voices, explain};
pub use fit::{fit_replicas, lacks_candidate};
pub use held_back::{HeldBack, held_back};
pub use identity::Elsewhere;
pub use lawful::{Read, still_stands};
pub use memory::{LinkFault, Memory, OrderFault};
pub use names::Found;
pub use order::{Action, Order, Plan};
pub use request::{Refusal, Wish, operator, unreachable};
pub use scene::Scene;
pub use selection::{Purpose, Selection, Unfit, select};

use crate::model::{Instant, Stage};
use crate::mutation::{self, Mutation};

use draft::Draft;

/// What should happen next to the group of `scene`.
pub fn plan(scene: &Scene<'_>, memory: &Memory, now: Instant) -> Plan {
    let mut draft = Draft::new(scene, memory, now);
    let forgotten = mutation::is_on(Mutation::StageForgotten) && memory.attempt.is_some_and(|attempt| !attempt.mine);
    match scene.group.failover.as_ref().filter(|_| !forgotten) {
        None => idle::plan(&mut draft),
        Some(failover) => match &failover.stage {
            Stage::Promote => promote::plan(&mut draft, failover),
            Stage::Undo { fault } => undo::plan(&mut draft, failover, fault),
            Stage::Reconfigure { steps } => reconfigure::plan(&mut draft, failover, steps),
        },
    }
    draft.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing {
    //! Literals for the unit tests of this area.

    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::LazyLock;

    use super::{Elsewhere, Scene};
    use crate::detect::Tally;
    use crate::machine::State;
    use crate::model::{
        Address, Facts, Group, GroupConfig, GroupId, GroupName, Lineage, Member, Monitored, Role, RunId, Sighting,
        Timestamp,
    };

    /// A primary and its replicas.
    pub(super) const ADDRESSES: [Address; 3] = [at(1), at(2), at(3)];

    const fn at(host: u8) -> Address {
        Address {
            ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)),
            port: 6379,
        }
    }

    fn lineage() -> Lineage {
        Lineage {
            replid: "data".into(),
            replid2: None,
        }
    }

    /// A member in sync.
    pub(super) fn member(run_id: &str) -> Member {
        Member {
            run_id: Some(RunId::new(run_id)),
            lineage: Some(lineage()),
            synced: true,
            non_empty: true,
            quarantine: None,
        }
    }

    /// A group with a primary, run id `a`.
    pub(super) fn group() -> Group {
        let primary = ADDRESSES[0];
        Group {
            id: GroupId(1),
            name: GroupName::new("g").unwrap(),
            monitored: Monitored {
                host: None,
                address: primary,
                quorum: 1,
            },
            config: GroupConfig::default(),
            primary,
            members: BTreeMap::from([(primary, member("a"))]),
            hosts: BTreeMap::new(),
            epoch: 0,
            config_epoch: 0,
            failover: None,
            outage: None,
            switches: Vec::new(),
            abort: None,
            version: 1,
            created: 1,
        }
    }

    /// That group, of which node 1 sees nothing, nobody votes, and no other group exists. What a test needs it puts in.
    pub(super) fn scene() -> Scene<'static> {
        static SIGHTINGS: BTreeMap<Address, Sighting> = BTreeMap::new();
        static GROUP: LazyLock<Group> = LazyLock::new(group);
        static TALLY: LazyLock<Tally> = LazyLock::new(Tally::default);
        static ELSEWHERE: LazyLock<State> = LazyLock::new(State::default);
        Scene {
            group: &GROUP,
            sightings: &SIGHTINGS,
            tally: &TALLY,
            elsewhere: &*ELSEWHERE,
            node: 1,
            wall: Timestamp(0),
        }
    }

    /// Another group that knows one address, one run id and one replication id.
    pub(super) struct Other;

    impl Elsewhere for Other {
        fn address(&self, _: GroupId, address: Address) -> Option<GroupName> {
            (address == ADDRESSES[2]).then(|| GroupName::new("other").unwrap())
        }

        fn run_id(&self, _: GroupId, run_id: &RunId) -> Option<GroupName> {
            (run_id.as_str() == "theirs").then(|| GroupName::new("other").unwrap())
        }

        fn replid(&self, _: GroupId, replid: &str) -> Option<GroupName> {
            (replid == "their-data").then(|| GroupName::new("other").unwrap())
        }
    }

    /// INFO of an instance in good standing.
    pub(super) fn facts(run_id: &str, role: Role) -> Facts {
        let primary = (role == Role::Replica).then_some(ADDRESSES[0]);
        Facts {
            run_id: RunId::new(run_id),
            version: "7.0.15".to_owned(),
            role,
            lineage: Some(lineage()),
            primary_offset: 100,
            replica_offset: if role == Role::Replica { 100 } else { 0 },
            primary,
            primary_host: String::new(),
            primary_port: 0,
            primary_link_up: primary.is_some(),
            primary_link_down_ms: Some(0),
            sync_in_progress: false,
            priority: 100,
            announced: true,
            loading: false,
            keys: 1,
            uptime_s: 1,
            failing_over: Some(false),
            replicas: Vec::new(),
            named_replicas: Vec::new(),
        }
    }
}
