//! What an operator asks for: SENTINEL FAILOVER, and what SENTINEL RESET forgets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::failover::selection::{Purpose, select};
use crate::failover::{Action, Memory, Scene};
use crate::machine::Command;
use crate::model::{Address, FailoverKind, Instant, Mode};

/// Why an operator's failover is not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// One is in progress.
    InProgress,
    /// The group is only watched.
    Observing,
    /// Per replica, why it may not be promoted.
    NoGoodReplica(BTreeMap<Address, Arc<str>>),
}

/// Commit 1 of an operator's failover, and the links that it will need. Neither the votes nor the brake are asked: an
/// operator knows better.
pub fn operator(scene: &Scene<'_>, memory: &Memory, now: Instant) -> Result<Vec<Action>, Refusal> {
    if scene.group.failover.is_some() {
        return Err(Refusal::InProgress);
    }
    if scene.group.config.mode == Mode::Observe {
        return Err(Refusal::Observing);
    }
    let purpose = if scene.alarm() {
        Purpose::Outage
    } else {
        Purpose::Planned
    };
    let selection = select(scene, memory, purpose, now);
    let reasons = selection.reasons();
    let Some((candidate, run_id)) = selection.chosen else {
        return Err(Refusal::NoGoodReplica(reasons));
    };
    let mut actions: Vec<Action> = [candidate, scene.group.primary]
        .into_iter()
        .filter(|address| memory.lacks_link(*address, now))
        .map(Action::OpenLink)
        .collect();
    actions.push(Action::Propose(Command::OpenFailover {
        group: scene.group.id,
        on: scene.group.version,
        kind: FailoverKind::Operator,
        votes: scene.tally.down,
        candidate,
        run_id,
    }));
    Ok(actions)
}

/// The replicas that RESET forgets: those that this node sees Down, and those that belong elsewhere.
pub fn unreachable(scene: &Scene<'_>) -> BTreeSet<Address> {
    let down = |address: &Address| scene.sightings.get(address).is_some_and(|seen| seen.verdict.is_down());
    scene
        .group
        .replicas()
        .filter(|(address, member)| down(address) || member.quarantine.is_some())
        .map(|(address, _)| *address)
        .collect()
}
