//! What only a process shows: kill -9, a disk that stops taking writes, a second process.
//!
//! The test binary starts itself as the child.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use cfgserver::machine::Record;
use cfgserver::store::{Meta, OnDurable, OpenError, RocksStore, Store};

use crate::store::{callback, log, value};

const DIR: &str = "CFGSERVER_TEST_STORE_DIR";
const SEED: &str = "CFGSERVER_TEST_SEED";
const ROUNDS: u64 = 20;

/// A small generator: a run is repeated by its seed.
pub(crate) struct Chance(u64);

impl Chance {
    /// By the environment, or drawn.
    pub(crate) fn seeded() -> Self {
        let seed = match std::env::var(SEED) {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => getrandom::u64().unwrap().max(1),
        };
        println!("repeat with {SEED}={seed}");
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn say(line: &str) {
    // Past the test harness, and whole: what is said was acknowledged.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// A child that runs one test of this binary on the directory.
fn child(test: &str, dir: &Path, through: &[&str]) -> Child {
    let binary = std::env::current_exe().unwrap();
    let mut command = match through {
        [] => Command::new(binary),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
    };
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(DIR, dir);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// The numbers that a child says.
fn numbers(child: &mut Child) -> Receiver<u64> {
    let out = BufReader::new(child.stdout.take().unwrap());
    let (heard, hearing) = channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if let Some(number) = line.strip_prefix("durable ") {
                let _ = heard.send(number.parse().unwrap());
            }
        }
    });
    hearing
}

/// Some entries are so large that memory fills up and logs change while the child works.
fn padded(index: u64) -> Vec<u8> {
    let mut bytes = value(index, 1);
    let padding = if index.is_multiple_of(8) { 256 << 10 } else { 0 };
    bytes.resize(bytes.len() + padding, index as u8);
    bytes
}

/// The child: appends, votes, applies and purges, and says each index when its callback has come.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = RocksStore::open(dir, "fresh").unwrap();
    let mut next = store.last().unwrap().map_or(0, |(index, _)| index + 1);
    let (heard, hearing) = channel();
    loop {
        for _ in 0..4 {
            let entries: Vec<_> = (next..next + 1 + next % 3)
                .map(|index| (index, padded(index)))
                .collect();
            next += entries.len() as u64;
            let (last, heard) = (next - 1, heard.clone());
            let done: OnDurable = Box::new(move |result| heard.send(result.map(|()| last)).unwrap());
            store.append(entries, done).unwrap();
        }
        let heard = heard.clone();
        let done: OnDurable = Box::new(move |result| heard.send(result.map(|()| next - 1)).unwrap());
        store
            .put_durable(Meta::Vote, next.to_be_bytes().to_vec(), done)
            .unwrap();
        for _ in 0..5 {
            let last: u64 = hearing.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
            say(&format!("durable {last}"));
        }
        let applied = (next - 1).to_be_bytes().to_vec();
        let record = Record {
            key: b"h".to_vec(),
            value: Some(applied.clone()),
        };
        store.write_state(&[record], vec![(Meta::Applied, applied)]).unwrap();
        if next.is_multiple_of(16) {
            store.purge(next - 10, (next - 10).to_be_bytes().to_vec()).unwrap();
        }
    }
}

fn number(bytes: Option<Vec<u8>>) -> Option<u64> {
    bytes.map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
}

/// Everything that the child has said is there, and what belongs together agrees.
fn check(dir: &Path, acknowledged: Option<u64>) {
    let store = RocksStore::open(dir, "fresh").unwrap_or_else(|error| panic!("after a kill: {error}"));
    let last = store.last().unwrap().map(|(index, _)| index);
    assert!(last >= acknowledged, "acknowledged {acknowledged:?}, found {last:?}");
    let purged = number(store.get(Meta::Purged).unwrap());
    let mut expected = purged.map_or(0, |purged| purged + 1);
    for (index, bytes) in log(&store) {
        assert_eq!(index, expected, "the log has a hole");
        assert!(bytes == padded(index), "entry {index} is another one");
        expected += 1;
    }
    assert_eq!(last.map_or(0, |last| last + 1), expected);
    let applied = number(store.get(Meta::Applied).unwrap());
    let state = store.state().unwrap().pop().map(|(_, bytes)| bytes);
    assert_eq!(number(state), applied, "state and applied index are one write");
    assert!(applied <= last, "the state is ahead of the log");
    assert!(
        number(store.get(Meta::Vote).unwrap()).is_none_or(|vote| vote <= expected),
        "the vote is ahead of the log"
    );
}

#[test]
fn a_kill_while_the_directory_is_made_leaves_it_usable() {
    let mut chance = Chance::seeded();
    for _ in 0..ROUNDS / 2 {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("data");
        let mut child = child("store_process::child_that_appends_until_it_is_killed", &dir, &[]);
        let durable = numbers(&mut child);
        std::thread::sleep(Duration::from_micros(chance.below(60_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        check(&dir, durable.iter().max());
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let mut chance = Chance::seeded();
    let dir = tempfile::tempdir().unwrap();
    let (dir, mut acknowledged) = (dir.path().join("data"), None);
    for round in 0..ROUNDS {
        let mut child = child("store_process::child_that_appends_until_it_is_killed", &dir, &[]);
        let durable = numbers(&mut child);
        if round % 2 == 0 {
            // While it opens or creates the database, or soon after.
            std::thread::sleep(Duration::from_micros(chance.below(150_000)));
        } else {
            // In the middle of its work.
            // The last time long enough for memory to be written out and the log to change.
            let least = if round == ROUNDS - 1 { 400 } else { 1 };
            for _ in 0..least + chance.below(100) {
                let number = durable
                    .recv_timeout(Duration::from_secs(20))
                    .expect("the child goes on");
                acknowledged = acknowledged.max(Some(number));
            }
            if round % 4 == 1 {
                let busy = RocksStore::open(&dir, "other");
                assert!(matches!(busy, Err(OpenError::InUse { .. })), "{busy:?}");
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = acknowledged.max(durable.iter().max());
        println!("round {round}: acknowledged up to {acknowledged:?}");
        check(&dir, acknowledged);
    }
    assert!(acknowledged > Some(ROUNDS), "the children have worked");
}

/// The child: appends until the disk takes no more, then checks that everything later fails.
#[test]
fn child_whose_disk_becomes_full() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = RocksStore::open(dir, "fresh").unwrap();
    let wait = |heard: Receiver<std::io::Result<()>>| heard.recv_timeout(Duration::from_secs(20)).unwrap();
    let refused_at = (0..10_000).find(|index| {
        let (done, heard) = callback();
        let taken = store.append(vec![(*index, vec![1; 4096])], done);
        let durable = wait(heard);
        match &durable {
            Ok(()) => say(&format!("durable {index}")),
            Err(error) => println!("{error}"),
        }
        assert!(taken.is_ok() || durable.is_err(), "a refused append is not durable");
        durable.is_err()
    });
    let next = refused_at.expect("the disk becomes full") + 1;
    for index in next..next + 3 {
        let (done, heard) = callback();
        assert!(store.append(vec![(index, vec![1])], done).is_err());
        assert!(wait(heard).is_err());
        let (done, heard) = callback();
        assert!(store.put_durable(Meta::Vote, b"late".to_vec(), done).is_err());
        assert!(wait(heard).is_err());
        assert!(store.put(Meta::Committed, b"late".to_vec()).is_err());
        assert!(store.truncate(0).is_err());
        assert!(store.purge(0, Vec::new()).is_err());
        assert!(store.replace_state(&[], Vec::new()).is_err());
    }
    say("durable 999999");
}

#[test]
fn a_write_error_is_final_and_nothing_acknowledged_is_lost_by_it() {
    let dir = tempfile::tempdir().unwrap();
    // A limit on the size of files stands in for the full disk: the same kind of refusal, in the middle of a write.
    let limit = ["sh", "-c", "trap '' XFSZ; ulimit -f 1024; exec \"$@\"", "sh"];
    let mut child = child("store_process::child_whose_disk_becomes_full", dir.path(), &limit);
    let mut durable: Vec<u64> = numbers(&mut child).iter().collect();
    assert!(child.wait().unwrap().success());
    assert_eq!(durable.pop(), Some(999_999), "the child came to its end");
    let store = RocksStore::open(dir.path(), "fresh").unwrap();
    let last = store.last().unwrap().map(|(index, _)| index);
    assert!(
        last >= durable.iter().max().copied() && !durable.is_empty(),
        "{durable:?} against {last:?}"
    );
    assert_eq!(store.get(Meta::Vote).unwrap(), None);
}
