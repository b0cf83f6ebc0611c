//! One process of a script: its own process group, no input, its output that of the node.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use crate::script::{End, Words};

/// Why there is no process.
pub(super) enum NotStarted {
    /// The system could not make one now.
    NoProcess(io::Error),
    /// The program cannot be executed.
    NoProgram(io::Error),
}

/// Starts a program.
pub(super) fn start(words: &Words) -> Result<Child, NotStarted> {
    let (program, arguments) = words.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    spawned.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => NotStarted::NoProcess(error),
        _ => NotStarted::NoProgram(error),
    })
}

/// SIGKILL for it and what it started.
pub(super) fn kill(process: u32) {
    if let Some(group) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile: that is what was wanted.
        _ = kill_process_group(group, Signal::KILL);
    }
}

/// How it ended. One that was lost counts as killed: nobody knows better.
pub(super) fn end(status: io::Result<ExitStatus>) -> End {
    let Ok(status) = status else {
        return End::Signal(Signal::KILL.as_raw());
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(code),
        (None, signal) => End::Signal(signal.unwrap_or(Signal::KILL.as_raw())),
    }
}
