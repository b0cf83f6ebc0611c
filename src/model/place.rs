//! Where clients are told that an instance is.

use std::fmt;

use crate::model::{Address, HostName};

/// How clients are told where instances are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// By IP addresses.
    #[default]
    Addresses,
    /// By host names, where there are any.
    Names,
}

/// Where clients are told that an instance is: by its host name when it has one and names are told, else by its
/// address. An instance that has moved and is told by its name is told where it was.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it is.
    pub address: Address,
    /// The name that is told instead of the IP address.
    pub host: Option<HostName>,
}

impl Place {
    /// The same place for somebody who understands nothing but IP addresses.
    pub fn by_address(&self) -> Self {
        self.address.into()
    }

    /// The host as it is told.
    pub fn host(&self) -> String {
        match &self.host {
            Some(host) => host.to_string(),
            None => self.address.ip.to_string(),
        }
    }
}

impl From<Address> for Place {
    fn from(address: Address) -> Self {
        Self { address, host: None }
    }
}

/// Whether the same is told.
impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        match (&self.host, &other.host) {
            (None, None) => self.address == other.address,
            (one, another) => one == another && self.address.port == other.address.port,
        }
    }
}

impl Eq for Place {}

/// `host:port`, an IPv6 address in brackets.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}:{}", self.address.port),
            None => self.address.fmt(f),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_same_when_the_same_is_told() {
        let at = |ip: &str, host: Option<&str>| Place {
            address: Address::parse(ip, "6379").unwrap(),
            host: host.map(|host| HostName::new(host).unwrap()),
        };
        assert_eq!(at("10.0.0.1", Some("a")), at("10.0.0.2", Some("A")));
        assert_ne!(at("10.0.0.1", Some("a")), at("10.0.0.1", Some("b")));
        assert_ne!(at("10.0.0.1", Some("a")), at("10.0.0.1", None));
        assert_ne!(at("10.0.0.1", None), at("10.0.0.2", None));
        assert_eq!(at("10.0.0.1", Some("a")).by_address(), at("10.0.0.1", None));
        assert_eq!(
            (at("fd00::1", None).to_string(), at("fd00::1", None).host()),
            ("[fd00::1]:6379".into(), "fd00::1".into())
        );
        assert_eq!(at("fd00::1", Some("a")).to_string(), "a:6379");
    }
}
