//! A run: hosts up, clients at work, one fault after another, a report.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::enclosure;
use crate::faults::{self, Fault};
use crate::judge::{Judge, names};
use crate::kills;
use crate::moment::{last, ms};
use crate::options::Options;
use crate::report::{FaultReport, Report};
use crate::scene::Scene;
use crate::watch::Watch;
use crate::well;

const GROUPS: u8 = 3;

pub(crate) fn run(options: &Options, words: &[String]) -> ExitCode {
    ms(); // the run's time begins
    enclosure::furnish();
    keep_logs_on_panic(options.report.with_extension("logs"));
    let (possible, impossible) = faults::possible();
    let mut scene = Scene::open(options.nodes, GROUPS, options.seed);
    let watch = Watch::start(&scene, options.seed);
    let mut report = Report {
        command: format!("scripts/faults {}", words.join(" ")),
        seed: options.seed,
        nodes: options.nodes,
        groups: GROUPS,
        instances: names(&scene),
        machine: machine(),
        impossible,
        path: options.report.clone(),
        ..Report::default()
    };
    if let Err(complaint) = well::wait(&mut scene, &watch, ms()) {
        report.violations.push(format!("all was never well: {complaint}"));
    }
    watch.pulse.take_ms();
    println!(
        "all is well after {} ms; {} nodes, {GROUPS} groups",
        ms(),
        options.nodes
    );
    if options.prove {
        return prove(&mut scene, &watch);
    }
    let named = |line: &&String| options.faults.iter().any(|name| line.starts_with(name));
    report.violations.extend(report.impossible.iter().find(named).cloned());
    let mut judge = Judge::default();
    let mut brakes = Brakes::default();
    for fault in Sequence::new(options, &possible) {
        if !report.violations.is_empty() {
            break;
        }
        let found = strike(&mut scene, &watch, &mut judge, fault, report.faults.len() + 1);
        tell(&found);
        let is_stuck = found.well_ms.is_none();
        if !is_stuck {
            brakes.release(&mut scene, &watch, &found);
        }
        report.faults.push(found);
        report.ran_ms = ms();
        report.write();
        if is_stuck {
            break;
        }
    }
    let is_stuck = report.faults.last().is_some_and(|fault| fault.well_ms.is_none());
    if options.kills > 0 && !is_stuck {
        let found = kills::run(&mut scene, &watch, options.kills);
        println!(
            "{} kills: {} operator writes acknowledged, {} lost",
            found.kills,
            found.operator.acknowledged,
            found.operator_lost.len()
        );
        report.kills = Some(found);
    }
    report.violations.extend(judge.everything(&scene, &watch));
    watch.end();
    end(report)
}

/// Everything that is done by hand must be noticed.
fn prove(scene: &mut Scene, watch: &Watch) -> ExitCode {
    let mut judge = Judge::default();
    let mut unnoticed = 0;
    for (number, (fault, sign)) in (1..).zip(faults::sabotage::ALL) {
        let found = strike(scene, watch, &mut judge, *fault, number);
        let is_noticed = found.violations.iter().any(|text| text.contains(sign));
        tell(&found);
        println!("    {}", if is_noticed { "noticed" } else { "NOT NOTICED" });
        unnoticed += usize::from(!is_noticed);
    }
    ExitCode::from(u8::from(unnoticed > 0))
}

/// Two automatic switches of a group in an hour are free, the next is held back for longer and longer. A run wants
/// more of them, so it gives the group a new life in time.
#[derive(Default)]
struct Brakes(Vec<usize>);

impl Brakes {
    const FREE: usize = 2;

    fn release(&mut self, scene: &mut Scene, watch: &Watch, fault: &FaultReport) {
        self.0.resize(fault.groups.len(), 0);
        for (place, group) in fault.groups.iter().enumerate() {
            self.0[place] += group.switches;
            if self.0[place] >= Self::FREE {
                self.0[place] = 0;
                let mut ledgers: Vec<_> = watch.desks.iter().map(|desk| desk.hold()).collect();
                scene.monitor_again(place);
                ledgers.iter_mut().for_each(|ledger| ledger.forget(&group.name));
            }
        }
        let settled = well::wait(scene, watch, ms());
        settled.unwrap_or_else(|complaint| panic!("all was not well after a group was monitored again: {complaint}"));
    }
}

fn end(mut report: Report) -> ExitCode {
    report.ran_ms = ms();
    report.ended = true;
    report.write();
    keep_logs(&report.path.with_extension("logs"));
    println!("report: {}", report.path.display());
    let violations = report.all_violations();
    if violations.is_empty() {
        println!("no violation");
        return ExitCode::SUCCESS;
    }
    for line in &violations {
        eprintln!("VIOLATION: {line}");
    }
    ExitCode::FAILURE
}

/// The enclosure takes its files with it: what explains the report is kept beside the report.
fn keep_logs(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for entry in fs::read_dir(enclosure::FOLDER).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // The secret is no folder.
        let _ = fs::copy(entry.path().join("log"), folder.join(format!("{name}.log")));
    }
}

fn keep_logs_on_panic(folder: PathBuf) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        keep_logs(&folder);
        // Also when it is a thread of the crew: what it knew is lost.
        std::process::exit(1);
    }));
}

fn strike(scene: &mut Scene, watch: &Watch, judge: &mut Judge, fault: Fault, number: usize) -> FaultReport {
    let (low, high) = fault.lasts_ms;
    let lasts_ms = scene.chance.within(low, high);
    let began_ms = ms();
    let what = (fault.strike)(scene);
    last(lasts_ms);
    let mut report = FaultReport {
        number,
        name: fault.name.to_owned(),
        what,
        began_ms,
        healed_ms: scene.heal(),
        ..FaultReport::default()
    };
    judge.judge(scene, watch, &mut report);
    report
}

fn tell(fault: &FaultReport) {
    let well = fault
        .well_ms
        .map_or("never".to_owned(), |well| format!("{} ms", well - fault.healed_ms));
    let overlap = fault.overlaps.iter().map(|one| one.lasted_ms).max().unwrap_or(0);
    println!(
        "{:>3} {:>7.1} s  {}: {}; lasted {} ms, lost {}, two primaries {overlap} ms, well after {well}, late {} ms",
        fault.number,
        fault.began_ms as f64 / 1e3,
        fault.name,
        fault.what,
        fault.healed_ms - fault.began_ms,
        fault.lost(),
        fault.late_ms,
    );
    for line in fault.violations.iter().chain(&fault.doubts) {
        println!("      ! {line}");
    }
}

/// The faults of a run: those that were named, then drawn ones until the time is over.
struct Sequence {
    named: std::vec::IntoIter<Fault>,
    kinds: Vec<Fault>,
    /// Kinds in drawn order: each comes once before any comes again.
    bag: Vec<Fault>,
    chance: crate::chance::Chance,
    until_ms: u64,
}

impl Sequence {
    fn new(options: &Options, possible: &[Fault]) -> Self {
        let named = options.faults.iter();
        let named: Vec<Fault> = named
            .filter_map(|name| possible.iter().find(|fault| fault.name == name).copied())
            .collect();
        Self {
            named: named.into_iter(),
            kinds: possible.to_vec(),
            bag: Vec::new(),
            chance: crate::chance::Chance::new(options.seed.rotate_left(32)),
            until_ms: options.minutes * 60_000,
        }
    }
}

impl Iterator for Sequence {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        if let Some(fault) = self.named.next() {
            return Some(fault);
        }
        if ms() >= self.until_ms {
            return None;
        }
        if self.bag.is_empty() {
            self.bag.clone_from(&self.kinds);
        }
        let place = self.chance.index(self.bag.len());
        Some(self.bag.swap_remove(place))
    }
}

fn machine() -> String {
    let said = |program: &str, word: &str| {
        let output = Command::new(program).arg(word).output().ok();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.and_then(|text| text.lines().next().map(str::to_owned))
            .unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{} cores, Linux {}, {}",
        cores,
        said("uname", "-r"),
        said("redis-server", "--version")
    )
}
