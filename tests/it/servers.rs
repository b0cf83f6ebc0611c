//! Real redis-servers on loopback, each in its own folder, ended by their process id.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cfgserver::clock::Clock;
use cfgserver::model::{Address, Instant};
use cfgserver::redis::{Answer, Link, Target, request};

/// Long enough for whatever should happen at once, on a machine that does other things too.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// One redis-server. Its configuration file makes CONFIG REWRITE work.
pub(crate) struct Server {
    pub(crate) address: Address,
    pub(crate) folder: tempfile::TempDir,
    child: Child,
}

/// Whether redis-server is here. When not, says so, and fails where nothing may be skipped.
pub(crate) fn redis_is_missing() -> bool {
    let found = Command::new("redis-server")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if found.is_ok() {
        return false;
    }
    println!("skipped: redis-server is not installed");
    assert!(
        std::env::var_os("CFGSERVER_TEST_ALL").is_none(),
        "redis-server is not installed"
    );
    true
}

impl Server {
    /// Starts a server with these lines in its configuration, and waits until it answers.
    pub(crate) async fn start(options: &[&str]) -> Self {
        for _ in 0..20 {
            let mut server = Self::spawn(free_port(), options);
            if server.answers().await {
                return server;
            }
        }
        panic!("no redis-server came up with {options:?}");
    }

    /// A replica of `primary` whose link is up.
    pub(crate) async fn replica_of(primary: &Self, options: &[&str]) -> Self {
        let follow = format!("replicaof {} {}", primary.address.ip, primary.address.port);
        let server = Self::start(&[options, &[&follow]].concat()).await;
        server.wait_info("master_link_status:up").await;
        server
    }

    /// Starts it again at the same port with what is in its folder.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.child = child(self.folder.path());
        assert!(self.answers().await, "redis-server did not come back");
    }

    fn spawn(port: u16, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lines = format!(
            "port {port}\nbind 127.0.0.1\nsave \"\"\nrepl-diskless-sync-delay 0\nlogfile log\n{}\n",
            options.join("\n")
        );
        fs::write(folder.path().join("redis.conf"), lines).unwrap();
        Self {
            address: Address::parse("127.0.0.1", &port.to_string()).unwrap(),
            child: child(folder.path()),
            folder,
        }
    }

    /// Waits for the first answer; false when the process ended (its port was taken meanwhile).
    async fn answers(&mut self) -> bool {
        let clock = Clock::start();
        let until = clock.now().plus(SOON.as_millis() as u64);
        while clock.now() < until {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if let Ok(mut link) = Link::connect(&self.target(), SOON).await
                && link.call(&[request(["PING"])], SOON).await.is_ok()
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    /// How to get in without a password.
    pub(crate) fn target(&self) -> Target {
        Target {
            address: self.address,
            user: String::new(),
            password: String::new(),
            renamed: BTreeMap::new(),
        }
    }

    /// How to get in with a password.
    pub(crate) fn target_with(&self, user: &str, password: &str) -> Target {
        Target {
            user: user.to_owned(),
            password: password.to_owned(),
            ..self.target()
        }
    }

    /// One request over a fresh connection.
    pub(crate) async fn call<const N: usize>(&self, parts: [&str; N]) -> Answer {
        let mut link = Link::connect(&self.target(), SOON).await.unwrap();
        link.call(&[request(parts)], SOON).await.unwrap().remove(0)
    }

    /// Whether its INFO has this line.
    pub(crate) async fn says(&self, line: &str) -> bool {
        match self.call(["INFO"]).await {
            Answer::Bulk(text) => String::from_utf8_lossy(&text).lines().any(|one| one == line),
            other => panic!("INFO answered {other:?}"),
        }
    }

    pub(crate) async fn wait_info(&self, line: &str) {
        let clock = Clock::start();
        let until = clock.now().plus(SOON.as_millis() as u64);
        while !self.says(line).await {
            assert!(clock.now() < until, "{} never said {line}", self.address);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// `kill -9`
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGSTOP: it hangs with its connections open.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `condition` gives something.
pub(crate) async fn wait_for<T>(what: &str, clock: &Clock, condition: impl FnMut() -> Option<T>) -> T {
    let until = clock.now().plus(SOON.as_millis() as u64);
    wait_until(what, clock, until, condition).await
}

async fn wait_until<T>(what: &str, clock: &Clock, until: Instant, mut condition: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(clock.now() < until, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn child(folder: &std::path::Path) -> Child {
    Command::new("redis-server")
        .arg("redis.conf")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
