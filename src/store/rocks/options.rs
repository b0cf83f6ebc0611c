//! How the database is set up.
//!
//! RocksDB's default recovery drops everything behind the first damage in the log, in silence. A node that
//! forgets votes and entries it has acknowledged breaks Raft, so damage is refused here: only an unfinished
//! record at the very end is dropped, and each log names the end of the one before it.

use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, Options};

/// Log entries: eight big-endian bytes of index -> bytes.
pub(super) const LOG: &str = "log";
/// What is stored beside log and state: name -> bytes.
pub(super) const META: &str = "meta";
/// State records, as the machine names them.
pub(super) const STATE: &str = "state";

const MIB: usize = 1 << 20;

/// What an opening expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// A database that may be missing or half made, because nothing was acknowledged yet.
    Draft,
    /// A complete database.
    Complete,
}

/// The options of the database.
pub(super) fn database(expect: Expect) -> Result<Options, rocksdb::Error> {
    let complete = expect == Expect::Complete;
    let mut options = if complete {
        // Has no setter.
        Options::default().get_options_from_string("track_and_verify_wals=true")?
    } else {
        Options::default()
    };
    options.create_if_missing(!complete);
    options.create_missing_column_families(!complete);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(complete);
    options.set_recycle_log_file_num(0);
    options.set_max_total_wal_size(64 * MIB as u64);
    options.set_max_background_jobs(2);
    options.set_max_open_files(256);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 * MIB);
    options.set_stats_dump_period_sec(0);
    Ok(options)
}

/// The column families; RocksDB's default one stays empty.
pub(super) fn families() -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(8 * MIB);
    let family = |name: &str, write_buffer_bytes: usize| {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_compression_type(DBCompressionType::None);
        options.set_write_buffer_size(write_buffer_bytes);
        ColumnFamilyDescriptor::new(name, options)
    };
    vec![
        family(rocksdb::DEFAULT_COLUMN_FAMILY_NAME, MIB),
        family(LOG, 16 * MIB),
        family(META, MIB),
        family(STATE, 4 * MIB),
    ]
}
