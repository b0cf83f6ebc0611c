//! The replicated state, its records on disk, and its indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::machine::Touched;
use crate::model::{Address, ClusterId, Group, GroupId, GroupName, Node, NodeId, Revision, RunId, Timestamp};

/// Everything that the cluster has agreed on. Cloning costs a few pointers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    header: Header,
    groups: OrdMap<GroupId, Arc<Group>>,
    // Indexes, derived from `groups`.
    names: OrdMap<GroupName, GroupId>,
    addresses: OrdMap<Address, GroupId>,
    run_ids: OrdMap<RunId, GroupId>,
    replids: OrdMap<Arc<str>, GroupId>,
    moves: OrdSet<(Revision, GroupId)>,
}

/// What is not a group: one record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The cluster, once it is formed.
    pub cluster: Option<ClusterId>,
    /// Semantics that every node supports.
    pub level: u32,
    /// Counts changes.
    pub revision: Revision,
    /// The latest time of any entry.
    pub now: Timestamp,
    /// Id of the next new group.
    pub next_group: u64,
    /// The nodes; those with role voter are the electorate.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Node ids that are used up.
    #[serde(default)]
    pub removed: BTreeSet<NodeId>,
}

/// One record of the state as it is stored: a key and its value; `None` deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `h` for the header, `g` and eight big-endian bytes for a group.
    pub key: Vec<u8>,
    /// MessagePack with field names.
    pub value: Option<Vec<u8>>,
}

/// Why records are not a state.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A key of an unknown shape.
    #[error("unknown state record key {0:?}")]
    Key(Vec<u8>),
    /// A value that does not decode.
    #[error("state record {key:?} does not decode: {reason}")]
    Value {
        /// Its key.
        key: Vec<u8>,
        /// What the decoder said.
        reason: String,
    },
}

impl State {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Counts changes.
    pub fn revision(&self) -> Revision {
        self.header.revision
    }

    /// The nodes of the cluster.
    pub fn nodes(&self) -> &BTreeMap<NodeId, Node> {
        &self.header.nodes
    }

    /// The nodes whose verdicts count.
    pub fn electorate(&self) -> impl Iterator<Item = NodeId> + '_ {
        let voter = |node: &Node| node.role == crate::model::NodeRole::Voter;
        self.header
            .nodes
            .iter()
            .filter(move |(_, node)| voter(node))
            .map(|(id, _)| *id)
    }

    /// All groups in the order of their ids.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// All groups in the order of their names.
    pub fn groups_by_name(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.names.values().filter_map(|id| self.groups.get(id))
    }

    /// A group by its id.
    pub fn group(&self, id: GroupId) -> Option<&Arc<Group>> {
        self.groups.get(&id)
    }

    /// A group by its name.
    pub fn group_named(&self, name: &str) -> Option<&Arc<Group>> {
        self.names.get(name).and_then(|id| self.groups.get(id))
    }

    /// The groups whose primary got its address after `revision`, in that order.
    pub fn moved_since(&self, revision: Revision) -> impl Iterator<Item = &Arc<Group>> {
        let later = (Bound::Excluded((revision, GroupId(u64::MAX))), Bound::Unbounded);
        self.moves.range(later).filter_map(|(_, id)| self.groups.get(id))
    }

    /// The group that has an instance at this address.
    pub fn group_at(&self, address: Address) -> Option<&Arc<Group>> {
        self.addresses.get(&address).and_then(|id| self.groups.get(id))
    }

    /// The group in which a process was seen last.
    pub fn group_of_run_id(&self, run_id: &RunId) -> Option<GroupId> {
        self.run_ids.get(run_id).copied()
    }

    /// The group whose primary has, or had, this replication id.
    pub fn group_of_replid(&self, replid: &str) -> Option<GroupId> {
        self.replids.get(replid).copied()
    }

    pub(super) fn header_mut(&mut self) -> &mut Header {
        &mut self.header
    }

    /// Puts a group in place of its former self and keeps the indexes true.
    pub(super) fn put(&mut self, group: Group) {
        let id = group.id;
        self.take(id);
        self.names.insert(group.name.clone(), id);
        self.moves.insert((group.moved_at(), id));
        for (address, member) in &group.members {
            self.addresses.insert(*address, id);
            if let Some(run_id) = &member.run_id {
                self.run_ids.insert(run_id.clone(), id);
            }
        }
        for replid in replids(&group) {
            self.replids.insert(replid, id);
        }
        self.groups.insert(id, Arc::new(group));
    }

    /// Takes a group out.
    pub(super) fn take(&mut self, id: GroupId) -> Option<Arc<Group>> {
        let group = self.groups.remove(&id)?;
        self.names.remove(&group.name);
        self.moves.remove(&(group.moved_at(), id));
        for (address, member) in &group.members {
            remove_own(&mut self.addresses, address, id);
            if let Some(run_id) = &member.run_id {
                remove_own(&mut self.run_ids, run_id, id);
            }
        }
        for replid in replids(&group) {
            remove_own(&mut self.replids, &replid, id);
        }
        Some(group)
    }

    /// The records that changed.
    pub fn records(&self, touched: &Touched) -> Vec<Record> {
        let mut records = vec![self.header_record()];
        records.extend(touched.groups.iter().map(|id| self.group_record(*id)));
        records
    }

    /// All records: a snapshot.
    pub fn all_records(&self) -> Vec<Record> {
        let mut records = vec![self.header_record()];
        records.extend(self.groups.keys().map(|id| self.group_record(*id)));
        records
    }

    fn header_record(&self) -> Record {
        Record {
            key: b"h".to_vec(),
            value: Some(encode(&self.header)),
        }
    }

    fn group_record(&self, id: GroupId) -> Record {
        let mut key = b"g".to_vec();
        key.extend_from_slice(&id.0.to_be_bytes());
        Record {
            key,
            value: self.groups.get(&id).map(|group| encode(group.as_ref())),
        }
    }

    /// A state from its stored records; no records are the empty state.
    pub fn from_records(records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Self, RecordError> {
        let mut state = Self::default();
        for (key, value) in records {
            match key.as_slice() {
                b"h" => state.header = decode(&key, &value)?,
                [b'g', id @ ..] if id.len() == 8 => {
                    let group: Group = decode(&key, &value)?;
                    state.put(group);
                }
                _ => return Err(RecordError::Key(key)),
            }
        }
        Ok(state)
    }
}

/// The replication ids by which other groups recognise this group's data: those of its primary.
fn replids(group: &Group) -> impl Iterator<Item = Arc<str>> + '_ {
    let lineage = group.primary_member().and_then(|member| member.lineage.as_ref());
    lineage
        .into_iter()
        .flat_map(|lineage| [Some(lineage.replid.clone()), lineage.replid2.clone()])
        .flatten()
}

fn remove_own<K: Ord + Clone>(index: &mut OrdMap<K, GroupId>, key: &K, id: GroupId) {
    if index.get(key) == Some(&id) {
        index.remove(key);
    }
}

#[expect(clippy::expect_used, reason = "plain data written to memory has no way to fail")]
fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("a record is plain data, which always encodes")
}

fn decode<T: for<'de> Deserialize<'de>>(key: &[u8], value: &[u8]) -> Result<T, RecordError> {
    rmp_serde::from_slice(value).map_err(|error| RecordError::Value {
        key: key.to_vec(),
        reason: error.to_string(),
    })
}
