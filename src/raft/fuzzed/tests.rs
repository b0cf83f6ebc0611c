//! Random bytes, and the corpus, through what is private here.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// The corpus of a target, through it.
fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(name);
    let mut count = 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        target(&std::fs::read(file.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "no corpus in {}", folder.display());
}

#[test]
fn the_corpus_breaks_no_rule() {
    replay("log-entry", log_entry);
    replay("state-records", state_records);
    replay("data-directory", data_directory);
    replay("peer-body", peer_body);
}

#[test]
fn a_whole_directory_is_read() {
    data_directory(b"");
}

/// Bytes of a value, with some damage.
fn damaged(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let place = any::<prop::sample::Index>();
    let odd = prop_oneof![
        any::<u8>(),
        prop::sample::select(vec![0xc0, 0xc6, 0xdb, 0xdd, 0xdf, 0xff, 0])
    ];
    let change = (place, odd, 0..3_u8);
    prop::collection::vec(change, 1..4).prop_map(move |changes| {
        let mut bytes = bytes.clone();
        for (place, byte, kind) in changes {
            let at = place.index(bytes.len() + 1);
            match (kind, at < bytes.len()) {
                (0, true) => bytes[at] = byte,
                (1, true) => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

fn any_entry() -> impl Strategy<Value = Vec<u8>> {
    let entries: Vec<Vec<u8>> = used().1.iter().map(encode).collect();
    prop::sample::select(entries).prop_flat_map(damaged)
}

fn snapshot() -> Vec<u8> {
    let pairs = used().0.all_records().into_iter();
    let pairs = pairs.filter_map(|record| Some((Bytes::from(record.key), Bytes::from(record.value?))));
    encode(&pairs.collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_damaged_entry_is_refused_or_applied(bytes in any_entry()) {
        log_entry(&bytes);
    }

    #[test]
    fn a_damaged_snapshot_is_refused_or_whole(bytes in damaged(snapshot())) {
        state_records(&bytes);
    }

    #[test]
    fn a_damaged_directory_is_refused_or_whole(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        data_directory(&bytes);
    }

    #[test]
    fn any_bytes_of_a_peer_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        peer_body(&bytes);
        log_entry(&bytes);
        state_records(&bytes);
    }
}
