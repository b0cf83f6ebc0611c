//! Where a node can be reached.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// Where a node can be reached: a host name or an IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPort {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// Port, never 0.
    pub port: u16,
}

/// Why a text is not the place of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not HOST:PORT")]
pub struct HostPortError(String);

impl HostPort {
    const HOST_BYTES_MAX: usize = 253;

    /// The host as an IP address; `None` for a host name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }

    /// Whether it can only mean this machine. A host name other than `localhost` may mean anything.
    pub fn is_loopback(&self) -> bool {
        self.ip().map_or(self.host == "localhost", |ip| ip.is_loopback())
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let wrong = || HostPortError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse::<u16>().map_err(|_| wrong())?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let good = match bracketed {
            Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
            None => host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
        };
        let host = bracketed.unwrap_or(host);
        if !good || host.is_empty() || host.len() > Self::HOST_BYTES_MAX || port == 0 {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl TryFrom<String> for HostPort {
    type Error = HostPortError;

    fn try_from(text: String) -> Result<Self, HostPortError> {
        text.parse()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_port_reads_back_as_it_is_shown() {
        for text in [
            "127.0.0.1:26379",
            "[::1]:5",
            "redis-control.example_1.com:65535",
            "localhost:1",
        ] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_host_and_port_is_refused() {
        for text in [
            "", ":1", "a", "a:", "a:0", "a:65536", "::1:5", "[a]:5", "a b:1", "a:+1x", "a,b:1",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let loopback = |text: &str| text.parse::<HostPort>().unwrap().is_loopback();
        assert!(loopback("127.0.0.1:1") && loopback("127.8.8.8:1") && loopback("[::1]:1") && loopback("localhost:1"));
        assert!(!loopback("10.0.0.1:1") && !loopback("0.0.0.0:1") && !loopback("localhost.example.com:1"));
        assert!(loopback("[::ffff:127.0.0.1]:1") && !loopback("[::ffff:10.0.0.1]:1"));
    }
}
