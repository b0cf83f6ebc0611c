//! The stages of a failover. The only place that changes the address of a group.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::machine::apply::{Change, primary_of, replica_of};
use crate::machine::{Progress, Rejection, ReplicaFault, SwitchProof};
use crate::model::{
    Abort, Address, Epoch, EventKind, Failover, FailoverKind, Fault, Group, GroupId, HostName, Mode, Outage,
    ReconfStep, Revision, RunId, Stage, Switch,
};
use crate::mutation::{self, Mutation};

pub(super) fn outage(
    change: &mut Change<'_>,
    id: GroupId,
    on: Revision,
    votes: u32,
    replicas: &BTreeMap<Address, ReplicaFault>,
) -> Result<(), Rejection> {
    let mut group = change.planned(id, on)?;
    if group.failover.is_some() {
        return Err(Rejection::InProgress);
    }
    begin_outage(change, &mut group, votes);
    if !replicas.is_empty() {
        let at = change.now();
        group.abort = Some(Abort {
            epoch: group.epoch,
            at,
            fault: Fault::NoGoodReplica,
            replicas: replicas.clone(),
        });
        change.tell(id, EventKind::TryFailover(primary_of(&group)));
        change.tell(id, EventKind::SelectReplica(primary_of(&group)));
        change.tell(id, EventKind::AbortNoGoodReplica(primary_of(&group)));
    }
    change.put(group);
    Ok(())
}

fn begin_outage(change: &mut Change<'_>, group: &mut Group, votes: u32) {
    if group.outage.is_some() {
        return;
    }
    group.outage = Some(Outage {
        since: change.now(),
        votes,
    });
    let kind = EventKind::Outage {
        primary: primary_of(group),
        votes,
        quorum: group.config.quorum,
    };
    change.tell(group.id, kind);
}

pub(super) fn outage_over(change: &mut Change<'_>, id: GroupId, on: Revision) -> Result<(), Rejection> {
    let mut group = change.planned(id, on)?;
    if group.failover.is_some() {
        return Err(Rejection::InProgress);
    }
    if group.outage.take().is_some() {
        change.tell(id, EventKind::OutageOver(primary_of(&group)));
        change.put(group);
    }
    Ok(())
}

/// What commit 1 decides.
pub(super) struct Opening<'a> {
    pub(super) kind: FailoverKind,
    pub(super) votes: u32,
    pub(super) candidate: Address,
    pub(super) run_id: &'a RunId,
}

pub(super) fn open(change: &mut Change<'_>, id: GroupId, on: Revision, opening: &Opening<'_>) -> Result<(), Rejection> {
    let mut group = change.planned(id, on)?;
    if group.failover.is_some() {
        return Err(Rejection::InProgress);
    }
    if group.config.mode == Mode::Observe {
        return Err(Rejection::Invalid);
    }
    if !opening.kind.is_planned() && group.config.automatic.is_off(change.now()) {
        return Err(Rejection::Invalid);
    }
    check_candidate(&group, opening)?;
    if opening.kind == FailoverKind::Automatic {
        begin_outage(change, &mut group, opening.votes);
    }
    group.epoch += 1;
    let candidate = opening.candidate;
    group.failover = Some(Failover {
        epoch: group.epoch,
        kind: opening.kind,
        candidate,
        candidate_run_id: opening.run_id.clone(),
        old_primary: group.primary,
        old_run_id: group.primary_member().and_then(|member| member.run_id.clone()),
        opened_at: change.now(),
        stage: Stage::Promote,
    });
    change.tell(id, EventKind::NewEpoch(group.epoch));
    change.tell(id, EventKind::TryFailover(primary_of(&group)));
    change.tell(id, EventKind::ElectedLeader(primary_of(&group)));
    change.tell(id, EventKind::SelectReplica(primary_of(&group)));
    change.tell(id, EventKind::SelectedReplica(replica_of(&group, candidate)));
    change.tell(id, EventKind::SendPromote(replica_of(&group, candidate)));
    change.tell(id, EventKind::WaitPromotion(replica_of(&group, candidate)));
    change.put(group);
    Ok(())
}

/// Rule 10: never an instance that was not in sync, is quarantined, or is another process than the planned one.
fn check_candidate(group: &Group, opening: &Opening<'_>) -> Result<(), Rejection> {
    let member = group.members.get(&opening.candidate).ok_or(Rejection::NotACandidate)?;
    // A primary that was made a replica behind our back may be reinstated, but nobody is asked to switch to where they are.
    let reinstated = opening.candidate == group.primary;
    let good = (!reinstated || opening.kind == FailoverKind::Automatic)
        && member.synced
        && member.quarantine.is_none()
        && member.run_id.as_ref() == Some(opening.run_id);
    if good { Ok(()) } else { Err(Rejection::NotACandidate) }
}

/// The group and its failover, when that has this epoch.
fn in_failover(change: &Change<'_>, id: GroupId, on: Revision, epoch: Epoch) -> Result<(Group, Failover), Rejection> {
    let group = change.planned(id, on)?;
    let failover = group.failover.clone().filter(|failover| failover.epoch == epoch);
    let failover = failover.ok_or(Rejection::NoSuchFailover)?;
    Ok((group, failover))
}

pub(super) fn complete(
    change: &mut Change<'_>,
    id: GroupId,
    on: Revision,
    epoch: Epoch,
    proof: &SwitchProof,
) -> Result<(), Rejection> {
    let (mut group, mut failover) = in_failover(change, id, on, epoch)?;
    let other_process = failover.candidate_run_id != proof.run_id && !mutation::is_on(Mutation::AnyProcessCompletes);
    if failover.stage != Stage::Promote || other_process {
        return Err(Rejection::NoSuchFailover);
    }
    change.tell(id, EventKind::Promoted(replica_of(&group, failover.candidate)));
    change.tell(id, EventKind::ReconfReplicas(primary_of(&group)));
    let automatic = !failover.kind.is_planned();
    record(&mut group, failover.candidate, proof);
    let from_host = group.hosts.get(&group.primary).cloned();
    switch(change, &mut group, (failover.candidate, from_host), automatic);
    let step = |quarantined: bool| {
        if quarantined {
            ReconfStep::GivenUp
        } else {
            ReconfStep::Waiting
        }
    };
    let steps = group
        .replicas()
        .map(|(address, member)| (*address, step(member.quarantine.is_some())))
        .collect();
    failover.stage = Stage::Reconfigure { steps };
    group.failover = Some(failover);
    change.put(group);
    Ok(())
}

/// What was seen of an instance that is a primary now.
fn record(group: &mut Group, primary: Address, proof: &SwitchProof) {
    if let Some(member) = group.members.get_mut(&primary) {
        member.run_id = Some(proof.run_id.clone());
        member.lineage.clone_from(&proof.lineage);
        member.synced = true;
    }
}

/// The one place where a group gets another address.
pub(super) fn switch(
    change: &mut Change<'_>,
    group: &mut Group,
    (to, from_host): (Address, Option<HostName>),
    automatic: bool,
) {
    let from = group.primary;
    group.primary = to;
    group.config_epoch = group.epoch;
    group.outage = None;
    group.abort = None;
    let switch = Switch {
        revision: change.revision,
        from,
        from_host,
        to,
        epoch: group.epoch,
        at: change.now(),
        automatic,
    };
    group.switches.push(switch);
    let excess = group.switches.len().saturating_sub(Group::SWITCHES_MAX);
    group.switches.drain(..excess);
    if from == to {
        // Reinstated: the brake counts it, clients have nothing to learn.
        return;
    }
    change.tell(
        group.id,
        EventKind::Switch {
            group: group.name.clone(),
            from,
            to,
        },
    );
    for (address, _) in group.replicas() {
        change.tell(group.id, EventKind::Replica(replica_of(group, *address)));
    }
}

pub(super) fn abort(
    change: &mut Change<'_>,
    id: GroupId,
    on: Revision,
    epoch: Epoch,
    fault: &Fault,
) -> Result<(), Rejection> {
    let (mut group, failover) = in_failover(change, id, on, epoch)?;
    if !failover.is_undecided() {
        return Err(Rejection::NoSuchFailover);
    }
    group.failover = None;
    group.abort = Some(Abort {
        epoch,
        at: change.now(),
        fault: fault.clone(),
        replicas: BTreeMap::new(),
    });
    match fault {
        Fault::PrimaryBack => {
            group.outage = None;
            change.tell(id, EventKind::OutageOver(primary_of(&group)));
        }
        Fault::NoGoodReplica => change.tell(id, EventKind::AbortNoGoodReplica(primary_of(&group))),
        Fault::Candidate(_) | Fault::Timeout => change.tell(id, EventKind::AbortReplicaTimeout(primary_of(&group))),
        Fault::Primary(_) => change.tell(id, EventKind::AbortPrimaryTimeout(primary_of(&group))),
    }
    change.put(group);
    Ok(())
}

pub(super) fn undo(
    change: &mut Change<'_>,
    id: GroupId,
    on: Revision,
    epoch: Epoch,
    fault: &Fault,
) -> Result<(), Rejection> {
    let (mut group, mut failover) = in_failover(change, id, on, epoch)?;
    if failover.stage != Stage::Promote || failover.kind != FailoverKind::Coordinated {
        return Err(Rejection::NoSuchFailover);
    }
    failover.stage = Stage::Undo { fault: fault.clone() };
    group.failover = Some(failover);
    change.put(group);
    Ok(())
}

pub(super) fn reconfigured(
    change: &mut Change<'_>,
    id: GroupId,
    on: Revision,
    epoch: Epoch,
    reached: &BTreeMap<Address, Progress>,
) -> Result<(), Rejection> {
    let (mut group, mut failover) = in_failover(change, id, on, epoch)?;
    let Stage::Reconfigure { steps } = &mut failover.stage else {
        return Err(Rejection::NoSuchFailover);
    };
    for (address, step) in reached {
        let Some(current) = steps.get_mut(address) else {
            continue;
        };
        let from = std::mem::replace(current, (*step).max(*current));
        tell_steps(change, &group, *address, from, *current);
    }
    group.failover = Some(failover);
    change.put(group);
    Ok(())
}

/// Tells every step between `from` and `to`, so that no subscriber sees a replica done that was never sent.
fn tell_steps(change: &mut Change<'_>, group: &Group, address: Address, from: ReconfStep, to: ReconfStep) {
    let replica = || replica_of(group, address);
    if to == ReconfStep::GivenUp {
        if from != to {
            change.tell(group.id, EventKind::ReconfTimeout(replica()));
        }
        return;
    }
    for step in [ReconfStep::Sent, ReconfStep::InProgress, ReconfStep::Done] {
        if step <= from || step > to {
            continue;
        }
        let kind = match step {
            ReconfStep::Sent => EventKind::ReconfSent(replica()),
            ReconfStep::InProgress => EventKind::ReconfInProgress(replica()),
            _ => EventKind::ReconfDone(replica()),
        };
        change.tell(group.id, kind);
    }
}

pub(super) fn end(
    change: &mut Change<'_>,
    id: GroupId,
    on: Revision,
    epoch: Epoch,
    timed_out: bool,
) -> Result<(), Rejection> {
    let (mut group, failover) = in_failover(change, id, on, epoch)?;
    if failover.is_undecided() {
        return Err(Rejection::NoSuchFailover);
    }
    group.failover = None;
    if timed_out {
        change.tell(id, EventKind::FailoverEndForTimeout(primary_of(&group)));
    }
    change.tell(id, EventKind::FailoverEnd(primary_of(&group)));
    change.put(group);
    Ok(())
}

pub(super) fn adopt(
    change: &mut Change<'_>,
    id: GroupId,
    on: Revision,
    primary: Address,
    proof: &SwitchProof,
) -> Result<(), Rejection> {
    let mut group = change.planned(id, on)?;
    if group.failover.is_some() {
        return Err(Rejection::InProgress);
    }
    if primary == group.primary || !group.members.contains_key(&primary) {
        return Err(Rejection::NotACandidate);
    }
    group.epoch += 1;
    change.tell(id, EventKind::NewEpoch(group.epoch));
    record(&mut group, primary, proof);
    let from_host = group.hosts.get(&group.primary).cloned();
    switch(change, &mut group, (primary, from_host), false);
    change.put(group);
    Ok(())
}

pub(super) fn repaired(
    change: &mut Change<'_>,
    id: GroupId,
    on: Revision,
    member: Address,
    was_primary: bool,
) -> Result<(), Rejection> {
    let group = change.planned(id, on)?;
    let replica = replica_of(&group, member);
    let kind = if was_primary {
        EventKind::ConvertToReplica(replica)
    } else {
        EventKind::FixReplica(replica)
    };
    change.tell(id, kind);
    change.mark();
    Ok(())
}

/// Why a broken candidate is given up, as the reason of an abort.
impl From<&str> for Fault {
    fn from(text: &str) -> Self {
        Self::Candidate(Arc::from(text))
    }
}
