//! A real redis-server.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Client, Process, SOON, Value, World, wait_until};

/// One redis-server on loopback with its own folder. Its port is its name.
pub(crate) struct Redis {
    pub(crate) port: u16,
    folder: PathBuf,
    process: Option<Process>,
}

impl Redis {
    /// Starts an empty one and waits until it answers.
    pub(crate) fn start(world: &World, options: &[&str]) -> Self {
        let port = world.port();
        let folder = world.folder().join(format!("redis-{port}"));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("redis.conf");
        // Written down, because CONFIG REWRITE and a restart go by the file.
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsave \"\"\nappendonly yes\nappendfsync always\n\
             repl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n{}\n",
            folder.display(),
            options.join("\n")
        );
        fs::write(&file, text).unwrap();
        let mut redis = Self {
            port,
            folder,
            process: None,
        };
        redis.restart();
        redis
    }

    /// Starts it again on the same port, with the data and the configuration that it had.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        assert!(self.process.is_none(), "redis {} still runs", self.port);
        let mut command = Command::new("redis-server");
        command.arg(self.folder.join("redis.conf")).current_dir(&self.folder);
        self.process = Some(Process::start(&mut command, &self.folder.join("log")));
        wait_until(&format!("redis {} answers", self.port), SOON, || {
            assert!(self.is_running(), "redis {} ended at once", self.port);
            let answer = Client::connect(self.port).and_then(|mut client| client.try_call(&["PING"]));
            answer.is_ok_and(|answer| answer == Value::Simple("PONG".to_owned()))
        });
    }

    /// Starts it again, its data gone.
    pub(crate) fn restart_empty(&mut self) {
        for entry in fs::read_dir(&self.folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                fs::remove_dir_all(&path).unwrap();
            } else if path.extension().is_some_and(|extension| extension == "rdb") {
                fs::remove_file(&path).unwrap();
            }
        }
        self.restart();
    }

    /// `kill -9`.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// SIGSTOP: it hangs with its connections open.
    pub(crate) fn freeze(&mut self) {
        self.process.as_mut().expect("it runs").freeze();
    }

    /// SIGCONT.
    pub(crate) fn thaw(&mut self) {
        self.process.as_mut().expect("it runs").thaw();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    #[track_caller]
    pub(crate) fn call(&self, words: &[&str]) -> Value {
        Client::connect(self.port).unwrap().call(words)
    }

    /// A line of its INFO; empty when it does not answer or has no such line.
    pub(crate) fn info(&self, name: &str) -> String {
        let answer = Client::connect(self.port).and_then(|mut client| client.try_call(&["INFO"]));
        let Ok(answer) = answer else {
            return String::new();
        };
        let prefix = format!("{name}:");
        let line = answer.text().lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_default().to_owned()
    }

    /// Whether it is a replica of that port with its link up.
    pub(crate) fn follows(&self, primary: u16) -> bool {
        self.info("role") == "slave"
            && self.info("master_port") == primary.to_string()
            && self.info("master_link_status") == "up"
    }
}
