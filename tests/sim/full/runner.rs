//! Runs seeds of the full simulator: one with its story, or many on all cores, each twice if wished.

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing_subscriber::layer::SubscriberExt;

use super::ledger::mix;
use super::panics;
use super::story::Story;
use super::world::World;
use crate::core::START;
use crate::progress::Progress;
use crate::record::Coverage;

/// The fixed sweep of the tests, and how many of its seeds run twice.
const SEEDS: u64 = 120;
const TWICE: u64 = 6;

const USAGE: &str = "usage: scripts/sim --full [--seed N | --seeds A..B [--seconds S] [--keep-going]] [--twice]";

/// How a run ended.
struct Run {
    /// Why it failed, if it did.
    failure: Option<String>,
    coverage: Coverage,
    simulated_ms: u64,
    story: Vec<String>,
    /// Of all that was told and committed.
    digest: u64,
}

fn run(seed: u64, told: bool) -> Run {
    let story = if told { Story::kept() } else { Story::default() };
    let log = tracing_subscriber::registry().with(story.clone());
    tracing::subscriber::with_default(log, || {
        _ = panics::take();
        let mut world = None;
        let ended = catch_unwind(AssertUnwindSafe(|| world.insert(World::new(seed, story.clone())).run()));
        let failure = match ended {
            Ok(ended) => ended.err(),
            Err(_) => Some(format!("panicked: {}", panics::take().unwrap_or_default())),
        };
        let (coverage, simulated_ms, committed) = world.as_mut().map_or_else(Default::default, |world| {
            let simulated_ms = world.now() - START;
            (std::mem::take(&mut world.coverage), simulated_ms, world.ledger.digest())
        });
        drop(world);
        let story = story.into_lines();
        let digest = story.iter().fold(committed, |all, line| mix(all, line.as_bytes()));
        Run {
            failure,
            coverage,
            simulated_ms,
            story,
            digest,
        }
    })
}

/// Runs a seed twice; an error says where the two differ.
fn run_twice(seed: u64) -> Run {
    let (mut first, second) = (run(seed, true), run(seed, true));
    if first.digest != second.digest && first.failure.is_none() {
        let mut lines = first.story.iter().zip(&second.story);
        let differ = lines.find(|(one, other)| one != other);
        first.failure = Some(format!("two runs differ: {differ:?}"));
    }
    first
}

struct Options {
    seeds: RangeInclusive<u64>,
    one: Option<u64>,
    limit_s: u64,
    keep_going: bool,
    twice: bool,
    /// Seeds up to this run twice in any case.
    twice_until: u64,
    /// Somebody asked for this sweep.
    asked: bool,
}

impl Options {
    fn usual() -> Self {
        Self {
            seeds: 1..=SEEDS,
            one: None,
            limit_s: u64::MAX,
            keep_going: false,
            twice: false,
            twice_until: TWICE,
            asked: false,
        }
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
                options.twice_until = 0;
                options.asked = true;
            }
            "--seconds" => options.limit_s = number(value()?)?,
            "--keep-going" => options.keep_going = true,
            "--twice" => options.twice = true,
            // What cargo test passes on means nothing here.
            _ => {}
        }
    }
    Ok(options)
}

pub(crate) fn main(words: &[String]) -> ExitCode {
    panics::note_all();
    match parse(words) {
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            ExitCode::from(64)
        }
        Ok(options) => match options.one {
            Some(seed) => replay(seed, options.twice),
            None => report(&sweep(&options)),
        },
    }
}

/// The first of these seeds that fails, and why.
#[cfg(feature = "mutations")]
pub(crate) fn hunt(seeds: RangeInclusive<u64>) -> Option<(u64, String)> {
    panics::note_all();
    let options = Options {
        seeds,
        twice_until: 0,
        ..Options::usual()
    };
    sweep(&options).failures.into_iter().next()
}

fn replay(seed: u64, twice: bool) -> ExitCode {
    let run = if twice { run_twice(seed) } else { run(seed, true) };
    for line in &run.story {
        println!("{line}");
    }
    println!("seed {seed}: {} s simulated", run.simulated_ms / 1_000);
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
    simulated_ms: u64,
    coverage: Coverage,
    failures: Vec<(u64, String)>,
    seconds: f64,
}

impl Sum {
    fn add(&mut self, seed: u64, run: Run) {
        self.runs += 1;
        self.simulated_ms += run.simulated_ms;
        self.coverage.merge(&run.coverage);
        self.failures.extend(run.failure.map(|why| (seed, why)));
    }
}

fn sweep(options: &Options) -> Sum {
    let progress = Progress::new(&options.seeds, options.asked.then_some("scripts/sim --full --seed"));
    let next = AtomicU64::new(*options.seeds.start());
    let stop = AtomicBool::new(false);
    let sum = Mutex::new(Sum::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let late = progress.seconds() as u64 >= options.limit_s;
                    if seed > *options.seeds.end() || stop.load(Ordering::Relaxed) || late {
                        break;
                    }
                    let twice = options.twice || seed <= options.twice_until;
                    let run = if twice { run_twice(seed) } else { run(seed, false) };
                    progress.ran(seed, run.failure.as_deref());
                    stop.fetch_or(run.failure.is_some() && !options.keep_going, Ordering::Relaxed);
                    sum.lock().unwrap().add(seed, run);
                }
            });
        }
    });
    let mut sum = sum.into_inner().unwrap();
    sum.failures.sort();
    sum.seconds = progress.seconds();
    sum
}

fn report(sum: &Sum) -> ExitCode {
    for (what, count) in &sum.coverage.marks {
        println!("{count:>12} {what}");
    }
    println!(
        "{} seeds in {:.1} s: {:.2} seeds and {:.2} simulated hours per second, {} failovers",
        sum.runs,
        sum.seconds,
        sum.runs as f64 / sum.seconds,
        sum.simulated_ms as f64 / 3_600_000.0 / sum.seconds,
        sum.coverage.of("commit: complete"),
    );
    for (_, what) in super::faults::KINDS {
        if sum.coverage.of(what) == 0 {
            println!("never reached: {what}");
        }
    }
    for (seed, why) in sum.failures.iter().take(20) {
        println!("FAILED: scripts/sim --full --seed {seed}: {why}");
    }
    let failed = sum.failures.len() as u64;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed\n",
        sum.runs - failed
    );
    let Some((seed, _)) = sum.failures.first() else {
        return ExitCode::SUCCESS;
    };
    let told = run(*seed, true);
    let from = told.story.len().saturating_sub(80);
    for line in &told.story[from..] {
        println!("{line}");
    }
    ExitCode::FAILURE
}
