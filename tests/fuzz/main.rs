//! Coverage-guided fuzzing: libFuzzer around the targets. `scripts/fuzz` builds and runs this.
//!
//! libFuzzer parses the command line, so the target comes in CFGSERVER_FUZZ_TARGET.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<targets::Target> = OnceLock::new();

fn target() -> targets::Target {
    let name = std::env::var("CFGSERVER_FUZZ_TARGET").expect("CFGSERVER_FUZZ_TARGET names a target");
    let named = targets::all().into_iter().find(|(known, _)| *known == name);
    named.unwrap_or_else(|| panic!("no target is called {name}")).1
}

fuzz_target!(|bytes: &[u8]| TARGET.get_or_init(target)(bytes));
