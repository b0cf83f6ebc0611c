//! The values that options take, each with one text form for argv, environment and file.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::Deserialize;

use crate::model::{HostPort, HostPortError, NodeId};

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
            let address: HostPort = address
                .parse()
                .map_err(|fault: HostPortError| ValueError(fault.to_string()))?;
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

/// What a node answers lookups from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ReadPolicy {
    /// What it has applied, also without a majority.
    #[default]
    Applied,
    /// What it has applied, and only while a majority is known to be in contact with the leader.
    Contact,
}

/// When a node runs scripts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RunScripts {
    /// While it leads.
    #[default]
    Leader,
    /// Whoever leads.
    Always,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

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
