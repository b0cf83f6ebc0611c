//! A plan as people read it. Never a secret: those are values that show themselves as stars.

use std::fmt::Write;

use super::plan::{Change, Deed, GroupPlan, Plan};
use super::source::Value;

/// Replicas that are named; the rest is counted.
const REPLICAS_SHOWN: usize = 8;

impl Plan {
    /// The whole plan, a block per group, ended by what it comes to.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for group in &self.groups {
            show_group(&mut text, group);
        }
        if !self.notes.is_empty() {
            text.push_str("\nNot taken over from the file:\n");
            for note in &self.notes {
                _ = writeln!(text, "  line {}: {}", note.line, note.text);
            }
        }
        _ = writeln!(text, "\n{}", self.summary());
        text
    }

    /// One line.
    pub fn summary(&self) -> String {
        let count = |is: fn(&Deed) -> bool| self.groups.iter().filter(|group| is(&group.deed)).count();
        let mut parts = vec![
            format!("{} to monitor", count(|deed| matches!(deed, Deed::Monitor { .. }))),
            format!("{} to set", count(|deed| matches!(deed, Deed::Set(_)))),
            format!("{} as they are", count(|deed| *deed == Deed::Nothing)),
        ];
        for (number, what) in [
            (count(|deed| matches!(deed, Deed::Replace { .. })), "to replace"),
            (count(|deed| matches!(deed, Deed::Refused(_))), "refused"),
            (self.left_out, "not asked for"),
        ] {
            if number > 0 {
                parts.push(format!("{number} {what}"));
            }
        }
        format!("groups: {}", parts.join(", "))
    }
}

fn show_group(text: &mut String, group: &GroupPlan) {
    let name = &group.name;
    _ = match &group.deed {
        Deed::Nothing => writeln!(text, "= {name}: nothing to do ({})", group.primary),
        Deed::Monitor {
            primary,
            quorum,
            settings,
        } => writeln!(
            text,
            "+ {name}: monitor {primary}, quorum {quorum}\n    {}",
            listed(settings)
        ),
        Deed::Replace {
            from,
            primary,
            quorum,
            settings,
        } => writeln!(
            text,
            "- {name}: remove it at {from}\n+ {name}: monitor {primary}, quorum {quorum}\n    {}",
            listed(settings)
        ),
        Deed::Set(changes) => {
            let changes: Vec<_> = changes.iter().map(changed).collect();
            writeln!(text, "~ {name}: set\n    {}", changes.join(", "))
        }
        Deed::Refused(why) => writeln!(text, "! {name}: refused, {why}"),
    };
    if !group.replicas.is_empty() {
        let shown = group.replicas.iter().take(REPLICAS_SHOWN).map(ToString::to_string);
        let shown: Vec<_> = shown.collect();
        let more = match group.replicas.len().saturating_sub(REPLICAS_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        _ = writeln!(text, "    replicas known there: {}{more}", shown.join(", "));
    }
    if group.sentinels > 0 {
        let all = group.sentinels + 1;
        _ = writeln!(
            text,
            "    Sentinels that have it: {all}; stop them all before mode manage"
        );
    }
    for note in &group.notes {
        _ = writeln!(text, "    note: {note}");
    }
}

fn listed(settings: &[(&'static str, Value)]) -> String {
    let shown: Vec<_> = settings
        .iter()
        .map(|(option, value)| format!("{option} {value}"))
        .collect();
    shown.join(", ")
}

fn changed(change: &Change) -> String {
    let Change { option, from, to } = change;
    match from.is_empty() {
        true => format!("{option} {to}"),
        false => format!("{option} {from} -> {to}"),
    }
}
