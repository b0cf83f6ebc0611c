//! Rule 12: a switch that others made is adopted by a committed entry, once enough nodes see it.

use crate::failover::draft::Draft;
use crate::failover::selection::Unfit;
use crate::machine::{Command, SwitchProof};
use crate::model::{Address, Role};

/// Whether somebody else made a switch.
pub(super) enum Adoption {
    /// No.
    None,
    /// This is how to adopt it.
    Adopt(Command),
}

/// Mode `observe`: one member became master, and the recorded primary is down, follows somebody, or is left by all
/// others. A Sentinel turns a primary that it replaced by plan last, and some ten seconds late: its clients have gone.
///
/// Others may have agreed on the outage of what this node still sees Up: it is no switch yet. And what was read before
/// the last switch does not undo it.
pub(super) fn made_by_others(draft: &Draft<'_>) -> Adoption {
    let primary = draft.group.primary;
    let follows = draft.sees_up(primary)
        && draft
            .facts(primary)
            .is_some_and(|(facts, _)| facts.role == Role::Replica);
    let gone = follows || draft.scene.outage_agreed() && !draft.sees_up(primary);
    let masters: Vec<Address> = draft
        .group
        .replicas()
        .map(|(address, _)| *address)
        .filter(|address| is_master(draft, *address).is_ok() && said_since_the_last_switch(draft, *address))
        .collect();
    match masters.as_slice() {
        [only] if gone || all_others_follow(draft, *only) => adopt(draft, *only),
        _ => Adoption::None,
    }
}

fn said_since_the_last_switch(draft: &Draft<'_>, address: Address) -> bool {
    let switched_at = draft.memory.switch_known.map(|(_, at)| at);
    let said_at = draft.facts(address).map(|(_, at)| at);
    switched_at.is_none_or(|switched_at| said_at.is_some_and(|said_at| said_at >= switched_at))
}

/// There are other replicas, and all that are Up follow `address`. Without any, nothing tells a switch from a replica
/// that was detached.
fn all_others_follow(draft: &Draft<'_>, address: Address) -> bool {
    let others = draft.group.replicas().map(|(other, _)| *other);
    let others: Vec<Address> = others
        .filter(|other| *other != address && draft.sees_up(*other))
        .collect();
    let follows = |other: &Address| {
        draft
            .facts(*other)
            .is_some_and(|(facts, _)| facts.role == Role::Replica && facts.primary == Some(address))
    };
    !others.is_empty() && others.iter().all(follows)
}

/// The recorded primary itself follows a member that is master: an operator moved the group by hand.
pub(super) fn followed_by_primary(draft: &Draft<'_>) -> Adoption {
    let followed = draft.facts(draft.group.primary).and_then(|(facts, _)| facts.primary);
    match followed {
        Some(address) if is_master(draft, address).is_ok() => adopt(draft, address),
        _ => Adoption::None,
    }
}

fn adopt(draft: &Draft<'_>, address: Address) -> Adoption {
    if !enough_reach(draft, address) {
        return Adoption::None;
    }
    let Some((facts, _)) = draft.facts(address) else {
        return Adoption::None;
    };
    let (group, on) = draft.target();
    Adoption::Adopt(Command::Adopt {
        group,
        on,
        primary: address,
        proof: SwitchProof {
            run_id: facts.run_id.clone(),
            lineage: facts.lineage.clone(),
        },
    })
}

/// A member in good standing that answers as master.
fn is_master(draft: &Draft<'_>, address: Address) -> Result<(), Unfit> {
    let member = draft.group.members.get(&address).ok_or(Unfit::Unseen)?;
    if let Some(why) = &member.quarantine {
        return Err(Unfit::Quarantined(why.clone()));
    }
    if !member.synced {
        return Err(Unfit::NeverInSync);
    }
    let (facts, _) = draft.facts(address).ok_or(Unfit::NoInfo)?;
    let good = draft.sees_up(address) && facts.role == Role::Primary && !facts.loading;
    let known = member.run_id.as_ref() == Some(&facts.run_id);
    match (good, known) {
        (true, true) => Ok(()),
        (true, false) => Err(Unfit::Restarted),
        (false, _) => Err(Unfit::Down),
    }
}

/// A quorum of nodes, this one included, reaches the new master.
fn enough_reach(draft: &Draft<'_>, address: Address) -> bool {
    let own = draft.scene.node;
    let others = draft
        .scene
        .tally
        .reach
        .iter()
        .filter(|(node, reach)| **node != own && reach.contains(&address));
    let count = u32::try_from(others.count()).unwrap_or(u32::MAX).saturating_add(1);
    let quorum = draft.group.config.quorum.min(draft.scene.tally.electorate.max(1));
    count >= quorum
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use super::*;
    use crate::detect::Tally;
    use crate::failover::testing::{ADDRESSES, facts, group, member, scene};
    use crate::failover::{Memory, Scene};
    use crate::model::{Instant, LinkState, Sighting, Verdict};

    const NOW: Instant = Instant(1_000_000);

    fn seen(run_id: &str, role: Role, verdict: Verdict) -> Sighting {
        Sighting {
            verdict,
            link: LinkState::Connected,
            facts: Some(Arc::new(facts(run_id, role))),
            facts_at: Some(NOW),
            ..Sighting::default()
        }
    }

    /// Two nodes of three say that the primary is down, and a member is a master. What this node thinks of the primary,
    /// and when the last switch was.
    fn adopts(primary: Verdict, switched_at: Option<Instant>) -> bool {
        let mut group = group();
        group.members.insert(ADDRESSES[1], member("b"));
        let sightings = BTreeMap::from([
            (ADDRESSES[0], seen("a", Role::Primary, primary)),
            (ADDRESSES[1], seen("b", Role::Primary, Verdict::Up)),
        ]);
        let reach = [1, 2].map(|node| (node, BTreeSet::from([ADDRESSES[1]])));
        let tally = Tally {
            down: 2,
            electorate: 3,
            reach: BTreeMap::from(reach),
            ..Tally::default()
        };
        let mut memory = Memory::new(NOW);
        memory.switch_known = switched_at.map(|at| (1, at));
        let scene = Scene {
            group: &group,
            sightings: &sightings,
            tally: &tally,
            ..scene()
        };
        matches!(made_by_others(&Draft::new(&scene, &memory, NOW)), Adoption::Adopt(_))
    }

    const DOWN: Verdict = Verdict::Down { since: NOW };

    /// Found by the simulator, seed 8313201: both were masters to this node, which had not noticed the death of one; each
    /// was adopted in turn, hundreds of times.
    #[test]
    fn a_switch_is_adopted_when_this_node_sees_the_outage_and_not_by_what_was_said_before_the_last_one() {
        assert!(adopts(DOWN, None));
        assert!(!adopts(Verdict::Up, None), "others see it down, this node does not");
        assert!(adopts(DOWN, Some(NOW)));
        assert!(!adopts(DOWN, Some(NOW.plus(1))), "said before the last switch");
    }
}
