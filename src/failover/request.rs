//! What an operator asks for: SENTINEL FAILOVER, and what SENTINEL RESET forgets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::failover::promote::pauses_writes;
use crate::failover::selection::{Purpose, judge, select};
use crate::failover::{Action, Memory, Scene};
use crate::machine::Command;
use crate::model::{Address, FailoverKind, Instant, Mode, Role, RunId, Verdict};

/// What an operator asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// No acknowledged write is lost, or nothing changes.
    pub coordinated: bool,
    /// This replica, or none.
    pub to: Option<Address>,
}

/// Why an operator's failover is not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// One is in progress.
    InProgress,
    /// The group is only watched.
    Observing,
    /// Per replica, why it may not be promoted.
    NoGoodReplica(BTreeMap<Address, Arc<str>>),
    /// COORDINATED: the primary is too old for it.
    OldPrimary,
    /// COORDINATED: the primary cannot take part, for this reason.
    NoGoodPrimary(&'static str),
    /// TO: the group has no such instance.
    NoSuchReplica,
    /// TO: that is the primary.
    IsPrimary,
}

/// Commit 1 of an operator's failover, and the links that it will need. Neither the votes nor the brake are asked: an
/// operator knows better.
pub fn operator(scene: &Scene<'_>, memory: &Memory, wish: Wish, now: Instant) -> Result<Vec<Action>, Refusal> {
    if wish.coordinated {
        check_primary(scene, memory)?;
    }
    if wish.to == Some(scene.group.primary) {
        return Err(Refusal::IsPrimary);
    }
    if wish.to.is_some_and(|to| !scene.group.members.contains_key(&to)) {
        return Err(Refusal::NoSuchReplica);
    }
    if scene.group.failover.is_some() {
        return Err(Refusal::InProgress);
    }
    if scene.group.config.mode == Mode::Observe {
        return Err(Refusal::Observing);
    }
    let (candidate, run_id) = choose(scene, memory, wish, now)?;
    let mut actions: Vec<Action> = [candidate, scene.group.primary]
        .into_iter()
        .filter(|address| memory.lacks_link(*address, now))
        .map(Action::OpenLink)
        .collect();
    actions.push(Action::Propose(Command::OpenFailover {
        group: scene.group.id,
        on: scene.group.version,
        kind: if wish.coordinated {
            FailoverKind::Coordinated
        } else {
            FailoverKind::Operator
        },
        votes: scene.tally.down,
        candidate,
        run_id,
    }));
    Ok(actions)
}

fn choose(scene: &Scene<'_>, memory: &Memory, wish: Wish, now: Instant) -> Result<(Address, RunId), Refusal> {
    let purpose = match (wish.coordinated, scene.alarm()) {
        (true, _) => Purpose::Coordinated,
        (false, true) => Purpose::Outage,
        (false, false) => Purpose::Planned,
    };
    let Some(to) = wish.to else {
        let selection = select(scene, memory, purpose, now);
        let reasons = selection.reasons();
        return selection.chosen.ok_or(Refusal::NoGoodReplica(reasons));
    };
    match judge(scene, memory, purpose, to, now) {
        Ok(run_id) => Ok((to, run_id)),
        Err(unfit) => Err(Refusal::NoGoodReplica(BTreeMap::from([(to, unfit.to_string().into())]))),
    }
}

/// Whether the primary can step down in favour of a replica. Before Redis 6.2 it cannot: CLIENT PAUSE holds back every
/// request there, also that to step down, so that the writes which waited would be acknowledged before it.
fn check_primary(scene: &Scene<'_>, memory: &Memory) -> Result<(), Refusal> {
    let primary = scene.group.primary;
    let down = scene
        .sightings
        .get(&primary)
        .is_none_or(|seen| seen.verdict != Verdict::Up);
    let Some((facts, _)) = memory.newest_facts(scene, primary).filter(|_| !down) else {
        return Err(Refusal::NoGoodPrimary("not seen up"));
    };
    if !pauses_writes(&facts.version) {
        return Err(Refusal::OldPrimary);
    }
    let known = scene.group.primary_member().and_then(|member| member.run_id.as_ref());
    if facts.role != Role::Primary || known != Some(&facts.run_id) {
        return Err(Refusal::NoGoodPrimary("not the master on record"));
    }
    if facts.loading || facts.failing_over == Some(true) {
        return Err(Refusal::NoGoodPrimary("busy"));
    }
    Ok(())
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
