//! A node judges an instance Down only after a full window of silence in which it was awake itself.

use super::{Invariant, Scene};
use crate::fact::Fact;

/// A pause of the node that is too short to be a stall counts as silence; so does the tick before a longer one.
const UNNOTICED_MS: u64 = 500 + 50;

#[derive(Default)]
pub(super) struct Window;

impl Invariant for Window {
    fn name(&self) -> &'static str {
        "down only after a full window of silence"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        let Fact::Silent {
            node,
            address,
            heard_at,
            down_after_ms,
            stalled_ms,
        } = fact
        else {
            return Ok(());
        };
        scene.judges(self.name());
        let stalled_ms = stalled_ms.saturating_sub(UNNOTICED_MS);
        let awake_ms = (scene.now() - heard_at).saturating_sub(stalled_ms);
        if awake_ms < *down_after_ms {
            return Err(format!(
                "node {node} judged {address} after {awake_ms} ms of {down_after_ms}"
            ));
        }
        Ok(())
    }
}
