//! Files, plans and texts, without a node.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod files;
mod live;
mod plans;
mod random;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::{Address, GroupName, Mode};

fn parsed(text: &str) -> Source {
    parse_conf(text.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

fn name(text: &str) -> GroupName {
    GroupName::new(text).unwrap()
}

fn empty(electorate: u32) -> Present {
    Present {
        cluster: "c1".to_owned(),
        electorate,
        runs_scripts: false,
        groups: BTreeMap::new(),
    }
}

/// A cluster that has one group.
fn having(group: &str, primary: &str, settings: &[(&str, &str)]) -> Present {
    let mut present = empty(3);
    let defaults = [
        ("quorum", "2"),
        ("down-after-milliseconds", "30000"),
        ("failover-timeout", "180000"),
        ("parallel-syncs", "1"),
        ("master-reboot-down-after-period", "0"),
        ("mode", "manage"),
        ("auth-user", ""),
        ("auth-pass", ""),
    ];
    let settings = defaults.iter().chain(settings);
    let standing = Standing {
        host: String::new(),
        primary: at(primary),
        replicas: BTreeSet::from([at("10.9.9.9:6379")]),
        settings: settings
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    present.groups.insert(name(group), standing);
    present
}

fn deed(text: &str, present: &Present, wish: &Wish) -> Deed {
    let plan = Plan::new(&parsed(text), present, wish);
    plan.groups.into_iter().next().unwrap().deed
}

fn in_mode(mode: Mode) -> Wish {
    Wish {
        mode: Some(mode),
        ..Wish::default()
    }
}

const ONE: &str = "sentinel monitor a 10.0.0.1 6379 2\n";
