//! The same log gives the same state, byte for byte: from the beginning, and from the records of any moment.

use cfgserver::machine::{State, apply};

use super::Invariant;
use crate::core::Core;
use crate::fact::Fact;
use crate::node::Node;

#[derive(Default)]
pub(super) struct SameState;

impl Invariant for SameState {
    fn name(&self) -> &'static str {
        "the same log gives the same state"
    }

    fn check(&mut self, _: &Core, _: &[Node], _: &Fact) -> Result<(), String> {
        Ok(())
    }

    fn at_the_end(&mut self, core: &Core, _: &[Node]) -> Result<(), String> {
        let entries = &core.log.entries;
        // One moment per run, another one in each.
        let stored_at = entries.len() * (core.settings.faults as usize + 1) / 10;
        let mut state = State::default();
        for (index, committed) in entries.iter().enumerate() {
            if index == stored_at {
                let records = state.all_records().into_iter();
                let records = records.filter_map(|record| record.value.map(|value| (record.key, value)));
                state = State::from_records(records).map_err(|error| error.to_string())?;
            }
            if let Some(entry) = &committed.entry {
                apply(&mut state, entry);
            }
        }
        if state.all_records() == core.log.state().all_records() {
            Ok(())
        } else {
            Err(format!(
                "it differs, restored at entry {stored_at} of {}",
                entries.len()
            ))
        }
    }
}
