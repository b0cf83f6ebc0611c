//! The values that options take, each with one text form for argv, environment and file.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use clap::ValueEnum;
use serde::Deserialize;

use crate::model::NodeId;

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Whole<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    fn checked(number: u64) -> Result<Self, ValueError> {
        if (MIN..=MAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(ValueError(format!("must be a whole number from {MIN} to {MAX}")))
        }
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for Whole<MIN, MAX> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // What does not fit, or is no number, is answered with the range.
        Self::checked(text.parse().unwrap_or(u64::MAX))
    }
}

impl<const MIN: u64, const MAX: u64> TryFrom<i64> for Whole<MIN, MAX> {
    type Error = ValueError;

    fn try_from(number: i64) -> Result<Self, ValueError> {
        Self::checked(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

/// Why a text is not a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

/// Where a node can be reached: a host name or an IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPort {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// Port, never 0.
    pub port: u16,
}

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
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError(format!("'{text}' is not HOST:PORT"));
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse::<u16>().map_err(|_| wrong())?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let good = match bracketed {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
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
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

/// The founding nodes of a cluster: `1=host:port,2=host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Peers(pub BTreeMap<NodeId, HostPort>);

impl Peers {
    /// More founding nodes than this are a typing error: five is the most that makes sense.
    const COUNT_MAX: usize = 15;
}

impl FromStr for Peers {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut peers = BTreeMap::new();
        for entry in text.split(',').map(str::trim) {
            let (id, address) = entry
                .split_once('=')
                .ok_or_else(|| ValueError(format!("'{entry}' is not ID=HOST:PORT")))?;
            let id: NodeId = id
                .parse()
                .ok()
                .filter(|id| *id > 0)
                .ok_or_else(|| ValueError(format!("'{id}' is not a node id of 1 or more")))?;
            let address: HostPort = address.parse()?;
            if let Some((other, _)) = peers.iter().find(|(_, known)| **known == address) {
                return Err(ValueError(format!(
                    "nodes {other} and {id} have the same address {address}"
                )));
            }
            if peers.insert(id, address).is_some() {
                return Err(ValueError(format!("node id {id} is given twice")));
            }
        }
        if peers.len() > Self::COUNT_MAX {
            return Err(ValueError(format!("more than {} nodes", Self::COUNT_MAX)));
        }
        Ok(Self(peers))
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (id, address)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{id}={address}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Peers {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

/// `yes` or `no`, as Redis writes its switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum YesNo {
    /// On.
    Yes,
    /// Off.
    No,
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

    #[test]
    fn peers_read_back_as_they_are_shown_in_order_of_their_ids() {
        let peers: Peers = "3=c:3, 1=a:1,2=[::2]:2".parse().unwrap();
        assert_eq!(peers.to_string(), "1=a:1,2=[::2]:2,3=c:3");
    }

    #[test]
    fn peers_with_a_fault_are_refused_with_the_fault() {
        for (text, fault) in [
            ("", "'' is not ID=HOST:PORT"),
            ("1=a:1,", "'' is not ID=HOST:PORT"),
            ("a:1", "'a:1' is not ID=HOST:PORT"),
            ("0=a:1", "'0' is not a node id of 1 or more"),
            ("-1=a:1", "'-1' is not a node id of 1 or more"),
            ("1=a", "'a' is not HOST:PORT"),
            ("1=a:1,1=b:1", "node id 1 is given twice"),
            ("1=a:1,2=A:1", "nodes 1 and 2 have the same address a:1"),
        ] {
            assert_eq!(text.parse::<Peers>().unwrap_err().to_string(), fault, "{text}");
        }
    }

    #[test]
    fn a_number_out_of_its_range_is_told_the_range() {
        type Small = Whole<2, 9>;
        assert_eq!("9".parse::<Small>().unwrap().get(), 9);
        for text in ["1", "10", "-3", "x", "", "99999999999999999999"] {
            let fault = text.parse::<Small>().unwrap_err().to_string();
            assert_eq!(fault, "must be a whole number from 2 to 9", "{text}");
        }
    }
}
