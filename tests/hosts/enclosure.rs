//! The runner in namespaces of its own: network, mounts and processes.
//!
//! Everything that a run makes (hosts, bridge, tmpfs, servers) lives in there, so names cannot collide with another
//! run's, and the kernel removes all of it when the runner ends, also after a panic, Ctrl-C or kill -9.

use std::process::{Command, ExitCode, Stdio};

const INSIDE: &str = "HOSTS_RUNNER_INSIDE";
/// Where hosts keep their files: a tmpfs of the enclosure.
pub(crate) const FOLDER: &str = "/run/hosts";
/// The binary under test, as it was when the run began: a build meanwhile changes nothing.
pub(crate) const BINARY: &str = "/run/hosts/cfgserver";
/// Above what else the machine does, where root may say so: a starved runner measures the machine.
const NICE: &str = "-5";

/// Whether this process already is in the enclosure.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Programs without which there are no hosts.
pub(crate) fn missing_programs() -> Vec<&'static str> {
    let needed = [
        ("ip", "-V"),
        ("nft", "--version"),
        ("tc", "-V"),
        ("unshare", "--version"),
        ("setpriv", "--version"),
        ("prlimit", "--version"),
        ("redis-server", "--version"),
    ];
    let absent = |(name, word): &(&'static str, &str)| {
        let mut command = Command::new(name);
        command.arg(word).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_err().then_some(*name)
    };
    needed.iter().filter_map(absent).collect()
}

/// Runs this program again in an enclosure, with the same words, and waits for it.
pub(crate) fn enter(words: &[String]) -> Result<ExitCode, String> {
    let is_root = rustix::process::geteuid().is_root();
    let mut line: Vec<&str> = Vec::new();
    if is_root && may_be_nice() {
        line.extend(["nice", "-n", NICE]);
    }
    // What is inside ends with unshare, and unshare ends with us.
    line.extend(["setpriv", "--pdeathsig", "KILL", "unshare"]);
    if !is_root {
        line.extend(["--user", "--map-root-user"]);
    }
    line.extend([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--",
    ]);
    if !can(&line) {
        return Err(format!(
            "no namespaces for hosts here: `{} true` fails. Run as root, with sudo, or where unprivileged user \
             namespaces are allowed",
            line.join(" ")
        ));
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new(line[0])
        .args(&line[1..])
        .arg(own)
        .args(words)
        .env(INSIDE, "yes")
        .status()
        .map_err(|error| error.to_string())?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn may_be_nice() -> bool {
    can(&["nice", "-n", NICE])
}

fn can(line: &[&str]) -> bool {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).arg("true").stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Makes the enclosure ready: names of namespaces and all files are on a tmpfs that nobody else sees.
pub(crate) fn furnish() {
    run("mount -t tmpfs -o size=6g,mode=755 tmpfs /run");
    // The library that lies about the clock leaves shared memory behind when its process is killed.
    run("mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm");
    std::fs::create_dir_all("/run/netns").unwrap();
    std::fs::create_dir_all(FOLDER).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_cfgserver"), BINARY).unwrap();
}

/// Runs a command line of plain words; a failure ends the run.
#[track_caller]
pub(crate) fn run(line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{line}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {}", said.trim());
}
