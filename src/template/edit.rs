//! The smallest change of the text that puts a server where it should be.

use std::net::IpAddr;
use std::ops::Range;

use super::error::Fault;
use super::scan::{Entry, Word};
use super::server::{bdrp_place, meaning};
use super::{Dialect, Placement, Server};
use crate::model::Address;

/// Bytes of the original and what stands there instead.
#[derive(Debug)]
pub(super) struct Edit {
    bytes: Range<usize>,
    text: String,
}

/// Carries out edits that do not overlap.
pub(super) fn apply(original: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| (edit.bytes.start, edit.bytes.end));
    let mut text = String::with_capacity(original.len() + 64);
    let mut at = 0;
    for edit in edits {
        text.push_str(&original[at..edit.bytes.start]);
        text.push_str(&edit.text);
        at = edit.bytes.end;
    }
    text.push_str(&original[at..]);
    text
}

/// Only `host:port` of the first word changes.
pub(super) fn nutcracker(entry: &Entry, server: &Server, placement: &Placement) -> Option<Edit> {
    let start = entry.words.first()?.bytes.start;
    (server.primary() != Some(placement.primary)).then(|| Edit {
        bytes: start..start + server.address.len(),
        text: spell(placement.primary),
    })
}

/// twemproxy takes the host from the left of `:port:weight`, without brackets. A leading colon would be YAML's
/// own in some places, so `::1` becomes `0::1`.
fn spell(address: Address) -> String {
    let zero = match address.ip {
        IpAddr::V6(ip) if ip.to_string().starts_with(':') => "0",
        _ => "",
    };
    format!("{zero}{}:{}", address.ip, address.port)
}

/// The primary's line, and as many lines of replicas as are wanted.
pub(super) fn bdrp(text: &str, entry: &Entry, server: &Server, placement: &Placement) -> Result<Vec<Edit>, Fault> {
    let mut edits = Vec::new();
    let [_, primary, replicas @ ..] = entry.words.as_slice() else {
        return Ok(edits);
    };
    if server.primary() != Some(placement.primary) {
        edits.push(replace(primary, placement.primary)?);
    }
    if let Some(wanted) = &placement.replicas {
        edits.extend(replace_replicas(text, entry, replicas, wanted)?);
    }
    Ok(edits)
}

fn replace(word: &Word, address: Address) -> Result<Edit, Fault> {
    let (_, weight) = bdrp_place(&word.text)?;
    Ok(Edit {
        bytes: word.bytes.clone(),
        text: bdrp_text(address, weight)?,
    })
}

fn bdrp_text(address: Address, weight: &str) -> Result<String, Fault> {
    let text = format!("{}:{}:{weight}", address.ip, address.port);
    bdrp_place(&text)?;
    Ok(text)
}

/// Lines that are wanted stay where they are; others are taken over by what is missing; then lines are added or
/// removed at the end.
fn replace_replicas(text: &str, entry: &Entry, lines: &[Word], wanted: &[Address]) -> Result<Vec<Edit>, Fault> {
    let mut missing: Vec<Address> = Vec::new();
    for address in wanted {
        if !missing.contains(address) {
            missing.push(*address);
        }
    }
    let mut free = Vec::new();
    for line in lines {
        let (address, _) = bdrp_place(&line.text)?;
        let kept = meaning(address).and_then(|address| missing.iter().position(|other| *other == address));
        match kept {
            Some(place) => drop(missing.remove(place)),
            None => free.push(line),
        }
    }
    let mut missing = missing.into_iter();
    let mut edits = Vec::new();
    for line in free {
        edits.push(match missing.next() {
            Some(address) => replace(line, address)?,
            None => remove(entry, line),
        });
    }
    let model = lines.last().or(entry.words.last()).filter(|_| missing.len() > 0);
    if let (Some(model), Some(last)) = (model, entry.words.last()) {
        let (_, weight) = bdrp_place(&model.text)?;
        let gap = gap(text, entry);
        let mut added = String::new();
        for address in missing {
            added.push_str(&gap);
            added.push_str(&bdrp_text(address, weight)?);
        }
        edits.push(Edit {
            bytes: last.bytes.end..last.bytes.end,
            text: added,
        });
    }
    Ok(edits)
}

/// Removes a word and what parts it from the word before.
fn remove(entry: &Entry, word: &Word) -> Edit {
    let before = entry
        .words
        .iter()
        .rev()
        .find(|other| other.bytes.end <= word.bytes.start)
        .map_or(word.bytes.start, |other| other.bytes.end);
    Edit {
        bytes: before..word.bytes.end,
        text: String::new(),
    }
}

/// What parts the last two words: a line end and the indentation, or a blank.
fn gap(text: &str, entry: &Entry) -> String {
    let [.., before, last] = entry.words.as_slice() else {
        return " ".to_owned();
    };
    let between = &text[before.bytes.end..last.bytes.start];
    match between.rfind('\n') {
        None => " ".to_owned(),
        Some(end) => {
            let carriage_return = if between[..end].ends_with('\r') { "\r" } else { "" };
            format!("{carriage_return}{}", &between[end..])
        }
    }
}

/// Whether a server is where it was wanted.
pub(super) fn is_placed(before: &Server, after: &Server, wanted: &Placement, dialect: Dialect) -> bool {
    let replicas = match (&wanted.replicas, dialect) {
        (Some(wanted), Dialect::Bdrp) => {
            let sorted = |mut addresses: Vec<Address>| {
                addresses.sort_unstable();
                addresses
            };
            let mut wanted = sorted(wanted.clone());
            wanted.dedup();
            after.replicas.len() == wanted.len() && sorted(after.replica_addresses()) == wanted
        }
        _ => before.replicas == after.replicas,
    };
    replicas && after.primary() == Some(wanted.primary)
}
