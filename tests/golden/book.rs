//! Golden files: the bytes of fixed values, as they lie on disks and go between nodes.
//!
//! A test encodes each value to exactly these bytes and decodes them again, so a change of a format is a diff that
//! somebody reads. Below each record stands what its reader does with a field that it does not know, and with one
//! that is missing: that is what decides whether nodes of two versions understand each other.
//! What does not live here: the values, which stand beside what they test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use super::pack::{Packed, Step};

/// Set: the files are written anew instead of compared.
const UPDATE: &str = "UPDATE_GOLDEN";
const WIDTH: usize = 110;
const HOW: &str = "\
# Bytes that are not printable ASCII are \\xNN; a record is the lines below its name, joined.
# [ignored] / [changes] / [refused]: what a field that is not known does in that place.
# [optional] / [required]: what a missing field does.
# Regenerate with `UPDATE_GOLDEN=1 cargo test --lib golden`, and read the diff: old bytes must stay readable.
";

/// One golden file in the making.
pub(crate) struct Book {
    file: String,
    text: String,
}

impl Book {
    /// A file below `tests/golden`, and what it holds.
    pub(crate) fn new(file: &str, about: &str) -> Self {
        let text = format!("# {about}\n{HOW}");
        let file = file.to_owned();
        Self { file, text }
    }

    /// Bytes that nothing decodes by itself.
    pub(crate) fn bytes(&mut self, name: &str, bytes: &[u8]) {
        let shown = bytes.escape_ascii().to_string();
        _ = write!(self.text, "\n[[{name}]]\n");
        for line in shown.as_bytes().chunks(WIDTH) {
            _ = writeln!(self.text, "{}", String::from_utf8_lossy(line));
        }
    }

    /// A MessagePack record: `prefix` bytes, then a value. `again` decodes bytes and encodes what it found.
    pub(crate) fn record(
        &mut self,
        name: &str,
        prefix: usize,
        bytes: &[u8],
        again: impl Fn(&[u8]) -> io::Result<Vec<u8>>,
    ) {
        self.bytes(name, bytes);
        assert_eq!(again(bytes).unwrap(), bytes, "{name}: the bytes decode to the value");
        let (front, body) = bytes.split_at(prefix);
        let whole = Packed::parse(body);
        assert_eq!(whole.bytes(), body, "{name}: the test reads MessagePack rightly");
        let outcome = |changed: &Packed| again(&[front, &changed.bytes()].concat());
        let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for path in whole.maps() {
            let word = match outcome(&whole.with_extra(&path)) {
                Ok(found) if found == bytes => "ignored",
                Ok(_) => "changes",
                Err(_) => "refused",
            };
            places.entry(word).or_default().push(shown(&path));
            for field in 0..whole.field_count(&path) {
                let (name, lacking) = whole.without(&path, field);
                let word = if outcome(&lacking).is_ok() {
                    "optional"
                } else {
                    "required"
                };
                places.entry(word).or_default().push(format!("{}{name}", shown(&path)));
            }
        }
        for word in ["ignored", "changes", "refused", "optional", "required"] {
            let mut line = format!("  [{word}]");
            let mut seen = BTreeSet::new();
            for place in places
                .get(word)
                .into_iter()
                .flatten()
                .filter(|place| seen.insert(*place))
            {
                if line.len() + place.len() >= WIDTH {
                    self.text += line.trim_end();
                    self.text += "\n";
                    line = "   ".to_owned();
                }
                _ = write!(line, " {place}");
            }
            if places.contains_key(word) {
                self.text += &line;
                self.text += "\n";
            }
        }
    }

    /// Compares with the file, or writes it.
    pub(crate) fn close(self) {
        file(&self.file, self.text.as_bytes());
    }
}

/// Compares bytes with a file below `tests/golden`, or writes it.
pub(crate) fn file(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, bytes).unwrap();
    }
    let golden = fs::read(&path).unwrap_or_default();
    if golden == bytes {
        return;
    }
    let (text, golden) = (String::from_utf8_lossy(bytes), String::from_utf8_lossy(&golden));
    let lines = golden.lines().map(Some).chain(std::iter::repeat(None));
    let mut pairs = text.lines().zip(lines).enumerate();
    let first = pairs.find(|(_, (now, then))| Some(*now) != *then);
    panic!(
        "{} is not what the code writes; the first difference: {first:?}\n{HOW}",
        path.display()
    );
}

fn shown(path: &[Step]) -> String {
    path.iter().fold(".".to_owned(), |text, step| format!("{text}{step}."))
}
