//! Real nodes and Redis servers on hosts of their own (network namespaces), with real faults.
//!
//! `cargo test --test hosts` runs a short fixed sequence; `scripts/faults` runs any, for as long as wanted. A run makes
//! an enclosure of namespaces first (`enclosure`), in it hosts (`network`, `node`, `redis`), on them clients that
//! remember everything (`watch`), and then one fault after another (`faults`). After each, when all is well again
//! (`well`), the books are compared with the world (`judge`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../sim/chance.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod chance;
#[path = "../it/world/client.rs"]
#[allow(dead_code, reason = "shared with the integration tests")]
mod client;
mod crew;
mod enclosure;
mod faults;
mod judge;
mod kills;
mod moment;
mod network;
mod node;
mod operator;
mod options;
mod prober;
#[path = "../it/world/process.rs"]
#[allow(dead_code, reason = "shared with the integration tests")]
mod process;
mod reach;
mod redis;
mod register;
mod report;
mod run;
mod scene;
mod subscriber;
mod two_primaries;
mod view;
mod watch;
mod well;
mod writer;
mod writes;

use std::process::ExitCode;
use std::time::Duration;

use moment::{now, wait_for};

/// Long enough for whatever should happen at once.
const SOON: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = match options::parse(&words) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n{}", options::USAGE);
            return ExitCode::from(64);
        }
    };
    if options.help {
        println!("{}", options::USAGE);
        return ExitCode::SUCCESS;
    }
    if options.list {
        faults::ALL.iter().for_each(|fault| println!("{}", fault.name));
        return ExitCode::SUCCESS;
    }
    if options.is_filtered_out() {
        println!("\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.00s\n");
        return ExitCode::SUCCESS;
    }
    if enclosure::is_inside() {
        return run::run(&options, &words);
    }
    let missing = enclosure::missing_programs();
    let entered = if missing.is_empty() {
        enclosure::enter(&words)
    } else {
        Err(format!("not installed: {}", missing.join(", ")))
    };
    entered.unwrap_or_else(|why| cannot(&why))
}

/// There can be no hosts here. That is a failure where nothing may be skipped.
fn cannot(why: &str) -> ExitCode {
    if std::env::var_os("CFGSERVER_TEST_ALL").is_none() && std::env::args().len() == 1 {
        println!("skipped: {why}");
        return ExitCode::SUCCESS;
    }
    eprintln!("{why}");
    ExitCode::FAILURE
}
