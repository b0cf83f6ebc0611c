//! What every store must do, run against each of them.

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use cfgserver::machine::Record;
use cfgserver::store::{MemoryStore, Meta, OnDurable, Store};

const PATIENCE: Duration = Duration::from_secs(20);

/// A callback and the way to hear of it.
pub(crate) fn callback() -> (OnDurable, Receiver<io::Result<()>>) {
    let (heard, hearing) = channel();
    (Box::new(move |result| heard.send(result).unwrap()), hearing)
}

/// Writes and waits until it is durable.
pub(crate) fn durably(write: impl FnOnce(OnDurable) -> io::Result<()>) {
    let (done, heard) = callback();
    write(done).expect("the write is taken");
    heard
        .recv_timeout(PATIENCE)
        .expect("the callback comes")
        .expect("the write is durable");
}

/// The bytes of an entry; told apart by index and generation.
pub(crate) fn value(index: u64, generation: u64) -> Vec<u8> {
    format!("entry {index} of generation {generation}").into_bytes()
}

pub(crate) fn entries(range: std::ops::Range<u64>, generation: u64) -> Vec<(u64, Vec<u8>)> {
    range.map(|index| (index, value(index, generation))).collect()
}

/// The whole log.
pub(crate) fn log(store: &dyn Store) -> Vec<(u64, Vec<u8>)> {
    store.read(0, u64::MAX, usize::MAX).unwrap()
}

fn record(key: &[u8], value: Option<&[u8]>) -> Record {
    Record {
        key: key.to_vec(),
        value: value.map(<[u8]>::to_vec),
    }
}

fn pair(key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (key.to_vec(), value.to_vec())
}

fn written_entries_can_be_read_before_they_are_durable(store: &dyn Store) {
    let (done, heard) = callback();
    store.append(entries(0..5, 1), done).unwrap();
    assert_eq!(log(store), entries(0..5, 1));
    assert_eq!(store.last().unwrap(), Some((4, value(4, 1))));
    heard.recv_timeout(PATIENCE).unwrap().unwrap();
}

fn a_store_that_was_never_written_is_empty(store: &dyn Store) {
    assert_eq!(log(store), []);
    assert_eq!(store.last().unwrap(), None);
    assert_eq!(store.get(Meta::Vote).unwrap(), None);
    assert_eq!(store.state().unwrap(), []);
}

fn a_hole_or_an_overlap_is_refused_and_changes_nothing(store: &dyn Store) {
    durably(|done| store.append(entries(0..5, 1), done));
    for wrong in [
        entries(6..7, 2),
        entries(4..6, 2),
        vec![(5, value(5, 2)), (7, value(7, 2))],
    ] {
        let (done, heard) = callback();
        assert!(store.append(wrong, done).is_err());
        assert!(
            heard.recv_timeout(PATIENCE).unwrap().is_err(),
            "the callback hears of it too"
        );
    }
    assert_eq!(log(store), entries(0..5, 1));
    durably(|done| store.append(entries(5..6, 1), done));
    assert_eq!(log(store), entries(0..6, 1));
}

fn no_entries_are_durable_at_once(store: &dyn Store) {
    durably(|done| store.append(Vec::new(), done));
    assert_eq!(store.last().unwrap(), None);
}

fn reading_gives_what_is_there_of_a_range(store: &dyn Store) {
    durably(|done| store.append(entries(0..10, 1), done));
    store.purge(2, b"two".to_vec()).unwrap();
    assert_eq!(store.read(0, 5, usize::MAX).unwrap(), entries(3..5, 1));
    assert_eq!(store.read(8, 20, usize::MAX).unwrap(), entries(8..10, 1));
    assert_eq!(store.read(5, 5, usize::MAX).unwrap(), []);
    assert_eq!(store.read(7, 5, usize::MAX).unwrap(), []);
    assert_eq!(store.read(10, u64::MAX, usize::MAX).unwrap(), []);
}

fn reading_stops_at_the_byte_limit_but_gives_one(store: &dyn Store) {
    durably(|done| store.append((0..9).map(|index| (index, vec![0; 100])).collect(), done));
    let count = |bytes_max| store.read(2, 9, bytes_max).unwrap().len();
    assert_eq!(
        (count(0), count(100), count(299), count(300), count(10_000)),
        (1, 1, 2, 3, 7)
    );
}

fn truncated_indexes_are_written_again(store: &dyn Store) {
    durably(|done| store.append(entries(0..10, 1), done));
    store.truncate(6).unwrap();
    assert_eq!(store.last().unwrap(), Some((5, value(5, 1))));
    durably(|done| store.append(entries(6..8, 2), done));
    let expected: Vec<_> = entries(0..6, 1).into_iter().chain(entries(6..8, 2)).collect();
    assert_eq!(log(store), expected);
    store.truncate(100).unwrap();
    assert_eq!(log(store), expected);
    store.truncate(0).unwrap();
    assert_eq!(store.last().unwrap(), None);
}

fn a_purge_keeps_its_marker_and_never_goes_back(store: &dyn Store) {
    durably(|done| store.append(entries(0..10, 1), done));
    store.purge(4, b"four".to_vec()).unwrap();
    store.purge(4, b"four".to_vec()).unwrap();
    store.purge(2, b"two".to_vec()).unwrap();
    assert_eq!(store.get(Meta::Purged).unwrap().as_deref(), Some(&b"four"[..]));
    assert_eq!(log(store), entries(5..10, 1));
    store.truncate(0).unwrap();
    assert_eq!(store.last().unwrap(), None);
    durably(|done| store.append(entries(5..6, 2), done));
    assert_eq!(log(store), entries(5..6, 2));
}

fn a_purge_beyond_the_end_moves_the_log(store: &dyn Store) {
    durably(|done| store.append(entries(0..3, 1), done));
    store.purge(99, b"snapshot".to_vec()).unwrap();
    assert_eq!(store.last().unwrap(), None);
    let (done, heard) = callback();
    assert!(store.append(entries(3..4, 1), done).is_err());
    assert!(heard.recv_timeout(PATIENCE).unwrap().is_err());
    durably(|done| store.append(entries(100..102, 1), done));
    assert_eq!(log(store), entries(100..102, 1));
}

fn metadata_is_kept_by_key(store: &dyn Store) {
    let keys = [
        Meta::Vote,
        Meta::Committed,
        Meta::Purged,
        Meta::Applied,
        Meta::Snapshot,
        Meta::Identity,
    ];
    for key in keys {
        store.put(key, format!("{key:?}").into_bytes()).unwrap();
    }
    durably(|done| store.put_durable(Meta::Vote, b"again".to_vec(), done));
    for key in &keys[1..] {
        assert_eq!(store.get(*key).unwrap(), Some(format!("{key:?}").into_bytes()));
    }
    assert_eq!(store.get(Meta::Vote).unwrap().as_deref(), Some(&b"again"[..]));
}

fn state_records_are_written_and_deleted_with_their_metadata(store: &dyn Store) {
    let records = [
        record(b"h", Some(b"header")),
        record(b"g1", Some(b"one")),
        record(b"g2", Some(b"two")),
    ];
    store
        .write_state(&records, vec![(Meta::Applied, b"7".to_vec())])
        .unwrap();
    let records = [record(b"g1", None), record(b"g2", Some(b"2")), record(b"g3", None)];
    store
        .write_state(&records, vec![(Meta::Applied, b"8".to_vec())])
        .unwrap();
    assert_eq!(store.state().unwrap(), [pair(b"g2", b"2"), pair(b"h", b"header")]);
    assert_eq!(store.get(Meta::Applied).unwrap().as_deref(), Some(&b"8"[..]));
}

fn a_replaced_state_leaves_nothing_of_the_old_one(store: &dyn Store) {
    let old = [
        record(b"", Some(b"empty key")),
        record(b"g1", Some(b"one")),
        record(&[0xff; 12], Some(b"last")),
    ];
    store
        .write_state(&old, vec![(Meta::Committed, b"kept".to_vec())])
        .unwrap();
    let new = [record(b"g1", Some(b"new")), record(b"g9", Some(b"nine"))];
    store
        .replace_state(
            &new,
            vec![(Meta::Applied, b"9".to_vec()), (Meta::Snapshot, vec![7; 3 << 20])],
        )
        .unwrap();
    assert_eq!(store.state().unwrap(), [pair(b"g1", b"new"), pair(b"g9", b"nine")]);
    assert_eq!(store.get(Meta::Snapshot).unwrap(), Some(vec![7; 3 << 20]));
    assert_eq!(store.get(Meta::Committed).unwrap().as_deref(), Some(&b"kept"[..]));
    store.replace_state(&[], Vec::new()).unwrap();
    assert_eq!(store.state().unwrap(), []);
}

fn callbacks_come_in_the_order_of_the_writes(store: &dyn Store) {
    const WRITES: u64 = 600;
    let (heard, hearing) = channel();
    for number in 0..WRITES {
        let heard = heard.clone();
        let done: OnDurable = Box::new(move |result| heard.send((number, result.is_ok())).unwrap());
        if number % 3 == 0 {
            store.put_durable(Meta::Vote, value(number, 0), done).unwrap();
        } else {
            let next = store.last().unwrap().map_or(0, |(index, _)| index + 1);
            store.append(entries(next..next + 2, number), done).unwrap();
        }
    }
    for number in 0..WRITES {
        assert_eq!(hearing.recv_timeout(PATIENCE).unwrap(), (number, true));
    }
}

fn writers_on_many_threads_each_hear_in_their_order(store: &dyn Store) {
    const WRITES: u64 = 200;
    let (heard, hearing) = channel();
    std::thread::scope(|scope| {
        for writer in 0..4_usize {
            let heard = heard.clone();
            scope.spawn(move || {
                for number in 0..WRITES {
                    let heard = heard.clone();
                    let done: OnDurable = Box::new(move |result| heard.send((writer, number, result.is_ok())).unwrap());
                    store.put_durable(Meta::Vote, value(number, 0), done).unwrap();
                }
            });
        }
    });
    let mut next = [0; 4];
    for _ in 0..4 * WRITES {
        let (writer, number, durable) = hearing.recv_timeout(PATIENCE).unwrap();
        assert_eq!((number, durable), (next[writer], true));
        next[writer] += 1;
    }
}

/// One test of each rule for each store.
macro_rules! rules {
    ($($rule:ident)*) => {
        mod memory {
            $(#[test] fn $rule() { super::$rule(&super::MemoryStore::new()); })*
        }

        #[cfg(feature = "rocksdb")]
        mod rocks {
            $(#[test] fn $rule() {
                let dir = tempfile::tempdir().unwrap();
                super::$rule(&cfgserver::store::RocksStore::open(dir.path(), "fresh").unwrap());
            })*
        }
    };
}

rules! {
    written_entries_can_be_read_before_they_are_durable
    a_store_that_was_never_written_is_empty
    a_hole_or_an_overlap_is_refused_and_changes_nothing
    no_entries_are_durable_at_once
    reading_gives_what_is_there_of_a_range
    reading_stops_at_the_byte_limit_but_gives_one
    truncated_indexes_are_written_again
    a_purge_keeps_its_marker_and_never_goes_back
    a_purge_beyond_the_end_moves_the_log
    metadata_is_kept_by_key
    state_records_are_written_and_deleted_with_their_metadata
    a_replaced_state_leaves_nothing_of_the_old_one
    callbacks_come_in_the_order_of_the_writes
    writers_on_many_threads_each_hear_in_their_order
}

/// Both stores do the same to any calls, and RocksDB also across restarts.
#[cfg(feature = "rocksdb")]
mod alike {
    use super::*;
    use cfgserver::store::RocksStore;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Call {
        Append {
            skew: u64,
            count: u64,
        },
        Truncate(u64),
        Purge(u64),
        Put(Meta, u8),
        State {
            replace: bool,
            records: Vec<(u8, Option<u8>)>,
        },
        Reopen,
    }

    fn call() -> impl Strategy<Value = Call> {
        let meta = prop_oneof![Just(Meta::Vote), Just(Meta::Applied), Just(Meta::Purged)];
        let records = prop::collection::vec((0..6_u8, any::<Option<u8>>()), 0..5);
        prop_oneof![
            // Mostly fitting, sometimes with a hole or an overlap.
            5 => (prop_oneof![9 => Just(1_u64), 1 => 0..3_u64], 0..6_u64)
                .prop_map(|(skew, count)| Call::Append { skew, count }),
            2 => (0..40_u64).prop_map(Call::Truncate),
            2 => (0..40_u64).prop_map(Call::Purge),
            1 => (meta, any::<u8>()).prop_map(|(key, value)| Call::Put(key, value)),
            2 => (any::<bool>(), records).prop_map(|(replace, records)| Call::State { replace, records }),
            1 => Just(Call::Reopen),
        ]
    }

    /// Makes the call; says whether it was taken.
    fn make(store: &dyn Store, call: &Call, generation: u64) -> bool {
        match call {
            Call::Append { skew, count } => {
                let next = store.last().unwrap().map_or(0, |(last, _)| last + 1);
                let first = (next + skew).saturating_sub(1);
                let (done, heard) = callback();
                let taken = store.append(entries(first..first + count, generation), done).is_ok();
                assert_eq!(heard.recv_timeout(PATIENCE).unwrap().is_ok(), taken);
                taken
            }
            Call::Truncate(index) => store.truncate(*index).is_ok(),
            Call::Purge(index) => store.purge(*index, value(*index, generation)).is_ok(),
            Call::Put(key, value) => store.put(*key, vec![*value]).is_ok(),
            Call::State { replace, records } => {
                let to_record =
                    |(key, value): &(u8, Option<u8>)| record(&[*key], value.as_ref().map(std::slice::from_ref));
                let records: Vec<_> = records.iter().map(to_record).collect();
                let meta = vec![(Meta::Applied, value(generation, 0))];
                let written = match replace {
                    true => store.replace_state(&records, meta),
                    false => store.write_state(&records, meta),
                };
                written.is_ok()
            }
            Call::Reopen => true,
        }
    }

    type Seen = (
        Vec<(u64, Vec<u8>)>,
        Option<(u64, Vec<u8>)>,
        Vec<Option<Vec<u8>>>,
        Vec<(Vec<u8>, Vec<u8>)>,
    );

    fn seen(store: &dyn Store) -> Seen {
        let meta = [Meta::Vote, Meta::Applied, Meta::Purged].map(|key| store.get(key).unwrap());
        (log(store), store.last().unwrap(), meta.to_vec(), store.state().unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn both_stores_do_the_same(calls in prop::collection::vec(call(), 1..40)) {
            let dir = tempfile::tempdir().unwrap();
            let open = || RocksStore::open(dir.path(), "fresh").unwrap();
            let (memory, mut rocks) = (MemoryStore::new(), open());
            for (generation, call) in calls.iter().enumerate() {
                let generation = generation as u64;
                if matches!(call, Call::Reopen) {
                    drop(rocks);
                    rocks = open();
                }
                prop_assert_eq!(make(&memory, call, generation), make(&rocks, call, generation));
                prop_assert_eq!(seen(&memory), seen(&rocks), "after {:?}", call);
            }
        }
    }
}
