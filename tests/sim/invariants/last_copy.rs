//! The last copy of the data is never overwritten because cfgserver said so: an instance with data that was ordered to
//! follow does not throw it away for a primary that has none.

use super::Invariant;
use crate::core::Core;
use crate::fact::Fact;
use crate::node::Node;

#[derive(Default)]
pub(super) struct LastCopy;

impl Invariant for LastCopy {
    fn name(&self) -> &'static str {
        "the last copy is not overwritten"
    }

    fn check(&mut self, core: &Core, _: &[Node], fact: &Fact) -> Result<(), String> {
        let Fact::Overwritten(overwritten) = fact else {
            return Ok(());
        };
        let (who, source) = (
            &core.fleet.servers[overwritten.who],
            &core.fleet.servers[overwritten.source],
        );
        let lost = overwritten.ordered && overwritten.had_keys && !overwritten.source_has_keys;
        if lost && who.home == source.home {
            return Err(format!(
                "{} had data and was sent to copy {}, which has none",
                who.name, source.name
            ));
        }
        Ok(())
    }
}
