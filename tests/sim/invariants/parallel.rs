//! After a switch at most parallel-syncs replicas copy at a time because they were ordered to. The old primary, which is
//! turned first of all, is not counted. A leader counts what it ordered itself, and what is committed of the orders of
//! those before it: the last one may not be on record yet, and is the one that a successor may give too many.
//!
//! It is the new primary that is spared: who copies another instance, because an order of the failover before was held
//! on its way and landed unseen, does not count.

use std::collections::BTreeMap;

use cfgserver::failover::Order;
use cfgserver::model::{Address, Epoch, GroupId, NodeId, ReconfStep, Stage, Term};

use super::{Invariant, Scene};
use crate::fact::Fact;
use crate::redis::Replica;

/// A replica that does not follow within this long is given up, and so is one that is out of reach.
const GIVEN_UP_MS: u64 = 10_000;

#[derive(Default)]
pub(super) struct Parallel {
    /// Orders of the last failover of each group: by whom, and to whom when.
    turned: BTreeMap<GroupId, (Epoch, NodeId, Term, BTreeMap<Address, u64>)>,
}

impl Invariant for Parallel {
    fn name(&self) -> &'static str {
        "parallel-syncs is respected"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        if let Fact::OrderDone {
            group,
            server,
            order: Order::Follow { primary, .. },
            ..
        } = fact
        {
            let instance = &scene.fleet().servers[*server];
            if instance.follows == Some(*primary) {
                let (.., turned) = self.turned.entry(*group).or_default();
                turned.insert(instance.address, scene.now());
            }
        }
        let Fact::OrderSent {
            node,
            term,
            group: id,
            address,
            order: Order::Follow { .. },
            applied,
            // The bare form was decided when the first one was.
            repeated: false,
            ..
        } = fact
        else {
            return Ok(());
        };
        let Some(group) = applied.group(*id) else { return Ok(()) };
        let Some(failover) = &group.failover else { return Ok(()) };
        if *address == failover.old_primary {
            return Ok(());
        }
        let (epoch, by, in_term, turned) = self.turned.entry(*id).or_default();
        if (*epoch, *by, *in_term) != (failover.epoch, *node, *term) {
            (*epoch, *by, *in_term) = (failover.epoch, *node, *term);
            turned.clear();
        }
        let seen_down = |address: &Address| {
            let seen = scene.sighting(*node, *id, *address);
            seen.is_none_or(|seen| seen.verdict.is_down())
        };
        // What turned out to be of another group is left alone, and not waited for.
        let left_alone = |address: &Address| {
            let member = group.members.get(address);
            member.is_none_or(|member| member.quarantine.is_some())
        };
        let copying = |(address, at): (&Address, &u64)| {
            let server = scene.server_at(*address);
            let busy = server.is_some_and(|server| {
                matches!(server.replica, Replica::Transfer { .. } | Replica::Loading { .. })
                    && server.running
                    && server.ordered_to_follow
                    && server.follows == Some(group.primary)
            });
            busy && scene.now() - at < GIVEN_UP_MS && !seen_down(address) && !left_alone(address)
        };
        let counts = |other: &Address| other != address && *other != failover.old_primary;
        if let Stage::Reconfigure { steps } = &failover.stage {
            let on_its_way = |step: &ReconfStep| matches!(step, ReconfStep::Sent | ReconfStep::InProgress);
            for (other, _) in steps.iter().filter(|(_, step)| on_its_way(step)) {
                turned.entry(*other).or_insert(scene.now());
            }
        }
        let others = turned.iter().filter(|(other, _)| counts(other));
        let busy = others.filter(|other| copying(*other)).count();
        let allowed = group.config.parallel_syncs as usize;
        if busy > 0 || allowed == 1 {
            scene.judges(self.name());
        }
        if busy + 1 > allowed {
            return Err(format!("{}: {} copy at a time, {allowed} may", group.name, busy + 1));
        }
        Ok(())
    }
}
