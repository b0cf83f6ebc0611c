//! What the nodes apply, seen at all of them: one log, and at each place of it one state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cfgserver::machine::{Entry, State};
use cfgserver::model::{Event, NodeId, Term};
use cfgserver::raft::{Applied, ApplySink};

use crate::fact::Fact;

/// All that was committed. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    places: Vec<Place>,
    facts: Vec<Fact>,
    wrong: Option<String>,
    /// The last place that a node's process has told of.
    applied: BTreeMap<NodeId, u64>,
}

/// A place of the log, as the first node that applied it saw it.
struct Place {
    term: Term,
    entry: Option<Arc<Entry>>,
    digest: u64,
    state: Arc<State>,
}

impl Ledger {
    /// Who tells this ledger what a node applies.
    pub(crate) fn witness(&self, node: NodeId) -> Arc<dyn ApplySink> {
        let ledger = self.clone();
        Arc::new(Witness { ledger, node })
    }

    /// The state after the last committed entry.
    pub(crate) fn state(&self) -> Arc<State> {
        self.inner()
            .places
            .last()
            .map(|place| place.state.clone())
            .unwrap_or_default()
    }

    /// Place of the last committed entry.
    pub(crate) fn last(&self) -> Option<u64> {
        (self.inner().places.len() as u64).checked_sub(1)
    }

    pub(crate) fn last_term(&self) -> Option<Term> {
        self.inner().places.last().map(|place| place.term)
    }

    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        let inner = self.inner();
        inner.places.iter().filter_map(|place| place.entry.clone()).collect()
    }

    /// What was committed since the last call; an error when two nodes disagree.
    pub(crate) fn take(&self) -> Result<Vec<Fact>, String> {
        let mut inner = self.inner();
        match inner.wrong.take() {
            Some(wrong) => Err(wrong),
            None => Ok(std::mem::take(&mut inner.facts)),
        }
    }

    /// A digest of all states, to compare runs.
    pub(crate) fn digest(&self) -> u64 {
        let inner = self.inner();
        let digests = inner.places.iter().map(|place| place.digest ^ place.term);
        digests.fold(0, |all, digest| mix(all, &digest.to_be_bytes()))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Witness {
    ledger: Ledger,
    node: NodeId,
}

impl ApplySink for Witness {
    fn applied(&self, _: Arc<State>, _: Vec<Event>) {}
    fn replaced(&self, _: Arc<State>, _: Arc<State>) {}

    fn entry(&self, entry: Applied<'_>) {
        self.ledger.inner().entry(self.node, entry);
    }

    fn snapshot(&self, index: u64, state: &State) {
        self.ledger.inner().snapshot(self.node, index, state);
    }
}

impl Inner {
    fn entry(&mut self, node: NodeId, entry: Applied<'_>) {
        let next = self.places.len() as u64;
        if entry.index > next {
            return self.fail(format!(
                "node {node} applies {} while {next} was never applied",
                entry.index
            ));
        }
        self.applied.insert(node, entry.index);
        if let Some(known) = self.places.get(entry.index as usize) {
            let same_entry = known.entry.as_deref() == entry.command.map(|(command, _)| command);
            let wrong = if known.term != entry.term || !same_entry {
                "another entry"
            } else if known.digest != digest(entry.state) {
                "another state"
            } else {
                return;
            };
            let (index, term) = (entry.index, entry.term);
            let what = format!("{:?} of term {}", known.entry, known.term);
            let command = entry.command.map(|(command, _)| command);
            return self.fail(format!(
                "one log, one state: node {node} has {wrong} at {index}: {command:?} of term {term}, others {what}"
            ));
        }
        let before = self.places.last().map(|place| place.state.clone()).unwrap_or_default();
        let after = Arc::new(entry.state.clone());
        if let Some((command, applied)) = entry.command {
            self.facts.push(Fact::Committed {
                command: Arc::new(command.command.clone()),
                outcome: applied.outcome.clone(),
                before,
                after: after.clone(),
                events: Arc::new(applied.events.clone()),
            });
        }
        self.places.push(Place {
            term: entry.term,
            entry: entry.command.map(|(command, _)| Arc::new(command.clone())),
            digest: digest(entry.state),
            state: after,
        });
    }

    fn snapshot(&mut self, node: NodeId, index: u64, state: &State) {
        self.applied.insert(node, index);
        match self.places.get(index as usize) {
            Some(known) if known.digest == digest(state) => {}
            _ => self.fail(format!(
                "one log, one state: node {node} takes a snapshot of {index} that nobody else has"
            )),
        }
    }

    fn fail(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }
}

/// A digest of a state, byte for byte (FNV).
fn digest(state: &State) -> u64 {
    state.all_records().iter().fold(0xcbf2_9ce4_8422_2325, |all, record| {
        let all = mix(all, &record.key);
        mix(all, record.value.as_deref().unwrap_or_default())
    })
}

pub(crate) fn mix(mut all: u64, bytes: &[u8]) -> u64 {
    for byte in bytes {
        all = (all ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    all
}
