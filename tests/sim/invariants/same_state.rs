//! The same log gives the same state, byte for byte: from the beginning, and from the records of any moment.

use cfgserver::machine::{State, apply};

use super::{Invariant, Scene};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct SameState;

impl Invariant for SameState {
    fn name(&self) -> &'static str {
        "the same log gives the same state"
    }

    fn check(&mut self, _: &dyn Scene, _: &Fact) -> Result<(), String> {
        Ok(())
    }

    fn at_the_end(&mut self, scene: &dyn Scene) -> Result<(), String> {
        scene.judges(self.name());
        let entries = scene.entries();
        // One moment per run, another one in each.
        let stored_at = entries.len() * (entries.len() % 10) / 10;
        let mut state = State::default();
        for (index, entry) in entries.iter().enumerate() {
            if index == stored_at {
                let records = state.all_records().into_iter();
                let records = records.filter_map(|record| record.value.map(|value| (record.key, value)));
                state = State::from_records(records).map_err(|error| error.to_string())?;
            }
            apply(&mut state, entry);
        }
        if state.all_records() == scene.state().all_records() {
            Ok(())
        } else {
            Err(format!(
                "it differs, restored at entry {stored_at} of {}",
                entries.len()
            ))
        }
    }
}
