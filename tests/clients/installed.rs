//! Where the clients are, and how each program is started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{has_program, skip};

/// The folders that `scripts/lib/clients` made, by name.
pub(crate) struct Installed {
    folders: BTreeMap<String, PathBuf>,
}

/// A file of `tests/clients/programs`.
pub(crate) fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients/programs")
        .join(name)
}

impl Installed {
    /// What is there; installs nothing.
    pub(crate) fn find() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lib/clients");
        let output = Command::new(script)
            .arg("--find")
            .output()
            .expect("scripts/lib/clients runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let pair = |line: &str| {
            line.split_once(' ')
                .map(|(name, folder)| (name.to_owned(), folder.into()))
        };
        Self {
            folders: text.lines().filter_map(pair).collect(),
        }
    }

    /// The command that starts a client, without its arguments; `None` after saying what is missing.
    pub(crate) fn command(&self, client: &str) -> Option<Command> {
        match client {
            "redis-py" | "redis-py-asyncio" => self.python(&format!("{client}.py")),
            "ioredis" | "node-redis" => self.node(&format!("{client}.cjs")),
            "redis-rs" => Some(Command::new(self.folder("redis-rs")?.join("redis-rs-client"))),
            "redis-cli" => has_program("redis-cli").then(|| Command::new(program("redis-cli.sh"))),
            other => panic!("no client is named {other}"),
        }
    }

    /// A program for Python, with redis-py.
    pub(crate) fn python(&self, name: &str) -> Option<Command> {
        let folder = has_program("python3").then(|| self.folder("python"))??;
        let mut command = Command::new("python3");
        command.arg(program(name)).env("PYTHONPATH", folder);
        // Nothing is left behind in the folder of the programs.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        Some(command)
    }

    fn node(&self, name: &str) -> Option<Command> {
        let folder = has_program("node").then(|| self.folder("node"))??;
        let mut command = Command::new("node");
        command.arg(program(name)).env("NODE_PATH", folder.join("node_modules"));
        Some(command)
    }

    fn folder(&self, name: &str) -> Option<&Path> {
        let found = self.folders.get(name).map(PathBuf::as_path);
        if found.is_none() {
            skip(&format!(
                "the clients for {name} are not installed (scripts/lib/clients)"
            ));
        }
        found
    }
}
