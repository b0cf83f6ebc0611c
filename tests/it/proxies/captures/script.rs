//! The captures as files: what the sentinel and the proxy did, line by line.
//!
//! ```text
//! # a comment; the first says what was run
//! = name text             {name} stands for the text from here on
//! [name]                  begins a block that ends at an empty line; `do name [TIMES]` runs it
//! ## title                begins a case, with a new proxy: what stands before the first one is run first
//!
//! proxy bdrp GROUP@IP:PORT.. [retry=MS] [buffer=BYTES]
//! proxy netease GROUP@IP:PORT.. [heartbeat=MS] [sentinels=COUNT]      the addresses are the fleet's
//! connect                 the connection is open
//! < bytes                 from the sentinel; `<$` is a bulk string with that text; `<1` always comes in one piece
//! roles [not GROUP..]     the instances answer ROLE, all as masters or all but these
//! timer                   a heartbeat is over
//! unanswered              the pool's `timeout:` is over
//! lost                    the sentinel closed, or refused
//! closed-at-once          the sentinel accepted and closed
//!
//! > bytes                 the proxy sends
//! asks                    it asks the instances for their ROLE
//! moved GROUP FROM TO..   `-` is no address
//! closed [garbage]        it closes the connection, because of bytes that its parser does not know
//! aborted                 it ends itself
//!
//! kept                    the connection is still there
//! ready    rejecting      clients are served, or not
//! sentinel INDEX   retry MS   which one it tries next, and when
//! at GROUP ADDRESS
//! ```
//!
//! In bytes \r \n \\ \xNN are escapes. `{10..20*text}` is the text ten times, with the number for each `#`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) kind: Kind,
    pub(super) groups: Vec<(String, String)>,
    /// The heartbeat, or the retry interval.
    pub(super) wait_ms: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Bdrp { buffer_bytes: usize },
    Netease { sentinels: usize },
}

#[derive(Clone, Debug)]
pub(super) enum Line {
    Proxy(Proxy),
    Connect,
    Received { bytes: Vec<u8>, whole: bool },
    Roles(BTreeSet<String>),
    Timer,
    Unanswered,
    Lost,
    ClosedAtOnce,
    Sends(Vec<u8>),
    AsksRoles,
    Moved { group: String, from: String, to: String },
    Closed { garbage: bool },
    Aborted,
    Kept,
    Ready(bool),
    Sentinel(usize),
    Retry(u64),
    At { group: String, address: String },
}

impl Line {
    /// Whether something happens to the proxy, instead of being expected of it.
    pub(super) fn is_stimulus(&self) -> bool {
        let world = matches!(
            self,
            Self::Proxy(_) | Self::Connect | Self::Received { .. } | Self::Roles(_)
        );
        world || matches!(self, Self::Timer | Self::Unanswered | Self::Lost | Self::ClosedAtOnce)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) place: String,
    pub(super) line: Line,
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) steps: Vec<Step>,
}

#[derive(Debug)]
pub(super) struct Script {
    pub(super) name: String,
    pub(super) cases: Vec<Case>,
}

/// The scripts of the folder, by name.
pub(super) fn all() -> Vec<Script> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/proxies/captures");
    let entries = fs::read_dir(folder).expect("the folder of captures");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    let script = |path: &std::path::PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        parse(name, &fs::read_to_string(path).expect("a capture"))
    };
    paths.iter().map(script).collect()
}

#[derive(Default)]
struct Parser {
    names: BTreeMap<String, String>,
    blocks: BTreeMap<String, Vec<Step>>,
    /// The block that is being read.
    block: Option<String>,
    /// What each case begins with.
    before: Vec<Step>,
    cases: Vec<(String, Vec<Step>)>,
}

pub(super) fn parse(name: String, text: &str) -> Script {
    let mut parser = Parser::default();
    for (index, line) in text.lines().enumerate() {
        parser.line(&format!("{name}:{}", index + 1), line.trim_end());
    }
    let mut cases = parser.cases;
    if cases.is_empty() {
        cases.push((name.clone(), parser.before));
    }
    let case = |(title, steps): (String, Vec<Step>)| {
        assert!(
            steps.iter().any(|step| !step.line.is_stimulus()),
            "{name}: {title} expects nothing"
        );
        Case { steps }
    };
    Script {
        cases: cases.into_iter().map(case).collect(),
        name,
    }
}

impl Parser {
    fn line(&mut self, place: &str, line: &str) {
        if line.is_empty() {
            self.block = None;
        } else if let Some(title) = line.strip_prefix("## ") {
            self.block = None;
            self.cases.push((title.to_owned(), self.before.clone()));
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            self.blocks.insert(name.to_owned(), Vec::new());
            self.block = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("= ") {
            let (name, text) = rest.split_once(' ').expect("a name and its text");
            let text = self.expand(place, text);
            self.names.insert(name.to_owned(), text);
        } else if !line.starts_with('#') {
            let line = self.expand(place, line);
            let steps: Vec<Step> = match line.strip_prefix("do ") {
                Some(what) => {
                    let (name, times) = what.split_once(' ').unwrap_or((what, "1"));
                    let block = self
                        .blocks
                        .get(name)
                        .unwrap_or_else(|| panic!("{place}: no block {name}"));
                    let times: usize = times.parse().expect("how many times");
                    block.iter().cycle().take(block.len() * times).cloned().collect()
                }
                None => {
                    let place = self.title(place);
                    let step = |line| Step {
                        place: place.clone(),
                        line,
                    };
                    read(&place, &line).into_iter().map(step).collect()
                }
            };
            self.steps().extend(steps);
        }
    }

    fn title(&self, place: &str) -> String {
        let title = self.cases.last().map_or("", |(title, _)| title);
        format!("{place} {title}")
    }

    fn steps(&mut self) -> &mut Vec<Step> {
        match (&self.block, self.cases.last_mut()) {
            (Some(name), _) => self.blocks.get_mut(name).expect("the block that is being read"),
            (None, Some((_, steps))) => steps,
            (None, None) => &mut self.before,
        }
    }

    /// Names first, then repetitions, innermost first.
    fn expand(&self, place: &str, line: &str) -> String {
        let mut text = line.to_owned();
        while let Some(end) = text.find('}') {
            let begin = text[..end]
                .rfind('{')
                .unwrap_or_else(|| panic!("{place}: no opening brace"));
            let inner = &text[begin + 1..end];
            let replacement = match inner.split_once('*') {
                Some((range, template)) if range.contains("..") => {
                    let (from, to) = range.split_once("..").expect("two numbers");
                    let (from, to): (u64, u64) = (from.parse().expect("a number"), to.parse().expect("a number"));
                    (from..to)
                        .map(|number| template.replace('#', &number.to_string()))
                        .collect()
                }
                _ => self
                    .names
                    .get(inner)
                    .unwrap_or_else(|| panic!("{place}: no name {inner}"))
                    .clone(),
            };
            text.replace_range(begin..=end, &replacement);
        }
        text
    }
}

fn read(place: &str, line: &str) -> Vec<Line> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    if word == "moved" {
        assert!(
            !words.is_empty() && words.len().is_multiple_of(3),
            "{place}: who moves, from where, and to where?"
        );
        return words.chunks(3).map(moved).collect();
    }
    vec![match (word, words.as_slice()) {
        ("proxy", [kind, options @ ..]) => Line::Proxy(proxy(place, kind, options)),
        ("<", _) => Line::Received {
            bytes: unescape(rest),
            whole: false,
        },
        ("<1", _) => Line::Received {
            bytes: unescape(rest),
            whole: true,
        },
        ("<$", _) => {
            let text = unescape(rest);
            let bytes = [format!("${}\r\n", text.len()).as_bytes(), &text, b"\r\n"].concat();
            Line::Received { bytes, whole: false }
        }
        (">", _) => Line::Sends(unescape(rest)),
        ("roles", []) => Line::Roles(BTreeSet::new()),
        ("roles", ["not", groups @ ..]) => Line::Roles(groups.iter().map(|group| (*group).to_owned()).collect()),
        ("closed", ["garbage"]) => Line::Closed { garbage: true },
        ("at", [group, address]) => Line::At {
            group: (*group).to_owned(),
            address: (*address).to_owned(),
        },
        ("sentinel", [index]) => Line::Sentinel(index.parse().expect("a number")),
        ("retry", [ms]) => Line::Retry(ms.parse().expect("a number")),
        (word, []) => plain(word).unwrap_or_else(|| panic!("{place}: {line} says nothing")),
        _ => panic!("{place}: {line} says nothing"),
    }]
}

fn moved(words: &[&str]) -> Line {
    let text = |word: &str| String::from_utf8(unescape(word)).expect("text");
    Line::Moved {
        group: words[0].to_owned(),
        from: text(words[1].trim_start_matches('-')),
        to: text(words[2]),
    }
}

fn plain(word: &str) -> Option<Line> {
    Some(match word {
        "connect" => Line::Connect,
        "timer" => Line::Timer,
        "unanswered" => Line::Unanswered,
        "lost" => Line::Lost,
        "closed-at-once" => Line::ClosedAtOnce,
        "asks" => Line::AsksRoles,
        "closed" => Line::Closed { garbage: false },
        "aborted" => Line::Aborted,
        "kept" => Line::Kept,
        "ready" => Line::Ready(true),
        "rejecting" => Line::Ready(false),
        _ => return None,
    })
}

fn proxy(place: &str, kind: &str, words: &[&str]) -> Proxy {
    let option = |name: &str, usual: u64| {
        let value = words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.map_or(usual, |value| value.parse().expect("a number"))
    };
    let groups = words.iter().filter_map(|word| word.split_once('@'));
    let groups = groups
        .map(|(group, address)| (group.to_owned(), address.to_owned()))
        .collect();
    let (kind, wait_ms) = match kind {
        "bdrp" => {
            let buffer_bytes = usize::try_from(option("buffer", 16_384)).expect("a size");
            (Kind::Bdrp { buffer_bytes }, option("retry", 10_000))
        }
        "netease" => {
            let sentinels = usize::try_from(option("sentinels", 1)).expect("a count");
            (Kind::Netease { sentinels }, option("heartbeat", 1000))
        }
        other => panic!("{place}: no such proxy: {other}"),
    };
    Proxy { kind, groups, wait_ms }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                u8::from_str_radix(std::str::from_utf8(&digits).expect("digits"), 16).expect("two digits")
            }
            other => panic!("no such escape: {other:?} in {text}"),
        });
    }
    bytes
}

#[test]
fn a_script_is_read_with_its_names_blocks_and_repetitions() {
    let text = "= a x\\r\n[two]\n> {a}\n> b\n\nproxy bdrp p-s@1.2.3.4:5 retry=7\n## one\ndo two 2\n## other\n<$ {0..2*{a}#}\nkept\n";
    let script = parse("name".to_owned(), text);
    let steps: Vec<_> = script.cases.iter().map(|case| case.steps.len()).collect();
    assert_eq!(steps, [5, 3]);
    let Line::Received { bytes, whole: false } = &script.cases[1].steps[1].line else {
        panic!("{:?}", script.cases[1]);
    };
    assert_eq!(bytes, b"$6\r\nx\r0x\r1\r\n");
    assert_eq!(unescape("\\x41\\\\"), b"A\\");
}
