//! The fuzz targets in every run of the tests: the corpus that libFuzzer gathered, and random bytes.

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use targets::{OPEN, Target};

/// All corpora together: they are read in every run, and kept in the repository.
const CORPUS_BYTES_MAX: u64 = 256 << 10;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_corpus_breaks_no_rule() {
    for (name, target) in OPEN {
        let files = files(&corpus().join(name));
        assert!(!files.is_empty(), "no corpus of {name}");
        for file in files {
            target(&fs::read(file).unwrap());
        }
    }
}

#[test]
fn the_corpus_stays_small() {
    let inputs = files(&corpus()).into_iter().flat_map(|folder| files(&folder));
    let bytes: u64 = inputs.map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(
        bytes <= CORPUS_BYTES_MAX,
        "{bytes} bytes: merge it with scripts/fuzz --minimise"
    );
}

fn target(name: &str) -> Target {
    OPEN.iter().find(|(known, _)| *known == name).unwrap().1
}

fn holds(name: &str, bytes: &[u8]) {
    target(name)(bytes);
}

/// Bytes of which some mean something.
fn bytes(sense: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![3 => prop::sample::select(sense), 1 => any::<u8>()], 0..300)
}

/// Lines out of pieces that mean something, in any order, some twice, some missing, some huge.
fn lines(pieces: &'static [&'static str], end: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        6 => "[ -~]{0,12}",
        2 => any::<i64>().prop_map(|number| number.to_string()),
        1 => "[0-9]{15,30}",
        1 => "(ü|x){200,300}",
        1 => "[\\x00-\\xff]{0,6}",
    ];
    let line = (prop::sample::select(pieces), prop::option::weighted(0.4, value));
    prop::collection::vec(line, 0..60).prop_map(move |lines| {
        let text: String = lines
            .into_iter()
            .map(|(piece, value)| format!("{piece}{}{end}", value.unwrap_or_default()))
            .collect();
        text.into_bytes()
    })
}

const INFO: &[&str] = &[
    "run_id:0123456789abcdef0123456789abcdef01234567",
    "run_id:",
    "role:master",
    "role:slave",
    "role:",
    "redis_version:7.0.15",
    "redis_version:",
    "master_replid:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "master_replid:",
    "master_replid2:0000000000000000000000000000000000000000",
    "master_replid2:b",
    "master_repl_offset:12",
    "master_repl_offset:",
    "slave_repl_offset:",
    "master_host:10.0.0.1",
    "master_host:",
    "master_port:6379",
    "master_port:",
    "master_link_status:up",
    "master_link_status:down",
    "master_link_down_since_seconds:12",
    "master_link_down_since_seconds:",
    "master_sync_in_progress:1",
    "slave_priority:0",
    "replica_priority:",
    "replica_announced:0",
    "loading:1",
    "uptime_in_seconds:",
    "db0:keys=5,expires=0",
    "db1:keys=",
    "slave0:ip=10.0.0.2,port=6379,state=online,offset=1400,lag=0",
    "slave1:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,type=rdb-channel",
    "slave2:10.0.0.4,6379,online",
    "slave3:",
    "# Replication",
    "",
];

const CLIENTS: &[&str] = &[
    "id=3 addr=10.0.0.9:1 name=cfgserver-aaaaaaaa-leader-6 age=1",
    "id=4 name=cfgserver-bbbbbbbb-leader-7",
    "id=6 name=cfgserver-bbbbbbbb/10.0.0.1:6379-leader-7",
    "id=7 name=cfgserver-bbbbbbbb/10.0.0.1:6379-leader-7 age=1",
    "id=5 name=cfgserver-cccccccc-leader-7 name=",
    "name=cfgserver-aaaaaaaa-leader-6 id=",
    "id=",
    " ",
    "name=cfgserver-",
    "id=9 name=cfgserver-a-leader-6-leader-",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn any_stream_of_requests_is_cut_alike(stream in bytes(b"*$\r\n0123 '\"\\xX")) {
        holds("resp-request", &stream);
    }

    #[test]
    fn any_stream_of_answers_is_cut_alike(stream in bytes(b"*$+-:\r\n0123")) {
        holds("resp-answer", &stream);
    }

    #[test]
    fn info_agrees_with_its_model(crlf in lines(INFO, "\r\n"), lf in lines(INFO, "\n"), noise in any::<Vec<u8>>()) {
        let whole = [&b"run_id:ab\nrole:slave\n"[..], &lf].concat();
        for text in [&crlf, &lf, &whole, &noise] {
            holds("info", text);
        }
    }

    #[test]
    fn a_list_of_clients_agrees_with_its_model(list in lines(CLIENTS, "\n"), noise in any::<Vec<u8>>()) {
        holds("client-list", &list);
        holds("client-list", &noise);
    }

    #[test]
    fn any_log_leaves_a_state_that_is_what_its_records_say(choices in prop::collection::vec(any::<u8>(), 0..1_500)) {
        holds("state-machine", &choices);
    }
}
