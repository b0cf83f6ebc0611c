//! The bytes of everything that Raft keeps and says.

mod values;

use std::collections::BTreeMap;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::formation::{Belongs, Probed, Waits};
use super::identity::{Identity, Origin};
use super::machine::{AppliedRecord, SnapshotRecord};
use super::network::{AppendBody, SnapshotPiece, TransferBody, digest};
use super::records::{decode, encode};
use super::service::{ForwardBody, Forwarded};
use super::types::{SnapshotMeta, StoredMembership, TypeConfig, Vote};
use crate::golden::Book;
use crate::machine::{Header, Outcome, Rejection, State};
use crate::model::{ClusterId, Group, Setting};
use crate::requests::{AdminRequest, Monitoring, Write, WriteError, WriteReply};
use values::{
    command_name, commands, entry, group, header, host, in_maintenance, log_id, membership, name, node, promoting,
    shared, undoing, vote_report, with_later_settings,
};

/// One value: what it encodes to decodes to the same.
fn record<T: Serialize + DeserializeOwned>(book: &mut Book, name: &str, value: &T) {
    book.record(name, 1, &encode(value), |bytes| Ok(encode(&decode::<T>(bytes)?)));
}

fn cluster() -> ClusterId {
    ClusterId("00112233445566778899aabbccddeeff".into())
}

fn meta() -> SnapshotMeta {
    SnapshotMeta {
        last_log_id: Some(log_id(9)),
        last_membership: StoredMembership::new(Some(log_id(2)), membership()),
    }
}

fn applied() -> AppliedRecord {
    AppliedRecord {
        last: Some(log_id(9)),
        membership: meta().last_membership,
    }
}

/// The state of one group, as its records.
fn state_records(header: &Header, group: &Group) -> Vec<(Bytes, Bytes)> {
    let group_key = [&b"g"[..], &7_u64.to_be_bytes()].concat();
    let records = [
        (b"h".to_vec(), rmp_serde::to_vec_named(header).unwrap()),
        (group_key, rmp_serde::to_vec_named(group).unwrap()),
    ];
    records.map(|(key, value)| (key.into(), value.into())).into()
}

#[test]
fn what_is_kept_on_disk_keeps_its_bytes() {
    let mut book = Book::new(
        "raft-disk.txt",
        "What Raft keeps in the data directory: a format byte, then MessagePack.",
    );
    record(&mut book, "vote", &Vote::new_committed(7, 3));
    record(&mut book, "vote that is not granted yet", &Vote::new(8, 2));
    record(&mut book, "committed, and purged", &log_id(9));
    record(&mut book, "applied", &applied());
    let identity = Identity {
        node_id: 3,
        cluster: Some(cluster()),
        incarnation: "ab01".to_owned(),
        my_id: node(3).my_id,
        origin: Some(Origin::Founded),
    };
    record(&mut book, "identity", &identity);
    for (name, origin) in [("alone", Origin::Alone), ("adopted", Origin::Adopted)] {
        let (origin, cluster) = (Some(origin), None);
        let identity = identity.clone();
        let other = Identity {
            origin,
            cluster,
            ..identity
        };
        record(&mut book, &format!("identity, {name}"), &other);
    }
    let data = Bytes::from(encode(&state_records(&header(), &group())));
    record(&mut book, "snapshot", &SnapshotRecord { meta: meta(), data });
    book.close();
}

#[test]
fn log_entries_keep_their_bytes() {
    let mut book = Book::new(
        "log-entries.txt",
        "Entries of the log, on disk and between nodes: a format byte, then MessagePack.",
    );
    record(&mut book, "blank", &entry(EntryPayload::Blank));
    record(&mut book, "membership", &entry(EntryPayload::Membership(membership())));
    for command in commands() {
        let name = command_name(&command);
        record(&mut book, name, &values::normal(command));
    }
    book.close();
}

/// Records of the state have no format byte: the marker of the directory and the snapshot carry it.
#[test]
fn state_records_keep_their_bytes() {
    let mut book = Book::new("state.txt", "Records of the replicated state: MessagePack.");
    let promoting = promoting(group());
    let sharing = Header {
        shared: shared(),
        ..header()
    };
    for (number, name, header, group) in [
        (0, "header", header(), group()),
        (1, "group", header(), group()),
        (1, "group that promotes", header(), promoting.clone()),
        (0, "header with shared settings", sharing, group()),
        (1, "group with later settings", header(), with_later_settings(group())),
        (1, "group whose failover is undone", header(), undoing(promoting)),
        (1, "group in maintenance", header(), in_maintenance(group())),
    ] {
        let records = state_records(&header, &group);
        let again = |bytes: &[u8]| {
            let mut records: Vec<_> = records
                .iter()
                .map(|(key, value)| (key.to_vec(), value.to_vec()))
                .collect();
            records[number].1 = bytes.to_vec();
            let state = State::from_records(records).map_err(std::io::Error::other)?;
            Ok(state.all_records().swap_remove(number).value.unwrap())
        };
        book.bytes(&format!("{name}, key"), &records[number].0);
        book.record(name, 0, &records[number].1, again);
    }
    book.close();
}

#[test]
fn what_raft_says_to_peers_keeps_its_bytes() {
    let mut book = Book::new(
        "raft-calls.txt",
        "Bodies of the calls between the Raft cores of two nodes, and of the answers.",
    );
    let append = AppendEntriesRequest::<TypeConfig> {
        vote: Vote::new_committed(7, 3),
        prev_log_id: Some(log_id(8)),
        entries: vec![entry(EntryPayload::Blank)],
        leader_commit: Some(log_id(8)),
    };
    record(&mut book, "RAFT.APPEND", &AppendBody::new(append.clone(), Some(70_000)));
    let older = |bytes: &[u8]| Ok(encode(&decode::<AppendBody>(bytes)?.into_request()));
    book.record("RAFT.APPEND of an older node", 1, &encode(&append), older);
    for (name, answer) in [
        ("success", AppendEntriesResponse::<TypeConfig>::Success),
        (
            "partial success",
            AppendEntriesResponse::PartialSuccess(Some(log_id(4))),
        ),
        ("conflict", AppendEntriesResponse::Conflict),
        ("higher vote", AppendEntriesResponse::HigherVote(Vote::new(8, 2))),
    ] {
        record(&mut book, &format!("answer to RAFT.APPEND, {name}"), &answer);
    }
    let mut vote = VoteRequest::<TypeConfig>::new(Vote::new(8, 2), Some(log_id(9)));
    vote.leadership_transfer = true;
    record(&mut book, "RAFT.VOTE and RAFT.PREVOTE", &vote);
    let answer = VoteResponse::<TypeConfig>::new(Vote::new(8, 2), Some(log_id(9)), true);
    record(&mut book, "answer to RAFT.VOTE and RAFT.PREVOTE", &answer);
    let data = Bytes::from_static(b"half of a snapshot");
    let mut piece = SnapshotPiece {
        vote: Vote::new_committed(7, 3),
        meta: meta(),
        offset: 512,
        data: data.clone(),
        last: false,
        digest: None,
    };
    record(&mut book, "RAFT.SNAPSHOT", &piece);
    (piece.last, piece.digest) = (true, Some(digest(&meta(), &data)));
    record(&mut book, "RAFT.SNAPSHOT, last piece", &piece);
    let answer = SnapshotResponse::<TypeConfig>::new(Vote::new_committed(7, 3));
    record(&mut book, "answer to RAFT.SNAPSHOT", &answer);
    let transfer = TransferBody {
        from_leader: Vote::new_committed(7, 3),
        to: 2,
        last_log_id: Some(log_id(9)),
    };
    record(&mut book, "RAFT.TRANSFER", &transfer);
    let answers: [(&str, TransferLeaderResponse<TypeConfig>); 3] = [
        ("taken", Ok(())),
        (
            "vote changed",
            Err(TransferLeaderError::VoteChanged {
                expected: Vote::new_committed(7, 3),
                actual: Vote::new(8, 2),
            }),
        ),
        (
            "log not flushed",
            Err(TransferLeaderError::LogNotFlushed {
                expected: Some(log_id(9)),
                actual: None,
            }),
        ),
    ];
    for (name, answer) in answers {
        record(&mut book, &format!("answer to RAFT.TRANSFER, {name}"), &answer);
    }
    book.close();
}

#[test]
fn what_nodes_say_to_each_other_keeps_its_bytes() {
    let mut book = Book::new(
        "node-calls.txt",
        "Bodies of the other calls between nodes, and of the answers. RAFT.RETIRE and RAFT.PING have none.",
    );
    let writes = [
        ("command", Write::Command(commands().swap_remove(2))),
        ("failover", Write::Failover { name: name("orders") }),
        (
            "failover with a wish",
            Write::FailoverWith {
                name: name("orders"),
                coordinated: true,
                to: Some("10.0.0.2:6379".parse().unwrap()),
            },
        ),
        (
            "monitor by name",
            Write::Monitor(Monitoring {
                name: name("orders"),
                host: host(),
                port: 6379,
                quorum: 2,
                settings: vec![Setting::DownAfterMs(5_000)],
                configures: false,
            }),
        ),
        (
            "reset",
            Write::Reset {
                pattern: b"or*".to_vec(),
            },
        ),
        (
            "add node",
            Write::Admin(AdminRequest::AddNode {
                id: 4,
                address: "10.0.0.4:26379".to_owned(),
            }),
        ),
        ("remove node", Write::Admin(AdminRequest::RemoveNode { id: 4 })),
        (
            "transfer leader",
            Write::Admin(AdminRequest::TransferLeader { to: Some(2) }),
        ),
        ("explain", Write::Explain { name: name("orders") }),
    ];
    for (name, write) in writes {
        record(&mut book, &format!("RAFT.WRITE, {name}"), &ForwardBody { write });
    }
    let done = |outcome| {
        let reply = WriteReply::Outcome { outcome, revision: 12 };
        Ok(Forwarded { reply, index: 9 })
    };
    let rejected = |rejection| done(Outcome::Rejected(rejection));
    let accepted = Forwarded {
        reply: WriteReply::Accepted,
        index: 9,
    };
    let told = Forwarded {
        reply: WriteReply::Told(vec!["group g: well".to_owned()]),
        index: 9,
    };
    let reasons = vec![("10.0.0.2:6379".to_owned(), "never synced".to_owned())];
    let answers: [(&str, Result<Forwarded, WriteError>); 20] = [
        ("accepted", Ok(accepted)),
        ("told", Ok(told)),
        ("done", done(Outcome::Done { revision: 12 })),
        ("count", done(Outcome::Count(3))),
        ("rejected, no such group", rejected(Rejection::NoSuchGroup)),
        ("rejected, duplicate name", rejected(Rejection::DuplicateName)),
        (
            "rejected, address taken",
            rejected(Rejection::AddressTaken(name("orders"))),
        ),
        ("rejected, moved", rejected(Rejection::Moved)),
        ("rejected, in progress", rejected(Rejection::InProgress)),
        ("rejected, no such failover", rejected(Rejection::NoSuchFailover)),
        ("rejected, invalid", rejected(Rejection::Invalid)),
        ("rejected, not a candidate", rejected(Rejection::NotACandidate)),
        ("rejected, broken", rejected(Rejection::Broken("two primaries".into()))),
        ("no leader", Err(WriteError::NoLeader)),
        ("unknown", Err(WriteError::Unknown)),
        ("no good replica", Err(WriteError::NoGoodReplica(reasons))),
        (
            "no good primary",
            Err(WriteError::NoGoodPrimary("not seen up".to_owned())),
        ),
        ("in progress", Err(WriteError::InProgress)),
        ("no such group", Err(WriteError::NoSuchGroup)),
        ("refused", Err(WriteError::Refused("not now".to_owned()))),
    ];
    for (name, answer) in answers {
        record(&mut book, &format!("answer to RAFT.WRITE, {name}"), &answer);
    }
    record(&mut book, "RAFT.VOTES", &vote_report());
    for ack in values::vote_acks() {
        record(&mut book, &format!("answer to RAFT.VOTES, {ack:?}"), &ack);
    }
    let founders = BTreeMap::from([(1, "10.0.0.1:26379".to_owned())]);
    for (name, waits) in [
        ("nothing", Waits::Nothing),
        ("founders", Waits::Founders(founders)),
        ("adoption", Waits::Adoption),
    ] {
        let probed = Probed {
            initialised: waits == Waits::Nothing,
            cluster: Some(cluster()),
            node: node(3),
            waits,
        };
        record(&mut book, &format!("answer to RAFT.PROBE, waits for {name}"), &probed);
    }
    record(&mut book, "RAFT.FORM and RAFT.ADOPT", &Belongs { cluster: cluster() });
    book.close();
}
