//! A real Redis Sentinel, to compare with.

use std::process::Command;

use crate::world::{Client, Process, SOON, World, wait_until};

/// A Sentinel (redis-server in that role) that ends when this is dropped.
pub(crate) struct Sentinel {
    pub(crate) port: u16,
    _process: Process,
}

impl Sentinel {
    pub(crate) fn start(world: &World) -> Self {
        let port = world.port();
        let folder = world.folder().join(format!("sentinel-{port}"));
        std::fs::create_dir(&folder).unwrap();
        let config = folder.join("sentinel.conf");
        let text = format!("port {port}\nbind 127.0.0.1\ndir {}\n", folder.display());
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("redis-server");
        let process = Process::start(command.arg(&config).arg("--sentinel"), &folder.join("log"));
        wait_until("the Sentinel answers", SOON, || {
            let answer = Client::connect(port).and_then(|mut client| client.try_call(&["PING"]));
            answer.is_ok()
        });
        Self {
            port,
            _process: process,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.port).unwrap()
    }
}
