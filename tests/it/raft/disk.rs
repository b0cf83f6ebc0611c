//! Nodes on a real disk: one that is damaged while they run, and one that an older version has written.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cfgserver::raft::{Failure, Formation};
use cfgserver::requests::AdminRequest;
use cfgserver::store::{Meta, RocksStore, Store};

use crate::golden::Book;
use crate::world::{FAILOVER, Node, NodeOptions, SOON, World, wait_until};

use super::cluster::{Plan, TestNode, listen_again, reserve, until_true};

fn plan(dir: &Path) -> Plan {
    let mut plan = Plan::new(1, Formation::Alone);
    plan.store = Arc::new(RocksStore::open(dir, "fresh").unwrap());
    plan
}

/// Changes a byte of every table in which the text stands, where it stands first.
fn spoil(dir: &Path, text: &[u8]) -> usize {
    let mut spoiled = 0;
    for entry in fs::read_dir(dir.join("db")).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_none_or(|is| is != "sst") {
            continue;
        }
        let bytes = fs::read(entry.path()).unwrap();
        if let Some(place) = bytes.windows(text.len()).position(|window| window == text) {
            let file = fs::OpenOptions::new().write(true).open(entry.path()).unwrap();
            file.write_all_at(b"X", place as u64).unwrap();
            spoiled += 1;
        }
    }
    spoiled
}

#[tokio::test]
async fn damage_that_comes_after_the_start_ends_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, address) = reserve();
    let node = TestNode::start(plan(dir.path()), listener).await.unwrap();
    until_true("it leads", || node.leadership().me && node.status().ready).await;
    for round in 0..300 {
        node.monitor(&format!("group-{round}"), 7000 + round).await;
    }
    drop(node.kill().await);
    let node = TestNode::start(plan(dir.path()), listen_again(&address).await)
        .await
        .unwrap();
    until_true("it leads again", || node.leadership().me && node.status().ready).await;
    // Starting has read, and kept, the blocks at some places of the log only.
    for text in ["group-61", "group-112", "group-223"] {
        let spoiled = spoil(dir.path(), text.as_bytes());
        assert!(spoiled >= 2, "opening wrote log and state to tables");
    }
    // A new node needs the log from its beginning.
    let (listener, second) = reserve();
    let joining = Plan::new(2, Formation::Join(address));
    let joining = TestNode::start(joining, listener).await.unwrap();
    let request = AdminRequest::AddNode { id: 2, address: second };
    let adding = node.admin(request);
    let failure = tokio::select! {
        failure = node.failure() => failure,
        // The end of Raft may be told to whoever waits for it first.
        added = adding => {
            assert!(added.is_err(), "{added:?}");
            node.failure().await
        }
    };
    let Failure::Fatal(text) = &failure else {
        panic!("{failure:?}")
    };
    assert!(text.contains("checksum") && text.contains(".sst"), "{text}");
    assert!(!joining.knows("group-223"));
    joining.kill().await;
    node.kill().await;
}

#[test]
fn a_process_whose_disk_rots_ends_itself_and_says_what_to_do() {
    let world = World::bare();
    let mut node = Node::alone(&world);
    world.expect_error("raft has failed");
    world.expect_error("fatal");
    let mut client = node.client();
    for round in 0..300 {
        let (name, port) = (format!("group-{round}"), (61_000 + round).to_string());
        let answer = client.call(&["SENTINEL", "MONITOR", &name, "127.0.0.1", &port, "1"]);
        assert_eq!(answer.text(), "OK");
    }
    node.kill();
    node.start();
    node.wait_ready();
    for text in ["group-61", "group-112", "group-223"] {
        assert!(spoil(node.folder(), text.as_bytes()) >= 2);
    }
    let mut joining = Node::new(
        &world,
        NodeOptions {
            id: 2,
            port: world.port(),
            words: vec!["--join".to_owned(), format!("127.0.0.1:{}", node.port)],
        },
    );
    joining.start();
    let address = format!("127.0.0.1:{}", joining.port);
    // Until the joining node is there to be added; the answer may not come any more.
    wait_until("the node ends", FAILOVER, || {
        _ = node.try_call(&["CFG", "NODE", "ADD", "2", &address]);
        !node.is_running()
    });
    assert_eq!(node.wait_ended(SOON).code(), Some(70));
    let log = node.log_text();
    assert!(
        log.contains("fatal") && log.contains("block checksum mismatch"),
        "{log}"
    );
    node.start();
    assert_eq!(node.wait_ended(SOON).code(), Some(1));
    let log = node.log_text();
    assert!(log.contains("let the node join under a new node id"), "{log}");
}

/// A directory of each format that a released version has written, packed when that format was new. They are never
/// made anew: what they hold must stay readable.
const PACKED: [&str; 2] = ["directory-format-1", "directory-format-2"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn tar(arguments: &[&str]) {
    let status = Command::new("tar").args(arguments).status().unwrap();
    assert!(status.success(), "tar {arguments:?}");
}

/// Packs a directory with tables, a log, a purge and a snapshot.
async fn write_archive(archive: &str) {
    let made = tempfile::tempdir().unwrap();
    let begin = || {
        let mut plan = plan(made.path());
        plan.tuning.snapshot_every = 10;
        plan.tuning.keep_entries = 3;
        plan
    };
    for round in 0..2 {
        let node = TestNode::start(begin(), reserve().0).await.unwrap();
        until_true("it leads", || node.leadership().me && node.status().ready).await;
        for group in 0..12 {
            let number = round * 12 + group;
            node.monitor(&format!("group-{number}"), 7000 + number).await;
        }
        drop(node.kill().await);
    }
    let dir = made.path().to_str().unwrap();
    tar(&["-C", dir, "--exclude=LOG*", "--exclude=OPTIONS*", "-czf", archive, "."]);
}

/// All that a directory holds, as text.
fn content(file: &str, store: &RocksStore) -> Book {
    let mut book = Book::new(file, "What lies in the directory of that name.");
    book.bytes("incarnation", store.incarnation().as_bytes());
    for (index, entry) in store.read(0, u64::MAX, usize::MAX).unwrap() {
        book.bytes(&format!("log {index}"), &entry);
    }
    let metas = [
        Meta::Vote,
        Meta::Committed,
        Meta::Purged,
        Meta::Applied,
        Meta::Snapshot,
        Meta::Identity,
    ];
    for key in metas {
        book.bytes(&format!("{key:?}"), &store.get(key).unwrap().unwrap_or_default());
    }
    for (key, value) in store.state().unwrap() {
        book.bytes(&format!("state {}", key.escape_ascii()), &value);
    }
    book
}

#[tokio::test]
async fn a_directory_of_every_format_opens_with_what_it_holds() {
    for name in PACKED {
        let archive = golden(&format!("{name}.tar.gz"));
        let archive = archive.to_str().unwrap();
        if std::env::var_os("UPDATE_GOLDEN").is_some() && !Path::new(archive).exists() {
            write_archive(archive).await;
        }
        let dir = tempfile::tempdir().unwrap();
        tar(&["-C", dir.path().to_str().unwrap(), "-xzf", archive]);
        let store = RocksStore::open(dir.path(), "fresh").unwrap();
        content(&format!("{name}.txt"), &store).close();
        drop(store);
        let node = TestNode::start(plan(dir.path()), reserve().0).await.unwrap();
        until_true("it leads", || node.leadership().me && node.status().ready).await;
        for group in 0..24 {
            assert!(node.knows(&format!("group-{group}")), "group-{group} of {name}");
        }
        node.monitor("one-more", 9000).await;
        drop(node.kill().await);
        // Whatever it was before, it is a directory of the newest format now.
        let marker = fs::read_to_string(dir.path().join("CFGSERVER")).unwrap();
        assert!(marker.contains("\nformat 2\n"), "{marker}");
        fs::remove_file(dir.path().join("SYNCED")).unwrap();
        let refusal = RocksStore::open(dir.path(), "fresh").unwrap_err();
        assert!(refusal.to_string().contains("SYNCED is missing"), "{refusal}");
    }
}
