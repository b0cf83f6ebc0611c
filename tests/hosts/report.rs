//! What a run found, as JSON for programs and as Markdown for people. Written anew after every fault.

mod page;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::operator::Tally;
use crate::register::Lost;
use crate::two_primaries::Overlap;
use crate::writes::{Failure, Loss};

/// A group during one fault.
#[derive(Debug, Serialize)]
pub(crate) struct GroupReport {
    pub(crate) name: String,
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    pub(crate) failures: Vec<Failure>,
    /// Of the whole run.
    pub(crate) lost_so_far: usize,
    /// The longest time without an acknowledged write.
    pub(crate) longest_gap_ms: u64,
    pub(crate) switches: usize,
}

/// One fault, from its beginning until all was well. Times are milliseconds of the run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct FaultReport {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) began_ms: u64,
    pub(crate) healed_ms: u64,
    pub(crate) well_ms: Option<u64>,
    pub(crate) groups: Vec<GroupReport>,
    pub(crate) losses: Vec<Loss>,
    pub(crate) overlaps: Vec<Overlap>,
    pub(crate) operator: Tally,
    pub(crate) operator_lost: Vec<Lost>,
    pub(crate) agreed_after_ms: u64,
    /// How late the runner's own threads woke at worst.
    pub(crate) late_ms: u64,
    /// Lines that nodes logged as errors.
    pub(crate) errors: Vec<String>,
    /// Would be violations, if the machine had let the runner run.
    pub(crate) doubts: Vec<String>,
    pub(crate) violations: Vec<String>,
}

impl FaultReport {
    pub(crate) fn violate(&mut self, text: String) {
        self.violations.push(text);
    }

    pub(crate) fn lost(&self) -> u32 {
        self.losses.iter().map(|loss| loss.count).sum()
    }
}

/// Many kill -9 of nodes while operators write.
#[derive(Debug, Default, Serialize)]
pub(crate) struct KillsReport {
    pub(crate) kills: u64,
    pub(crate) began_ms: u64,
    pub(crate) ended_ms: u64,
    pub(crate) operator: Tally,
    pub(crate) operator_lost: Vec<Lost>,
    /// Times from a kill (or the restart that it waited for) to the next acknowledged write of an operator.
    pub(crate) again_after_ms: Vec<u64>,
    pub(crate) violations: Vec<String>,
}

/// A whole run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) command: String,
    pub(crate) seed: u64,
    pub(crate) nodes: u8,
    pub(crate) groups: u8,
    pub(crate) instances: Vec<(Ipv4Addr, String)>,
    pub(crate) machine: String,
    pub(crate) ran_ms: u64,
    pub(crate) ended: bool,
    /// What this machine cannot do.
    pub(crate) impossible: Vec<String>,
    pub(crate) faults: Vec<FaultReport>,
    pub(crate) kills: Option<KillsReport>,
    /// Of the whole run, beyond those of its parts.
    pub(crate) violations: Vec<String>,
    #[serde(skip)]
    pub(crate) path: PathBuf,
}

impl Report {
    pub(crate) fn all_violations(&self) -> Vec<String> {
        let of_faults = self.faults.iter().flat_map(|fault| {
            let name = format!("{} {}", fault.number, fault.name);
            fault.violations.iter().map(move |text| format!("{name}: {text}"))
        });
        let of_kills = self.kills.iter().flat_map(|kills| &kills.violations);
        let own = of_kills.chain(&self.violations).cloned();
        of_faults.chain(own).collect()
    }

    /// Writes both files, whole or not at all.
    pub(crate) fn write(&self) {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).unwrap();
        }
        replace(&self.path, &page::page(self));
        replace(
            &self.path.with_extension("json"),
            &serde_json::to_string_pretty(self).unwrap(),
        );
    }
}

fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(&next, path).unwrap();
}
