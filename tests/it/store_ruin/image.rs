//! A data directory in which everything has happened, and copies of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cfgserver::machine::Record;
use cfgserver::store::{Meta, RocksStore, Store};
use tempfile::TempDir;

use crate::store::durably;
use crate::store_process::Chance;

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
        let killed = Self::killed(&store);
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

    /// A new directory.
    pub(super) fn empty(name: &str) -> Self {
        let dir = fast_tempdir();
        let content = Content::of(&RocksStore::open(dir.path(), name).unwrap()).unwrap();
        Self { dir, content }
    }

    /// The directory as a kill would leave it now.
    pub(super) fn killed(store: &RocksStore) -> Self {
        Self {
            content: Content::of(store).unwrap(),
            dir: copy(store.dir()),
        }
    }

    /// The directory after a clean end.
    pub(super) fn closed(store: RocksStore) -> Self {
        let (content, from) = (Content::of(&store).unwrap(), store.dir().to_owned());
        drop(store);
        let dir = copy(&from);
        Self { dir, content }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
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
        value: (!key.is_multiple_of(7)).then(|| filled(name, key + round, 200)),
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

/// One call of any kind, small or large, waited for or not.
pub(super) fn anything(store: &RocksStore, chance: &mut Chance) {
    let large = chance.below(4) == 0;
    let bytes = |chance: &mut Chance, large_bytes: u64| {
        let length = if large { large_bytes } else { 100 };
        vec![chance.below(256) as u8; chance.below(length) as usize]
    };
    let last = store.last().unwrap().map_or(0, |(last, _)| last);
    match chance.below(8) {
        0 | 1 => {
            // Behind a purged log nothing may be missing either.
            let next = store
                .last()
                .unwrap()
                .map_or_else(|| next_index(store), |(last, _)| last + 1);
            let entries = (next..next + 1 + chance.below(5)).map(|index| (index, bytes(chance, 3 << 20)));
            let entries = entries.collect();
            durably(|done| store.append(entries, done));
        }
        2 => store.truncate(last.saturating_sub(chance.below(3))).unwrap(),
        3 => {
            let index = last.saturating_sub(chance.below(6));
            store.purge(index, index.to_be_bytes().to_vec()).unwrap();
        }
        4 => store
            .put(METAS[chance.below(2) as usize], bytes(chance, 400 << 10))
            .unwrap(),
        5 => {
            let value = bytes(chance, 400 << 10);
            durably(|done| store.put_durable(Meta::Snapshot, value, done));
        }
        kind => {
            let records: Vec<Record> = (0..chance.below(8))
                .map(|_| Record {
                    key: vec![chance.below(12) as u8],
                    value: (chance.below(3) > 0).then(|| bytes(chance, 1 << 20)),
                })
                .collect();
            let applied = vec![(Meta::Applied, bytes(chance, 100))];
            match kind {
                6 => store.write_state(&records, applied).unwrap(),
                _ => store.replace_state(&records, applied).unwrap(),
            }
        }
    }
}

/// The index behind an empty log, which its last purge names.
fn next_index(store: &RocksStore) -> u64 {
    let purged = store.get(Meta::Purged).unwrap();
    purged.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()) + 1)
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
            if entry.file_type().is_ok_and(|found| found.is_file()) {
                files.push(format!("{part}{}", entry.file_name().to_str().unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// A copy of a directory that nobody writes to. Files that became superfluous may go meanwhile: then once more.
fn copy(from: &Path) -> TempDir {
    loop {
        let before = lengths(from);
        let to = fast_tempdir();
        fs::create_dir(to.path().join("db")).unwrap();
        let copied = files_below(from)
            .iter()
            .all(|file| fs::copy(from.join(file), to.path().join(file)).is_ok());
        if copied && before.is_some() && lengths(from) == before {
            return to;
        }
    }
}

fn lengths(dir: &Path) -> Option<Vec<(String, u64)>> {
    let length = |file: String| Some((fs::metadata(dir.join(&file)).ok()?.len(), file));
    let lengths = files_below(dir).into_iter().map(length);
    lengths
        .map(|found| found.map(|(length, file)| (file, length)))
        .collect()
}
