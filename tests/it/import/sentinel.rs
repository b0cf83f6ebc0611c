//! A real Sentinel (redis-server in that role, so that no package starts one as a service).

use std::path::PathBuf;
use std::process::Command;

use crate::world::{Client, Process, SOON, Value, World, wait_until};

/// One Sentinel; its file is its memory.
pub(super) struct Sentinel {
    pub(super) port: u16,
    pub(super) file: PathBuf,
    process: Option<Process>,
}

impl Sentinel {
    /// Starts one with these lines, and waits until it answers.
    pub(super) fn start(world: &World, lines: &str) -> Self {
        let port = world.port();
        let folder = world.folder().join(format!("sentinel-{port}"));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("sentinel.conf");
        let text = format!("port {port}\nbind 127.0.0.1\ndir {}\n{lines}\n", folder.display());
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel");
        let process = Process::start(&mut command, &folder.join("log"));
        let sentinel = Self {
            port,
            file,
            process: Some(process),
        };
        wait_until(&format!("the Sentinel {port} answers"), SOON, || {
            Client::connect(port)
                .and_then(|mut client| client.try_call(&["PING"]))
                .is_ok()
        });
        sentinel
    }

    pub(super) fn call(&self, words: &[&str]) -> Value {
        Client::connect(self.port).unwrap().call(words)
    }

    /// The port that it tells for a group; 0 when it knows none.
    pub(super) fn primary_of(&self, group: &str) -> u16 {
        let answer = self.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group]);
        let port = answer.items().get(1).map(|port| port.text().to_owned());
        port.and_then(|port| port.parse().ok()).unwrap_or(0)
    }

    /// Whether it sees the group healthy, with so many replicas and other Sentinels.
    pub(super) fn is_settled(&self, group: &str, replicas: usize, others: usize) -> bool {
        let master = self.call(&["SENTINEL", "MASTER", group]);
        let listed = self.call(&["SENTINEL", "REPLICAS", group]);
        let fact = |name: &str, number: usize| master.field(name) == Some(number.to_string().as_str());
        let up = |one: &Value| one.field("flags") == Some("slave") && one.field("master-link-status") == Some("ok");
        master.field("flags") == Some("master")
            && fact("num-slaves", replicas)
            && fact("num-other-sentinels", others)
            && listed.items().iter().all(up)
    }

    /// SIGTERM.
    pub(super) fn terminate(&mut self) {
        self.process.take().expect("it runs").terminate(SOON);
    }
}
