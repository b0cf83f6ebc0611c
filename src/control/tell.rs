//! What the leader's log says about a plan: what no event says.

use tracing::{debug, info};

use crate::failover::{Action, Memory, Purpose, Scene, select};
use crate::machine::Command;
use crate::model::{FailoverKind, Group, Instant, Mode};

/// A proposal. What most of them lead to is told by their events; these say why nothing was promoted.
pub(super) fn proposal(group: &Group, command: &Command) {
    match command {
        Command::Outage { votes, replicas, .. } => {
            let why = if !replicas.is_empty() {
                "no replica is good"
            } else if group.config.mode == Mode::Observe {
                "the group is in mode observe"
            } else if group.replicas().next().is_none() {
                "no replica is known"
            } else {
                "waiting after recent switches; SENTINEL FAILOVER does not wait"
            };
            info!(target: "cfgserver::control", group = %group.name, votes, why, "primary down, nothing promoted");
            for (address, reason) in replicas {
                info!(target: "cfgserver::control", group = %group.name, %address, %reason, "replica passed over");
            }
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

/// The replicas that a failover which is about to open leaves out, and why.
pub(super) fn passed_over(scene: &Scene<'_>, memory: &Memory, actions: &[Action], now: Instant) {
    for action in actions {
        let Action::Propose(Command::OpenFailover { kind, candidate, .. }) = action else {
            continue;
        };
        let purpose = match kind {
            FailoverKind::Operator => Purpose::Planned,
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
