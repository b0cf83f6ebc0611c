//! A sentinel.conf: refused with lines that it has, or planned, and the plan does not depend on anything else.

use std::collections::BTreeMap;

use cfgserver::import::{Deed, Place, Plan, Present, Value, Wish, parse_conf};

pub(super) fn gives_one_plan(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let source = match parse_conf(bytes) {
        Ok(source) => source,
        Err(faults) => {
            assert!(!faults.is_empty() && faults.iter().all(|fault| (1..=lines).contains(&fault.line)));
            return;
        }
    };
    let present = Present {
        cluster: "c".to_owned(),
        electorate: 3,
        runs_scripts: true,
        groups: BTreeMap::new(),
    };
    let plan = Plan::new(&source, &present, &Wish::default());
    assert_eq!(plan.to_text(), Plan::new(&source, &present, &Wish::default()).to_text());
    assert_eq!(plan.groups.len(), source.groups.len());
    for group in &plan.groups {
        let words: usize = group.requests().iter().map(Vec::len).sum();
        match &group.deed {
            Deed::Monitor { settings, primary, .. } => {
                // Names are taken from then on.
                let names = if matches!(primary, Place::Named(..)) { 5 } else { 0 };
                // Each command that is called otherwise is an option, the command and its name.
                let setting = |value: &Value| match value {
                    Value::Names(names) => 3 * names.len(),
                    Value::Open(_) | Value::Secret(_) => 2,
                };
                let settings: usize = settings.iter().map(|(_, value)| setting(value)).sum();
                assert_eq!(words, names + 6 + settings);
            }
            Deed::Refused(_) => assert_eq!(words, 0),
            other => panic!("the cluster is empty: {other:?}"),
        }
    }
}
