//! The simulator: real planner, detector, state machine, requests and sessions in a world that a seed decides.
//!
//! `cargo test --test sim` sweeps a fixed range of seeds for at most a minute. `scripts/sim` replays one seed with its
//! story, or sweeps any range.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chance;
mod clients;
mod core;
mod doubles;
mod event;
mod fact;
mod faults;
#[cfg(feature = "sim")]
mod full;
mod invariants;
mod linear;
mod log;
#[cfg(feature = "mutations")]
mod mutations;
mod names;
mod net;
mod node;
mod progress;
mod queue;
mod reached;
mod record;
mod redis;
mod runner;
mod settings;
mod world;

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word.starts_with("--mutation")) {
        #[cfg(feature = "mutations")]
        return mutations::main(&words);
        #[cfg(not(feature = "mutations"))]
        return no_mutations();
    }
    #[cfg(feature = "sim")]
    if words.iter().any(|word| word == "--full") {
        return full::main(&words);
    }
    #[cfg(feature = "sim")]
    if words.iter().any(|word| word == "--checks") {
        let failed = full::checks();
        println!("checks that failed: {failed:?}");
        return std::process::ExitCode::from(u8::from(!failed.is_empty()));
    }
    runner::main(words)
}

#[cfg(not(feature = "mutations"))]
fn no_mutations() -> std::process::ExitCode {
    eprintln!("this build has no mutations: scripts/sim --mutations makes one that has");
    std::process::ExitCode::from(64)
}
