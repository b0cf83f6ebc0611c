//! Every file of a data directory is damaged at seeded places. Whatever it is, the directory opens with exactly what
//! it held, or is refused: never with less.
//!
//! `CFGSERVER_TEST_DAMAGES=N` tries N damages instead of a few hundred, `CFGSERVER_TEST_SEED=S` repeats a run.

mod image;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use cfgserver::store::RocksStore;

use crate::store_process::Chance;
use image::{Content, Image};

const DAMAGES: &str = "CFGSERVER_TEST_DAMAGES";
const DAMAGES_USUAL: usize = 480;
const BLOCK_BYTES: usize = 512;
/// Opening a database is mostly waiting.
const WORKERS: usize = 6;
/// How long no opening may end, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(120);

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Flip,
    Zero,
    Cut,
    Remove,
    Swap,
}

/// One damage.
#[derive(Clone, Debug)]
struct Damage {
    file: String,
    kind: Kind,
    offset: usize,
    bit: u8,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} at {} ({})", self.kind, self.file, self.offset, self.bit)
    }
}

impl Damage {
    fn draw(chance: &mut Chance, image: &Image, file: &str) -> Self {
        let length = image.length(file).max(1);
        let kind = match chance.below(12) {
            0..5 => Kind::Flip,
            5..8 => Kind::Zero,
            8..10 => Kind::Cut,
            10 => Kind::Remove,
            _ => Kind::Swap,
        };
        // Half of them near the end, where damage looks like an unfinished write.
        let near = length.min(256);
        let offset = match chance.below(2) {
            0 => chance.below(length),
            _ => length - 1 - chance.below(near),
        };
        Self {
            file: file.to_owned(),
            kind,
            offset: offset as usize,
            bit: 1 << chance.below(8),
        }
    }

    /// Does it. `false` when the file is as it was.
    fn inflict(&self, dir: &Path, other: &Image) -> bool {
        let path = dir.join(&self.file);
        let before = fs::read(&path).unwrap();
        let mut bytes = before.clone();
        match self.kind {
            Kind::Flip if bytes.is_empty() => return false,
            Kind::Flip => bytes[self.offset] ^= self.bit,
            Kind::Zero => {
                let begin = self.offset / BLOCK_BYTES * BLOCK_BYTES;
                let end = bytes.len().min(begin + BLOCK_BYTES);
                bytes[begin..end].fill(0);
            }
            Kind::Cut => bytes.truncate(self.offset),
            Kind::Remove => {
                fs::remove_file(path).unwrap();
                return true;
            }
            Kind::Swap => match other.same(&self.file) {
                Some(theirs) => bytes = fs::read(theirs).unwrap(),
                None => return false,
            },
        }
        if bytes == before {
            return false;
        }
        // A new file: the old one may be shared with the image.
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        true
    }
}

/// What came of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Exact,
    Refused,
}

/// Opens the damaged directory; an error says in which way it is neither exact nor refused.
fn outcome(dir: &Path, expected: &Content) -> Result<Outcome, String> {
    let store = match RocksStore::open(dir, "fresh") {
        Ok(store) => store,
        Err(refusal) => {
            let line = refusal.to_string();
            if line.contains('\n') || !line.contains(dir.to_str().unwrap()) {
                return Err(format!("no clear line: {line:?}"));
            }
            return match RocksStore::open(dir, "fresh") {
                Ok(_) => Err(format!("refused once, and then opened: {line}")),
                Err(_) => Ok(Outcome::Refused),
            };
        }
    };
    let found = match Content::of(&store) {
        Ok(found) => found,
        Err(error) => return Err(format!("opened, and then failed: {error}")),
    };
    match expected.difference(&found) {
        None => Ok(Outcome::Exact),
        Some(difference) => Err(format!("opened with other content: {difference}")),
    }
}

/// The file to damage in that turn. Files that RocksDB does not read when it opens get a tenth.
fn choose(files: &[String], turn: usize) -> &str {
    let idle = |file: &&String| ["LOG", "LOCK", "OPTIONS", "IDENTITY"].contains(&file_type(file).as_str());
    let (idle, read): (Vec<_>, Vec<_>) = files.iter().partition(idle);
    match turn % 20 {
        0 | 1 => idle[turn / 20 % idle.len()],
        _ => read[turn / 2 % read.len()],
    }
}

/// Tries damages, several at a time; `None` for one that changed nothing.
fn try_all(tried: &[(Arc<Image>, Damage)], other: &Arc<Image>) -> Vec<Option<Result<Outcome, String>>> {
    let next = Arc::new(AtomicUsize::new(0));
    let tried: Arc<[_]> = tried.into();
    let (tell, hear) = channel();
    for _ in 0..WORKERS {
        let (tell, next, tried, other) = (tell.clone(), Arc::clone(&next), Arc::clone(&tried), Arc::clone(other));
        std::thread::spawn(move || {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some((image, damage)): Option<&(Arc<Image>, Damage)> = tried.get(place) else {
                    return;
                };
                let dir = image.copy();
                let changed = damage.inflict(dir.path(), &other);
                let result = changed.then(|| outcome(dir.path(), image.content()));
                tell.send((place, result)).unwrap();
            }
        });
    }
    drop(tell);
    let mut done = BTreeMap::new();
    while done.len() < tried.len() {
        // An opening that never ends is as bad as one that succeeds with less.
        let Ok((place, result)) = hear.recv_timeout(PATIENCE) else {
            let left = (0..next.load(Ordering::Relaxed).min(tried.len())).filter(|place| !done.contains_key(place));
            let left: Vec<_> = left.map(|place| tried[place].1.to_string()).collect();
            panic!("an opening does not end: {}", left.join(", "));
        };
        done.insert(place, result);
    }
    done.into_values().collect()
}

/// Like `000012.sst` -> `sst`, `MANIFEST-000005` -> `MANIFEST`.
fn file_type(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap();
    match name.rsplit_once('.') {
        Some((stem, extension)) if stem.bytes().all(|byte| byte.is_ascii_digit()) => format!("*.{extension}"),
        _ => name.split(['-', '.']).next().unwrap().to_owned(),
    }
}

fn print_table(outcomes: &BTreeMap<(String, Kind, Outcome), usize>) {
    let count = |file: &str, kind, outcome| outcomes.get(&(file.to_owned(), kind, outcome)).copied().unwrap_or(0);
    let kinds = [Kind::Flip, Kind::Zero, Kind::Cut, Kind::Remove, Kind::Swap];
    let mut files: Vec<&String> = outcomes.keys().map(|(file, ..)| file).collect();
    files.dedup();
    println!("exact/refused: {kinds:?}");
    for file in files {
        let cells = kinds.map(|kind| {
            let cell = format!(
                "{}/{}",
                count(file, kind, Outcome::Exact),
                count(file, kind, Outcome::Refused)
            );
            format!("{cell:>9}")
        });
        println!("{file:10}{}", cells.concat());
    }
}

#[test]
fn a_damaged_directory_is_recovered_exactly_or_refused() {
    let damages = std::env::var(DAMAGES).map_or(DAMAGES_USUAL, |text| text.parse().unwrap());
    let mut chance = Chance::seeded();
    let (killed, closed) = Image::pair("ours");
    let (killed, closed) = (Arc::new(killed), Arc::new(closed));
    let theirs = Arc::new(Image::pair("theirs").0);
    let mut outcomes = BTreeMap::new();
    let mut wrong = Vec::new();
    for image in [&killed, &closed] {
        assert_eq!(
            outcome(image.copy().path(), image.content()),
            Ok(Outcome::Exact),
            "the image itself is good"
        );
    }
    let tried: Vec<(Arc<Image>, Damage)> = (0..damages)
        .map(|turn| {
            let image = if turn % 2 == 0 { &killed } else { &closed };
            let damage = Damage::draw(&mut chance, image, choose(&image.files(), turn));
            (Arc::clone(image), damage)
        })
        .collect();
    for ((_, damage), result) in tried.iter().zip(try_all(&tried, &theirs)) {
        match result {
            None => {}
            Some(Ok(outcome)) => {
                *outcomes
                    .entry((file_type(&damage.file), damage.kind, outcome))
                    .or_default() += 1
            }
            Some(Err(reason)) => wrong.push(format!("{damage}: {reason}")),
        }
    }
    print_table(&outcomes);
    assert!(wrong.is_empty(), "{} of {damages}:\n{}", wrong.len(), wrong.join("\n"));
    // The net is no sieve: of each kind of file that holds data something was refused.
    for file in ["*.log", "*.sst", "MANIFEST", "CURRENT", "CFGSERVER", "SYNCED"] {
        let refused = outcomes
            .keys()
            .any(|(found, _, outcome)| found == file && *outcome == Outcome::Refused);
        assert!(refused || damages < DAMAGES_USUAL, "no damage of {file} was refused");
    }
}

/// Every place of the last synced record: the damage that RocksDB takes for an unfinished write.
#[test]
fn no_flipped_bit_in_what_was_synced_last_is_overlooked() {
    let (killed, _) = Image::pair("ours");
    let files = killed.files();
    let newest = files.iter().rfind(|name| name.ends_with(".log")).unwrap();
    let length = killed.length(newest) as usize;
    for offset in (length - 120..length).step_by(3) {
        let dir = killed.copy();
        let damage = Damage {
            file: newest.clone(),
            kind: Kind::Flip,
            offset,
            bit: 1 << (offset % 8),
        };
        assert!(damage.inflict(dir.path(), &killed));
        assert_eq!(outcome(dir.path(), killed.content()), Ok(Outcome::Refused), "{damage}");
    }
}

/// Types of recycled logs: RocksDB by itself reads such a record again and again, for ever.
#[test]
fn a_record_type_that_is_never_written_is_refused() {
    let killed = Arc::new(Image::pair("ours").0);
    let mut tried = Vec::new();
    for file in killed.files() {
        if ["*.log", "MANIFEST"].contains(&file_type(&file).as_str()) {
            let records = record_offsets(&fs::read(killed.path().join(&file)).unwrap());
            assert!(records.len() > 1, "{file}");
            tried.extend(records.into_iter().map(|offset| {
                let (file, kind) = (file.clone(), Kind::Flip);
                let damage = Damage {
                    file,
                    kind,
                    offset: offset + 6,
                    bit: 4,
                };
                (Arc::clone(&killed), damage)
            }));
        }
    }
    for ((_, damage), result) in tried.iter().zip(try_all(&tried, &killed)) {
        assert_eq!(result, Some(Ok(Outcome::Refused)), "{damage}");
    }
}

/// Where the records of a log or manifest begin: checksum (4 bytes), length (2), type (1), in blocks of 32 KiB.
fn record_offsets(bytes: &[u8]) -> Vec<usize> {
    let mut offsets = Vec::new();
    for (block, bytes) in bytes.chunks(32 << 10).enumerate() {
        let mut at = 0;
        while at + 7 < bytes.len() {
            offsets.push((block << 15) + at);
            at += 7 + usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
        }
    }
    offsets
}

/// Cuts the newest log at every length near its end.
#[test]
fn no_lost_end_of_what_was_synced_is_overlooked() {
    let (killed, _) = Image::pair("ours");
    let files = killed.files();
    let newest = files.iter().rfind(|name| name.ends_with(".log")).unwrap();
    let length = killed.length(newest) as usize;
    for kept in (length - 200..length).step_by(5) {
        let dir = killed.copy();
        let file = OpenOptions::new().write(true).open(dir.path().join(newest)).unwrap();
        file.set_len(kept as u64).unwrap();
        assert_eq!(
            outcome(dir.path(), killed.content()),
            Ok(Outcome::Refused),
            "{kept} of {length}"
        );
    }
}

/// The other side of the coin: what nobody damaged is never refused. Memory is written to tables all the time, files
/// become superfluous, and the directory is killed or closed at any moment.
#[test]
fn a_directory_that_nobody_damaged_opens_with_all_it_held() {
    let damages = std::env::var(DAMAGES).map_or(DAMAGES_USUAL, |text| text.parse().unwrap());
    let mut chance = Chance::seeded();
    let mut image = Image::empty("ours");
    for round in 0..damages / 8 {
        let store = RocksStore::open(image.path(), "ours").unwrap_or_else(|error| panic!("round {round}: {error}"));
        let found = Content::of(&store).unwrap();
        assert_eq!(image.content().difference(&found), None, "round {round}");
        for _ in 0..chance.below(12) {
            image::anything(&store, &mut chance);
        }
        image = match chance.below(2) {
            0 => Image::closed(store),
            _ => Image::killed(&store),
        };
    }
}
