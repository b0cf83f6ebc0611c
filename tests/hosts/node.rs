//! A cfgserver node on a host of its own, with a small disk of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::client::{Client, Value};
use crate::enclosure::{BINARY, FOLDER, run};
use crate::moment::wait_for;
use crate::network::Host;
use crate::process::Process;

pub(crate) const PORT: u16 = 26_379;
/// Long enough for any answer of a node that answers at all.
const PATIENCE: Duration = Duration::from_secs(2);
const STARTED: Duration = Duration::from_secs(60);
/// Much more than a node needs; little enough to be filled.
const DISK_MIB: u64 = 128;

/// A node: its process may run or not; host, disk and log stay.
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) host: Host,
    words: Vec<String>,
    folder: PathBuf,
    process: Option<Process>,
    /// What the preloaded clock reads: seconds that its wall clock is off.
    clock: Option<PathBuf>,
    /// The limit of open files before it was lowered.
    descriptors: Option<String>,
    is_protected: bool,
}

impl Node {
    /// A node that is not started yet.
    pub(crate) fn new(id: u64, ip: Ipv4Addr, peers: &str, secret: &Path) -> Self {
        let folder = PathBuf::from(format!("{FOLDER}/node-{id}"));
        let disk = folder.join("disk");
        fs::create_dir_all(&disk).unwrap();
        run(&format!("mount -t tmpfs -o size={DISK_MIB}m tmpfs {}", disk.display()));
        let words = [
            ("--node-id", id.to_string()),
            ("--listen", format!("{ip}:{PORT}")),
            ("--data-dir", disk.join("data").display().to_string()),
            ("--peers", peers.to_owned()),
            ("--cluster-secret-file", secret.display().to_string()),
        ];
        Self {
            id,
            host: Host::new(&format!("node-{id}"), ip),
            words: words
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value])
                .collect(),
            folder,
            process: None,
            clock: None,
            descriptors: None,
            is_protected: false,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (self.host.ip, PORT).into()
    }

    /// Starts the process; does not wait for it.
    pub(crate) fn start(&mut self) {
        let mut command = self.command();
        self.process = Some(Process::start(&mut command, &self.log()));
    }

    fn command(&self) -> Command {
        let mut command = self.host.command("env");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CFGSERVER_") {
                command.env_remove(name);
            }
        }
        if let (Some(clock), Some(library)) = (&self.clock, clock_library()) {
            command.arg(format!("LD_PRELOAD={}", library.display()));
            command.arg(format!("FAKETIME_TIMESTAMP_FILE={}", clock.display()));
            // Only the wall clock: a monotonic clock does not go back.
            command.args([
                "FAKETIME_NO_CACHE=1",
                "FAKETIME_DONT_FAKE_MONOTONIC=1",
                "DONT_FAKE_MONOTONIC=1",
            ]);
        }
        command.args([BINARY, "serve"]).args(&self.words);
        command
    }

    /// Waits until it answers lookups; ends the run when it does not.
    #[track_caller]
    pub(crate) fn wait_ready(&mut self) {
        let what = format!("node {} answers", self.id);
        wait_for(&what, STARTED, || {
            assert!(self.is_running(), "node {} ended", self.id);
            self.is_ready().then_some(())
        });
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.call(&["SENTINEL", "MASTERS"])
            .is_some_and(|answer| matches!(answer, Value::Array(_)))
    }

    pub(crate) fn connect(&self) -> Option<Client> {
        Client::reach(self.address(), PATIENCE).ok()
    }

    /// One request on a connection of its own; `None` when there is no answer.
    pub(crate) fn call(&self, words: &[&str]) -> Option<Value> {
        self.connect()?.try_call(words).ok()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    /// Whether it was started and ended by itself since.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_some())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    pub(crate) fn freeze(&mut self) {
        if let Some(process) = &mut self.process {
            process.freeze();
        }
    }

    pub(crate) fn thaw(&mut self) {
        if self.is_running()
            && let Some(process) = &mut self.process
        {
            process.thaw();
        }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("disk/ballast")
    }

    /// Fills the disk to the last byte.
    pub(crate) fn fill_disk(&self) {
        let mut file = fs::File::create(self.ballast()).unwrap();
        for size in [1 << 20, 4096, 1] {
            let block = vec![0; size];
            while std::io::Write::write_all(&mut file, &block).is_ok() {}
        }
    }

    pub(crate) fn empty_disk(&self) {
        let _ = fs::remove_file(self.ballast());
    }

    /// Makes the disk read-only, or writable again. A disk in use cannot be: the node must not run.
    pub(crate) fn write_protect(&mut self, protect: bool) {
        if self.is_protected != protect {
            let mode = if protect { "ro" } else { "rw" };
            run(&format!("mount -o remount,bind,{mode} {}/disk", self.folder.display()));
            self.is_protected = protect;
        }
    }

    /// Leaves it this many free descriptors; answers how many it has open.
    pub(crate) fn starve_of_descriptors(&mut self, spare: usize) -> usize {
        let Some(process) = &self.process else { return 0 };
        let id = process.id();
        let open = fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
        let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap_or_default();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        self.descriptors = line.and_then(|line| line.split_whitespace().next()).map(str::to_owned);
        run(&format!("prlimit --pid {id} --nofile={}:", open + spare));
        open
    }

    pub(crate) fn restore_descriptors(&mut self) {
        let limit = self.descriptors.take();
        if self.is_running()
            && let (Some(limit), Some(process)) = (limit, &self.process)
        {
            run(&format!("prlimit --pid {} --nofile={limit}:", process.id()));
        }
    }

    /// From the next start on the wall clock is what the runner says.
    pub(crate) fn take_clock(&mut self) {
        self.clock = Some(self.folder.join("clock"));
        self.set_clock("+0");
    }

    /// Moves the clock of a node whose clock was taken: "-3600" is an hour back.
    pub(crate) fn set_clock(&self, offset: &str) {
        if let Some(clock) = &self.clock {
            let next = clock.with_extension("next");
            fs::write(&next, offset).unwrap();
            fs::rename(&next, clock).unwrap();
        }
    }

    pub(crate) fn has_own_clock(&self) -> bool {
        self.clock.is_some()
    }

    pub(crate) fn give_clock_back(&mut self) {
        self.clock = None;
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

/// The library that lies to one process about the wall clock.
pub(crate) fn clock_library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.exists())
}
