//! What there is to do, so that the cluster has what the Sentinel has.

use std::collections::BTreeMap;

use super::fields::printable;
use super::present::{Present, Standing};
use super::source::{Note, Place, Source, Value, Wanted};
use crate::model::{GroupName, Mode};
use crate::resp::glob_matches;
use crate::sentinel::mode_name;

/// What is asked for, besides what the source says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Mode of the groups; `None`: observe for new ones, and the others keep theirs.
    pub mode: Option<Mode>,
    /// Only groups whose names match one of these; all when empty.
    pub only: Vec<String>,
    /// What about a group that the cluster has at another address.
    pub elsewhere: Elsewhere,
    /// What about a password that the cluster has.
    pub secrets: Secrets,
    /// User and password towards the instances, for groups of which the source tells none.
    pub auth: Vec<(&'static str, Value)>,
}

/// What to do about a group that the cluster has at another address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Elsewhere {
    /// Refuse it.
    #[default]
    Refuse,
    /// Remove it, and monitor it anew.
    Replace,
}

/// What to do about a password where there is one already: the two cannot be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// Leave it.
    #[default]
    Keep,
    /// Set it again.
    Set,
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Per group, in the order of the names.
    pub groups: Vec<GroupPlan>,
    /// What is not taken over.
    pub notes: Vec<Note>,
    /// Groups of the source that were not asked for.
    pub left_out: usize,
}

/// What there is to do about one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPlan {
    /// Its name.
    pub name: GroupName,
    /// What to do.
    pub deed: Deed,
    /// Its primary, as the source has it.
    pub primary: Place,
    /// Replicas that the source knows: the cluster finds them by itself.
    pub replicas: Vec<Place>,
    /// How many other Sentinels have this group.
    pub sentinels: usize,
    /// What people should know.
    pub notes: Vec<String>,
}

/// What to do about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Nothing: the cluster has it so.
    Nothing,
    /// It is new.
    Monitor {
        /// Its primary.
        primary: Place,
        /// Its quorum.
        quorum: u32,
        /// Its settings.
        settings: Vec<(&'static str, Value)>,
    },
    /// Settings differ.
    Set(Vec<Change>),
    /// The cluster has it elsewhere: it is removed there, and is new here.
    Replace {
        /// Where the cluster has it.
        from: Place,
        /// Its primary.
        primary: Place,
        /// Its quorum.
        quorum: u32,
        /// Its settings.
        settings: Vec<(&'static str, Value)>,
    },
    /// It cannot be done; why.
    Refused(String),
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub option: &'static str,
    /// What the cluster has; may be shown.
    pub from: String,
    /// What it shall have.
    pub to: Value,
}

impl Plan {
    /// Compares what a Sentinel has with what the cluster has.
    pub fn new(source: &Source, present: &Present, wish: &Wish) -> Self {
        let twice = twice(source);
        let asked_for = |group: &&Wanted| wish.asks_for(&group.name);
        let groups = source.groups.iter().filter(asked_for);
        let groups: Vec<_> = groups
            .map(|wanted| {
                let mut notes = wanted.notes.clone();
                let deed = match twice.get(&wanted.primary).filter(|first| **first != wanted.name) {
                    Some(first) => Deed::Refused(format!(
                        "its address is that of group {first} as well, and an instance belongs to one group only"
                    )),
                    None => decide(wanted, present, wish, &mut notes),
                };
                GroupPlan {
                    name: wanted.name.clone(),
                    deed,
                    primary: wanted.primary.clone(),
                    replicas: wanted.replicas.clone(),
                    sentinels: wanted.sentinels,
                    notes,
                }
            })
            .collect();
        Self {
            left_out: source.groups.len() - groups.len(),
            groups,
            notes: source.notes.clone(),
        }
    }

    /// Changes the mode of groups that the cluster has, and nothing else.
    pub fn of_modes(present: &Present, mode: Mode, wish: &Wish) -> Self {
        let all = present.groups.len();
        let groups = present.groups.iter().filter(|(name, _)| wish.asks_for(name));
        let groups: Vec<_> = groups
            .map(|(name, standing)| {
                let to = Value::Open(mode_name(mode).to_owned());
                let changes: Vec<_> = change(standing, "mode", &to).into_iter().collect();
                GroupPlan {
                    name: name.clone(),
                    deed: if changes.is_empty() {
                        Deed::Nothing
                    } else {
                        Deed::Set(changes)
                    },
                    primary: standing.place(),
                    replicas: Vec::new(),
                    sentinels: 0,
                    notes: Vec::new(),
                }
            })
            .collect();
        Self {
            left_out: all - groups.len(),
            groups,
            notes: Vec::new(),
        }
    }

    /// Whether something cannot be done.
    pub fn is_refused(&self) -> bool {
        self.groups.iter().any(|group| matches!(group.deed, Deed::Refused(_)))
    }

    /// Whether nothing is left but passwords that are set again each time they are asked for.
    pub fn is_done_but_for_secrets(&self) -> bool {
        let secret = |change: &Change| matches!(change.to, Value::Secret(_));
        self.groups.iter().all(|group| match &group.deed {
            Deed::Nothing => true,
            Deed::Set(changes) => changes.iter().all(secret),
            _ => false,
        })
    }

    /// Whether there is nothing to do.
    pub fn is_done(&self) -> bool {
        self.groups.iter().all(|group| group.deed == Deed::Nothing)
    }
}

impl GroupPlan {
    /// The requests that do it, in order. Each may be repeated.
    pub fn requests(&self) -> Vec<Vec<String>> {
        let name = self.name.to_string();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let monitor = |primary: &Place, quorum: &u32, settings: &[(&'static str, Value)]| {
            let (host, port) = primary.words();
            let mut request = words(&["CFG", "MONITOR", &name, &host, &port, &quorum.to_string()]);
            for (option, value) in settings {
                request.extend(value.on_the_wire(option));
            }
            request
        };
        match &self.deed {
            Deed::Nothing | Deed::Refused(_) => Vec::new(),
            Deed::Monitor {
                primary,
                quorum,
                settings,
            } => with_names(primary, vec![monitor(primary, quorum, settings)]),
            Deed::Replace {
                primary,
                quorum,
                settings,
                ..
            } => {
                let anew = vec![
                    words(&["SENTINEL", "REMOVE", &name]),
                    monitor(primary, quorum, settings),
                ];
                with_names(primary, anew)
            }
            Deed::Set(changes) => {
                let mut request = words(&["SENTINEL", "SET", &name]);
                for change in changes {
                    request.extend(change.to.on_the_wire(change.option));
                }
                vec![request]
            }
        }
    }
}

/// The requests of a group with a host name, behind the one that has names taken at all.
fn with_names(primary: &Place, requests: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let take_names = ["SENTINEL", "CONFIG", "SET", "resolve-hostnames", "yes"];
    let named = matches!(primary, Place::Named(..));
    let first = named.then(|| take_names.map(str::to_owned).to_vec());
    first.into_iter().chain(requests).collect()
}

impl Wish {
    fn asks_for(&self, name: &GroupName) -> bool {
        let matches = |pattern: &String| glob_matches(pattern.as_bytes(), name.as_str().as_bytes());
        self.only.is_empty() || self.only.iter().any(matches)
    }
}

/// Addresses that more than one group of the source has, and the first of these groups.
fn twice(source: &Source) -> BTreeMap<Place, GroupName> {
    let mut first: BTreeMap<Place, GroupName> = BTreeMap::new();
    for group in &source.groups {
        first.entry(group.primary.clone()).or_insert_with(|| group.name.clone());
    }
    first
}

fn decide(wanted: &Wanted, present: &Present, wish: &Wish, notes: &mut Vec<String>) -> Deed {
    let primary = wanted.primary.clone();
    let standing = present.groups.get(&wanted.name);
    let quorum = reachable_quorum(wanted.quorum, present.electorate, notes);
    let mut settings = settings(wanted, wish, standing);
    leave_out_scripts(&mut settings, present, notes);
    if let Some(other) = present.group_at(&primary).filter(|other| **other != wanted.name) {
        return Deed::Refused(format!("{primary} belongs to group {other} of the cluster"));
    }
    let Some(standing) = standing else {
        return Deed::Monitor {
            primary,
            quorum,
            settings,
        };
    };
    if !standing.is_at(&primary) {
        return elsewhere(standing, primary, quorum, settings, wish);
    }
    let quorum = ("quorum", Value::Open(quorum.to_string()));
    let mut changes = Vec::new();
    for (option, to) in std::iter::once(&quorum).chain(&settings) {
        if let Value::Secret(_) = to
            && !standing.setting(option).is_empty()
            && wish.secrets == Secrets::Keep
        {
            notes.push(format!(
                "{option}: the cluster has one, which cannot be compared and is left as it is (--secrets sets it again)"
            ));
            continue;
        }
        changes.extend(change(standing, option, to));
    }
    match changes.is_empty() {
        true => Deed::Nothing,
        false => Deed::Set(changes),
    }
}

fn change(standing: &Standing, option: &'static str, to: &Value) -> Option<Change> {
    let from = standing.setting(option);
    // A password is never equal to what is shown of one.
    let same = !matches!(to, Value::Secret(_)) && to.to_string() == from;
    let to = match to {
        Value::Names(names) => Value::Names(renamed(from, names)),
        other => other.clone(),
    };
    (!same).then(|| Change {
        option,
        from: printable(from),
        to,
    })
}

/// These names, and the usual ones of commands that only the cluster has under another.
fn renamed(from: &str, to: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let known = from.split(',').filter_map(|pair| pair.split_once('='));
    let mut names: BTreeMap<_, _> = known.map(|(usual, _)| (usual.to_owned(), usual.to_owned())).collect();
    names.extend(to.clone());
    names
}

/// Nodes that let nobody set scripts would refuse the whole group.
fn leave_out_scripts(settings: &mut Vec<(&'static str, Value)>, present: &Present, notes: &mut Vec<String>) {
    if present.runs_scripts {
        return;
    }
    settings.retain(|(option, _)| {
        let is_script = option.ends_with("-script");
        if is_script {
            notes.push(format!(
                "{option} is not taken over: the nodes were started without --deny-scripts-reconfig no"
            ));
        }
        !is_script
    });
}

fn elsewhere(
    standing: &Standing,
    primary: Place,
    quorum: u32,
    settings: Vec<(&'static str, Value)>,
    wish: &Wish,
) -> Deed {
    let from = standing.place();
    let password = |(option, _): &(&str, Value)| *option == "auth-pass";
    if wish.elsewhere == Elsewhere::Replace {
        if !standing.setting("auth-pass").is_empty() && !settings.iter().any(password) {
            return Deed::Refused(format!(
                "the cluster has it at {from} with a password, which --replace would lose: give --auth-pass-file"
            ));
        }
        return Deed::Replace {
            from,
            primary,
            quorum,
            settings,
        };
    }
    let why = if matches!(primary, Place::At(address) if standing.replicas.contains(&address)) {
        "which is a replica there: either the source is old, or a switch is on its way. Ask again, or correct the source"
    } else {
        "which the cluster does not know"
    };
    Deed::Refused(format!(
        "the cluster has it at {from}, and the source at {primary}, {why} (--replace removes it and monitors it anew)"
    ))
}

/// A quorum of which the cluster has not enough nodes would mean that nothing is ever replaced.
fn reachable_quorum(quorum: u32, electorate: u32, notes: &mut Vec<String>) -> u32 {
    let majority = electorate / 2 + 1;
    if quorum > electorate {
        notes.push(format!(
            "quorum {quorum} is more than the number of nodes ({electorate}): it becomes {majority}, their majority"
        ));
        return majority;
    }
    if quorum == electorate && electorate > 1 {
        notes.push(format!(
            "quorum {quorum} needs every one of the {electorate} nodes: with one down, nothing is replaced"
        ));
    }
    quorum
}

/// The settings that the group shall have, without the quorum.
fn settings(wanted: &Wanted, wish: &Wish, standing: Option<&Standing>) -> Vec<(&'static str, Value)> {
    let mut settings: Vec<(&'static str, Value)> = Vec::new();
    let mode = match (wish.mode, standing) {
        (Some(mode), _) => Some(mode),
        (None, None) => Some(Mode::Observe),
        (None, Some(_)) if wish.elsewhere == Elsewhere::Replace => standing.and_then(known_mode),
        (None, Some(_)) => None,
    };
    if let Some(mode) = mode {
        settings.push(("mode", Value::Open(mode_name(mode).to_owned())));
    }
    settings.extend(wanted.settings.iter().cloned());
    let has = |option: &str| wanted.settings.iter().any(|(known, _)| *known == option);
    if !has("auth-pass") {
        let own = wish.auth.iter().filter(|(option, _)| !has(option));
        settings.extend(own.cloned());
    }
    settings
}

/// A group that is monitored anew keeps its mode.
fn known_mode(standing: &Standing) -> Option<Mode> {
    match standing.setting("mode") {
        "manage" => Some(Mode::Manage),
        _ => Some(Mode::Observe),
    }
}
