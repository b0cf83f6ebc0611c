//! Does the net catch fish? Each known defect is switched on, and seeds are run until one finds it.

use std::process::ExitCode;

use cfgserver::mutation::{Mutation, switch};

/// How many seeds a defect may take. What is measured is printed; these are a few times that.
fn seeds_max(mutation: Mutation) -> u64 {
    match mutation {
        _ => 20_000,
    }
}

/// Runs all of them, with `hunt(seeds)` that gives the first seed that fails, and why.
pub(crate) fn run(hunt: impl Fn(u64) -> Option<(u64, String)>) -> ExitCode {
    let mut missed = 0;
    for mutation in Mutation::ALL {
        switch(Some(mutation));
        let limit = seeds_max(mutation);
        match hunt(limit) {
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
    switch(None);
    let found = Mutation::ALL.len() - missed;
    println!("{found} of {} mutations found", Mutation::ALL.len());
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(160).collect()
}
