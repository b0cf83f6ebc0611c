//! Does the net catch fish? Each known defect is switched on, and seeds are run until one finds it. A seed that fails
//! without the defect as well proves nothing and is passed over.

use std::ops::RangeInclusive;
use std::process::ExitCode;

use cfgserver::mutation::{Mutation, switch};

const USAGE: &str = "usage: scripts/sim [--full] --mutations [--quick] | --mutation NAME";

/// `--quick` looks for what must be found within this many seeds.
const QUICK_SEEDS: u64 = 100;

/// Where a defect is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Simulator {
    Fast,
    Full,
}

/// How many seeds a defect may take: several times what it took when this was written. `None`: it is in code that this
/// simulator does not run, or the other one finds it in less time.
fn seeds_max(simulator: Simulator, mutation: Mutation) -> Option<u64> {
    match (simulator, mutation) {
        (
            Simulator::Fast,
            Mutation::MovedIsApplied
            | Mutation::StageForgotten
            | Mutation::RepeatedSwitch
            | Mutation::StallJudged
            | Mutation::NewestVouchesForAll
            | Mutation::QuarantinedOnRecord,
        ) => Some(100),
        (Simulator::Fast, Mutation::VotesWithoutKey | Mutation::PriorityZeroChosen | Mutation::OffsetIgnored) => {
            Some(500)
        }
        (
            Simulator::Fast,
            Mutation::AnyProcessCompletes
            | Mutation::EventBeforeCommit
            | Mutation::OrderAfterLease
            | Mutation::CarelessRepair
            | Mutation::NoCoolDown
            | Mutation::BrakeOfLeader,
        ) => Some(3_000),
        (Simulator::Fast, Mutation::PromotedBeside) => Some(500),
        (Simulator::Fast, Mutation::VotesForEver | Mutation::SyncedForEver | Mutation::UnpausedOffsets) => Some(20_000),
        (Simulator::Fast, Mutation::EmptyNodeFounds) => None,
        // The fast one has a model of the code that these are in.
        (Simulator::Full, Mutation::EventBeforeCommit) => Some(50),
        (Simulator::Full, Mutation::EmptyNodeFounds) => Some(500),
        (Simulator::Full, _) => None,
    }
}

/// What is looked for.
#[derive(Default)]
struct Wanted {
    full_only: bool,
    quick: bool,
    name: Option<String>,
}

impl Wanted {
    fn parse(words: &[String]) -> Result<Self, &'static str> {
        let mut wanted = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "--mutations" => {}
                "--full" => wanted.full_only = true,
                "--quick" => wanted.quick = true,
                "--mutation" => wanted.name = Some(rest.next().ok_or("which?")?.clone()),
                // What cargo test passes on means nothing here.
                _ => {}
            }
        }
        let known = |name: &String| Mutation::ALL.iter().any(|mutation| *name == format!("{mutation:?}"));
        if wanted.name.as_ref().is_some_and(|name| !known(name)) {
            return Err("src/mutation.rs names them all");
        }
        Ok(wanted)
    }

    /// Within how many seeds; `None`: not looked for.
    fn seeds_max(&self, simulator: Simulator, mutation: Mutation) -> Option<u64> {
        let limit = seeds_max(simulator, mutation)?;
        let meant = match &self.name {
            Some(name) => *name == format!("{mutation:?}"),
            None => !self.quick || limit <= QUICK_SEEDS,
        };
        let there = match simulator {
            Simulator::Fast => !self.full_only,
            Simulator::Full => cfg!(feature = "sim"),
        };
        (meant && there).then_some(limit)
    }
}

pub(crate) fn main(words: &[String]) -> ExitCode {
    match Wanted::parse(words) {
        Ok(wanted) => run(&wanted),
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            ExitCode::from(64)
        }
    }
}

/// Looks for them one after another, and prints a table.
fn run(wanted: &Wanted) -> ExitCode {
    let (mut all, mut found) = (0, 0);
    println!(
        "{:20} {:9} {:>6} {:>6}  the rule that caught it",
        "mutation", "simulator", "seed", "of"
    );
    for mutation in Mutation::ALL {
        let simulators = [Simulator::Fast, Simulator::Full];
        let limits = simulators.map(|simulator| wanted.seeds_max(simulator, mutation));
        let looked_for = simulators
            .into_iter()
            .zip(limits)
            .filter_map(|(one, limit)| Some((one, limit?)));
        let caught: Vec<bool> = looked_for.map(|(one, limit)| row(one, mutation, limit)).collect();
        all += u64::from(!caught.is_empty());
        found += u64::from(!caught.is_empty() && caught.iter().all(|caught| *caught));
    }
    println!("{found} of {all} mutations found");
    ExitCode::from(u8::from(found < all || all == 0))
}

fn row(simulator: Simulator, mutation: Mutation, limit: u64) -> bool {
    let caught = catch(simulator, mutation, limit);
    let (mutation, simulator) = (format!("{mutation:?}"), format!("{simulator:?}").to_lowercase());
    let (seed, why) = match &caught {
        Some((seed, why)) => (seed.to_string(), why.as_str()),
        None => ("-".to_owned(), "NOT FOUND"),
    };
    println!("{mutation:20} {simulator:9} {seed:>6} {limit:>6}  {why:.160}");
    caught.is_some()
}

/// The first seed that fails with the defect and passes without.
fn catch(simulator: Simulator, mutation: Mutation, limit: u64) -> Option<(u64, String)> {
    let mut from = 1;
    loop {
        switch(Some(mutation));
        let found = hunt(simulator, from..=limit);
        switch(None);
        let (seed, why) = found?;
        match hunt(simulator, seed..=seed) {
            None => return Some((seed, why)),
            Some((_, why)) => println!("seed {seed} fails without any mutation: {why:.160}"),
        }
        from = seed + 1;
    }
}

fn hunt(simulator: Simulator, seeds: RangeInclusive<u64>) -> Option<(u64, String)> {
    match simulator {
        Simulator::Fast => crate::runner::hunt(seeds),
        #[cfg(feature = "sim")]
        Simulator::Full => crate::full::hunt(seeds),
        #[cfg(not(feature = "sim"))]
        Simulator::Full => None,
    }
}
