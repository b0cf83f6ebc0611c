//! A Redis server on a host of its own, and groups of them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::client::{Client, Value};
use crate::enclosure::FOLDER;
use crate::moment::wait_for;
use crate::network::Host;
use crate::process::Process;

pub(crate) const PORT: u16 = 6_379;
const PATIENCE: Duration = Duration::from_secs(2);
const STARTED: Duration = Duration::from_secs(60);

/// One instance: its process may run or not; host and data stay.
pub(crate) struct Redis {
    pub(crate) host: Host,
    folder: PathBuf,
    process: Option<Process>,
}

impl Redis {
    /// Starts an empty one.
    pub(crate) fn new(name: &str, ip: Ipv4Addr, primary: Option<Ipv4Addr>) -> Self {
        let folder = PathBuf::from(format!("{FOLDER}/{name}"));
        fs::create_dir_all(&folder).unwrap();
        let follow = primary.map(|ip| format!("replicaof {ip} {PORT}\n")).unwrap_or_default();
        // Written down, because CONFIG REWRITE and a restart go by the file.
        let text = format!(
            "port {PORT}\nbind {ip}\nprotected-mode no\ndir {}\nsave \"\"\nappendonly yes\nappendfsync everysec\n\
             repl-diskless-sync-delay 0\nrepl-ping-replica-period 1\nrepl-timeout 10\n{follow}",
            folder.display()
        );
        fs::write(folder.join("redis.conf"), text).unwrap();
        let mut redis = Self {
            host: Host::new(name, ip),
            folder,
            process: None,
        };
        redis.start();
        redis
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (self.host.ip, PORT).into()
    }

    /// Starts it with the data and the configuration that it had, and waits until it answers.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        let mut command = self.host.command("redis-server");
        command.arg(self.folder.join("redis.conf"));
        self.process = Some(Process::start(&mut command, &self.folder.join("log")));
        let what = format!("{} answers", self.host.name);
        wait_for(&what, STARTED, || {
            (self.call(&["PING"])? == Value::Simple("PONG".to_owned())).then_some(())
        });
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
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

    /// One request on a connection of its own; `None` when there is no answer.
    pub(crate) fn call(&self, words: &[&str]) -> Option<Value> {
        Client::reach(self.address(), PATIENCE).ok()?.try_call(words).ok()
    }

    /// Whether it is a primary, by its own word.
    pub(crate) fn is_primary(&self) -> bool {
        self.replication().is_some_and(|text| text.contains("role:master\r\n"))
    }

    /// Whether it is a replica of that host with its link up.
    pub(crate) fn follows(&self, primary: Ipv4Addr) -> bool {
        self.replication().is_some_and(|text| {
            text.contains("role:slave\r\n")
                && text.contains(&format!("master_host:{primary}\r\n"))
                && text.contains("master_link_status:up\r\n")
        })
    }

    fn replication(&self) -> Option<String> {
        Some(self.call(&["INFO", "replication"])?.text().to_owned())
    }
}

/// A primary with its replicas.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) members: Vec<Redis>,
}

impl Group {
    /// Group number `number` (from 1) of `size` running instances; the first is the primary.
    pub(crate) fn start(number: u8, size: u8) -> Self {
        let ip = |member: u8| Ipv4Addr::new(10, 77, 10 + number, member);
        let member = |member: u8| {
            let primary = (member > 1).then(|| ip(1));
            Redis::new(&format!("redis-{number}-{member}"), ip(member), primary)
        };
        Self {
            name: format!("g{number}"),
            members: (1..=size).map(member).collect(),
        }
    }

    pub(crate) fn place_of(&self, ip: Ipv4Addr) -> Option<usize> {
        self.members.iter().position(|member| member.host.ip == ip)
    }
}
