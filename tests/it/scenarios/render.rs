//! How commands, actions and events are written in scenario files: the words of the model, not Sentinel's bytes.

use std::collections::BTreeMap;

use cfgserver::machine::Command;
use cfgserver::model::{Address, EventKind, Fault, InstanceRef};

/// Names of instances in place of their addresses.
pub(super) type Names = BTreeMap<Address, String>;

pub(super) fn name(names: &Names, address: Address) -> String {
    names.get(&address).cloned().unwrap_or_else(|| address.to_string())
}

/// Puts names in place of addresses in any text.
pub(super) fn renamed(names: &Names, text: &str) -> String {
    names.iter().fold(text.to_owned(), |text, (address, name)| {
        text.replace(&address.to_string(), name)
    })
}

pub(super) fn command(names: &Names, command: &Command) -> String {
    match command {
        Command::Learn { members, .. } => {
            let each = members.iter().map(|(address, member)| {
                let run_id = member.run_id.as_ref().map_or("-", |run_id| run_id.as_str());
                let mut text = format!("{}={run_id}", name(names, *address));
                if member.synced {
                    text.push_str(" synced");
                }
                if member.non_empty {
                    text.push_str(" non-empty");
                }
                if let Some(why) = &member.quarantine {
                    text.push_str(&format!(" quarantined ({})", renamed(names, why)));
                }
                text
            });
            format!("learn {}", each.collect::<Vec<_>>().join(", "))
        }
        Command::Outage { votes, replicas, .. } => {
            let each = replicas
                .iter()
                .map(|(address, why)| format!("{}: {why}", name(names, *address)));
            format!("outage votes {votes} [{}]", each.collect::<Vec<_>>().join("; "))
        }
        Command::OutageOver { .. } => "outage over".to_owned(),
        Command::OpenFailover {
            kind, votes, candidate, ..
        } => format!(
            "open failover {kind:?} votes {votes} candidate {}",
            name(names, *candidate)
        ),
        Command::CompletePromotion { epoch, .. } => format!("complete promotion epoch {epoch}"),
        Command::AbortFailover { epoch, fault, .. } => {
            let why = match fault {
                Fault::Candidate(text) => format!("candidate {text}"),
                other => format!("{other:?}"),
            };
            format!("abort failover epoch {epoch}: {why}")
        }
        Command::UndoFailover { epoch, fault, .. } => format!("undo failover epoch {epoch}: {fault:?}"),
        Command::Reconfigured { steps, .. } => {
            let each = steps
                .iter()
                .map(|(address, step)| format!("{} {step:?}", name(names, *address)));
            format!("reconfigured {}", each.collect::<Vec<_>>().join(", "))
        }
        Command::EndFailover { timed_out, .. } => {
            format!("end failover{}", if *timed_out { ", timed out" } else { "" })
        }
        Command::Adopt { primary, .. } => format!("adopt {}", name(names, *primary)),
        Command::Repaired { member, .. } => format!("repaired {}", name(names, *member)),
        Command::Name { hosts, .. } => {
            let each = hosts
                .iter()
                .map(|(address, host)| format!("{} {host}", name(names, *address)));
            format!("name {}", each.collect::<Vec<_>>().join(", "))
        }
        Command::Readdress { from, to, .. } => {
            format!("readdress {} to {}", name(names, *from), name(names, *to))
        }
        other => format!("{other:?}"),
    }
}

fn instance(names: &Names, instance: &InstanceRef) -> String {
    match instance {
        InstanceRef::Primary { address, .. } | InstanceRef::Replica { address, .. } => name(names, *address),
        InstanceRef::Node { my_id, .. } => my_id.to_string(),
    }
}

pub(super) fn event(names: &Names, kind: &EventKind) -> Option<String> {
    let one = |channel: &str, of: &InstanceRef| Some(format!("{channel} {}", instance(names, of)));
    match kind {
        EventKind::Outage { primary, votes, quorum } => {
            Some(format!("+odown {} #quorum {votes}/{quorum}", instance(names, primary)))
        }
        EventKind::OutageOver(of) => one("-odown", of),
        EventKind::NewEpoch(epoch) => Some(format!("+new-epoch {epoch}")),
        EventKind::TryFailover(of) => one("+try-failover", of),
        EventKind::ElectedLeader(of) => one("+elected-leader", of),
        EventKind::SelectReplica(of) => one("+failover-state-select-slave", of),
        EventKind::AbortNoGoodReplica(of) => one("-failover-abort-no-good-slave", of),
        EventKind::SelectedReplica(of) => one("+selected-slave", of),
        EventKind::SendPromote(of) => one("+failover-state-send-slaveof-noone", of),
        EventKind::WaitPromotion(of) => one("+failover-state-wait-promotion", of),
        EventKind::AbortReplicaTimeout(of) => one("-failover-abort-slave-timeout", of),
        EventKind::AbortPrimaryTimeout(of) => one("-failover-abort-master-timeout", of),
        EventKind::Promoted(of) => one("+promoted-slave", of),
        EventKind::ReconfReplicas(of) => one("+failover-state-reconf-slaves", of),
        EventKind::Switch { from, to, .. } => {
            Some(format!("+switch-master {} {}", name(names, *from), name(names, *to)))
        }
        EventKind::Replica(of) => one("+slave", of),
        EventKind::ReconfSent(of) => one("+slave-reconf-sent", of),
        EventKind::ReconfInProgress(of) => one("+slave-reconf-inprog", of),
        EventKind::ReconfDone(of) => one("+slave-reconf-done", of),
        EventKind::ReconfTimeout(of) => one("-slave-reconf-sent-timeout", of),
        EventKind::FailoverEndForTimeout(of) => one("+failover-end-for-timeout", of),
        EventKind::FailoverEnd(of) => one("+failover-end", of),
        EventKind::ConvertToReplica(of) => one("+convert-to-slave", of),
        EventKind::FixReplica(of) => one("+fix-slave-config", of),
        EventKind::Reset(of) => one("+reset-master", of),
        _ => None,
    }
}
