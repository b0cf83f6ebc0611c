//! What a Sentinel says, from wherever it was read.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::{Address, GroupName};

/// Everything that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The groups, in the order of their names.
    pub groups: Vec<Wanted>,
    /// What is not taken over.
    pub notes: Vec<Note>,
}

/// Something that is not taken over, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Line of the file, from 1.
    pub line: usize,
    /// Names a directive, never a value: it could be a secret.
    pub text: String,
}

/// A group as the Sentinel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: GroupName,
    /// Its primary.
    pub primary: Place,
    /// The Sentinel's quorum.
    pub quorum: u32,
    /// Its other settings, as SENTINEL SET takes them. What is not here is left as it is.
    pub settings: Vec<(&'static str, Value)>,
    /// The replicas that the Sentinel knows.
    pub replicas: Vec<Place>,
    /// How many other Sentinels it knows.
    pub sentinels: usize,
    /// What people should know about this group.
    pub notes: Vec<String>,
}

/// Where an instance is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// At an IP address.
    At(Address),
    /// At a host name, which the cluster resolves.
    Named(String, u16),
}

impl Place {
    /// From the two texts; `None` when they mean no place.
    pub(super) fn parse(host: &str, port: &str) -> Option<Self> {
        const HOST_BYTES_MAX: usize = 253;
        if let Ok(address) = Address::parse(host, port) {
            return Some(Self::At(address));
        }
        let port = port.parse::<u16>().ok().filter(|port| *port != 0)?;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let named = !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(good);
        named.then(|| Self::Named(host.to_ascii_lowercase(), port))
    }
}

impl Place {
    /// Host and port, as requests have them.
    pub(super) fn words(&self) -> (String, String) {
        match self {
            Self::At(address) => (address.ip.to_string(), address.port.to_string()),
            Self::Named(host, port) => (host.clone(), port.to_string()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Named(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// The value of a setting.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// May be shown.
    Open(String),
    /// Is never shown, and cannot be compared with what the cluster has.
    Secret(String),
    /// What commands are called, by their usual names in lower case; the usual name itself takes another one back.
    Names(BTreeMap<String, String>),
}

impl Value {
    /// As SENTINEL SET takes it, the name of the option included.
    pub fn on_the_wire(&self, option: &str) -> Vec<String> {
        match self {
            Self::Open(text) | Self::Secret(text) => vec![option.to_owned(), text.clone()],
            Self::Names(names) => {
                let words = names.iter().flat_map(|(usual, name)| [option, usual, name]);
                words.map(str::to_owned).collect()
            }
        }
    }
}

/// What people may see.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(text) => f.write_str(text),
            Self::Secret(_) => f.write_str("******"),
            Self::Names(names) => {
                let pairs: Vec<_> = names.iter().map(|(usual, name)| format!("{usual}={name}")).collect();
                f.write_str(&pairs.join(","))
            }
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
