//! The world before its first event: instances, and what the cluster knows of them.

use std::collections::BTreeMap;

use cfgserver::machine::{Command, MemberFacts};
use cfgserver::model::{Address, ClusterId, GroupName, Identity, Lineage, Mode, NodeRole, RunId, Setting};

use super::group_name;
use crate::core::{Core, START};
use crate::log::Members;
use crate::node::{WALL, peer};
use crate::redis::{Replica, Server};

pub(crate) fn make_instances(core: &mut Core) {
    for (ordinal, group) in core.settings.groups.clone().iter().enumerate() {
        let lineage = core.fleet.lineages.fresh();
        let letter = char::from(b'A' + ordinal as u8);
        let mut primary = None;
        for member in 0..=group.replicas {
            let address: Address = format!("10.0.{ordinal}.{}:6379", member + 1).parse().unwrap();
            let mut server = Server::new(format!("{letter}{member}"), address, Some(ordinal), lineage);
            server.version = core.settings.version;
            // Some are farther away than others: who has most of the data is a question.
            server.lag_ms = core.settings.lag_ms * if member == 1 { 4 } else { 1 };
            server.sync_ms = core.settings.sync_ms;
            server.load_ms = core.settings.load_ms;
            server.offset = 1_000;
            server.keys = 10;
            server.started_at = START - 1_000_000;
            server.no_config_file = core.chance.permille(60);
            server.no_config_command = core.chance.permille(40);
            // Who takes one away may take others. Not drawn: the stories of most seeds stay as they are.
            server.no_pause_command = server.no_config_command && !server.no_config_file;
            if member > 1 && core.chance.permille(80) {
                server.priority = *core.chance.pick(&[0, 10, 200]);
            }
            if let Some((address, index)) = primary {
                server.follows = Some(address);
                server.saved_follows = Some(address);
                server.replica = Replica::Up {
                    from: index,
                    stalled: None,
                };
            }
            let index = core.fleet.add(server);
            if primary.is_none() {
                primary = Some((address, index));
            }
        }
    }
}

/// What the cluster knows before the first event.
pub(super) fn found(core: &mut Core) {
    let wall = WALL + START;
    core.found(
        Command::Found {
            cluster: ClusterId("c".repeat(32).as_str().into()),
        },
        wall,
    );
    let nodes: Members = (1..=core.settings.nodes)
        .map(|id| (id, peer(id, NodeRole::Voter)))
        .collect();
    core.log.members = nodes.clone();
    core.found(Command::Nodes { nodes }, wall);
    for (ordinal, group) in core.settings.groups.clone().iter().enumerate() {
        let primary: Address = format!("10.0.{ordinal}.1:6379").parse().unwrap();
        let name = group_name(ordinal);
        core.found(
            Command::Monitor {
                host: None,
                name: name.clone(),
                primary,
                quorum: group.quorum,
                settings: Vec::new(),
            },
            wall,
        );
        if core.settings.warm {
            // Before the identity is strict.
            learn(core, &name, ordinal, wall);
        }
        let settings = vec![
            Setting::DownAfterMs(group.down_after_ms),
            Setting::FailoverTimeoutMs(group.failover_timeout_ms),
            Setting::ParallelSyncs(group.parallel_syncs),
            Setting::RefusedAfterMs(group.refused_after_ms),
            Setting::RebootDownAfterMs(group.reboot_down_after_ms),
            Setting::Identity(if group.strict { Identity::Strict } else { Identity::Open }),
            Setting::Mode(if group.observe { Mode::Observe } else { Mode::Manage }),
        ];
        core.found(
            Command::Set {
                name: name.clone(),
                settings,
            },
            wall,
        );
    }
}

pub(super) fn learn(core: &mut Core, name: &GroupName, ordinal: usize, wall: u64) {
    let state = core.log.state();
    let group = state.group_named(name.as_str()).unwrap();
    let lineage = |lineage: u32| Lineage {
        replid: format!("{lineage:040x}").into(),
        replid2: None,
    };
    let has_ids = !core.settings.version.starts_with('2');
    let own = core.fleet.servers.iter().filter(|server| server.home == Some(ordinal));
    let members: BTreeMap<Address, MemberFacts> = own
        .map(|server| {
            let facts = MemberFacts {
                run_id: Some(RunId::new(server.run_id_text())),
                lineage: has_ids.then(|| lineage(server.lineage)),
                synced: true,
                non_empty: true,
                quarantine: None,
            };
            (server.address, facts)
        })
        .collect();
    let command = Command::Learn {
        group: group.id,
        on: group.version,
        members,
    };
    core.found(command, wall);
}
