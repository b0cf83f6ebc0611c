//! Failovers, a step at a time, in the world of a transcript.

use std::collections::BTreeMap;

use cfgserver::machine::{Command, SwitchProof};
use cfgserver::model::{FailoverKind, ReconfStep};

use super::{World, lineage, run_id};

impl World {
    pub(super) fn open(&mut self, name: &str, address: &str) {
        let (group, on, _) = self.planned(name);
        self.done(Command::OpenFailover {
            group,
            on,
            kind: FailoverKind::Automatic,
            votes: 2,
            candidate: address.parse().unwrap(),
            run_id: run_id(address),
        });
    }

    pub(super) fn complete(&mut self, name: &str) {
        let (group, on, epoch) = self.planned(name);
        let failover = self.state.group(group).unwrap().failover.clone().unwrap();
        let proof = SwitchProof {
            run_id: failover.candidate_run_id,
            lineage: Some(lineage()),
        };
        self.done(Command::CompletePromotion {
            group,
            on,
            epoch,
            proof,
        });
    }

    pub(super) fn reconf(&mut self, name: &str, address: &str, step: &str) {
        let (group, on, epoch) = self.planned(name);
        let step = match step {
            "sent" => ReconfStep::Sent,
            "inprog" => ReconfStep::InProgress,
            "done" => ReconfStep::Done,
            other => panic!("no such step: {other}"),
        };
        let steps = BTreeMap::from([(address.parse().unwrap(), step)]);
        self.done(Command::Reconfigured {
            group,
            on,
            epoch,
            steps,
        });
    }

    pub(super) fn end(&mut self, name: &str) {
        let (group, on, epoch) = self.planned(name);
        self.done(Command::EndFailover {
            group,
            on,
            epoch,
            timed_out: false,
        });
    }
}
