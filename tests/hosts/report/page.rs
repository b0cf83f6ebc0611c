//! The page for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::operator::Tally;
use crate::report::{FaultReport, KillsReport, Report};

pub(super) fn page(report: &Report) -> String {
    let mut text = String::new();
    head(&mut text, report);
    violations(&mut text, report);
    if !report.faults.is_empty() {
        sums(&mut text, report);
        kinds(&mut text, report);
        faults(&mut text, report);
        two_primaries(&mut text, report);
        losses(&mut text, report);
    }
    if let Some(kills) = &report.kills {
        kills_of(&mut text, kills);
    }
    doubts(&mut text, report);
    text
}

fn head(text: &mut String, report: &Report) {
    let state = match (report.ended, report.all_violations().len()) {
        (false, _) => "not ended".to_owned(),
        (true, 0) => "no violation".to_owned(),
        (true, count) => format!("{count} violations"),
    };
    let _ = writeln!(text, "# Hosts and faults: {state}\n");
    let _ = writeln!(text, "- `{}`, seed {}", report.command, report.seed);
    let _ = writeln!(
        text,
        "- {} nodes, {} groups of one primary and two replicas, each on a host (network namespace) of its own",
        report.nodes, report.groups
    );
    let _ = writeln!(text, "- ran {} on {}", minutes(report.ran_ms), report.machine);
    for line in &report.impossible {
        let _ = writeln!(text, "- not here: {line}");
    }
}

fn violations(text: &mut String, report: &Report) {
    let all = report.all_violations();
    if !all.is_empty() {
        let _ = writeln!(text, "\n## Violations\n");
        for line in all {
            let _ = writeln!(text, "- {line}");
        }
    }
}

fn sums(text: &mut String, report: &Report) {
    let faults = &report.faults;
    let groups = || faults.iter().flat_map(|fault| &fault.groups);
    let acknowledged: usize = groups().map(|group| group.acknowledged).sum();
    let lost: u32 = faults.iter().map(FaultReport::lost).sum();
    let switches: usize = groups().map(|group| group.switches).sum();
    let mut operator = Tally::default();
    faults.iter().for_each(|fault| operator.add(fault.operator));
    let operator_lost: usize = faults.iter().map(|fault| fault.operator_lost.len()).sum();
    let worst = |measure: fn(&FaultReport) -> u64| faults.iter().map(measure).max().unwrap_or(0);
    let overlap = |measure: fn(&crate::two_primaries::Overlap) -> u64| {
        let all = faults.iter().flat_map(|fault| &fault.overlaps);
        all.map(measure).max().unwrap_or(0)
    };
    let _ = writeln!(text, "\n## In all\n");
    let rows = [
        ("faults", faults.len().to_string()),
        ("switches", switches.to_string()),
        ("writes acknowledged during faults", acknowledged.to_string()),
        ("of these lost by asynchronous replication", lost.to_string()),
        ("operator writes acknowledged", operator.acknowledged.to_string()),
        (
            "operator writes refused / without answer",
            format!("{} / {}", operator.refused, operator.unknown),
        ),
        (
            "  of these done late: all was well, and then they were done",
            operator.late.to_string(),
        ),
        ("operator writes acknowledged and lost", operator_lost.to_string()),
        (
            "two primaries accepted at once, longest",
            seconds(overlap(|one| one.lasted_ms)),
        ),
        ("  of that without excuse", seconds(overlap(|one| one.excess_ms))),
        (
            "  without excuse, if nodes cut off from the majority count too",
            seconds(overlap(|one| one.strict_excess_ms)),
        ),
        (
            "from healed to all well, worst",
            seconds(worst(|fault| {
                fault.well_ms.unwrap_or(0).saturating_sub(fault.healed_ms)
            })),
        ),
        (
            "the runner itself woke late, worst",
            seconds(worst(|fault| fault.late_ms)),
        ),
    ];
    table(
        text,
        &["what", "figure"],
        rows.map(|(name, value)| vec![name.to_owned(), value]),
    );
}

fn kinds(text: &mut String, report: &Report) {
    let mut kinds: BTreeMap<&str, Vec<&FaultReport>> = BTreeMap::new();
    for fault in &report.faults {
        kinds.entry(&fault.name).or_default().push(fault);
    }
    let _ = writeln!(text, "\n## By kind\n");
    let rows = kinds.iter().map(|(name, faults)| {
        let lost: u32 = faults.iter().map(|fault| fault.lost()).sum();
        let gap = faults.iter().map(|fault| gap_ms(fault)).max().unwrap_or(0);
        let overlaps = faults.iter().flat_map(|fault| &fault.overlaps);
        let longest = overlaps.map(|one| one.lasted_ms).max().unwrap_or(0);
        let well = faults
            .iter()
            .map(|fault| fault.well_ms.unwrap_or(0).saturating_sub(fault.healed_ms));
        let cells = [
            (*name).to_owned(),
            faults.len().to_string(),
            lost.to_string(),
            seconds(gap),
            seconds(longest),
            seconds(well.max().unwrap_or(0)),
        ];
        cells.to_vec()
    });
    let titles = [
        "fault",
        "times",
        "writes lost",
        "longest without writes",
        "two primaries",
        "to well",
    ];
    table(text, &titles, rows);
}

fn faults(text: &mut String, report: &Report) {
    let _ = writeln!(text, "\n## One by one\n");
    let rows = report.faults.iter().map(|fault| {
        let switches: usize = fault.groups.iter().map(|group| group.switches).sum();
        let well = fault
            .well_ms
            .map_or("never".to_owned(), |well| seconds(well - fault.healed_ms));
        let tally = fault.operator;
        let cells = [
            fault.number.to_string(),
            minutes(fault.began_ms),
            fault.name.clone(),
            report.named(&fault.what),
            seconds(fault.healed_ms - fault.began_ms),
            switches.to_string(),
            fault.lost().to_string(),
            seconds(gap_ms(fault)),
            well,
            format!("{} / {} / {}", tally.acknowledged, tally.refused, tally.unknown),
            fault.errors.len().to_string(),
        ];
        cells.to_vec()
    });
    let titles = [
        "#",
        "at",
        "fault",
        "to whom",
        "lasted",
        "switches",
        "lost",
        "without writes",
        "to well",
        "operator ok / refused / ?",
        "error lines",
    ];
    table(text, &titles, rows);
}

fn two_primaries(text: &mut String, report: &Report) {
    let all = report
        .faults
        .iter()
        .flat_map(|fault| fault.overlaps.iter().map(move |one| (fault, one)));
    let rows: Vec<Vec<String>> = all
        .map(|(fault, one)| {
            let cells = [
                format!("{} {}", fault.number, fault.name),
                report.named(&one.old.to_string()),
                report.named(&one.new.to_string()),
                seconds(one.lasted_ms),
                seconds(one.excess_ms),
                seconds(one.strict_excess_ms),
            ];
            cells.to_vec()
        })
        .collect();
    let _ = writeln!(text, "\n## Two primaries accepted writes at once\n");
    if rows.is_empty() {
        let _ = writeln!(text, "Never.");
        return;
    }
    let titles = ["fault", "old", "new", "for", "without excuse", "if cut-off nodes count"];
    table(text, &titles, rows);
}

fn losses(text: &mut String, report: &Report) {
    let all = report
        .faults
        .iter()
        .flat_map(|fault| fault.losses.iter().map(move |one| (fault, one)));
    let rows: Vec<Vec<String>> = all
        .map(|(fault, one)| {
            let relative = |at: u64| format!("{:+.2} s", (at as f64 - fault.began_ms as f64) / 1e3);
            let cells = [
                format!("{} {}", fault.number, fault.name),
                report.named(&one.instance.to_string()),
                one.count.to_string(),
                format!("{} to {}", relative(one.from_ms), relative(one.to_ms)),
            ];
            cells.to_vec()
        })
        .collect();
    let _ = writeln!(text, "\n## Acknowledged writes that were lost\n");
    if rows.is_empty() {
        let _ = writeln!(text, "None.");
        return;
    }
    table(
        text,
        &["fault", "acknowledged by", "count", "when, from the strike"],
        rows,
    );
}

fn kills_of(text: &mut String, kills: &KillsReport) {
    let mut times = kills.again_after_ms.clone();
    times.sort_unstable();
    let at = |permille: usize| {
        times
            .get(times.len().saturating_sub(1) * permille / 1000)
            .copied()
            .unwrap_or(0)
    };
    let _ = writeln!(text, "\n## Kills of random nodes under operator writes\n");
    let rows = [
        ("kill -9", kills.kills.to_string()),
        ("took", minutes(kills.ended_ms - kills.began_ms)),
        ("operator writes acknowledged", kills.operator.acknowledged.to_string()),
        (
            "refused / without answer",
            format!("{} / {}", kills.operator.refused, kills.operator.unknown),
        ),
        ("acknowledged and lost", kills.operator_lost.len().to_string()),
        ("next acknowledged write, median", seconds(at(500))),
        ("next acknowledged write, worst", seconds(at(1000))),
    ];
    table(
        text,
        &["what", "figure"],
        rows.map(|(name, value)| vec![name.to_owned(), value]),
    );
}

fn doubts(text: &mut String, report: &Report) {
    let doubts: Vec<&String> = report.faults.iter().flat_map(|fault| &fault.doubts).collect();
    if !doubts.is_empty() {
        let _ = writeln!(text, "\n## In doubt: the machine starved the runner\n");
    }
    for line in doubts {
        let _ = writeln!(text, "- {line}");
    }
}

fn gap_ms(fault: &FaultReport) -> u64 {
    fault.groups.iter().map(|group| group.longest_gap_ms).max().unwrap_or(0)
}

fn table(text: &mut String, titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let _ = writeln!(text, "| {} |", titles.join(" | "));
    let _ = writeln!(text, "|{}", "---|".repeat(titles.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
}

pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

fn minutes(ms: u64) -> String {
    format!("{}:{:02}", ms / 60_000, ms / 1000 % 60)
}

impl Report {
    /// Addresses replaced by the names of hosts.
    fn named(&self, text: &str) -> String {
        let found = self.instances.iter().find(|(ip, _)| ip.to_string() == text);
        found.map_or_else(|| text.to_owned(), |(_, name)| name.clone())
    }
}
