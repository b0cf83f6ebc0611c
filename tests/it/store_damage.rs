//! A data directory is opened whole or refused with one clear line, and never started empty.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use cfgserver::machine::Record;
use cfgserver::store::{Meta, OpenError, RocksStore, Store};
use tempfile::TempDir;

use crate::store::{durably, entries, log, value};

fn open(dir: &Path) -> Result<RocksStore, OpenError> {
    RocksStore::open(dir, "fresh")
}

/// The refusal of a directory; it must be one line that names the directory.
#[track_caller]
fn refusal(dir: &Path) -> OpenError {
    let refusal = match open(dir) {
        Ok(store) => panic!("opened with {} entries", log(&store).len()),
        Err(refusal) => refusal,
    };
    let line = refusal.to_string();
    println!("{line}");
    assert!(
        !line.contains('\n') && line.contains(dir.to_str().unwrap()),
        "not one clear line: {line:?}"
    );
    refusal
}

/// A directory that was written, and its files as a kill -9 would have left them.
fn image_of(write: impl FnOnce(&RocksStore)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    write(&store);
    copy(dir.path())
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::create_dir(to.path().join("db")).unwrap();
    for part in ["", "db"] {
        for entry in fs::read_dir(from.join(part)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.path().join(part).join(entry.file_name())).unwrap();
            }
        }
    }
    to
}

/// The files of the database whose names end so, in the order of their numbers.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let names = fs::read_dir(dir.join("db")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = names
        .filter(|path| path.extension().is_some_and(|is| is == extension))
        .collect();
    files.sort();
    files
}

fn cut(file: &Path, bytes: u64) {
    let file = OpenOptions::new().write(true).open(file).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - bytes).unwrap();
}

fn flip(file: &Path, position: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[position] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// Two write-ahead logs that are both needed, since the vote is in the older one only.
fn image_with_two_logs(at_start: impl FnOnce(&Path)) -> TempDir {
    image_of(|store| {
        at_start(store.dir());
        durably(|done| store.put_durable(Meta::Vote, b"vote".to_vec(), done));
        let mut next = 0;
        while files(store.dir(), "log").len() < 2 {
            assert!(next < 64, "RocksDB never began a second log");
            durably(|done| store.append(vec![(next, vec![next as u8; 1 << 20])], done));
            next += 1;
        }
    })
}

#[test]
fn everything_written_is_there_after_a_clean_end() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("not/there/yet");
    let store = RocksStore::open(&dir, "first").unwrap();
    durably(|done| store.append(entries(0..10, 1), done));
    store.truncate(8).unwrap();
    store.put(Meta::Vote, b"vote".to_vec()).unwrap();
    let record = Record {
        key: b"h".to_vec(),
        value: Some(b"header".to_vec()),
    };
    store
        .write_state(&[record], vec![(Meta::Applied, b"7".to_vec())])
        .unwrap();
    drop(store);

    let store = RocksStore::open(&dir, "second").unwrap();
    assert_eq!(store.incarnation(), "first");
    assert_eq!(log(&store), entries(0..8, 1));
    assert_eq!(store.get(Meta::Vote).unwrap().as_deref(), Some(&b"vote"[..]));
    assert_eq!(store.state().unwrap(), [(b"h".to_vec(), b"header".to_vec())]);
    durably(|done| store.append(entries(8..9, 2), done));
}

#[test]
fn a_purged_log_is_whole_from_where_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let store = open(dir.path()).unwrap();
        let begin = round * 100;
        durably(|done| store.append(entries(begin..begin + 100, 1), done));
        store.purge(begin + 49, vec![round as u8]).unwrap();
        drop(store);
        let store = open(dir.path()).unwrap();
        assert_eq!(log(&store), entries(begin + 50..begin + 100, 1));
        assert_eq!(store.get(Meta::Purged).unwrap(), Some(vec![round as u8]));
    }
    let store = open(dir.path()).unwrap();
    store.purge(10_000, b"beyond".to_vec()).unwrap();
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.last().unwrap(), None);
    durably(|done| store.append(entries(10_001..10_003, 1), done));
    drop(store);
    assert_eq!(log(&open(dir.path()).unwrap()), entries(10_001..10_003, 1));
}

#[test]
fn a_log_that_began_late_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    durably(|done| store.append(entries(5..7, 1), done));
    drop(store);
    assert_eq!(log(&open(dir.path()).unwrap()), entries(5..7, 1));
}

#[test]
fn an_unsynced_tail_may_be_torn() {
    let mut synced_bytes = 0;
    let image = image_of(|store| {
        durably(|done| store.append(entries(0..200, 1), done));
        synced_bytes = fs::metadata(files(store.dir(), "log").last().unwrap()).unwrap().len();
        for index in 200..230 {
            store.put(Meta::Committed, vec![index as u8]).unwrap();
        }
    });
    let length = fs::metadata(files(image.path(), "log").last().unwrap()).unwrap().len();
    for part in 0..8 {
        let torn = copy(image.path());
        let kept = synced_bytes + (length - synced_bytes) * part / 8;
        cut(files(torn.path(), "log").last().unwrap(), length - kept);
        let store = open(torn.path()).unwrap();
        let committed = store.get(Meta::Committed).unwrap().map_or(199, |bytes| bytes[0]);
        assert!((199..229).contains(&committed), "{committed} of 230 at {part}/8");
        assert_eq!(log(&store), entries(0..200, 1));
    }
}

#[test]
fn a_flipped_bit_in_the_middle_is_refused() {
    let image = image_of(|store| {
        for begin in (0..1000).step_by(10) {
            let entries = (begin..begin + 10).map(|index| (index, vec![7; 100])).collect();
            durably(|done| store.append(entries, done));
        }
    });
    let wal = files(image.path(), "log").pop().unwrap();
    let length = fs::metadata(&wal).unwrap().len() as usize;
    assert!(length > 100_000);
    for position in [length / 4, length / 2, length * 3 / 4] {
        let damaged = copy(image.path());
        flip(&files(damaged.path(), "log").pop().unwrap(), position);
        assert!(matches!(refusal(damaged.path()), OpenError::Damaged { .. }));
        assert!(
            matches!(refusal(damaged.path()), OpenError::Damaged { .. }),
            "a refusal changes nothing"
        );
    }
    assert_eq!(
        log(&open(image.path()).unwrap()).len(),
        1000,
        "the image itself is good"
    );
}

#[test]
fn an_older_log_that_lost_its_tail_is_refused() {
    let image = image_with_two_logs(|_| ());
    let damaged = copy(image.path());
    cut(&files(damaged.path(), "log")[0], 1300);
    assert!(matches!(refusal(damaged.path()), OpenError::Damaged { .. }));
    assert_eq!(
        open(image.path()).unwrap().get(Meta::Vote).unwrap(),
        Some(b"vote".to_vec()),
        "the image itself is good"
    );
}

#[test]
fn an_older_log_that_the_manifest_does_not_know_is_verified_by_the_next_one() {
    let mut manifest_bytes = 0;
    let manifest = |dir: &Path| {
        let name = fs::read_to_string(dir.join("db/CURRENT")).unwrap();
        dir.join("db").join(name.trim())
    };
    let image = image_with_two_logs(|dir| manifest_bytes = fs::metadata(manifest(dir)).unwrap().len());
    // A power cut may take the manifest back to before the end of the older log was noted there.
    let forgetful = OpenOptions::new().write(true).open(manifest(image.path())).unwrap();
    forgetful.set_len(manifest_bytes).unwrap();
    let damaged = copy(image.path());
    cut(&files(damaged.path(), "log")[0], 1300);
    let refusal = refusal(damaged.path());
    assert!(
        refusal.to_string().contains("Mismatched last sequence number"),
        "{refusal}"
    );
    assert_eq!(
        open(image.path()).unwrap().get(Meta::Vote).unwrap(),
        Some(b"vote".to_vec()),
        "the image itself is good"
    );
}

#[test]
fn a_missing_file_of_the_database_is_refused() {
    let image = image_with_two_logs(|_| ());
    let manifest = fs::read_to_string(image.path().join("db/CURRENT")).unwrap();
    let log_files = files(image.path(), "log");
    let missing = [
        vec![image.path().join("db/CURRENT")],
        vec![image.path().join("db").join(manifest.trim())],
        // Made by the first opening; a later one may be still without effect.
        vec![files(image.path(), "sst").remove(0)],
        vec![log_files[0].clone()],
        log_files,
    ];
    for files in missing {
        let damaged = copy(image.path());
        for file in &files {
            fs::remove_file(damaged.path().join("db").join(file.file_name().unwrap())).unwrap();
        }
        let refusal = refusal(damaged.path());
        assert!(
            matches!(refusal, OpenError::Missing { .. } | OpenError::Damaged { .. }),
            "{files:?}: {refusal:?}"
        );
    }
    assert_eq!(
        open(image.path()).unwrap().get(Meta::Vote).unwrap(),
        Some(b"vote".to_vec()),
        "the image itself is good"
    );
}

#[test]
fn a_damaged_table_is_refused() {
    let image = image_with_two_logs(|_| ());
    let table = files(image.path(), "sst").remove(0);
    let length = fs::metadata(&table).unwrap().len() as usize;
    flip(&table, length / 2);
    assert!(matches!(refusal(image.path()), OpenError::Damaged { .. }));
}

#[test]
fn a_marker_without_a_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    fs::remove_dir_all(dir.path().join("db")).unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::Missing { .. }));
    fs::create_dir(dir.path().join("db")).unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::Missing { .. }));
}

#[test]
fn a_database_of_another_directory_is_refused() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(RocksStore::open(ours.path(), "ours").unwrap());
    drop(RocksStore::open(theirs.path(), "theirs").unwrap());
    fs::copy(theirs.path().join("CFGSERVER"), ours.path().join("CFGSERVER")).unwrap();
    assert!(matches!(refusal(ours.path()), OpenError::Damaged { .. }));
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("holiday.jpg"), "sun").unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::Foreign { .. }));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    fs::remove_file(dir.path().join("CFGSERVER")).unwrap();
    assert!(
        matches!(refusal(dir.path()), OpenError::Foreign { .. }),
        "a database without a marker, too"
    );
}

#[test]
fn a_fresh_file_system_is_an_empty_directory() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn an_unknown_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let marker = dir.path().join("CFGSERVER");
    let text = fs::read_to_string(&marker).unwrap();
    fs::write(&marker, text.replace("format 2", "format 3")).unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::Format { .. }));
    fs::write(&marker, "format 3").unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::Damaged { .. }));
    fs::write(&marker, "").unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::Damaged { .. }));
    fs::write(&marker, text).unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn an_interrupted_creation_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    drop(RocksStore::open(dir.path(), "first").unwrap());
    let marker = fs::read_to_string(dir.path().join("CFGSERVER")).unwrap();
    fs::write(
        dir.path().join("CFGSERVER"),
        marker.replace("stage ready", "stage creating"),
    )
    .unwrap();
    // What is there in the order in which it is made.
    for made in [
        &[][..],
        &["IDENTITY", "MANIFEST"],
        &["IDENTITY", "MANIFEST", "CURRENT", ".sst"],
        &[""],
    ] {
        let interrupted = copy(dir.path());
        for entry in fs::read_dir(interrupted.path().join("db")).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if !made.iter().any(|part| name.contains(part)) {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        let store = match RocksStore::open(interrupted.path(), "second") {
            Ok(store) => store,
            Err(error) => panic!("with {made:?}: {error}"),
        };
        assert_eq!(store.incarnation(), "first");
        durably(|done| store.append(entries(0..3, 1), done));
        drop(store);
        assert_eq!(log(&open(interrupted.path()).unwrap()), entries(0..3, 1));
    }
}

#[test]
fn a_second_opening_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::InUse { .. }));
    durably(|done| store.append(entries(0..1, 1), done));
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.last().unwrap(), Some((0, value(0, 1))));
}

#[test]
fn of_many_that_open_a_new_directory_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let openings: Vec<_> = std::thread::scope(|scope| {
        let open = |name| {
            let dir = dir.path();
            scope.spawn(move || RocksStore::open(dir, name))
        };
        let openings: Vec<_> = ["a", "b", "c", "d"].into_iter().map(open).collect();
        openings.into_iter().map(|opening| opening.join().unwrap()).collect()
    });
    let mut incarnation = None;
    for opening in openings {
        match opening {
            Ok(store) => assert!(incarnation.replace(store.incarnation().to_owned()).is_none()),
            Err(error) => assert!(matches!(error, OpenError::InUse { .. }), "{error}"),
        }
    }
    if let Some(incarnation) = incarnation {
        assert_eq!(open(dir.path()).unwrap().incarnation(), incarnation);
    }
}

#[test]
fn a_path_that_cannot_be_a_data_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(refusal(&file), OpenError::NotADirectory { .. }));
    assert!(matches!(refusal(&file.join("below")), OpenError::NotADirectory { .. }));
    refusal(Path::new("/proc/cfgserver-data"));
}
