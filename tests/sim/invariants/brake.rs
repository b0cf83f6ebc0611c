//! The brake on flapping: after two automatic switches within an hour the next ones wait, longer every time. Told by the
//! log's own time; where a wall clock jumped nothing can be said.

use cfgserver::machine::{Command, Outcome};
use cfgserver::model::FailoverKind;

use super::{Invariant, Scene, nodes};
use crate::fact::Fact;

const WINDOW_MS: u64 = 3_600_000;
const FIRST_WAIT_MS: u64 = 30_000;

#[derive(Default)]
pub(super) struct Brake;

impl Invariant for Brake {
    fn name(&self) -> &'static str {
        "automatic switches are braked"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        let Fact::Committed {
            command,
            outcome: Outcome::Done { .. },
            before,
            after,
            ..
        } = fact
        else {
            return Ok(());
        };
        let Command::OpenFailover {
            group,
            kind: FailoverKind::Automatic,
            ..
        } = command.as_ref()
        else {
            return Ok(());
        };
        let (Some(group), now) = (before.group(*group), after.header().now) else {
            return Ok(());
        };
        if nodes(scene).any(|node| node.skewed) {
            return Ok(());
        }
        let recent = group
            .switches
            .iter()
            .filter(|switch| switch.automatic && now.0 - switch.at.0 < WINDOW_MS);
        let count = recent.clone().count() as u32;
        let Some(last) = recent.clone().next_back().filter(|_| count >= 2) else {
            return Ok(());
        };
        scene.judges(self.name());
        let waited_ms = now.0 - last.at.0;
        if waited_ms < (FIRST_WAIT_MS << (count - 2)) {
            return Err(format!("{}: switch {} after {waited_ms} ms", group.name, count + 1));
        }
        Ok(())
    }
}
