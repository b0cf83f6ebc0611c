//! Identifiers. Each is its own type where two of them could be confused.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The number of a cfgserver node in its cluster: 1 and up, chosen by the operator, never reused.
pub type NodeId = u64;
/// A Raft term. Never called an epoch.
pub type Term = u64;
/// The failover epoch of a group. 0: never failed over.
pub type Epoch = u64;
/// Counts the changes of the replicated state. Every change raises it by at least one.
pub type Revision = u64;

/// Identifies a group for ever; a name that is removed and monitored again is another group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub u64);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The name of a group (Sentinel's "master name"): 1 to 255 bytes of printable ASCII, no space, no comma.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupName(Arc<str>);

/// Why a text is not a group name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group name is 1 to 255 bytes of printable ASCII without space and comma")]
pub struct NameError;

impl GroupName {
    /// Longest accepted name, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// Checks the rules of a name.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, NameError> {
        let bytes = name.as_ref();
        let good = |b: &u8| b.is_ascii_graphic() && *b != b',';
        if bytes.is_empty() || bytes.len() > Self::BYTES_MAX || !bytes.iter().all(good) {
            return Err(NameError);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NameError)?;
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for GroupName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for GroupName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl From<GroupName> for String {
    fn from(name: GroupName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// The run id of one Redis process (40 hex digits in every known version). A restart draws a new one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Arc<str>);

impl RunId {
    /// Takes the text that INFO showed.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().into())
    }

    /// The run id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies a cluster of cfgserver nodes: 32 hex digits, drawn when the cluster is formed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub Arc<str>);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What `SENTINEL MYID` answers: 40 hex digits, drawn when the data directory is made, kept for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MyId(pub Arc<str>);

impl fmt::Display for MyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
