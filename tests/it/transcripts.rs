//! Wire transcripts: what a connection sends and what it gets, byte by byte, without a socket.
//!
//! A transcript is a file of `transcripts/`. Its lines:
//!
//! ```text
//! # a comment
//! ! a change of the world (see `World::change`)
//! > a request, as an inline command
//! < the bytes that come back, with \r\n escapes; `{}` stands for anything; several lines are one after the other
//! ~ what a real Sentinel says instead, where we differ on purpose
//! ```
//!
//! `CFGSERVER_TRANSCRIPTS=rewrite` writes what comes back into the files; the difference is then for a person to
//! read. Files that begin with `shared` hold for a real Sentinel too, and those that begin with `differs` with its own
//! words: `real_sentinel` replays them against one.

pub(crate) mod world;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use bytes::{Bytes, BytesMut};
use cfgserver::requests::table;
use cfgserver::resp::{Decoder, Limits, Request};

use world::World;

/// Longest line that a rewrite makes.
const LINE_CHARS_MAX: usize = 110;

/// One step of a transcript.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// Comments and empty lines before it.
    before: Vec<String>,
    /// With its `>` or `!`.
    line: String,
    /// What must come back, escaped.
    pub(crate) expected: String,
    /// What a real Sentinel says instead, escaped.
    theirs: Option<String>,
    at: usize,
}

impl Step {
    /// The request; `None` when the step changes the world.
    pub(crate) fn request(&self) -> Option<Request> {
        let text = self.line.strip_prefix("> ")?;
        let mut buffer = BytesMut::from(format!("{text}\r\n").as_bytes());
        let request = Decoder::new(Limits::CLIENT).decode(&mut buffer);
        Some(request.expect("a transcript's request").expect("a whole request"))
    }

    /// What a real Sentinel says.
    pub(crate) fn theirs(&self) -> &str {
        self.theirs.as_ref().unwrap_or(&self.expected)
    }

    /// Where it stands, for messages.
    pub(crate) fn place(&self, path: &Path) -> String {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        format!("{}:{} {}", name.unwrap_or_default(), self.at, self.line)
    }
}

/// The files whose names begin with `prefix`.
pub(crate) fn files(prefix: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/transcripts");
    let entries = fs::read_dir(folder).expect("the folder of transcripts");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let text = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "txt");
    let named = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    };
    let mut paths: Vec<_> = paths.filter(text).filter(named).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no transcript begins with {prefix:?}");
    paths
}

/// The steps of a file, and what follows the last.
pub(crate) fn read(path: &Path) -> (Vec<Step>, Vec<String>) {
    let text = fs::read_to_string(path).expect("a transcript");
    let mut steps: Vec<Step> = Vec::new();
    let mut before = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(expected) = line.strip_prefix("< ") {
            let step = steps.last_mut().expect("a reply before any step");
            step.expected.push_str(expected);
        } else if let Some(theirs) = line.strip_prefix("~ ") {
            let step = steps.last_mut().expect("a reply before any step");
            step.theirs.get_or_insert_default().push_str(theirs);
        } else if line.starts_with("> ") || line.starts_with("! ") {
            steps.push(Step {
                before: std::mem::take(&mut before),
                line: line.to_owned(),
                expected: String::new(),
                theirs: None,
                at: index + 1,
            });
        } else {
            assert!(
                line.is_empty() || line.starts_with('#'),
                "{}:{} is no line of a transcript: {line}",
                path.display(),
                index + 1
            );
            before.push(line.to_owned());
        }
    }
    (steps, before)
}

/// Bytes as a transcript writes them.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7e => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text
}

/// Whether `got`, escaped, is what was expected.
pub(crate) fn matches(expected: &str, got: &str) -> bool {
    let mut pieces = expected.split("{}");
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = got.strip_prefix(first) else {
        return false;
    };
    let mut open = false;
    for piece in pieces {
        open = true;
        if piece.is_empty() {
            continue;
        }
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
        open = false;
    }
    open || rest.is_empty()
}

/// A reply on lines of a bearable length.
fn write_reply(text: &mut String, mark: char, reply: &str) {
    let mut line = String::new();
    for part in reply.split_inclusive("\\r\\n") {
        if !line.is_empty() && line.len() + part.len() > LINE_CHARS_MAX {
            text.push_str(&format!("{mark} {line}\n"));
            line.clear();
        }
        line.push_str(part);
    }
    if !line.is_empty() {
        text.push_str(&format!("{mark} {line}\n"));
    }
}

fn rewrite(path: &Path, steps: &[Step], got: &[String], end: &[String]) {
    let mut text = String::new();
    for (step, got) in steps.iter().zip(got) {
        let expected = if matches(&step.expected, got) {
            &step.expected
        } else {
            got
        };
        for line in step.before.iter().chain([&step.line]) {
            text.push_str(line);
            text.push('\n');
        }
        write_reply(&mut text, '<', expected);
        if let Some(theirs) = &step.theirs {
            write_reply(&mut text, '~', theirs);
        }
    }
    for line in end {
        text.push_str(line);
        text.push('\n');
    }
    fs::write(path, text).expect("rewriting a transcript");
}

#[test]
fn every_transcript_holds_without_sockets() {
    let rewriting = env::var("CFGSERVER_TRANSCRIPTS").is_ok_and(|value| value == "rewrite");
    let mut wrong = Vec::new();
    for path in files("") {
        let (steps, end) = read(&path);
        let mut world = World::new();
        let mut all = Vec::new();
        for step in &steps {
            match step.request() {
                Some(request) => world.request(&request),
                None => world.change(step.line.trim_start_matches("! ")),
            }
            let got = escape(&world.take_output());
            if !matches(&step.expected, &got) {
                wrong.push(format!(
                    "{}\n  expected {}\n  got      {got}",
                    step.place(&path),
                    step.expected
                ));
            }
            all.push(got);
        }
        if rewriting {
            rewrite(&path, &steps, &all, &end);
        }
    }
    assert!(
        rewriting || wrong.is_empty(),
        "{} steps differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A request that no transcript makes could be answered in any way, or not at all.
#[test]
fn every_request_of_the_table_is_made_in_a_transcript() {
    let mut asked = BTreeSet::new();
    for path in files("") {
        for request in read(&path).0.iter().filter_map(Step::request) {
            let words = request.0.iter().take(2);
            let words: Vec<String> = words.map(|word| String::from_utf8_lossy(word).to_lowercase()).collect();
            asked.insert(words[0].clone());
            asked.insert(words.join("|"));
        }
    }
    let rows = table()
        .iter()
        .flat_map(|row| std::iter::once(row).chain(row.subcommands));
    let missing: Vec<&str> = rows.map(|row| row.name).filter(|name| !asked.contains(*name)).collect();
    assert!(missing.is_empty(), "no transcript asks for {missing:?}");
}

/// What a Sentinel answers, Redis 7.0 and Valkey 8: all of it is in the table, and with that in a transcript.
const SENTINELS_OWN: &str = "
    acl acl|cat acl|deluser acl|dryrun acl|genpass acl|getuser acl|help acl|list acl|load acl|log acl|save acl|setuser
    acl|users acl|whoami auth client client|caching client|getname client|getredir client|help client|id client|info
    client|kill client|list client|no-evict client|pause client|reply client|setinfo client|setname client|tracking
    client|trackinginfo client|unblock client|unpause command command|count command|docs command|getkeys
    command|getkeysandflags command|help command|info command|list hello info ping psubscribe publish punsubscribe role
    sentinel sentinel|ckquorum sentinel|config sentinel|debug sentinel|failover sentinel|flushconfig
    sentinel|get-master-addr-by-name sentinel|get-primary-addr-by-name sentinel|help sentinel|info-cache
    sentinel|is-master-down-by-addr sentinel|is-primary-down-by-addr sentinel|master sentinel|masters sentinel|monitor
    sentinel|myid sentinel|pending-scripts sentinel|primaries sentinel|primary sentinel|remove sentinel|replicas
    sentinel|reset sentinel|sentinels sentinel|set sentinel|simulate-failure sentinel|slaves shutdown subscribe
    unsubscribe";

#[test]
fn every_request_of_a_sentinel_is_in_the_table() {
    let rows = table()
        .iter()
        .flat_map(|row| std::iter::once(row).chain(row.subcommands));
    let ours: BTreeSet<&str> = rows.map(|row| row.name).collect();
    let theirs = SENTINELS_OWN.split_whitespace();
    let missing: Vec<&str> = theirs.filter(|name| !ours.contains(name)).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}

/// redis-cli and libraries look requests up: an empty summary is as bad as none.
#[test]
fn every_request_of_the_table_is_documented() {
    let rows = table()
        .iter()
        .flat_map(|row| std::iter::once(row).chain(row.subcommands));
    for row in rows {
        assert!(row.summary.ends_with('.'), "{}: {:?}", row.name, row.summary);
        assert!(!row.since.is_empty() && !row.group.is_empty(), "{}", row.name);
        let arguments = row.arity.unsigned_abs() as usize - row.name.split('|').count();
        let takes_more = arguments > 0 || row.arity < 0 && row.subcommands.is_empty();
        let bare = ["command", "quit"].contains(&row.name);
        assert_eq!(
            !row.usage.is_empty(),
            takes_more && !bare && row.subcommands.is_empty(),
            "{}",
            row.name
        );
    }
}

#[test]
fn a_placeholder_stands_for_anything_but_not_for_what_follows() {
    assert!(matches(":{}\\r\\n", ":17\\r\\n"));
    assert!(matches("a{}b{}", "aXbY"));
    assert!(!matches(":{}\\r\\n", ":17\\r\\n+OK\\r\\n"));
    assert!(!matches("+OK\\r\\n", "+OK\\r\\n+OK\\r\\n"));
    assert_eq!(escape(b"\x01\\\r\n"), "\\x01\\\\\\r\\n");
    let step = Step {
        line: "> SENTINEL set x auth-pass \"a b\"".to_owned(),
        ..Step::default()
    };
    assert_eq!(step.request().unwrap().0[4], Bytes::from_static(b"a b"));
}
