//! What a sweep should reach: stages, rules, reasons. One that it never reaches is reported.

use cfgserver::machine::{Command, Outcome};
use cfgserver::model::{Automatic, FailoverKind, Fault, ReconfStep, Setting};

use crate::faults::{KINDS, moments};
use crate::invariants::Invariants;
use crate::record::Coverage;

/// Reasons of the planner, by what their texts begin with, and their marks.
const UNFIT: &[(&str, &str)] = &[
    ("quarantined", "unfit: quarantined"),
    ("failed as a candidate", "unfit: failed"),
    ("not seen yet", "unfit: unseen"),
    ("down", "unfit: down"),
    ("disconnected", "unfit: disconnected"),
    ("no acceptable reply", "unfit: silent"),
    ("priority 0", "unfit: priority 0"),
    ("INFO too old", "unfit: info too old"),
    ("restarted", "unfit: restarted"),
    ("loading", "unfit: loading"),
    ("resyncing", "unfit: resyncing"),
    ("never in sync", "unfit: never in sync"),
    ("has received nothing", "unfit: nothing received"),
    ("empty", "unfit: empty"),
    ("cut off", "unfit: cut off too long"),
];

/// Reasons against a committed candidate, likewise.
const LOST: &[(&str, &str)] = &[
    ("down", "abort: candidate down"),
    ("restarted", "abort: candidate restarted"),
    ("connection refused", "abort: candidate refused the connection"),
    ("stayed a replica", "abort: candidate stayed a replica"),
    ("refused", "abort: candidate refused the order"),
    ("copied other data", "abort: candidate copied other data"),
];

/// What else is marked somewhere.
const OTHERS: &[&str] = &[
    "abort: primary back",
    "abort: timeout",
    "client: a group moved between two lookups",
    "client: told of a switch",
    "commit: adopt",
    "commit: complete",
    "commit: end",
    "commit: end, timed out",
    "commit: learn",
    "commit: open, automatic",
    "commit: open, emptied",
    "commit: open, operator",
    "commit: outage over",
    "commit: outage, no reason",
    "commit: quarantine",
    "commit: repaired follower",
    "commit: repaired master",
    "commit: reset",
    "commit: automatic failover off",
    "commit: set",
    "commit: monitor",
    "commit: remove",
    "commit: step done",
    "commit: step given up",
    "commit: step in progress",
    "commit: step sent",
    "fault: held order delivered after all",
    "fault: node fades",
    "fault: order delivered late",
    "log: proposals kept by a successor",
    "log: proposals lost",
    "log: proposals of a stale leader",
    "log: proposals of unknown outcome",
    "log: slow apply",
    "log: slow commit",
    "log: a commit goes past a slow disk",
    "log: a commit waits for a slow disk",
    "node: a removed one ends itself",
    "node: ready without a word of a leader",
    "node: snapshot",
    "node: wiped",
    "operator: a removal would leave no majority",
    "operator: node added",
    "operator: node removed",
    "operator: refused",
    "operator: the leader is to be removed",
    "proxy: bdrp moved",
    "proxy: closed, late",
    "proxy: closed, loading",
    "proxy: closed, unknown group",
    "proxy: netease moved",
    "raft: membership changed",
    "operator: leader transfer",
    "operator: no leader",
    "operator: outcome unknown",
    "order link: closes those of the past",
    "order: bare form",
    "order: connection closed under it",
    "order: its link was replaced",
    "order: lease lost",
    "order: lost with its connection",
    "order: pause",
    "order: promote",
    "order: step down",
    "order: fail over",
    "order: take back",
    "commit: open, coordinated",
    "commit: undo",
    "abort: the primary did not step down",
    "order: refused",
    "order: unpause",
    "plan: hand over",
    "probe: reboot seen",
    "probe: second connection answers",
    "probe: stall excused",
    "probe: watched from a distance",
    "probe: watched by others",
    "raft: leadership handed over",
    "raft: leadership not taken over",
    "rejected: moved",
    "verdict: down, reboot",
    "verdict: down, refused",
    "verdict: down, silence",
    "verdict: down, wrong role",
    "votes: a report was not taken",
];

/// What a sweep never reached.
pub(crate) fn never(coverage: &Coverage) -> Vec<&'static str> {
    let faults = KINDS.iter().map(|(_, name)| *name);
    let reasons = UNFIT.iter().chain(LOST).map(|(_, name)| *name);
    let all = faults.chain(reasons).chain(moments()).chain(OTHERS.iter().copied());
    let mut never: Vec<&str> = all.filter(|name| coverage.of(name) == 0).collect();
    let rules = Invariants::names().into_iter();
    never.extend(rules.filter(|rule| !coverage.rules.contains_key(rule)));
    never.sort_unstable();
    never.dedup();
    never
}

/// Marks what a committed command says.
pub(crate) fn mark(coverage: &mut Coverage, command: &Command, outcome: &Outcome) {
    if matches!(outcome, Outcome::Rejected(_)) {
        return;
    }
    match command {
        Command::Outage { replicas, .. } => {
            for reason in replicas.values() {
                by_text(coverage, UNFIT, reason);
            }
            if replicas.is_empty() {
                coverage.mark("commit: outage, no reason");
            }
        }
        Command::AbortFailover { fault, .. } => match fault {
            Fault::Candidate(why) => by_text(coverage, LOST, why),
            Fault::PrimaryBack => coverage.mark("abort: primary back"),
            Fault::Timeout => coverage.mark("abort: timeout"),
            Fault::NoGoodReplica => coverage.mark("abort: no good replica"),
            Fault::Primary(_) => coverage.mark("abort: the primary did not step down"),
        },
        Command::Reconfigured { steps, .. } => steps.values().for_each(|step| coverage.mark(step_name(*step))),
        Command::Learn { members, .. } => {
            coverage.mark("commit: learn");
            if members.values().any(|member| member.quarantine.is_some()) {
                coverage.mark("commit: quarantine");
            }
        }
        _ => coverage.mark(command_name(command)),
    }
}

fn by_text(coverage: &mut Coverage, among: &[(&str, &'static str)], text: &str) {
    if let Some((_, name)) = among.iter().find(|(begin, _)| text.starts_with(begin)) {
        coverage.mark(name);
    }
}

fn step_name(step: ReconfStep) -> &'static str {
    match step {
        ReconfStep::Waiting | ReconfStep::Sent => "commit: step sent",
        ReconfStep::InProgress => "commit: step in progress",
        ReconfStep::Done => "commit: step done",
        ReconfStep::GivenUp => "commit: step given up",
    }
}

fn turns_off(setting: &Setting) -> bool {
    matches!(setting, Setting::Automatic(Automatic::Off | Automatic::OffUntil(_)))
}

fn command_name(command: &Command) -> &'static str {
    match command {
        Command::OpenFailover { kind, .. } => match kind {
            FailoverKind::Automatic => "commit: open, automatic",
            FailoverKind::Operator => "commit: open, operator",
            FailoverKind::Emptied => "commit: open, emptied",
            FailoverKind::Coordinated => "commit: open, coordinated",
        },
        Command::UndoFailover { .. } => "commit: undo",
        Command::CompletePromotion { .. } => "commit: complete",
        Command::EndFailover { timed_out: true, .. } => "commit: end, timed out",
        Command::EndFailover { .. } => "commit: end",
        Command::OutageOver { .. } => "commit: outage over",
        Command::Adopt { .. } => "commit: adopt",
        Command::Repaired { was_primary: true, .. } => "commit: repaired master",
        Command::Repaired { .. } => "commit: repaired follower",
        Command::Monitor { .. } => "commit: monitor",
        Command::Remove { .. } => "commit: remove",
        Command::Set { settings, .. } if settings.iter().any(turns_off) => "commit: automatic failover off",
        Command::Set { .. } => "commit: set",
        Command::Share { .. } => "commit: share",
        Command::Reset { .. } => "commit: reset",
        _ => "commit: other",
    }
}
