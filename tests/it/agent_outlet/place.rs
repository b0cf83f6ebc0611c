//! A folder with an agent's configuration, the operator's files, and scripts that tell what was done to them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use cfgserver::agent::{Config, Outcome, Outlet, Route, Table};
use cfgserver::clock::Clock;
use cfgserver::model::Address;
use cfgserver::task::Tasks;

use crate::world::{SOON, now};

/// Two pools that stock twemproxy accepts.
pub(super) const TEMPLATE: &str = "\
# the operator's own words
alpha:
  listen: 127.0.0.1:33101
  redis: true
  distribution: ketama
  servers:
   - 10.0.0.1:6379:1 one   # first
   - 10.0.0.2:6379:1 two
";

pub(super) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// With the template, a check that agrees and a restart that works; both write down their argument.
    pub(super) fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        place.write("proxy.yml", TEMPLATE);
        place.script("check", "echo \"$1\" >> checked");
        place.script("restart", "echo \"$1\" >> restarted");
        place
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// How many lines a script has written down.
    pub(super) fn count(&self, name: &str) -> usize {
        self.read(name).lines().count()
    }

    /// Everything in the folder, hidden files too.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// A program of the operator; it is started in this folder.
    pub(super) fn script(&self, name: &str, body: &str) {
        let path = self.path(name);
        // A new file: one that runs must not be written to.
        let _ = fs::remove_file(&path);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The proxy's section as most tests want it, and `more` lines of it.
    pub(super) fn proxy(&self, more: &str) -> Config {
        self.config(&format!(
            "[proxy]\nkind = \"nutcracker\"\ntemplate = \"proxy.yml\"\ncheck = [\"./check\", \"{{file}}\"]\n{more}\n"
        ))
    }

    /// The same, restarted by the script.
    pub(super) fn restarted(&self, more: &str) -> Config {
        self.proxy(&format!("restart = [\"./restart\", \"{{file}}\"]\n{more}"))
    }

    pub(super) fn config(&self, sections: &str) -> Config {
        let text = format!("nodes = [\"127.0.0.1:1\"]\nstate-dir = \"state\"\n{sections}");
        Config::parse(&text, &self.path("agent.toml")).unwrap()
    }
}

pub(super) async fn open(config: &Config) -> Outlet {
    Outlet::open(config, Clock::start(), Tasks::default()).await.unwrap()
}

pub(super) fn at(text: &str) -> Address {
    text.parse().unwrap()
}

/// (group, primary, version, replicas)
pub(super) fn table(routes: &[(&str, &str, u64, &[&str])]) -> Table {
    let routes = routes.iter().map(|(group, primary, version, replicas)| {
        let route = Route {
            primary: at(primary),
            version: *version,
            replicas: replicas.iter().map(|text| at(text)).collect(),
        };
        ((*group).to_owned(), route)
    });
    Table {
        cluster: Some("c".to_owned()),
        routes: routes.collect(),
    }
}

/// Where the template's servers are, and where `one` has moved to.
pub(super) fn home() -> Table {
    table(&[("one", "10.0.0.1:6379", 1, &[]), ("two", "10.0.0.2:6379", 1, &[])])
}

pub(super) fn one_at(address: &str, version: u64) -> Table {
    table(&[("one", address, version, &[]), ("two", "10.0.0.2:6379", 1, &[])])
}

/// The servers that moved, as `server from to`.
#[track_caller]
pub(super) fn moved(outcome: &Outcome) -> Vec<String> {
    let Outcome::Applied { moved, .. } = outcome else {
        panic!("not applied: {outcome:?}");
    };
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    let moves = moved.iter();
    moves
        .map(|moved| format!("{} {} {}", text(&moved.server), text(&moved.from), moved.to))
        .collect()
}

/// Why it was refused.
#[track_caller]
pub(super) fn refused(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Refused { reason } => reason.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

/// Waits for a condition without holding up the runtime's other tasks.
#[track_caller]
pub(super) fn eventually(what: &str, mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let what = what.to_owned();
    let place = std::panic::Location::caller();
    async move {
        let deadline = now() + SOON;
        while !condition() {
            assert!(now() < deadline, "{place}: not within {SOON:?}: {what}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}
