//! What the agent knows: where each group is, and by which version.
//!
//! The rule of learning: a newer version of a group wins, an older one never does. Versions are revisions of the
//! cluster's state, so they also rise when a name is removed and monitored again. Which replicas are healthy is one
//! node's sighting and has no version: the latest word counts.
//! What does not live here: the disk (`state`), and who is asked.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{Address, Revision};

/// Where a group is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenRoute", into = "WrittenRoute")]
pub struct Route {
    /// Its primary.
    pub primary: Address,
    /// The revision of the group's last change. 0: kept from a cluster that is no longer followed.
    pub version: Revision,
    /// Its replicas that are announced and healthy.
    pub replicas: BTreeSet<Address>,
}

/// Where all groups are that were ever learned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The cluster that said so; `None`: none was met.
    pub cluster: Option<String>,
    /// Group -> where it is.
    pub routes: BTreeMap<String, Route>,
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learned {
    /// The group was not known.
    New,
    /// The primary is another one.
    Moved {
        /// Where it was.
        from: Address,
    },
    /// Only the healthy replicas are others.
    Replicas,
    /// Nothing that anybody reads differs.
    Same,
    /// The answer is older than what is known, and ignored.
    Older {
        /// The version that is known.
        known: Revision,
    },
    /// The same version with another primary: one of the two nodes is wrong. Ignored.
    Contradicts {
        /// The primary that is known at this version.
        known: Address,
    },
}

/// The answer comes from another cluster than the one that is followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node belongs to cluster {met}, this agent follows {followed}")]
pub struct Foreign {
    /// The cluster of the answer.
    pub met: String,
    /// The cluster of the table.
    pub followed: String,
}

impl Table {
    /// Checks that an answer of `cluster` may be learned from. The first cluster that is met is the one to follow.
    pub fn meet(&mut self, cluster: &str) -> Result<(), Foreign> {
        match &self.cluster {
            Some(followed) if followed != cluster => Err(Foreign {
                met: cluster.to_owned(),
                followed: followed.clone(),
            }),
            Some(_) => Ok(()),
            None => {
                self.cluster = Some(cluster.to_owned());
                Ok(())
            }
        }
    }

    /// Follows `cluster` from now on, because the operator says so. The addresses stay until it says others; the
    /// versions of another cluster mean nothing in it. Says whether that changed anything.
    pub fn follow(&mut self, cluster: &str) -> bool {
        if self.cluster.as_deref() == Some(cluster) {
            return false;
        }
        if self.cluster.replace(cluster.to_owned()).is_some() {
            self.routes.values_mut().for_each(|route| route.version = 0);
        }
        true
    }

    /// Takes an answer about a group, by the rule.
    pub fn learn(&mut self, group: &str, route: Route) -> Learned {
        let Some(known) = self.routes.get_mut(group) else {
            self.routes.insert(group.to_owned(), route);
            return Learned::New;
        };
        if route.version < known.version {
            return Learned::Older { known: known.version };
        }
        if route.version == known.version && route.primary != known.primary {
            return Learned::Contradicts { known: known.primary };
        }
        let before = std::mem::replace(known, route);
        if before.primary != known.primary {
            Learned::Moved { from: before.primary }
        } else if before.replicas != known.replicas {
            Learned::Replicas
        } else {
            Learned::Same
        }
    }
}

/// A route on disk: addresses as people write them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRoute {
    primary: String,
    version: Revision,
    replicas: Vec<String>,
}

impl From<Route> for WrittenRoute {
    fn from(route: Route) -> Self {
        Self {
            primary: route.primary.to_string(),
            version: route.version,
            replicas: route.replicas.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<WrittenRoute> for Route {
    type Error = String;

    fn try_from(written: WrittenRoute) -> Result<Self, String> {
        let address = |text: &String| text.parse().map_err(|error| format!("'{text}': {error}"));
        Ok(Self {
            primary: address(&written.primary)?,
            version: written.version,
            replicas: written.replicas.iter().map(address).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn at(port: u16) -> Address {
        Address::parse("10.0.0.1", &port.to_string()).unwrap()
    }

    fn route(primary: u16, version: Revision, replicas: &[u16]) -> Route {
        Route {
            primary: at(primary),
            version,
            replicas: replicas.iter().map(|port| at(*port)).collect(),
        }
    }

    #[test]
    fn a_newer_version_wins_and_an_older_one_never_does() {
        let mut table = Table::default();
        assert_eq!(table.learn("g", route(1, 5, &[])), Learned::New);
        assert_eq!(table.learn("g", route(2, 8, &[])), Learned::Moved { from: at(1) });
        assert_eq!(table.learn("g", route(1, 7, &[])), Learned::Older { known: 8 });
        assert_eq!(table.learn("g", route(2, 8, &[])), Learned::Same);
        assert_eq!(table.learn("g", route(2, 9, &[])), Learned::Same);
        assert_eq!(table.routes["g"], route(2, 9, &[]));
    }

    #[test]
    fn one_version_has_one_primary() {
        let mut table = Table::default();
        table.learn("g", route(1, 5, &[]));
        assert_eq!(
            table.learn("g", route(2, 5, &[])),
            Learned::Contradicts { known: at(1) }
        );
        assert_eq!(table.routes["g"].primary, at(1));
    }

    #[test]
    fn the_latest_word_about_replicas_counts_unless_it_is_of_an_older_version() {
        let mut table = Table::default();
        table.learn("g", route(1, 5, &[2, 3]));
        assert_eq!(table.learn("g", route(1, 5, &[2])), Learned::Replicas);
        assert_eq!(table.learn("g", route(1, 4, &[2, 3])), Learned::Older { known: 5 });
        assert_eq!(table.routes["g"].replicas, BTreeSet::from([at(2)]));
    }

    #[test]
    fn the_first_cluster_is_followed_and_no_other() {
        let mut table = Table::default();
        assert_eq!(table.meet("one"), Ok(()));
        let refused = table.meet("two").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the node belongs to cluster two, this agent follows one"
        );
        assert_eq!(table.cluster.as_deref(), Some("one"));
    }

    #[test]
    fn another_cluster_begins_with_the_old_addresses_and_any_version_of_it_wins() {
        let mut table = Table::default();
        assert!(table.follow("one"));
        table.learn("g", route(1, 500, &[]));
        assert!(!table.follow("one"), "nothing new");
        assert!(table.follow("two"));
        assert_eq!(table.routes["g"], route(1, 0, &[]));
        assert_eq!(table.learn("g", route(2, 3, &[])), Learned::Moved { from: at(1) });
    }

    #[test]
    fn addresses_are_kept_as_people_write_them() {
        let mut table = Table::default();
        table.follow("c");
        table.learn("g", route(1, 5, &[2]));
        let text = serde_json::to_string(&table).unwrap();
        let expected =
            r#"{"cluster":"c","routes":{"g":{"primary":"10.0.0.1:1","version":5,"replicas":["10.0.0.1:2"]}}}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Table>(&text).unwrap(), table);
        for (from, to) in [
            ("10.0.0.1:1", "10.0.0.1:0"),
            ("10.0.0.1:2", "x"),
            ("\"g\"", "\"g\":1,\"h\""),
        ] {
            assert!(serde_json::from_str::<Table>(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
