//! What the leader's log says about a plan: what no event says.

use tracing::{debug, info};

use crate::failover::{Action, HeldBack, Memory, Purpose, Scene, held_back, select};
use crate::machine::Command;
use crate::model::{FailoverKind, Group, Instant, Timestamp};

/// A proposal. What most of them lead to is told by their events; these say why nothing was promoted.
pub(super) fn proposal(group: &Group, command: &Command, now: Timestamp) {
    match command {
        Command::Outage { votes, replicas, .. } => {
            let held = held_back(group, now).filter(|_| replicas.is_empty());
            let why = held.unwrap_or(HeldBack::NoGoodReplica);
            info!(target: "cfgserver::control", group = %group.name, votes, %why, "primary down, nothing promoted");
            for (address, reason) in replicas {
                info!(target: "cfgserver::control", group = %group.name, %address, %reason, "replica passed over");
            }
        }
        Command::UndoFailover { epoch, fault, .. } => {
            info!(target: "cfgserver::control", group = %group.name, %epoch, ?fault, "coordinated failover is undone");
        }
        Command::AbortFailover { epoch, fault, .. } => {
            info!(target: "cfgserver::control", group = %group.name, %epoch, ?fault, "failover given up");
        }
        Command::Readdress { from, to, .. } => {
            let host = group.hosts.get(from).map(ToString::to_string).unwrap_or_default();
            info!(target: "cfgserver::control", group = %group.name, host, %from, %to, "found at another address");
        }
        _ => debug!(target: "cfgserver::control", group = %group.name, ?command, "propose"),
    }
}

/// Automatic failover is off, and this leader would act now if it were not. Said once for as long as that lasts.
pub(super) fn maintenance(scene: &Scene<'_>, known: Option<Instant>, memory: &Memory) {
    if known.is_none() && memory.held_back_since().is_some() {
        let automatic = scene.group.config.automatic;
        info!(
            target: "cfgserver::control", group = %scene.group.name, failover = %automatic,
            "automatic failover is off, nothing promoted; SENTINEL FAILOVER is still carried out"
        );
    }
}

/// The replicas that a failover which is about to open leaves out, and why.
pub(super) fn passed_over(scene: &Scene<'_>, memory: &Memory, actions: &[Action], now: Instant) {
    for action in actions {
        let Action::Propose(Command::OpenFailover { kind, candidate, .. }) = action else {
            continue;
        };
        let purpose = match kind {
            FailoverKind::Operator => Purpose::Planned,
            FailoverKind::Coordinated => Purpose::Coordinated,
            FailoverKind::Automatic => Purpose::Outage,
            // Chosen by what replicas said after a moment that only the planner knows.
            FailoverKind::Emptied => continue,
        };
        for (address, reason) in select(scene, memory, purpose, now).unfit {
            if address != *candidate {
                info!(
                    target: "cfgserver::control", group = %scene.group.name, %address, %reason, "replica passed over"
                );
            }
        }
    }
}
