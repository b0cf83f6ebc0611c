//! The replicated state, its records on disk, and its indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::machine::{SharedSettings, Touched, check};
use crate::model::{Address, ClusterId, Group, GroupId, GroupName, Node, NodeId, Revision, RunId, Timestamp};

/// Counters beyond this were not counted. Below it no entry can bring one to its end.
const COUNT_MAX: u64 = 1 << 62;
/// Values within values: what is replicated has a handful of levels.
const DEPTH_MAX: usize = 64;

/// Everything that the cluster has agreed on. Cloning costs a few pointers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    header: Header,
    groups: OrdMap<GroupId, Arc<Group>>,
    // Indexes, derived from `groups`.
    names: OrdMap<GroupName, GroupId>,
    addresses: OrdMap<Address, GroupId>,
    // Several groups may have seen the same process or data: that is what rule 9 looks for.
    run_ids: OrdSet<(RunId, GroupId)>,
    replids: OrdSet<(Arc<str>, GroupId)>,
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
    /// Settings that are not of one group.
    #[serde(default, skip_serializing_if = "SharedSettings::is_default")]
    pub shared: SharedSettings,
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
    /// Records that do not go together.
    #[error("state records contradict each other: {0}")]
    Contradiction(String),
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

    /// The time of an entry that is proposed when a wall clock shows `wall`: time does not go back.
    pub fn time(&self, wall: Timestamp) -> Timestamp {
        self.header.now.max(wall)
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

    /// The groups in which a process was seen, in the order of their ids.
    pub fn groups_of_run_id(&self, run_id: &RunId) -> impl Iterator<Item = GroupId> + '_ {
        groups_of(&self.run_ids, run_id.clone())
    }

    /// The groups whose primary has, or had, this replication id, in the order of their ids.
    pub fn groups_of_replid(&self, replid: &str) -> impl Iterator<Item = GroupId> + '_ {
        groups_of(&self.replids, Arc::from(replid))
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
                self.run_ids.insert((run_id.clone(), id));
            }
        }
        for replid in replids(&group) {
            self.replids.insert((replid, id));
        }
        self.groups.insert(id, Arc::new(group));
    }

    /// Takes a group out.
    pub(super) fn take(&mut self, id: GroupId) -> Option<Arc<Group>> {
        let group = self.groups.remove(&id)?;
        self.names.remove(&group.name);
        self.moves.remove(&(group.moved_at(), id));
        for (address, member) in &group.members {
            if self.addresses.get(address) == Some(&id) {
                self.addresses.remove(address);
            }
            if let Some(run_id) = &member.run_id {
                self.run_ids.remove(&(run_id.clone(), id));
            }
        }
        for replid in replids(&group) {
            self.replids.remove(&(replid, id));
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

    /// A state from its stored records; no records are the empty state. Records that could not have been written
    /// together are refused: a part of a state must not pass for the whole.
    pub fn from_records(records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Self, RecordError> {
        let mut state = Self::default();
        let (mut headers, mut members) = (0, 0);
        for (key, value) in records {
            match key.as_slice() {
                b"h" => {
                    state.header = decode(&key, &value)?;
                    headers += 1;
                }
                [b'g', id @ ..] if id.len() == 8 => {
                    let group: Group = decode(&key, &value)?;
                    if group.id.0.to_be_bytes() != id || state.groups.contains_key(&group.id) {
                        return Err(RecordError::Contradiction(format!(
                            "{} is not where it belongs",
                            group.name
                        )));
                    }
                    members += group.members.len();
                    state.put(group);
                }
                _ => return Err(RecordError::Key(key)),
            }
        }
        state
            .check_whole(headers, members)
            .map_err(RecordError::Contradiction)?;
        Ok(state)
    }

    fn check_whole(&self, headers: usize, members: usize) -> Result<(), String> {
        if headers > 1 || (headers == 0 && !self.groups.is_empty()) {
            return Err(format!("{headers} headers"));
        }
        if self.names.len() != self.groups.len() || self.addresses.len() != members {
            return Err("two groups have one name or one address".to_owned());
        }
        let last = self.groups.get_max().map_or(0, |(id, _)| id.0);
        if last > self.header.next_group {
            return Err(format!(
                "group {last} is beyond the last one, {}",
                self.header.next_group
            ));
        }
        let epoch = self.groups.values().map(|group| group.epoch).max().unwrap_or(0);
        if self.header.revision.max(self.header.next_group).max(epoch) > COUNT_MAX {
            return Err("a counter is near its end".to_owned());
        }
        let groups = self.groups.keys().copied().collect();
        check(self, &Touched { groups })
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

fn groups_of<K: Ord + Clone>(index: &OrdSet<(K, GroupId)>, key: K) -> impl Iterator<Item = GroupId> + '_ {
    let all = (key.clone(), GroupId(0))..=(key, GroupId(u64::MAX));
    index.range(all).map(|(_, id)| *id)
}

#[expect(clippy::expect_used, reason = "plain data written to memory has no way to fail")]
fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("a record is plain data, which always encodes")
}

fn decode<T: for<'de> Deserialize<'de>>(key: &[u8], value: &[u8]) -> Result<T, RecordError> {
    read_whole(value).map_err(|reason| RecordError::Value {
        key: key.to_vec(),
        reason,
    })
}

/// A value from MessagePack that holds nothing else; the error is for people.
pub fn read_whole<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, String> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(DEPTH_MAX);
    let value = T::deserialize(&mut reader).map_err(|error| error.to_string())?;
    match IgnoredAny::deserialize(&mut reader) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
        _ => Err("it goes on behind its end".to_owned()),
    }
}
