//! Why there is no failover, or how far it is, in lines for a person who reads them in the middle of the night.
//!
//! Decides nothing: it asks the rules that decide.

use std::collections::BTreeMap;

use crate::detect::Judgement;
use crate::failover::selection::{Purpose, Selection, select};
use crate::failover::{HeldBack, Memory, Scene, held_back};
use crate::model::{Abort, Address, Age, Failover, Fault, Instant, NodeId, ReconfStep, Role, Stage, Switch, Verdict};

/// What each node of the electorate says about the primary; `None` for one that is not heard.
pub type Voices = BTreeMap<NodeId, Option<Judgement>>;

/// The lines. `voices` are known to the leader only, and so is what `memory` holds.
pub fn explain(scene: &Scene<'_>, memory: &Memory, voices: Option<&Voices>, now: Instant) -> Vec<String> {
    let group = scene.group;
    let selection = select(scene, memory, purpose(scene, memory), now);
    let mut lines = vec![format!(
        "group {}: primary {}, epoch {}, config epoch {}, version {}",
        group.name, group.primary, group.epoch, group.config_epoch, group.version
    )];
    lines.push(format!("state: {}", state(scene)));
    lines.extend(group.failover.as_ref().map(|failover| running(scene, failover)));
    lines.push(format!(
        "next attempt: {}",
        next_attempt(scene, memory, &selection, now)
    ));
    if let Some(held) = held_back(group, scene.wall) {
        lines.push(format!("held back: {held}"));
    }
    lines.push(votes(scene, voices));
    if let Some(voices) = voices {
        lines.extend(voices.iter().map(|(node, voice)| of_node(scene, *node, *voice)));
    }
    lines.push(format!(
        "node {} sees {}: {}",
        scene.node,
        group.primary,
        seen(scene, group.primary, now)
    ));
    for (address, _) in group.replicas() {
        let fit = fitness(&selection, *address);
        lines.push(format!("replica {address}: {}; {fit}", seen(scene, *address, now)));
    }
    lines.extend(group.abort.as_ref().map(|abort| last_abort(scene, abort)));
    lines.extend(group.switches.last().map(|switch| last_switch(scene, switch)));
    lines
}

/// What a failover would be for now.
fn purpose(scene: &Scene<'_>, memory: &Memory) -> Purpose {
    match memory.emptied_at {
        Some(since) => Purpose::Emptied { since },
        None if scene.alarm() => Purpose::Outage,
        None => Purpose::Planned,
    }
}

fn state(scene: &Scene<'_>) -> String {
    let group = scene.group;
    match &group.outage {
        Some(outage) => format!("the primary is down, agreed {} ago", span(ago(scene, outage.since.0))),
        None if scene.tally.down >= group.config.quorum => {
            "a majority sees the primary up: votes for down do not count".to_owned()
        }
        None if scene.alarm() => "the primary is suspected, too few votes yet".to_owned(),
        None if group.failover.is_some() => "a failover is under way".to_owned(),
        None => "well".to_owned(),
    }
}

fn running(scene: &Scene<'_>, failover: &Failover) -> String {
    let stage = match &failover.stage {
        Stage::Promote => "is to be promoted".to_owned(),
        Stage::Undo { .. } => "is not promoted, and the primary gets back what was taken from it".to_owned(),
        Stage::Reconfigure { steps } => {
            let left = |step: &&ReconfStep| !matches!(step, ReconfStep::Done | ReconfStep::GivenUp);
            let left = steps.values().filter(left).count();
            format!("was promoted, replicas still to be turned: {left}")
        }
    };
    let (epoch, candidate) = (failover.epoch, failover.candidate);
    let since = span(ago(scene, failover.opened_at.0));
    format!("failover {epoch}, opened {since} ago: {candidate} {stage}")
}

fn next_attempt(scene: &Scene<'_>, memory: &Memory, selection: &Selection, now: Instant) -> String {
    let group = scene.group;
    if group.failover.is_some() {
        return "one is under way".to_owned();
    }
    let left = |held: &HeldBack| held.left_ms(scene.wall).map(span);
    match held_back(group, scene.wall) {
        Some(HeldBack::Observing) => "never in mode observe".to_owned(),
        Some(held @ HeldBack::Off(_)) => match left(&held) {
            Some(left) => format!("not for another {left}, then at once if the primary is down"),
            None => "not before SENTINEL SET ... failover on".to_owned(),
        },
        Some(HeldBack::NoReplica) => "when a replica is known".to_owned(),
        Some(held @ HeldBack::Braked(_)) => {
            format!("not for another {}", left(&held).unwrap_or_default())
        }
        _ if !scene.outage_agreed() => "when enough nodes say that the primary is down".to_owned(),
        _ if selection.chosen.is_some() => "at once".to_owned(),
        _ => match memory
            .shunned
            .values()
            .map(|shunned| shunned.until)
            .filter(|at| *at > now)
            .min()
        {
            Some(until) => format!("when a replica changes, or in {}", span(until.since(now))),
            None => "when a replica changes".to_owned(),
        },
    }
}

fn votes(scene: &Scene<'_>, voices: Option<&Voices>) -> String {
    let quorum = scene.group.config.quorum;
    if voices.is_none() {
        return format!("votes: only the leader knows them; quorum {quorum}");
    }
    let tally = scene.tally;
    let few = if quorum > tally.electorate {
        ", more than there are nodes: no automatic failover"
    } else {
        ""
    };
    let (down, up, nodes) = (tally.down, tally.up, tally.electorate);
    format!("votes: {down} down, {up} up of {nodes} nodes; quorum {quorum}{few}")
}

fn of_node(scene: &Scene<'_>, node: NodeId, voice: Option<Judgement>) -> String {
    let says = match voice {
        Some(Judgement::Down) => "down",
        Some(Judgement::Up) => "up",
        Some(Judgement::Unknown) => "not judged yet",
        None => return format!("node {node}: not heard"),
    };
    let reach = scene.tally.reach.get(&node).into_iter().flatten();
    let reach: Vec<String> = reach.map(Address::to_string).collect();
    let reach = if reach.is_empty() {
        "no replica".to_owned()
    } else {
        reach.join(", ")
    };
    let leads = if node == scene.node { " (leads)" } else { "" };
    format!("node {node}{leads}: {says}; reaches {reach}")
}

/// What this node sees of an instance.
fn seen(scene: &Scene<'_>, address: Address, now: Instant) -> String {
    let Some(sighting) = scene.sightings.get(&address) else {
        return "not seen yet".to_owned();
    };
    let mut text = match sighting.verdict {
        Verdict::Up => "up".to_owned(),
        Verdict::Down { since } => format!("down for {}", span(now.since(since))),
        Verdict::Unknown => "not judged yet".to_owned(),
    };
    if let Some(facts) = &sighting.facts {
        let (role, offset) = match facts.role {
            Role::Primary => ("master", facts.primary_offset),
            Role::Replica => ("replica", facts.replica_offset),
        };
        text.push_str(&format!(", {role}, offset {offset}, {} keys", facts.keys));
        if let Some(at) = sighting.facts_at {
            text.push_str(&format!(" {} ago", span(now.since(at))));
        }
    }
    if !sighting.error.is_empty() {
        text.push_str(&format!(", last error: {}", sighting.error));
    }
    text
}

fn fitness(selection: &Selection, address: Address) -> String {
    match (selection.unfit.get(&address), &selection.chosen) {
        (Some(why), _) => format!("not to be promoted: {why}"),
        (None, Some((chosen, _))) if *chosen == address => "the best to be promoted".to_owned(),
        (None, _) => "could be promoted".to_owned(),
    }
}

fn last_abort(scene: &Scene<'_>, abort: &Abort) -> String {
    let why = match &abort.fault {
        Fault::NoGoodReplica => "no replica was good",
        Fault::Candidate(why) | Fault::Primary(why) => why,
        Fault::PrimaryBack => "the primary was back",
        Fault::Timeout => "it timed out",
    };
    let passed_over = abort
        .replicas
        .iter()
        .map(|(address, why)| format!("; {address}: {why}"));
    let passed_over: String = passed_over.collect();
    let since = span(ago(scene, abort.at.0));
    format!(
        "last attempt given up {since} ago (epoch {}): {why}{passed_over}",
        abort.epoch
    )
}

fn last_switch(scene: &Scene<'_>, switch: &Switch) -> String {
    let since = span(ago(scene, switch.at.0));
    let who = if switch.automatic {
        "automatic"
    } else {
        "by an operator"
    };
    format!("last switch {since} ago: {} to {}, {who}", switch.from, switch.to)
}

fn ago(scene: &Scene<'_>, at: u64) -> Age {
    scene.wall.0.saturating_sub(at)
}

/// A length of time for people.
fn span(ms: Age) -> String {
    match ms {
        0..10_000 => format!("{ms} ms"),
        10_000..600_000 => format!("{} s", ms / 1_000),
        600_000..36_000_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
