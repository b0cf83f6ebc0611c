//! The flags of an instance, in Sentinel's order. A healthy instance has exactly one: `master`, `slave` or
//! `sentinel`; clients compare for equality.

use crate::model::{Address, FailoverKind, Group, LinkState, ReconfStep, Sighting, Stage};

/// The flags of a group's primary.
pub fn primary_flags(group: &Group, sighting: Option<&Sighting>) -> String {
    let failover = group.failover.as_ref();
    let is = |kind: FailoverKind| failover.is_some_and(|failover| failover.kind == kind);
    join(&[
        (is_down(sighting), "s_down"),
        (group.outage.is_some(), "o_down"),
        (true, "master"),
        (is_disconnected(sighting), "disconnected"),
        (failover.is_some(), "failover_in_progress"),
        (is(FailoverKind::Operator), "force_failover"),
        (is(FailoverKind::Coordinated), "coordinated_failover"),
        (is_script_killed(sighting), "script_kill_sent"),
        (sighting.is_some_and(|sighting| sighting.rebooting), "master_reboot"),
    ])
}

/// The flags of a replica.
pub fn replica_flags(group: &Group, address: Address, sighting: Option<&Sighting>) -> String {
    let step = reconf_step(group, address);
    join(&[
        (is_down(sighting), "s_down"),
        (true, "slave"),
        (is_disconnected(sighting), "disconnected"),
        (is_candidate(group, address), "promoted"),
        (step == Some(ReconfStep::Sent), "reconf_sent"),
        (step == Some(ReconfStep::InProgress), "reconf_inprog"),
        (step == Some(ReconfStep::Done), "reconf_done"),
        (is_script_killed(sighting), "script_kill_sent"),
    ])
}

/// The flags of another node.
pub fn node_flags(down: bool) -> String {
    join(&[(down, "s_down"), (true, "sentinel"), (down, "disconnected")])
}

fn is_down(sighting: Option<&Sighting>) -> bool {
    sighting.is_some_and(|sighting| sighting.verdict.is_down())
}

fn is_disconnected(sighting: Option<&Sighting>) -> bool {
    sighting.is_none_or(|sighting| sighting.link == LinkState::Disconnected)
}

fn is_script_killed(sighting: Option<&Sighting>) -> bool {
    sighting.is_some_and(|sighting| sighting.script_killed)
}

fn is_candidate(group: &Group, address: Address) -> bool {
    let failover = group.failover.as_ref();
    failover.is_some_and(|failover| failover.stage == Stage::Promote && failover.candidate == address)
}

fn reconf_step(group: &Group, address: Address) -> Option<ReconfStep> {
    match &group.failover.as_ref()?.stage {
        Stage::Promote | Stage::Undo { .. } => None,
        Stage::Reconfigure { steps } => steps.get(&address).copied(),
    }
}

fn join(flags: &[(bool, &'static str)]) -> String {
    let set: Vec<_> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    set.join(",")
}
