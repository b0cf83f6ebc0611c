//! Records: a format byte, then MessagePack with field names.
//!
//! The bytes on disk and between nodes. A test pins them, so that an upgrade of openraft that changes an encoding
//! fails there and not in a rolling restart.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::machine::read_whole;

/// The only format so far.
const FORMAT: u8 = 1;

/// A value as a record.
#[expect(clippy::expect_used, reason = "plain data written to memory has no way to fail")]
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    rmp_serde::encode::write_named(&mut bytes, value).expect("a record is plain data, which always encodes");
    bytes
}

/// The value of a record.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    match bytes.split_first() {
        Some((&FORMAT, body)) => read_whole(body).map_err(invalid),
        Some((format, _)) => Err(invalid(format!("unknown record format {format}"))),
        None => Err(invalid("empty record".to_owned())),
    }
}

/// The value of an optional record.
pub(crate) fn decode_some<T: DeserializeOwned>(bytes: Option<Vec<u8>>) -> io::Result<Option<T>> {
    bytes.as_deref().map(decode).transpose()
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Debug;

    use openraft::EntryPayload;

    use super::*;
    use crate::machine::{Command, Entry};
    use crate::model::{GroupName, MyId, Node, NodeRole, Timestamp};
    use crate::raft::types::{LogEntry, LogId, SnapshotMeta, StoredMembership, Vote};

    fn log_id(index: u64) -> LogId {
        LogId {
            leader_id: openraft::vote::leader_id_std::CommittedLeaderId::new(7),
            index,
        }
    }

    fn membership() -> openraft::Membership<u64, Node> {
        let node = |id: u64| Node {
            address: format!("127.0.0.1:{id}"),
            incarnation: "ab".to_owned(),
            my_id: MyId("cd".into()),
            role: NodeRole::Learner,
            labels: BTreeMap::new(),
        };
        openraft::Membership::new(vec![BTreeSet::from([1])], BTreeMap::from([(1, node(1)), (2, node(2))])).unwrap()
    }

    /// The bytes are a promise to disks and to other nodes: a change here needs a new format.
    fn pinned<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, golden: &str) {
        let bytes = encode(value);
        let shown = bytes.escape_ascii().to_string();
        assert_eq!(shown, golden);
        assert_eq!(&decode::<T>(&bytes).unwrap(), value);
    }

    #[test]
    fn votes_and_log_ids_keep_their_bytes() {
        pinned(
            &Vote::new_committed(7, 3),
            r"\x01\x82\xa9leader_id\x82\xa4term\x07\xa9voted_for\x03\xa9committed\xc3",
        );
        pinned(&log_id(9), r"\x01\x82\xa9leader_id\x07\xa5index\t");
    }

    #[test]
    fn entries_keep_their_bytes() {
        let entry = |payload| LogEntry {
            log_id: log_id(9),
            payload,
        };
        pinned(
            &entry(EntryPayload::Blank),
            r"\x01\x82\xa6log_id\x82\xa9leader_id\x07\xa5index\t\xa7payload\xa5Blank",
        );
        let command = Command::Remove {
            name: GroupName::new("orders").unwrap(),
        };
        let at = Timestamp(5);
        pinned(
            &entry(EntryPayload::Normal(Entry { command, at })),
            concat!(
                r"\x01\x82\xa6log_id\x82\xa9leader_id\x07\xa5index\t\xa7payload\x81\xa6Normal",
                r"\x82\xa7command\x81\xa6remove\x81\xa4name\xa6orders\xa2at\x05",
            ),
        );
        pinned(
            &entry(EntryPayload::Membership(membership())),
            concat!(
                r"\x01\x82\xa6log_id\x82\xa9leader_id\x07\xa5index\t\xa7payload\x81\xaaMembership",
                r"\x82\xa7configs\x91\x91\x01\xa5nodes\x82\x01\x85\xa7address\xab127.0.0.1:1\xabincarnation",
                r"\xa2ab\xa5my_id\xa2cd\xa4role\xa7learner\xa6labels\x80\x02\x85\xa7address\xab127.0.0.1:2",
                r"\xabincarnation\xa2ab\xa5my_id\xa2cd\xa4role\xa7learner\xa6labels\x80",
            ),
        );
    }

    #[test]
    fn snapshot_metadata_keeps_its_bytes() {
        let meta = SnapshotMeta {
            last_log_id: Some(log_id(9)),
            last_membership: StoredMembership::new(Some(log_id(2)), membership()),
        };
        let golden = concat!(
            r"\x01\x83\xablast_log_id\x82\xa9leader_id\x07\xa5index\t",
            r"\xaflast_membership\x82\xa6log_id\x82\xa9leader_id\x07\xa5index\x02\xaamembership",
            r"\x82\xa7configs\x91\x91\x01\xa5nodes\x82\x01\x85\xa7address\xab127.0.0.1:1\xabincarnation\xa2ab",
            r"\xa5my_id\xa2cd\xa4role\xa7learner\xa6labels\x80\x02\x85\xa7address\xab127.0.0.1:2",
            r"\xabincarnation\xa2ab\xa5my_id\xa2cd\xa4role\xa7learner\xa6labels\x80\xabsnapshot_id\xa0",
        );
        pinned(&meta, golden);
    }

    #[test]
    fn another_format_is_refused() {
        let error = decode::<u64>(&[9, 1]).unwrap_err();
        assert_eq!(error.to_string(), "unknown record format 9");
        assert_eq!(decode::<u64>(&[]).unwrap_err().to_string(), "empty record");
    }

    #[test]
    fn a_record_ends_with_its_value() {
        assert_eq!(decode::<u64>(&[1, 7]).unwrap(), 7);
        let error = decode::<u64>(&[1, 7, 7]).unwrap_err();
        assert_eq!(error.to_string(), "it goes on behind its end");
    }
}
