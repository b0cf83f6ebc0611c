//! Runs seeds: one with its story, or many on all cores.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::core::START;
use crate::progress::Progress;
use crate::record::{Coverage, Story};
use crate::world::World;

/// What a run must not exceed: a world that spins.
const EVENTS_MAX: u64 = 3_000_000;

/// How many failing seeds are named.
const FAILURES_MAX: usize = 200;

/// What a filter of cargo test is compared with.
const NAME: &str = "sim::sweep";

/// How a run ended.
struct Run {
    /// Why it failed, if it did.
    failure: Option<String>,
    coverage: Coverage,
    simulated_ms: u64,
    events: u64,
    story: Vec<String>,
    /// What two runs of a seed have in common: the last number that chance gave, after so many others.
    last_draw: u64,
}

impl Run {
    /// Once more, now with a story.
    fn compare(&mut self, seed: u64) {
        let again = run(seed, true);
        let same = (again.last_draw, again.events, again.simulated_ms)
            == (self.last_draw, self.events, self.simulated_ms)
            && again.coverage.marks == self.coverage.marks
            && again.failure == self.failure;
        if !same {
            self.failure = Some("two runs of it differ".to_owned());
        }
    }
}

fn run(seed: u64, told: bool) -> Run {
    let story = if told { Story::kept() } else { Story::default() };
    let mut world = World::new(seed, story);
    let mut failure = None;
    let caught = catch_unwind(AssertUnwindSafe(|| {
        while failure.is_none() && !world.finished {
            failure = world.step().err();
            if world.events > EVENTS_MAX {
                failure = Some("it never ends".to_owned());
            }
        }
    }));
    if let Err(panic) = caught {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        failure = Some(format!("panicked: {}", text.unwrap_or_default()));
    }
    let coverage = world.take_coverage();
    let last_draw = world.core.chance.next();
    Run {
        failure,
        simulated_ms: world.core.now - START,
        events: world.events,
        coverage,
        last_draw,
        story: std::mem::take(&mut world.core.story).into_lines(),
    }
}

struct Options {
    seeds: RangeInclusive<u64>,
    one: Option<u64>,
    limit_s: u64,
    keep_going: bool,
    /// Each seed is run twice, and must be the same.
    twice: bool,
    /// Names of tests, as cargo passes them on: this one may not be meant.
    filters: Vec<String>,
    /// Somebody asked for this sweep: everything is printed.
    asked: bool,
}

impl Options {
    fn usual() -> Self {
        Self {
            seeds: 1..=20_000,
            one: None,
            limit_s: 60,
            keep_going: false,
            twice: false,
            filters: Vec::new(),
            asked: false,
        }
    }

    fn is_filtered_out(&self) -> bool {
        !self.filters.is_empty() && !self.filters.iter().any(|filter| NAME.contains(filter.as_str()))
    }
}

fn parse(words: &[String]) -> Result<Options, String> {
    let mut options = Options::usual();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{word} wants a value"));
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match word.as_str() {
            "--seed" => options.one = Some(number(value()?)?),
            "--seeds" => {
                let text = value()?;
                let (low, high) = text.split_once("..").ok_or("--seeds A..B".to_owned())?;
                options.seeds = number(low)?..=number(high)?;
                options.limit_s = u64::MAX;
                options.asked = true;
            }
            "--seconds" => options.limit_s = number(value()?)?,
            "--keep-going" => options.keep_going = true,
            "--twice" => options.twice = true,
            // What cargo test passes on to every test binary means nothing here, but for names.
            flag if flag.starts_with('-') => {}
            name => options.filters.push(name.to_owned()),
        }
    }
    Ok(options)
}

pub(crate) fn main(words: Vec<String>) -> ExitCode {
    match parse(&words) {
        Err(why) => {
            eprintln!("{why}\nusage: scripts/sim --seed N | --seeds A..B [--seconds S] [--keep-going] [--twice]");
            ExitCode::from(64)
        }
        Ok(options) if options.is_filtered_out() => {
            println!(
                "\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.00s\n"
            );
            ExitCode::SUCCESS
        }
        Ok(options) => match options.one {
            Some(seed) => replay(seed),
            None => {
                let sum = sweep(&options);
                report(&sum, options.asked)
            }
        },
    }
}

/// The first of these seeds that fails, and why.
#[cfg(feature = "mutations")]
pub(crate) fn hunt(seeds: RangeInclusive<u64>) -> Option<(u64, String)> {
    let options = Options {
        seeds,
        limit_s: u64::MAX,
        ..Options::usual()
    };
    sweep(&options).failures.into_iter().next()
}

fn replay(seed: u64) -> ExitCode {
    let run = run(seed, true);
    for line in &run.story {
        println!("{line}");
    }
    println!(
        "seed {seed}: {} events, {} s simulated",
        run.events,
        run.simulated_ms / 1_000
    );
    match run.failure {
        Some(why) => {
            println!("FAILED: {why}");
            ExitCode::FAILURE
        }
        None => {
            println!("all is well");
            ExitCode::SUCCESS
        }
    }
}

#[derive(Default)]
struct Sum {
    runs: u64,
    events: u64,
    simulated_ms: u64,
    coverage: Coverage,
    failures: Vec<(u64, String)>,
    seconds: f64,
}

fn sweep(options: &Options) -> Sum {
    std::panic::set_hook(Box::new(|_| {}));
    let progress = Progress::new(&options.seeds, options.asked.then_some("scripts/sim --seed"));
    let next = AtomicU64::new(*options.seeds.start());
    let stop = AtomicBool::new(false);
    let sum = Mutex::new(Sum::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Sum::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let late = progress.seconds() as u64 >= options.limit_s;
                    if seed > *options.seeds.end() || stop.load(Ordering::Relaxed) || late {
                        break;
                    }
                    let mut run = run(seed, false);
                    if options.twice {
                        run.compare(seed);
                    }
                    progress.ran(seed, run.failure.as_deref());
                    own.runs += 1;
                    own.events += run.events;
                    own.simulated_ms += run.simulated_ms;
                    own.coverage.merge(&run.coverage);
                    if let Some(why) = run.failure {
                        own.failures.push((seed, why));
                        stop.fetch_or(!options.keep_going, Ordering::Relaxed);
                    }
                }
                let mut sum = sum.lock().unwrap();
                sum.runs += own.runs;
                sum.events += own.events;
                sum.simulated_ms += own.simulated_ms;
                sum.coverage.merge(&own.coverage);
                sum.failures.extend(own.failures);
            });
        }
    });
    let mut sum = sum.into_inner().unwrap();
    sum.failures.sort();
    sum.seconds = progress.seconds();
    sum
}

/// How often each rule was broken; what stands after the first colon differs from seed to seed.
fn by_rule(failures: &[(u64, String)]) -> BTreeMap<&str, u64> {
    let mut rules = BTreeMap::new();
    for (_, why) in failures {
        let rule = why.split(':').next().unwrap_or_default();
        *rules.entry(rule).or_default() += 1;
    }
    rules
}

fn report(sum: &Sum, in_full: bool) -> ExitCode {
    let seconds = sum.seconds;
    for (what, count) in sum.coverage.marks.iter().filter(|_| in_full) {
        println!("{count:>12} {what}");
    }
    for (rule, count) in sum.coverage.rules.iter().filter(|_| in_full) {
        println!("{count:>12} rule: {rule}");
    }
    let per_second = |count: f64| count / seconds;
    println!(
        "{} seeds in {seconds:.1} s: {:.0} seeds, {:.1} failovers, {:.1} simulated hours, {:.0} events per second",
        sum.runs,
        per_second(sum.runs as f64),
        per_second(sum.coverage.of("order: promote") as f64),
        per_second(sum.simulated_ms as f64 / 3_600_000.0),
        per_second(sum.events as f64),
    );
    for what in crate::reached::never(&sum.coverage) {
        println!("never reached: {what}");
    }
    let failures = &sum.failures;
    for (rule, count) in by_rule(failures) {
        println!("{count:>12} failures: {rule}");
    }
    for (seed, why) in failures.iter().take(FAILURES_MAX) {
        println!("FAILED: scripts/sim --seed {seed}: {why}");
    }
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    let passed = sum.runs - failures.len() as u64;
    println!(
        "\ntest result: {verdict}. {passed} passed; {} failed; 0 ignored; 0 measured; 0 filtered out; finished in {seconds:.2}s\n",
        failures.len()
    );
    if let Some((seed, _)) = failures.first() {
        let told = run(*seed, true);
        let from = told.story.len().saturating_sub(60);
        for line in &told.story[from..] {
            println!("{line}");
        }
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
