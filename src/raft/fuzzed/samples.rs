//! A small history in good order, for others to damage.

use std::sync::OnceLock;

use openraft::EntryPayload;

use crate::machine::{Command, Entry, Outcome, State, SwitchProof, apply};
use crate::model::{
    Address, ClusterId, FailoverKind, GroupId, GroupName, Lineage, Member, MyId, Node, NodeRole, RunId, Timestamp,
};
use crate::raft::types::{LogEntry, LogId};

pub(super) fn address(port: u16) -> Address {
    Address {
        ip: [10, 0, 0, 1].into(),
        port,
    }
}

#[expect(clippy::expect_used, reason = "literals of this file")]
pub(super) fn monitor(name: &str, port: u16) -> Command {
    Command::Monitor {
        host: None,
        name: GroupName::new(name).expect("a name"),
        primary: address(port),
        quorum: 1,
        settings: Vec::new(),
    }
}

pub(super) fn node() -> Node {
    Node {
        address: "127.0.0.1:1".to_owned(),
        incarnation: "aa".to_owned(),
        my_id: MyId("cc".into()),
        role: NodeRole::Voter,
        labels: [("zone".to_owned(), "a".to_owned())].into(),
    }
}

pub(super) fn log_id(index: u64) -> LogId {
    LogId {
        leader_id: openraft::vote::leader_id_std::CommittedLeaderId::new(1),
        index,
    }
}

/// A state that has seen something, and the log that made it.
pub(super) fn used() -> &'static (State, Vec<LogEntry>) {
    static USED: OnceLock<(State, Vec<LogEntry>)> = OnceLock::new();
    USED.get_or_init(|| {
        let run_id = RunId::new("a".repeat(40));
        let lineage = Some(Lineage {
            replid: "b".repeat(40).into(),
            replid2: Some("d".repeat(40).into()),
        });
        let member = Member {
            run_id: Some(run_id.clone()),
            lineage: lineage.clone(),
            synced: true,
            non_empty: true,
            quarantine: None,
        };
        let group = GroupId(1);
        let (candidate, epoch) = (address(2), 1);
        let proof = SwitchProof {
            run_id: run_id.clone(),
            lineage,
        };
        let commands = [
            Command::Found {
                cluster: ClusterId("cluster".into()),
            },
            Command::Nodes {
                nodes: [(1, node())].into(),
            },
            monitor("orders", 1),
            monitor("carts", 5),
            Command::Learn {
                group,
                on: 3,
                members: [(candidate, member)].into(),
            },
            Command::OpenFailover {
                group,
                on: 5,
                kind: FailoverKind::Automatic,
                votes: 2,
                candidate,
                run_id,
            },
            Command::CompletePromotion {
                group,
                on: 6,
                epoch,
                proof,
            },
        ];
        let mut state = State::default();
        let mut log = Vec::new();
        for (index, command) in commands.into_iter().enumerate() {
            let entry = Entry {
                command,
                at: Timestamp(1_000 * index as u64),
            };
            let applied = apply(&mut state, &entry);
            assert!(matches!(applied.outcome, Outcome::Done { .. }), "{applied:?}");
            log.push(LogEntry {
                log_id: log_id(index as u64 + 1),
                payload: EntryPayload::Normal(entry),
            });
        }
        (state, log)
    })
}
