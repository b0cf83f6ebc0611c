//! A data directory in which everything has happened, and copies of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cfgserver::machine::Record;
use cfgserver::store::{Meta, RocksStore, Store};
use tempfile::TempDir;

use crate::store::durably;

const METAS: [Meta; 6] = [
    Meta::Vote,
    Meta::Committed,
    Meta::Purged,
    Meta::Applied,
    Meta::Snapshot,
    Meta::Identity,
];

/// All that a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    incarnation: String,
    log: Vec<(u64, Vec<u8>)>,
    meta: Vec<Option<Vec<u8>>>,
    state: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Content {
    /// Reads it.
    pub(super) fn of(store: &RocksStore) -> io::Result<Self> {
        Ok(Self {
            incarnation: store.incarnation().to_owned(),
            log: store.read(0, u64::MAX, usize::MAX)?,
            meta: METAS.iter().map(|key| store.get(*key)).collect::<io::Result<_>>()?,
            state: store.state()?,
        })
    }

    /// In which way `found` is another content.
    pub(super) fn difference(&self, found: &Self) -> Option<String> {
        let ends = |log: &[(u64, Vec<u8>)]| {
            log.first()
                .map(|(first, _)| *first)
                .zip(log.last().map(|(last, _)| *last))
        };
        let metas = METAS.iter().zip(self.meta.iter().zip(&found.meta));
        let metas: Vec<_> = metas
            .filter(|(_, (ours, theirs))| ours != theirs)
            .map(|(key, _)| key)
            .collect();
        (self != found).then(|| {
            format!(
                "{} log {:?} -> {:?} (same {}), other meta {metas:?}, state {} -> {} (same {})",
                found.incarnation,
                ends(&self.log),
                ends(&found.log),
                self.log == found.log,
                self.state.len(),
                found.state.len(),
                self.state == found.state
            )
        })
    }
}

/// A directory as a kill or a clean end left it. It is never opened itself.
pub(super) struct Image {
    dir: TempDir,
    content: Content,
}

impl Image {
    /// A directory that was killed after its last synced write, and the same one closed in good order.
    ///
    /// Several tables of each column family, a purge, a truncation, an installed snapshot, two live logs.
    pub(super) fn pair(name: &str) -> (Self, Self) {
        let made = fast_tempdir();
        let dir = made.path();
        let open = || RocksStore::open(dir, name).unwrap();
        for round in 0..3 {
            let store = open();
            write_round(&store, name, round);
        }
        let store = open();
        write_round(&store, name, 3);
        // Metadata fills its memory first: a second log begins while the first one is still needed.
        let mut rounds = 0;
        while files_below(dir).iter().filter(|file| file.ends_with(".log")).count() < 2 {
            assert!(rounds < 64, "RocksDB never began a second log");
            durably(|done| store.put_durable(Meta::Snapshot, filled(name, rounds, 200 << 10), done));
            rounds += 1;
        }
        write_round(&store, name, 4);
        store.put(Meta::Committed, filled(name, 99, 40)).unwrap();
        durably(|done| store.put_durable(Meta::Vote, filled(name, 99, 40), done));
        let killed = Self {
            content: Content::of(&store).unwrap(),
            dir: copy(dir),
        };
        let record = Record {
            key: b"last".to_vec(),
            value: Some(filled(name, 7, 30)),
        };
        store
            .write_state(&[record], vec![(Meta::Applied, filled(name, 100, 30))])
            .unwrap();
        let content = Content::of(&store).unwrap();
        drop(store);
        (killed, Self { content, dir: made })
    }

    /// What it holds.
    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// A copy to be damaged.
    pub(super) fn copy(&self) -> TempDir {
        copy(self.dir.path())
    }

    /// All files, by their path below the directory.
    pub(super) fn files(&self) -> Vec<String> {
        files_below(self.dir.path())
    }

    /// Bytes of a file.
    pub(super) fn length(&self, file: &str) -> u64 {
        fs::metadata(self.dir.path().join(file)).unwrap().len()
    }

    /// The file of that name, or the first one of its kind.
    pub(super) fn same(&self, file: &str) -> Option<PathBuf> {
        let kind = super::file_type(file);
        let alike = || self.files().into_iter().find(|other| super::file_type(other) == kind);
        let found = Some(file.to_owned()).filter(|name| self.dir.path().join(name).is_file());
        found.or_else(alike).map(|name| self.dir.path().join(name))
    }
}

/// Entries, a truncation, a purge, votes and state, each durable before the next.
fn write_round(store: &RocksStore, name: &str, round: u64) {
    let next = store.last().unwrap().map_or(0, |(last, _)| last + 1);
    for begin in (next..next + 60).step_by(6) {
        let entries = (begin..begin + 6).map(|index| (index, filled(name, index, 100)));
        durably(|done| store.append(entries.collect(), done));
    }
    store.truncate(next + 55).unwrap();
    durably(|done| store.append(vec![(next + 55, filled(name, round, 77))], done));
    durably(|done| store.put_durable(Meta::Identity, filled(name, round, 50), done));
    durably(|done| store.put_durable(Meta::Vote, filled(name, round, 40), done));
    let record = |key: u64| Record {
        key: key.to_be_bytes().to_vec(),
        value: (key % 7 != 0).then(|| filled(name, key + round, 200)),
    };
    let records: Vec<Record> = (0..40).map(|key| record(round * 10 + key)).collect();
    let applied = vec![(Meta::Applied, filled(name, round, 60))];
    if round == 2 {
        store.replace_state(&records, applied).unwrap();
    } else {
        store.write_state(&records, applied).unwrap();
    }
    store.purge(next + 20, filled(name, round, 20)).unwrap();
    durably(|done| store.put_durable(Meta::Snapshot, filled(name, round, 3_000), done));
}

/// Bytes that differ from place to place and from directory to directory.
fn filled(name: &str, number: u64, length: usize) -> Vec<u8> {
    let seed = name.bytes().map(u64::from).sum::<u64>() + number * 31;
    (0..length as u64).map(|place| (seed + place * place) as u8).collect()
}

/// Where a sync costs nothing: what the damage does is the same.
fn fast_tempdir() -> TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()),
        false => tempfile::tempdir(),
    }
    .unwrap()
}

fn files_below(dir: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for part in ["", "db/"] {
        for entry in fs::read_dir(dir.join(part)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                files.push(format!("{part}{}", entry.file_name().to_str().unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn copy(from: &Path) -> TempDir {
    let to = fast_tempdir();
    fs::create_dir(to.path().join("db")).unwrap();
    for file in files_below(from) {
        fs::copy(from.join(&file), to.path().join(&file)).unwrap();
    }
    to
}
