//! The host name of an instance.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The host name of an instance, in lower case: names are compared without regard to it. Where it resolves to is
/// found out above the line, and only an address that was committed counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct HostName(Arc<str>);

/// Why a text is not a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host name")]
pub struct HostNameError;

impl HostName {
    /// Longest host name, in bytes, as DNS has it.
    const BYTES_MAX: usize = 253;

    /// A host name from a text. An IP address is none, and neither is a number: resolvers read `2130706433` as
    /// `127.0.0.1`.
    pub fn new(text: &str) -> Result<Self, HostNameError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let good = text.len() <= Self::BYTES_MAX && text.bytes().all(fits);
        let number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let odd = text.starts_with(['.', '-']) || text.contains("..") || text.parse::<IpAddr>().is_ok();
        if !good || number || odd {
            return Err(HostNameError);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HostName {
    type Error = HostNameError;

    fn try_from(text: String) -> Result<Self, HostNameError> {
        Self::new(&text)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_in_lower_case() {
        for (given, kept) in [
            ("Redis-0.SVC", "redis-0.svc"),
            ("localhost", "localhost"),
            ("a_b.example.", "a_b.example."),
            ("10.0.0.1.nip.io", "10.0.0.1.nip.io"),
        ] {
            assert_eq!(HostName::new(given).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        let long = "a".repeat(254);
        for text in [
            "",
            ".",
            "..",
            ".a",
            "a..b",
            "-a",
            "10.0.0.1",
            "2130706433",
            "127.1",
            "::1",
            "a b",
            "a,b",
            "a:1",
            "ä",
            &long,
        ] {
            assert!(HostName::new(text).is_err(), "{text}");
        }
    }
}
