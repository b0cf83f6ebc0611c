//! What the agent keeps on disk: one folder, one agent.
//!
//! `state.json` holds what must not be forgotten (the table), `status.json` what `agent status` shows, `lock` is
//! locked while an agent runs. Files are replaced as a whole: written beside, then renamed.
//! A state that cannot be read is refused and left as it is: to begin without it is the operator's decision, because
//! only it knows how far the proxy has followed.
//! What does not live here: what the status says.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::agent::Table;
use crate::model::Timestamp;

const STATE: &str = "state.json";
const STATUS: &str = "status.json";
const LOCK: &str = "lock";
const FORMAT: u32 = 1;
/// A state of ten thousand groups is a tenth of this.
const BYTES_MAX: u64 = 64 << 20;

/// How often it is tried to lock the folder, and the pause after each time.
const TAKE_TURNS: u32 = 100;
const TAKE_PAUSE: Duration = Duration::from_millis(10);

/// The folder of a running agent; no other agent can have it meanwhile.
#[derive(Debug)]
pub struct StateDir {
    folder: PathBuf,
    _lock: File,
}

/// What must not be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Where the groups are.
    pub table: Table,
    /// When the agent learned that a group had moved.
    pub moved: BTreeMap<String, Timestamp>,
}

/// Why the folder cannot be used. Each shows as one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder or a file in it cannot be used.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Another agent has it.
    #[error("another agent runs with state-dir {}: each agent needs its own", .0.display())]
    Taken(PathBuf),
    /// The state cannot be understood.
    #[error(
        "{} is no state of this agent ({fault}); it is left as it is: bring back the right file, or remove it to \
         learn everything anew",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "cfgserver-agent-state")]
    format: u32,
    table: Table,
    moved: BTreeMap<String, Timestamp>,
}

impl StateDir {
    /// Makes the folder where it is missing, and takes it.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let fail = |what, path: &Path| {
            let path = path.to_owned();
            move |error| StateError::Io { what, path, error }
        };
        fs::create_dir_all(folder).map_err(fail("make", folder))?;
        let path = folder.join(LOCK);
        let lock = lock_file(&path).map_err(fail("open", &path))?;
        match take(&lock) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(StateError::Taken(folder.to_owned())),
            Err(error) => return Err(fail("lock", &path)(error.into())),
        }
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// What was kept; nothing when there is no file yet.
    pub fn load(&self) -> Result<Kept, StateError> {
        let path = self.folder.join(STATE);
        let text = match read_bounded(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let fault = error.to_string();
                return Err(StateError::Unreadable { path, fault });
            }
            Err(error) => {
                let what = "read";
                return Err(StateError::Io { what, path, error });
            }
        };
        match serde_json::from_str::<Written>(&text) {
            Ok(written) if written.format == FORMAT => Ok(Kept {
                table: written.table,
                moved: written.moved,
            }),
            Ok(written) => Err(StateError::Unreadable {
                path,
                fault: format!("format {} of another version", written.format),
            }),
            Err(error) => Err(StateError::Unreadable {
                path,
                fault: error.to_string(),
            }),
        }
    }

    /// Keeps this from now on, through a power cut too.
    pub fn save(&self, kept: &Kept) -> io::Result<()> {
        let written = Written {
            format: FORMAT,
            table: kept.table.clone(),
            moved: kept.moved.clone(),
        };
        let mut text = serde_json::to_string_pretty(&written)?;
        text.push('\n');
        let path = self.folder.join(STATE);
        write_beside(&path, text.as_bytes())?.sync_all()?;
        rename_over(&path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Shows this to `agent status` from now on. A power cut may lose it.
    pub fn show(&self, status: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(status)?;
        text.push('\n');
        replace(&self.folder.join(STATUS), text.as_bytes())
    }
}

/// The last status of the agent of this folder, as text; `None`: it never ran.
pub fn read_status(folder: &Path) -> io::Result<Option<String>> {
    match read_bounded(&folder.join(STATUS)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an agent runs with this folder.
pub fn is_running(folder: &Path) -> io::Result<bool> {
    let lock = match OpenOptions::new().read(true).open(folder.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // Shared, so that two questions at a time do not see each other. It ends with the file.
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Whoever asks [`is_running`] holds the lock for a moment, and is no agent.
fn take(lock: &File) -> Result<(), Errno> {
    for _ in 0..TAKE_TURNS {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(TAKE_PAUSE),
            taken => return taken,
        }
    }
    Err(Errno::WOULDBLOCK)
}

fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

fn read_bounded(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is far too long"));
    }
    fs::read_to_string(path)
}

/// Replaces a file of the folder as a whole. A power cut may lose it.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_beside(path, bytes)?;
    rename_over(path)
}

fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::create(path.with_extension("new"))?;
    file.write_all(bytes)?;
    Ok(file)
}

fn rename_over(path: &Path) -> io::Result<()> {
    fs::rename(path.with_extension("new"), path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::agent::Route;

    fn kept() -> Kept {
        let mut table = Table::default();
        table.follow("c");
        let route = Route {
            primary: "10.0.0.1:1".parse().unwrap(),
            version: 5,
            replicas: ["[::1]:2".parse().unwrap()].into(),
        };
        table.learn("g", route);
        Kept {
            table,
            moved: [("g".to_owned(), Timestamp(7))].into(),
        }
    }

    #[test]
    fn what_is_kept_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("deep/er");
        let first = StateDir::open(&folder).unwrap();
        assert_eq!(first.load().unwrap(), Kept::default());
        first.save(&kept()).unwrap();
        drop(first);
        assert_eq!(StateDir::open(&folder).unwrap().load().unwrap(), kept());
    }

    #[test]
    fn the_state_keeps_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path()).unwrap();
        dir.save(&kept()).unwrap();
        let bytes = fs::read(folder.path().join(STATE)).unwrap();
        crate::golden::file("agent-state.json", &bytes);
        assert_eq!(dir.load().unwrap(), kept());
        // A field that this version does not know could be one that it must not forget.
        let text = String::from_utf8(bytes).unwrap();
        fs::write(folder.path().join(STATE), text.replacen('{', "{\"later\": 1,", 1)).unwrap();
        assert!(dir.load().unwrap_err().to_string().contains("unknown field"));
    }

    #[test]
    fn one_folder_has_one_agent() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_running(folder.path()).unwrap());
        let first = StateDir::open(folder.path()).unwrap();
        let refused = StateDir::open(folder.path()).unwrap_err().to_string();
        assert!(refused.starts_with("another agent runs with state-dir "), "{refused}");
        assert!(is_running(folder.path()).unwrap());
        drop(first);
        assert!(!is_running(folder.path()).unwrap());
        StateDir::open(folder.path()).unwrap();
    }

    #[test]
    fn who_asks_whether_an_agent_runs_keeps_none_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        drop(StateDir::open(folder.path()).unwrap());
        let asking = File::open(folder.path().join(LOCK)).unwrap();
        flock(&asking, FlockOperation::NonBlockingLockShared).unwrap();
        std::thread::scope(|threads| {
            let opening = threads.spawn(|| StateDir::open(folder.path()).map(drop));
            std::thread::sleep(TAKE_PAUSE);
            drop(asking);
            opening.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_state_that_cannot_be_read_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path()).unwrap();
        dir.save(&kept()).unwrap();
        let path = folder.path().join(STATE);
        let good = fs::read_to_string(&path).unwrap();
        let torn = good[..good.len() / 2].to_owned();
        let newer = good.replace("\"cfgserver-agent-state\": 1", "\"cfgserver-agent-state\": 2");
        for text in [
            String::new(),
            torn,
            newer,
            "{}".to_owned(),
            "\u{0}\u{0}\u{0}".to_owned(),
        ] {
            fs::write(&path, &text).unwrap();
            let refused = dir.load().unwrap_err().to_string();
            assert!(refused.contains("is no state of this agent"), "{refused}");
            assert_eq!(refused.lines().count(), 1, "{refused}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, b"\xff\xff").unwrap();
        assert!(
            dir.load()
                .unwrap_err()
                .to_string()
                .contains("is no state of this agent")
        );
    }

    #[test]
    fn a_status_is_shown_as_it_was_written_last() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_status(folder.path()).unwrap(), None);
        let dir = StateDir::open(folder.path()).unwrap();
        dir.show(&"one").unwrap();
        dir.show(&"two").unwrap();
        assert_eq!(read_status(folder.path()).unwrap().as_deref(), Some("\"two\"\n"));
    }
}
