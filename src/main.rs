//! The cfgserver binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    cfgserver::app::run(std::env::args_os(), std::env::vars_os())
}
