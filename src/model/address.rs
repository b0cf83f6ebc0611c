//! The address of a Redis instance.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a Redis instance listens. An IPv4-mapped IPv6 address is kept as IPv4, so that one instance
/// has one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Address {
    /// IP address.
    pub ip: IpAddr,
    /// TCP port, never 0.
    pub port: u16,
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address: expected IP and port")]
pub struct AddressError;

impl Address {
    /// An address from its parts; port 0 is refused.
    pub fn new(ip: IpAddr, port: u16) -> Result<Self, AddressError> {
        if port == 0 {
            return Err(AddressError);
        }
        Ok(Self {
            ip: ip.to_canonical(),
            port,
        })
    }

    /// An address from the two texts that the wire carries.
    pub fn parse(ip: &str, port: &str) -> Result<Self, AddressError> {
        let ip = IpAddr::from_str(ip).map_err(|_| AddressError)?;
        let port = port.parse::<u16>().map_err(|_| AddressError)?;
        Self::new(ip, port)
    }
}

/// An address as it is written, which may be none.
#[derive(Deserialize)]
struct Parts {
    ip: IpAddr,
    port: u16,
}

impl TryFrom<Parts> for Address {
    type Error = AddressError;

    fn try_from(parts: Parts) -> Result<Self, AddressError> {
        Self::new(parts.ip, parts.port)
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        Self::new(address.ip, address.port)
    }
}

/// `ip:port`, an IPv6 address in brackets.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            IpAddr::V4(ip) => write!(f, "{ip}:{}", self.port),
            IpAddr::V6(ip) => write!(f, "[{ip}]:{}", self.port),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let socket = SocketAddr::from_str(text).map_err(|_| AddressError)?;
        Self::new(socket.ip(), socket.port())
    }
}
