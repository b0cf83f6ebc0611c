//! What the file should say, with literals.

use std::collections::BTreeMap;

use super::plan::{Following, Plan, plan};
use crate::agent::{Kind, Route, Table};
use crate::template::{Dialect, Template};

const TEXT: &str = "\
a:
  servers:
   - 10.0.0.1:1:1 x
   - 10.0.0.2:1:1 y
b:
  servers:
   - 10.0.0.3:1:1 x
";

fn table(routes: &[(&str, &str)]) -> Table {
    let route = |(group, primary): &(&str, &str)| {
        let route = Route {
            primary: primary.parse().unwrap(),
            version: 7,
            replicas: ["10.1.1.1:1".parse().unwrap()].into(),
        };
        ((*group).to_owned(), route)
    };
    Table {
        cluster: None,
        routes: routes.iter().map(route).collect(),
    }
}

fn names(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(server, group): &(&str, &str)| ((*server).to_owned(), (*group).to_owned());
    pairs.iter().map(owned).collect()
}

fn groups(following: &Following) -> Vec<&str> {
    following.groups.values().map(String::as_str).collect()
}

fn make(text: &str, kind: Kind, present: Option<&str>, table: &Table) -> Plan {
    let dialect = super::plan::dialect(kind);
    let template = Template::parse(text, dialect).unwrap();
    let present = present.map(|text| Template::parse(text, dialect).unwrap());
    let following = Following::of(&template, kind, &BTreeMap::new());
    plan(&template, kind, &following, present.as_ref(), table).unwrap()
}

#[test]
fn a_server_follows_the_group_of_its_name_unless_the_operator_says_otherwise() {
    let template = Template::parse(TEXT, Dialect::Nutcracker).unwrap();
    let following = |pairs| Following::of(&template, Kind::Nutcracker, &names(pairs));
    assert_eq!(groups(&following(&[])), ["x", "y", "x"]);
    assert_eq!(groups(&following(&[("x", "g")])), ["g", "y", "g"]);
    let both = following(&[("b/x", "h"), ("x", "g")]);
    assert_eq!(groups(&both), ["g", "y", "h"]);
    assert!(both.unfollowed.is_empty());
    let impossible = following(&[("y", "no good")]);
    assert_eq!(groups(&impossible), ["x", "x"]);
    assert_eq!(impossible.unfollowed[0].server, "a/y");
}

#[test]
fn one_group_moves_each_server_that_follows_it() {
    let plan = make(TEXT, Kind::Nutcracker, None, &table(&[("x", "10.9.9.9:1")]));
    let moves: Vec<_> = plan
        .moves
        .iter()
        .map(|moved| moved.server.as_deref().unwrap())
        .collect();
    assert_eq!(moves, ["a/x", "b/x"]);
    assert_eq!(plan.moves[1].from.as_deref(), Some("10.0.0.3:1"));
    assert_eq!(plan.text.matches("10.9.9.9:1:1 x").count(), 2);
}

#[test]
fn an_edited_template_does_not_move_a_server_back() {
    // The operator's file still has the first address; the proxy's has the one of an earlier switch.
    let present = TEXT.replace("10.0.0.2:1", "10.0.0.8:1");
    let edited = TEXT.replace("a:\n", "a:\n  timeout: 1\n");
    let plan = make(&edited, Kind::Nutcracker, Some(&present), &Table::default());
    assert_eq!(plan.text, edited.replace("10.0.0.2:1", "10.0.0.8:1"));
    assert!(plan.moves.is_empty());
}

#[test]
fn one_server_that_does_not_fit_holds_up_no_other() {
    let text = "s:\n  servers:\n   - one\n     10.0.0.1:1:1000000000\n   - two\n     10.0.0.2:1:1\n";
    let table = table(&[("s-one", "100.100.100.100:10000"), ("s-two", "100.100.100.100:10001")]);
    let plan = make(text, Kind::Bdrp, None, &table);
    assert_eq!(plan.stuck.len(), 1);
    assert!(
        plan.stuck[0].reason.contains("longer than the 31 bytes"),
        "{:?}",
        plan.stuck
    );
    let moved = text.replace("10.0.0.2:1:1", "100.100.100.100:10001:1\n     10.1.1.1:1:1");
    assert_eq!(plan.text, moved);
}
