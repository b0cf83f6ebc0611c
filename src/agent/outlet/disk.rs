//! A file that is replaced as a whole: written beside, synced, renamed over.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// A link to a link to a link.
const LINKS_MAX: usize = 16;
/// Reads everything.
const ROOT: u32 = 0;
/// More than the template may have: then it is the template that says so.
const BYTES_MAX: u64 = (1 << 20) + 1;

/// What tells two states of a file apart without reading it; `None`: there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature(Option<[i128; 5]>);

/// The state of a file now.
pub(super) fn signature(path: &Path) -> Signature {
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Signature(fs::metadata(path).ok().map(|data| {
        [
            i128::from(data.dev()),
            i128::from(data.ino()),
            i128::from(data.size()),
            nanos(data.mtime(), data.mtime_nsec()),
            nanos(data.ctime(), data.ctime_nsec()),
        ]
    }))
}

/// Reads a file, but never much more than a proxy's file can have.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The new content of a file, beside it. Dropped without being installed, it vanishes.
#[derive(Debug)]
pub(super) struct Beside {
    path: PathBuf,
    target: PathBuf,
    /// Device and number of the file that was written.
    identity: (u64, u64),
    installed: bool,
}

impl Beside {
    /// Writes `text` beside `file`, with the mode and owner of `file`, or of `model` when there is none yet. Where
    /// `file` is a link, it is the link's target that will be replaced.
    pub(super) fn write(file: &Path, text: &str, model: &Path) -> io::Result<Self> {
        let target = resolve(file)?;
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is no file"))?;
        let mut beside = Self {
            path: target.with_file_name(format!(".{name}.cfgserver-new")),
            target,
            identity: (0, 0),
            installed: false,
        };
        // Left by an agent that was killed in between. Whatever it is, it is not followed.
        match fs::remove_file(&beside.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside.path)?;
        let data = new.metadata()?;
        beside.identity = (data.dev(), data.ino());
        new.write_all(text.as_bytes())?;
        if let Ok(like) = fs::metadata(&beside.target).or_else(|_| fs::metadata(model)) {
            take_after(&new, &like)?;
        }
        new.sync_all()?;
        Ok(beside)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in place of the file.
    pub(super) fn install(mut self) -> io::Result<()> {
        let data = fs::symlink_metadata(&self.path)?;
        if (data.dev(), data.ino()) != self.identity {
            self.installed = true; // it is somebody else's: not to be removed
            return Err(io::Error::other("someone else writes it too: a second agent?"));
        }
        fs::rename(&self.path, &self.target).map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => io::Error::other(format!(
                "{error}: a file that is mounted alone cannot be replaced, mount its folder"
            )),
            _ => error,
        })?;
        self.installed = true;
        match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.installed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Owner and mode. The owner where that is allowed, or where it makes no difference to who may read the file.
fn take_after(new: &File, like: &Metadata) -> io::Result<()> {
    let own = new.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        // Only root may give files away. The group alone may be allowed.
        let _ = fchown(new, Some(like.uid()), Some(like.gid())).or_else(|_| fchown(new, None, Some(like.gid())));
        let own = new.metadata()?;
        let kept = (own.uid() == like.uid(), own.gid() == like.gid());
        if shuts_out(like.uid(), like.mode(), kept) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "its owner {}:{} cannot be kept and could not read it any more: run the agent as root or as that \
                     user, or let everyone read it",
                    like.uid(),
                    like.gid()
                ),
            ));
        }
    }
    new.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))
}

/// Whether somebody who could read a file of `owner` and `mode` cannot read the new one; `kept` says whether the owner
/// and the group are the same. An owner is taken to be of the file's group.
fn shuts_out(owner: u32, mode: u32, (owner_kept, group_kept): (bool, bool)) -> bool {
    let (group_reads, all_read) = (mode & 0o040 != 0, mode & 0o004 != 0);
    let owner_is_out = owner != ROOT && !owner_kept && !(group_kept && group_reads);
    !all_read && (owner_is_out || (group_reads && !group_kept))
}

/// Follows links, also one whose target does not exist yet.
fn resolve(file: &Path) -> io::Result<PathBuf> {
    let mut path = file.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_could_read_the_old_file_can_read_the_new_one() {
        const KEPT: [(bool, bool); 3] = [(true, true), (false, true), (false, false)];
        let outs = |owner, mode| KEPT.map(|kept| shuts_out(owner, mode, kept));
        assert_eq!(outs(1000, 0o644), [false, false, false]);
        assert_eq!(outs(1000, 0o600), [false, true, true]);
        assert_eq!(outs(1000, 0o640), [false, false, true]);
        assert_eq!(outs(ROOT, 0o640), [false, false, true]);
        assert_eq!(outs(ROOT, 0o600), [false, false, false]);
    }
}
