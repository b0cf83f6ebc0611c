//! Secrets in files of their own: what the nodes of a cluster share, and passwords.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use crate::cli::ConfigError;

/// The content of a secret file. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// A file longer than this is not a secret but the wrong file.
    const BYTES_MAX: u64 = 4_096;
    const OTHERS: u32 = 0o007;

    /// Reads the secret file that `option` names; space around the secret does not count.
    pub fn read(path: &Path, option: &'static str) -> Result<Self, ConfigError> {
        let unreadable = |error| ConfigError::Unreadable {
            path: path.to_owned(),
            error,
        };
        let refuse = |fault: &str| ConfigError::Secret {
            option,
            path: path.to_owned(),
            fault: fault.to_owned(),
        };
        let facts = fs::metadata(path).map_err(unreadable)?;
        if !facts.is_file() {
            return Err(refuse("is not a file"));
        }
        if facts.permissions().mode() & Self::OTHERS != 0 {
            return Err(refuse(
                "everyone on this machine may use it, take that away (chmod o-rwx)",
            ));
        }
        if facts.len() > Self::BYTES_MAX {
            return Err(refuse("is longer than 4096 bytes"));
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        let secret = bytes.trim_ascii();
        if secret.is_empty() {
            return Err(refuse("is empty"));
        }
        Ok(Self(secret.into()))
    }

    /// A secret that needs no file.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes that both sides of a handshake prove to know.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(******)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn file(content: &[u8], mode: u32) -> tempfile::TempPath {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file.into_temp_path()
    }

    #[test]
    fn the_newline_of_an_editor_is_not_part_of_the_secret() {
        let path = file(b"  open sesame\n", 0o600);
        assert_eq!(Secret::read(&path, "some-file").unwrap().bytes(), b"open sesame");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let path = file(b"open sesame", 0o640);
        assert!(!format!("{:?}", Secret::read(&path, "some-file").unwrap()).contains("sesame"));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let refused = |path: &Path| Secret::read(path, "some-file").unwrap_err().to_string();
        let empty = refused(&file(b" \n", 0o600));
        assert!(
            empty.starts_with("some-file /") && empty.ends_with("is empty"),
            "{empty}"
        );
        assert!(refused(&file(b"open sesame", 0o604)).contains("chmod o-rwx"));
        assert!(refused(&file(&[b'x'; 5_000], 0o600)).contains("longer than"));
        assert!(refused(Path::new("/")).ends_with("is not a file"));
        assert!(refused(Path::new("/does/not/exist")).starts_with("cannot read /does/not/exist: "));
    }
}
