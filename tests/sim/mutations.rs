//! Does the net catch fish? Each known defect is switched on, and seeds are run until one finds it. A seed that fails
//! without the defect as well proves nothing and is passed over.

use std::process::ExitCode;

use cfgserver::mutation::{Mutation, switch};

/// Names the one that is wanted; without it all are. Set by `scripts/sim --mutation NAME`.
const ONE: &str = "CFGSERVER_SIM_MUTATION";

/// How many seeds a defect may take: several times what it took when this was written.
fn seeds_max(mutation: Mutation) -> u64 {
    match mutation {
        Mutation::MovedIsApplied
        | Mutation::VotesWithoutKey
        | Mutation::EventBeforeCommit
        | Mutation::StageForgotten
        | Mutation::RepeatedSwitch
        | Mutation::StallJudged
        | Mutation::NewestVouchesForAll
        | Mutation::QuarantinedOnRecord
        | Mutation::NoCoolDown => 1_000,
        _ => 20_000,
    }
}

/// Runs all of them, with `hunt(from, to)` that gives the first seed that fails, and why.
pub(crate) fn run(hunt: impl Fn(u64, u64) -> Option<(u64, String)>) -> ExitCode {
    let wanted = std::env::var(ONE).ok();
    let chosen = |mutation: &Mutation| wanted.as_ref().is_none_or(|name| *name == format!("{mutation:?}"));
    let mutations: Vec<Mutation> = Mutation::ALL.into_iter().filter(chosen).collect();
    let mut missed = 0;
    for mutation in mutations.iter().copied() {
        let limit = seeds_max(mutation);
        match catch(mutation, limit, &hunt) {
            Some((seed, why)) => println!(
                "{mutation:?}: found by seed {seed} of at most {limit}: {}",
                shortened(&why)
            ),
            None => {
                missed += 1;
                println!("{mutation:?}: NOT FOUND within {limit} seeds");
            }
        }
    }
    let found = mutations.len() - missed;
    println!("{found} of {} mutations found", mutations.len());
    if missed == 0 && found > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The first seed that fails with the defect and passes without.
fn catch(mutation: Mutation, limit: u64, hunt: &impl Fn(u64, u64) -> Option<(u64, String)>) -> Option<(u64, String)> {
    let mut from = 1;
    loop {
        switch(Some(mutation));
        let found = hunt(from, limit);
        switch(None);
        let (seed, why) = found?;
        match hunt(seed, seed) {
            None => return Some((seed, why)),
            Some((_, why)) => println!("seed {seed} fails without any mutation: {}", shortened(&why)),
        }
        from = seed + 1;
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(160).collect()
}
