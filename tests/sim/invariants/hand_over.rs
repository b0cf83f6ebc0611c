//! Leadership does not travel in circles (rule 7): a leader that reaches too little keeps it for the cool-down before it
//! offers it to a node that reaches more, and for as long again before it offers it once more. What operators ask for
//! does not count.

use std::collections::BTreeMap;

use cfgserver::model::{NodeId, Term};

use super::{Invariant, Scene};
use crate::fact::Fact;

/// Rule 7's.
const COOL_DOWN_MS: u64 = 5_000;

#[derive(Default)]
pub(super) struct HandOver {
    /// When a leadership was offered last.
    offered_at: BTreeMap<(NodeId, Term), u64>,
}

impl Invariant for HandOver {
    fn name(&self) -> &'static str {
        "leadership is handed over after a cool-down"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        let Fact::HandsOver { node, term, led_since } = fact else {
            return Ok(());
        };
        scene.judges(self.name());
        let now = scene.now();
        let offered_at = self.offered_at.insert((*node, *term), now);
        let kept_ms = now - offered_at.unwrap_or(*led_since);
        if kept_ms < COOL_DOWN_MS {
            let again = if offered_at.is_some() { " again" } else { "" };
            return Err(format!("node {node} hands term {term} over{again} after {kept_ms} ms"));
        }
        Ok(())
    }
}
