//! Opening a data directory: is it ours, is it whole, is it free.
//!
//! Steps: marker, signatures, frames, database (its lock is the lock of the directory), format record, everything that was
//! synced is there, contiguity of the log, checksums of all values. A directory that fails a step stays refused.

use std::fs;
use std::path::{Path, PathBuf};

use rocksdb::{DB, IteratorMode, ReadOptions, WriteOptions};

use crate::store::bounds::Bounds;
use crate::store::rocks::error::OpenError;
use crate::store::rocks::frames;
use crate::store::rocks::keys::{self, DATABASE_FORMAT};
use crate::store::rocks::marker::{Marker, Stage, may_lie_in_new_directory, sync_dir};
use crate::store::rocks::options::{Expect, LOG, META, STATE, database, families};
use crate::store::rocks::signature;
use crate::store::rocks::synced::Synced;

/// An open data directory.
pub(super) struct Opened {
    pub(super) db: DB,
    pub(super) synced: Synced,
    pub(super) bounds: Bounds,
    pub(super) incarnation: String,
}

/// Opens a data directory, or makes one of an empty or missing directory.
pub(super) fn open(dir: &Path, fresh_incarnation: &str) -> Result<Opened, OpenError> {
    let marker = match prepare(dir, fresh_incarnation)? {
        marker if marker.stage == Stage::Creating => create(dir)?,
        marker => marker,
    };
    let database_dir = database_dir(dir);
    if !database_dir.join("CURRENT").is_file() {
        let reason = format!("{} has no CURRENT", database_dir.display());
        return Err(OpenError::Missing {
            dir: dir.to_owned(),
            reason,
        });
    }
    if marker.synced {
        // Before the database, which tidies up when it opens.
        Synced::open(dir, &marker.incarnation)?;
        signature::check(dir, &database_dir, &marker.incarnation)?;
    }
    let db = open_database(dir, Expect::Complete)?;
    check_records(dir, &db, &marker)?;
    if marker.synced || Synced::exists(dir) {
        check_synced(dir, &db, &Synced::open(dir, &marker.incarnation)?)?;
    }
    let bounds = check_log(dir, &db)?;
    for family in [META, STATE] {
        read_all(dir, &db, family, |_| Ok(()))?;
    }
    let synced = note_synced(dir, &db, &marker)?;
    Ok(Opened {
        db,
        synced,
        bounds,
        incarnation: marker.incarnation,
    })
}

fn database_dir(dir: &Path) -> PathBuf {
    dir.join("db")
}

/// The marker of the directory, which is claimed when it is new.
fn prepare(dir: &Path, fresh_incarnation: &str) -> Result<Marker, OpenError> {
    let failed = |error: std::io::Error| OpenError::from_io(dir, &error);
    if !dir.exists() {
        fs::create_dir_all(dir).map_err(failed)?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new("."))).map_err(failed)?;
    }
    if let Some(marker) = Marker::read(dir)? {
        return Ok(marker);
    }
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        // A marker may have appeared meanwhile: another process is claiming the directory, too.
        if !may_lie_in_new_directory(&name) && Marker::read(dir)?.is_none() {
            return Err(OpenError::Foreign {
                dir: dir.to_owned(),
                found: name.escape_default().to_string(),
            });
        }
    }
    Marker::claim(dir, fresh_incarnation)
}

/// Makes the database, or finishes one whose making was interrupted.
fn create(dir: &Path) -> Result<Marker, OpenError> {
    let database_dir = database_dir(dir);
    fs::create_dir_all(&database_dir)
        .and_then(|()| sync_dir(dir))
        .map_err(|error| OpenError::from_io(dir, &error))?;
    let db = open_database(dir, Expect::Draft)?;
    // With the lock in hand: has another process finished it meanwhile?
    let Some(marker) = Marker::read(dir)? else {
        let reason = "its CFGSERVER file went away".to_owned();
        return Err(OpenError::Failed {
            dir: dir.to_owned(),
            reason,
        });
    };
    if marker.stage == Stage::Ready {
        return Ok(marker);
    }
    let failed = |error: rocksdb::Error| OpenError::from_rocksdb(dir, &error);
    let mut batch = signature::batch(&signature::of(&marker.incarnation));
    if let Some(meta) = db.cf_handle(META) {
        batch.put_cf(meta, keys::FORMAT, DATABASE_FORMAT.to_be_bytes());
        batch.put_cf(meta, keys::INCARNATION, marker.incarnation.as_bytes());
    }
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    db.write_opt(batch, &synced).map_err(failed)?;
    Synced::create(dir, &marker.incarnation, db.latest_sequence_number())
        .map_err(|error| OpenError::from_io(dir, &error))?;
    marker.complete(dir)
}

fn open_database(dir: &Path, expect: Expect) -> Result<DB, OpenError> {
    let failed = |error: rocksdb::Error| OpenError::from_rocksdb(dir, &error);
    let options = database(expect).map_err(failed)?;
    frames::check(dir, &database_dir(dir))?;
    DB::open_cf_descriptors(&options, database_dir(dir), families()).map_err(failed)
}

/// The database must carry our format and belong to the marker beside it.
fn check_records(dir: &Path, db: &DB, marker: &Marker) -> Result<(), OpenError> {
    let format = own_record(dir, db, keys::FORMAT)?;
    if format != Some(DATABASE_FORMAT.to_be_bytes().to_vec()) {
        let found = match format.as_deref().map(<[u8; 4]>::try_from) {
            Some(Ok(number)) => u32::from_be_bytes(number).to_string(),
            Some(Err(_)) => "an unreadable number".to_owned(),
            None => "no number".to_owned(),
        };
        let dir = dir.to_owned();
        return Err(OpenError::Format {
            dir,
            found,
            known: DATABASE_FORMAT,
        });
    }
    if own_record(dir, db, keys::INCARNATION)?.as_deref() != Some(marker.incarnation.as_bytes()) {
        let reason = "CFGSERVER and the database beside it are not of the same directory".to_owned();
        return Err(OpenError::Damaged {
            dir: dir.to_owned(),
            reason,
        });
    }
    Ok(())
}

fn own_record(dir: &Path, db: &DB, key: &[u8]) -> Result<Option<Vec<u8>>, OpenError> {
    let Some(meta) = db.cf_handle(META) else {
        return Ok(None);
    };
    db.get_cf(meta, key)
        .map_err(|error| OpenError::from_rocksdb(dir, &error))
}

/// The log must be whole from where it starts. Reading it also verifies its checksums.
fn check_log(dir: &Path, db: &DB) -> Result<Bounds, OpenError> {
    let damaged = |reason: String| OpenError::Damaged {
        dir: dir.to_owned(),
        reason,
    };
    let start = match own_record(dir, db, keys::LOG_START)? {
        Some(bytes) => keys::index(&bytes).ok_or_else(|| damaged("the start of the log is unreadable".to_owned()))?,
        None => 0,
    };
    let mut bounds = Bounds { start, end: start };
    read_all(dir, db, LOG, |key| {
        let index = keys::index(key).ok_or_else(|| damaged("a log entry has no index".to_owned()))?;
        if index != bounds.end {
            return Err(damaged(format!("the log has a hole: entry {} is missing", bounds.end)));
        }
        bounds.end += 1;
        Ok(())
    })?;
    Ok(bounds)
}

/// Reads a whole column family, which verifies its checksums. What was read is not kept: later readers verify again.
fn read_all(
    dir: &Path,
    db: &DB,
    family: &str,
    mut look: impl FnMut(&[u8]) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let Some(family) = db.cf_handle(family) else {
        return Ok(());
    };
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    for pair in db.iterator_cf_opt(family, options, IteratorMode::Start) {
        let (key, _) = pair.map_err(|error| OpenError::from_rocksdb(dir, &error))?;
        look(&key)?;
    }
    Ok(())
}

/// What was synced must be there.
fn check_synced(dir: &Path, db: &DB, synced: &Synced) -> Result<(), OpenError> {
    let (found, promised) = (db.latest_sequence_number(), synced.sequence());
    if found < promised {
        return Err(OpenError::Damaged {
            dir: dir.to_owned(),
            reason: format!(
                "its last {} writes are lost, although they were synced",
                promised - found
            ),
        });
    }
    Ok(())
}

/// Everything that was found is durable: opening wrote it to tables. A directory from before the file gets one.
fn note_synced(dir: &Path, db: &DB, marker: &Marker) -> Result<Synced, OpenError> {
    let failed = |error: std::io::Error| OpenError::from_io(dir, &error);
    if !marker.synced && !Synced::exists(dir) {
        Synced::create(dir, &marker.incarnation, db.latest_sequence_number()).map_err(failed)?;
    }
    let synced = Synced::open(dir, &marker.incarnation)?;
    synced.opened(db.latest_sequence_number()).map_err(failed)?;
    if !marker.synced {
        marker.clone().complete(dir)?;
    }
    Ok(synced)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    /// Writes one record of the database behind the store's back.
    fn forge(dir: &Path, family: &str, key: &[u8], value: Option<&[u8]>) {
        let db = open_database(dir, Expect::Complete).unwrap();
        let family = db.cf_handle(family).unwrap();
        match value {
            Some(value) => db.put_cf(family, key, value).unwrap(),
            None => db.delete_cf(family, key).unwrap(),
        }
    }

    fn made() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), "fresh").unwrap();
        dir
    }

    #[test]
    fn another_format_of_the_database_is_refused() {
        let dir = made();
        for (forged, found) in [
            (Some(&[0, 0, 0, 2][..]), "2"),
            (Some(b"x"), "an unreadable number"),
            (None, "no number"),
        ] {
            forge(dir.path(), META, keys::FORMAT, forged);
            let refusal = open(dir.path(), "fresh").err().unwrap();
            assert!(
                matches!(&refusal, OpenError::Format { found: said, .. } if said == found),
                "{refusal}"
            );
        }
    }

    #[test]
    fn a_hole_in_the_log_is_refused() {
        let dir = made();
        for index in [0, 1, 3] {
            forge(dir.path(), LOG, &keys::entry(index), Some(b"entry"));
        }
        let refusal = open(dir.path(), "fresh").err().unwrap();
        assert!(refusal.to_string().contains("entry 2 is missing"), "{refusal}");
        forge(dir.path(), LOG, &keys::entry(2), Some(b"entry"));
        assert_eq!(open(dir.path(), "fresh").unwrap().bounds, Bounds { start: 0, end: 4 });
    }

    #[test]
    fn a_log_that_does_not_begin_where_it_should_is_refused() {
        let dir = made();
        forge(dir.path(), LOG, &keys::entry(4), Some(b"entry"));
        assert!(matches!(open(dir.path(), "fresh"), Err(OpenError::Damaged { .. })));
        forge(dir.path(), META, keys::LOG_START, Some(&keys::entry(4)));
        assert_eq!(open(dir.path(), "fresh").unwrap().bounds, Bounds { start: 4, end: 5 });
        forge(dir.path(), META, keys::LOG_START, Some(&keys::entry(5)));
        assert!(
            matches!(open(dir.path(), "fresh"), Err(OpenError::Damaged { .. })),
            "an entry from before the purge"
        );
        forge(dir.path(), META, keys::LOG_START, Some(b"five"));
        assert!(matches!(open(dir.path(), "fresh"), Err(OpenError::Damaged { .. })));
    }
}
