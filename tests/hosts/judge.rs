//! After each fault: what was lost, who accepted writes at once, who agrees, and which of that is a violation.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;

use crate::moment::ms;
use crate::operator::Tally;
use crate::reach::ReachedBy;
use crate::report::{FaultReport, GroupReport};
use crate::scene::Scene;
use crate::two_primaries::{Overlap, both, excess_ms};
use crate::watch::{GroupWatch, Watch};
use crate::well;
use crate::writer::numbers_held;
use crate::writes::{Loss, Outcome, Write, failures, longest_gap_ms, missing};

/// How exactly the runner sees when two accepted writes at once.
const RESOLUTION_MS: u64 = 100;
/// A runner that woke this late says nothing about times.
pub(crate) const STARVED_MS: u64 = 700;
/// How far back writes are looked at again, that were there before.
const AGAIN_MS: u64 = 30_000;
/// After this time all replicas have what was written while all was well.
const REPLICATED_MS: u64 = 2_000;
/// The switch is told a little after the new primary became one.
const TOLD_MS: u64 = 500;

/// What was judged before.
#[derive(Default)]
pub(crate) struct Judge {
    /// Writes up to this time were looked at.
    looked: u64,
    /// What is known to be lost, by group.
    gone: Vec<BTreeSet<u32>>,
    /// How much of each node's log was read.
    read: Vec<usize>,
}

impl Judge {
    /// Looks at everything since `began`; what is wrong is in the report's violations.
    pub(crate) fn judge(&mut self, scene: &mut Scene, watch: &Watch, report: &mut FaultReport) {
        match well::wait(scene, watch, report.healed_ms) {
            Ok(at) => report.well_ms = Some(at),
            Err(complaint) => report.violate(format!("not all was well: {complaint}")),
        }
        let agreement = well::agree(scene, watch);
        report.agreed_after_ms = agreement.took_ms;
        if let Some(text) = agreement.differ {
            report.violate(format!("nodes do not agree: {text}"));
        }
        for lost in &agreement.lost {
            report.violate(format!("an operator's acknowledged write is gone: {lost:?}"));
        }
        report.operator_lost = agreement.lost;
        report.operator = take_tally(watch);
        report.late_ms = watch.pulse.take_ms();
        let until = ms();
        self.losses(scene, watch, report, until);
        for (place, group) in watch.groups.iter().enumerate() {
            self.overlaps(scene, watch, group, report, until);
            let writes = group.book.since(report.began_ms);
            let end = report.well_ms.unwrap_or(until);
            let seen = GroupReport {
                name: group.name.clone(),
                acknowledged: count(&writes, Outcome::Acknowledged),
                refused: count(&writes, Outcome::Refused),
                unknown: count(&writes, Outcome::Unknown),
                failures: failures(&writes),
                lost_so_far: self.gone[place].len(),
                longest_gap_ms: longest_gap_ms(&writes, report.began_ms, end),
                switches: watch.heard.switches_since(&group.name, group.first, report.began_ms),
            };
            report.groups.push(seen);
        }
        for text in watch.heard.take_breaks() {
            report.violate(format!("a subscriber's chain broke: {text}"));
        }
        for id in std::mem::take(&mut scene.ended) {
            report.violate(format!("node {id} ended by itself"));
        }
        self.logs(scene, report);
        scene.hit.clear();
        self.looked = until;
    }

    fn losses(&mut self, scene: &Scene, watch: &Watch, report: &mut FaultReport, until: u64) {
        self.gone.resize(watch.groups.len(), BTreeSet::new());
        for (place, group) in watch.groups.iter().enumerate() {
            let mut writes = group.book.since(self.looked.saturating_sub(AGAIN_MS));
            writes.retain(|write| write.at < until && !self.gone[place].contains(&write.number));
            match missing_at_primary(scene, place, &writes) {
                None => report.violate(format!("{}: its primary cannot be read", group.name)),
                Some((gone, rows)) => {
                    for row in &rows {
                        if !scene.hit.contains(&row.instance) {
                            report.violate(format!("writes lost on an instance to which nothing happened: {row:?}"));
                        } else if row.from_ms + REPLICATED_MS < self.looked {
                            report.violate(format!("writes lost that all replicas had: {row:?}"));
                        }
                    }
                    report.losses.extend(rows);
                    self.gone[place].extend(gone);
                }
            }
        }
    }

    /// At the end: every write that was acknowledged and not known to be lost must still be there.
    pub(crate) fn everything(&self, scene: &Scene, watch: &Watch) -> Vec<String> {
        let mut violations = Vec::new();
        for (place, group) in watch.groups.iter().enumerate() {
            let mut writes = group.book.since(0);
            writes.retain(|write| write.at < self.looked && !self.gone[place].contains(&write.number));
            match missing_at_primary(scene, place, &writes) {
                None => violations.push(format!("{}: its primary cannot be read", group.name)),
                Some((_, rows)) => {
                    let gone = |row: &Loss| format!("writes are gone that all replicas had: {row:?}");
                    violations.extend(rows.iter().map(gone));
                }
            }
        }
        violations
    }

    fn overlaps(&self, scene: &Scene, watch: &Watch, group: &GroupWatch, report: &mut FaultReport, until: u64) {
        let began = report.began_ms;
        let spans = |place: usize| group.accepted[place].1.between(began, until);
        for one in 0..group.accepted.len() {
            for other in one + 1..group.accepted.len() {
                for span in both(&spans(one), &spans(other)) {
                    let current = watch.heard.primary_at(&group.name, group.first, span.to + TOLD_MS);
                    let (first, second) = (group.accepted[one].0, group.accepted[other].0);
                    let (old, new) = if current == first {
                        (second, first)
                    } else {
                        (first, second)
                    };
                    let timeline = scene.reach.timeline(old);
                    let overlap = Overlap {
                        group: group.name.clone(),
                        old,
                        new,
                        from_ms: span.from,
                        lasted_ms: span.to - span.from,
                        excess_ms: excess_ms(span, timeline, |state| state != ReachedBy::Majority),
                        strict_excess_ms: excess_ms(span, timeline, |state| state == ReachedBy::Nobody),
                    };
                    self.weigh(&overlap, report);
                    report.overlaps.push(overlap);
                }
            }
        }
    }

    fn weigh(&self, overlap: &Overlap, report: &mut FaultReport) {
        if overlap.excess_ms <= RESOLUTION_MS {
            return;
        }
        let text = format!("two primaries without excuse: {overlap:?}");
        if report.late_ms > STARVED_MS {
            report
                .doubts
                .push(format!("{text}; but the runner itself woke {} ms late", report.late_ms));
        } else {
            report.violate(text);
        }
    }

    fn logs(&mut self, scene: &Scene, report: &mut FaultReport) {
        self.read.resize(scene.nodes.len(), 0);
        for (place, node) in scene.nodes.iter().enumerate() {
            let text = fs::read(node.log()).unwrap_or_default();
            let new = String::from_utf8_lossy(&text[self.read[place].min(text.len())..]).into_owned();
            self.read[place] = text.len();
            for line in new.lines() {
                if line.contains("panicked at") {
                    report.violate(format!("node {}: {line}", node.id));
                } else if line.contains(" ERROR ") {
                    report.errors.push(format!("node {}: {line}", node.id));
                }
            }
        }
    }
}

fn count(writes: &[Write], outcome: Outcome) -> usize {
    writes.iter().filter(|write| write.outcome == outcome).count()
}

fn missing_at_primary(scene: &Scene, group: usize, writes: &[Write]) -> Option<(BTreeSet<u32>, Vec<Loss>)> {
    let (Some(low), Some(high)) = (writes.first(), writes.last()) else {
        return Some((BTreeSet::new(), Vec::new()));
    };
    let (group, member) = scene.primary(group);
    let group = &scene.groups[group];
    let found = numbers_held(group.members[member].address(), &group.name, low.number, high.number)?;
    Some(missing(&group.name, writes, &found))
}

/// Takes what the operators counted.
pub(crate) fn take_tally(watch: &Watch) -> Tally {
    let mut tally = Tally::default();
    for desk in &watch.desks {
        tally.add(desk.hold().take_tally());
    }
    tally
}

/// For the report: instances by their addresses.
pub(crate) fn names(scene: &Scene) -> Vec<(Ipv4Addr, String)> {
    let members = scene.groups.iter().flat_map(|group| &group.members);
    members
        .map(|member| (member.host.ip, member.host.name.clone()))
        .collect()
}
