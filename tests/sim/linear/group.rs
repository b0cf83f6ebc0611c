//! What operators may expect of one name: its group, its settings, its primary and its failovers.

use std::collections::BTreeMap;

use cfgserver::model::{self, GroupConfig};

use super::Specification;

/// What is asked of one name, or what the cluster does with it by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Monitor {
        primary: String,
        quorum: u32,
    },
    Remove,
    /// Options and their values; the quorum is one of them.
    Set(BTreeMap<String, String>),
    Failover,
    /// Lookups; at a place.
    Read,
    /// The cluster moves on by itself: failovers opened, completed, aborted and ended, and switches made by others.
    Moves {
        before: Shape,
        after: Shape,
    },
}

/// What failovers change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) primary: String,
    pub(crate) epoch: u64,
    /// A failover is open.
    pub(crate) open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    NoSuchGroup,
    /// MONITOR: the name has another primary or quorum.
    Duplicate,
    /// MONITOR: the address is a member of another group.
    Taken,
    /// FAILOVER: one is open.
    InProgress,
    /// FAILOVER: not with these replicas, or not in this mode.
    NotNow,
    /// A read: what there is.
    Seen(Option<Seen>),
}

/// What a read shows; each part may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) primary: Option<String>,
    pub(crate) settings: BTreeMap<String, String>,
}

/// A group as operators know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    monitored: (String, u32),
    primary: String,
    settings: BTreeMap<String, String>,
    epoch: u64,
    open: bool,
}

pub(crate) const QUORUM: &str = "quorum";

impl Shape {
    pub(crate) fn of(group: &model::Group) -> Self {
        Self {
            primary: group.primary.to_string(),
            epoch: group.epoch,
            open: group.failover.is_some(),
        }
    }
}

/// The settings that operators change, by the names of SENTINEL SET.
pub(crate) fn settings(config: &GroupConfig) -> BTreeMap<String, String> {
    let pair = |name: &str, value: u64| (name.to_owned(), value.to_string());
    BTreeMap::from([
        pair(QUORUM, u64::from(config.quorum)),
        pair("down-after-milliseconds", config.down_after_ms),
        pair("failover-timeout", config.failover_timeout_ms),
        pair("parallel-syncs", u64::from(config.parallel_syncs)),
        pair("refused-after-milliseconds", config.refused_after_ms),
        pair("master-reboot-down-after-period", config.reboot_down_after_ms),
        ("mode".to_owned(), format!("{:?}", config.mode).to_lowercase()),
        ("identity".to_owned(), format!("{:?}", config.identity).to_lowercase()),
    ])
}

impl Group {
    /// As MONITOR makes it.
    pub(crate) fn new(primary: &str, quorum: u32) -> Self {
        Self {
            monitored: (primary.to_owned(), quorum),
            primary: primary.to_owned(),
            settings: settings(&GroupConfig {
                quorum,
                ..GroupConfig::default()
            }),
            epoch: 0,
            open: false,
        }
    }

    /// As it is before the history begins.
    pub(crate) fn known(group: &model::Group) -> Self {
        let shape = Shape::of(group);
        Self {
            monitored: (group.monitored.address.to_string(), group.monitored.quorum),
            primary: shape.primary,
            settings: settings(&group.config),
            epoch: shape.epoch,
            open: shape.open,
        }
    }

    fn shape(&self) -> Shape {
        Shape {
            primary: self.primary.clone(),
            epoch: self.epoch,
            open: self.open,
        }
    }

    fn is(&self, primary: &str, quorum: u32) -> bool {
        let given = (primary, quorum.to_string());
        let monitored = (self.monitored.0.as_str(), self.monitored.1.to_string());
        let current = (
            self.primary.as_str(),
            self.settings.get(QUORUM).cloned().unwrap_or_default(),
        );
        given == monitored || given == current
    }

    fn shows(&self, seen: &Seen) -> bool {
        let same = |(name, value): (&String, &String)| self.settings.get(name) == Some(value);
        seen.primary.as_ref().is_none_or(|primary| *primary == self.primary) && seen.settings.iter().all(same)
    }
}

/// One name.
pub(crate) struct GroupSpec;

impl Specification for GroupSpec {
    type Call = Call;
    type Answer = Answer;
    type State = Option<Group>;

    fn only_looks(_: &Call, answer: &Answer) -> bool {
        *answer != Answer::Done
    }

    fn step(state: &Option<Group>, call: &Call, answer: Option<&Answer>) -> Option<Option<Group>> {
        let unchanged = |fits: bool| fits.then(|| state.clone());
        let changed = |change: &dyn Fn(&mut Group)| {
            let mut group = state.clone()?;
            change(&mut group);
            Some(Some(group))
        };
        let exists = state.is_some();
        match (call, answer) {
            (Call::Monitor { primary, quorum }, None | Some(Answer::Done)) => match state {
                None => Some(Some(Group::new(primary, *quorum))),
                Some(group) => unchanged(group.is(primary, *quorum)),
            },
            (Call::Monitor { primary, quorum }, Some(Answer::Duplicate)) => {
                unchanged(state.as_ref().is_some_and(|group| !group.is(primary, *quorum)))
            }
            (Call::Monitor { .. }, Some(Answer::Taken)) => unchanged(!exists),
            (Call::Remove, None | Some(Answer::Done)) => exists.then_some(None),
            (Call::Set(settings), None | Some(Answer::Done)) => {
                changed(&|group| group.settings.extend(settings.clone()))
            }
            (Call::Failover, None | Some(Answer::Done)) => {
                if state.as_ref().is_none_or(|group| group.open) {
                    return None;
                }
                changed(&|group| {
                    group.epoch += 1;
                    group.open = true;
                })
            }
            (Call::Failover, Some(Answer::InProgress)) => unchanged(state.as_ref().is_some_and(|group| group.open)),
            // The name stays while a coordinated failover holds writes back.
            (Call::Remove, Some(Answer::InProgress)) => unchanged(state.as_ref().is_some_and(|group| group.open)),
            (Call::Failover, Some(Answer::NotNow)) => unchanged(exists),
            (Call::Remove | Call::Set(_) | Call::Failover, Some(Answer::NoSuchGroup)) => unchanged(!exists),
            (Call::Read, Some(Answer::Seen(seen))) => unchanged(match (state, seen) {
                (None, None) => true,
                (Some(group), Some(seen)) => group.shows(seen),
                _ => false,
            }),
            (Call::Moves { before, after }, _) => {
                let group = state.as_ref().filter(|group| group.shape() == *before)?;
                Some(Some(Group {
                    primary: after.primary.clone(),
                    epoch: after.epoch,
                    open: after.open,
                    ..group.clone()
                }))
            }
            _ => None,
        }
    }
}
