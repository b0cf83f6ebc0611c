//! The bytes of what lies in a data directory beside RocksDB's own files, and of the keys within.

use std::fs;

use crate::golden::Book;
use crate::store::Meta;
use crate::store::rocks::marker::{self, Marker, Stage};
use crate::store::rocks::options::{LOG, META, STATE};
use crate::store::rocks::synced::{self, Synced};
use crate::store::rocks::{keys, signature};

#[test]
fn the_data_directory_keeps_its_bytes() {
    let mut book = Book::new(
        "data-directory.txt",
        "What lies in a data directory beside RocksDB's own files, and the keys within.",
    );
    let dir = tempfile::tempdir().unwrap();
    for (name, synced, stage) in [
        ("that is being made", true, Stage::Creating),
        ("that is ready", true, Stage::Ready),
        ("from before SYNCED", false, Stage::Ready),
    ] {
        let marker = Marker {
            incarnation: "ab01".to_owned(),
            stage,
            synced,
        };
        let text = marker.text();
        fs::write(dir.path().join(marker::NAME), &text).unwrap();
        assert_eq!(Marker::read(dir.path()).unwrap(), Some(marker));
        book.bytes(&format!("{}, of a directory {name}", marker::NAME), text.as_bytes());
    }
    Synced::create(dir.path(), "ab01", 70_000).unwrap();
    assert_eq!(Synced::open(dir.path(), "ab01").unwrap().sequence(), 70_000);
    let mut bytes = fs::read(dir.path().join(synced::NAME)).unwrap();
    assert_eq!(bytes.len(), 8192);
    assert_eq!(bytes[..4096], bytes[4096..], "both slots");
    bytes.truncate(4096);
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    let name = synced::NAME;
    book.bytes(
        &format!("{name}, each of two blocks of 4096 bytes, the rest is 0"),
        &bytes,
    );
    book.bytes("what begins every batch in the write-ahead log", &signature::of("ab01"));
    for family in [LOG, META, STATE] {
        book.bytes("a column family", family.as_bytes());
    }
    let own = [keys::FORMAT, keys::INCARNATION, keys::LOG_START];
    for key in own {
        book.bytes("key of the store's own metadata", key);
    }
    book.bytes("the format number", &keys::DATABASE_FORMAT.to_be_bytes());
    for key in [
        Meta::Vote,
        Meta::Committed,
        Meta::Purged,
        Meta::Applied,
        Meta::Snapshot,
        Meta::Identity,
    ] {
        book.bytes(&format!("key of {key:?}"), keys::meta(key));
    }
    book.bytes("key of log entry 70000", &keys::entry(70_000));
    book.close();
}
