//! What the cluster has, by the replies of one of its nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::{Fields, Useless, list, printable, refusal};
use super::source::Place;
use crate::model::{Address, GroupName};
use crate::resp::Reply;

/// The cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Its id.
    pub cluster: String,
    /// How many nodes judge.
    pub electorate: u32,
    /// The node that was asked lets scripts be set, and runs them.
    pub runs_scripts: bool,
    /// Its groups.
    pub groups: BTreeMap<GroupName, Standing>,
}

/// A group of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its primary.
    pub primary: Address,
    /// The primary's host name; empty when it has none.
    pub host: String,
    /// Its replicas.
    pub replicas: BTreeSet<Address>,
    /// Settings as CFG GROUPS shows them, the quorum included.
    pub settings: BTreeMap<String, String>,
}

/// What is no setting.
const FACTS: &[&str] = &["name", "ip", "port", "replicas", "version", "host-name"];

impl Present {
    /// Reads the answers to `INFO raft` and `CFG GROUPS`.
    pub fn read(info: &Reply, groups: &Reply) -> Result<Self, Useless> {
        let text = match info {
            Reply::Bulk(text) => std::str::from_utf8(text).map_err(|_| Useless::Nonsense("INFO is no text"))?,
            Reply::Error(text) => return Err(refusal(text)),
            _ => return Err(Useless::Nonsense("INFO is no text")),
        };
        let line = |key: &str| {
            let value = |line: &'_ str| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim_end().to_owned());
            text.split('\n').find_map(value)
        };
        let stranger = Useless::Nonsense("it is no cfgserver node: its INFO names no cluster");
        let cluster = line("cluster_id").ok_or(stranger)?;
        if cluster.is_empty() {
            return Err(Useless::NotYet("it belongs to no cluster yet".to_owned()));
        }
        let electorate = line("raft_electorate").and_then(|number| number.parse().ok());
        let mut present = Self {
            cluster: printable(&cluster),
            electorate: electorate.unwrap_or(1),
            runs_scripts: line("scripts_denied").as_deref() == Some("0"),
            groups: BTreeMap::new(),
        };
        for entry in list(groups, "CFG GROUPS is no list")? {
            let fields = Fields::of(entry)?;
            present.groups.insert(fields.name()?, Standing::read(entry, &fields)?);
        }
        Ok(present)
    }

    /// The group that an instance belongs to.
    pub(super) fn group_at(&self, place: &Place) -> Option<&GroupName> {
        let replica = |group: &Standing| matches!(place, Place::At(address) if group.replicas.contains(address));
        let has = |group: &Standing| group.is_at(place) || replica(group);
        let found = self.groups.iter().find(|(_, group)| has(group));
        found.map(|(name, _)| name)
    }
}

impl Standing {
    fn read(entry: &Reply, fields: &Fields<'_>) -> Result<Self, Useless> {
        let primary = fields.address();
        let replicas = fields.get("replicas").unwrap_or_default();
        let replicas = replicas.split(',').filter(|text| !text.is_empty());
        let replicas: Result<_, _> = replicas.map(str::parse).collect();
        let mut settings = BTreeMap::new();
        for pair in list(entry, "a group is no list")?.chunks_exact(2) {
            if let [Some(name), Some(value)] = [super::fields::text(&pair[0]), super::fields::text(&pair[1])]
                && !FACTS.contains(&name)
            {
                settings.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(Self {
            primary: primary.ok_or(Useless::Nonsense("a group has no address"))?,
            host: fields.get("host-name").unwrap_or_default().to_owned(),
            replicas: replicas.map_err(|_| Useless::Nonsense("a replica has no address"))?,
            settings,
        })
    }

    /// Its primary, by the name under which it is monitored.
    pub(super) fn place(&self) -> Place {
        match self.host.as_str() {
            "" => Place::At(self.primary),
            host => Place::Named(host.to_owned(), self.primary.port),
        }
    }

    /// Whether its primary is there: a Sentinel that was told a name tells its address.
    pub(super) fn is_at(&self, place: &Place) -> bool {
        *place == Place::At(self.primary) || *place == self.place()
    }

    pub(super) fn setting(&self, option: &str) -> &str {
        self.settings.get(option).map_or("", String::as_str)
    }
}
