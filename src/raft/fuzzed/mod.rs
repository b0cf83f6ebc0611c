//! What is read from disks and peers, for fuzzing: any bytes are an error or a value, never a panic, never a part of
//! a value.

mod directory;
mod samples;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::raft::{AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::samples::{address, monitor, used};
use super::formation::{Belongs, Probed};
use super::network::{AppendBody, SnapshotPiece, TransferBody};
use super::records::{decode, encode};
use super::service::{ForwardBody, Forwarded};
use super::types::{LogEntry, TypeConfig};
use crate::detect::{VoteAck, VoteReport};
use crate::machine::{Command, Entry, Outcome, State, SwitchProof, apply};
use crate::model::{Member, RunId, Timestamp};
use crate::requests::WriteError;

pub use self::directory::data_directory;

/// What decodes is written as bytes that mean the same.
fn stays_itself<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let value = decode::<T>(bytes).ok()?;
    let written = encode(&value);
    let again = decode::<T>(&written).map(|value| encode(&value)).ok();
    assert_eq!(again, Some(written));
    Some(value)
}

/// One entry of the log, applied to a state that has been used.
pub fn log_entry(bytes: &[u8]) {
    let Some(entry) = stays_itself::<LogEntry>(bytes) else {
        return;
    };
    if let EntryPayload::Normal(entry) = entry.payload {
        let mut state = used().0.clone();
        let before = state.clone();
        let applied = apply(&mut state, &entry);
        if matches!(applied.outcome, Outcome::Rejected(_)) {
            assert!(state.groups().eq(before.groups()));
        }
        assert_eq!(reread(&state), state);
    }
}

fn reread(state: &State) -> State {
    let pairs = state
        .all_records()
        .into_iter()
        .filter_map(|record| Some((record.key, record.value?)));
    State::from_records(pairs).unwrap_or_default()
}

/// A whole snapshot.
pub fn state_records(bytes: &[u8]) {
    let Some(records) = stays_itself::<Vec<(Bytes, Bytes)>>(bytes) else {
        return;
    };
    let count = records.len();
    let pairs = records.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec()));
    let Ok(mut state) = State::from_records(pairs) else {
        return;
    };
    assert!(
        count == 0 || state.all_records().len() == count,
        "some records were lost"
    );
    assert_eq!(reread(&state), state);
    for entry in commands(&state) {
        apply(&mut state, &entry);
    }
}

/// Something for every group of a state.
fn commands(state: &State) -> Vec<Entry> {
    let at = Timestamp(u64::MAX);
    let mut commands = vec![monitor("new", 77)];
    for group in state.groups() {
        let (id, on) = (group.id, group.version);
        let members = [(address(78), Member::default())].into();
        commands.push(Command::Learn { group: id, on, members });
        if let Some((candidate, member)) = group.replicas().next() {
            let proof = SwitchProof {
                run_id: member.run_id.clone().unwrap_or_else(|| RunId::new("x")),
                lineage: None,
            };
            let primary = *candidate;
            commands.push(Command::Adopt {
                group: id,
                on,
                primary,
                proof,
            });
        }
        commands.push(Command::Remove {
            name: group.name.clone(),
        });
    }
    commands.into_iter().map(|command| Entry { command, at }).collect()
}

/// A message of a peer that has proved itself; the first byte says which.
pub fn peer_body(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    match kind % 14 {
        0 => drop(stays_itself::<AppendBody>(body)),
        1 => drop(stays_itself::<AppendEntriesResponse<TypeConfig>>(body)),
        2 => drop(stays_itself::<VoteRequest<TypeConfig>>(body)),
        3 => drop(stays_itself::<VoteResponse<TypeConfig>>(body)),
        4 => drop(stays_itself::<SnapshotPiece>(body)),
        5 => drop(stays_itself::<SnapshotResponse<TypeConfig>>(body)),
        6 => drop(stays_itself::<TransferBody>(body)),
        7 => drop(stays_itself::<ForwardBody>(body)),
        8 => drop(stays_itself::<Result<Forwarded, WriteError>>(body)),
        9 => drop(stays_itself::<VoteReport>(body)),
        10 => drop(stays_itself::<VoteAck>(body)),
        11 => drop(stays_itself::<Probed>(body)),
        12 => drop(stays_itself::<Belongs>(body)),
        _ => drop(stays_itself::<Vec<(Bytes, Bytes)>>(body)),
    }
}
