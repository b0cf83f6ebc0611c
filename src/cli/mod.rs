//! What the process is asked to do: argv, environment and file become one checked value.
//!
//! Does not live here: anything that opens a socket or a data directory, starts a task or logs. The only
//! files read are the configuration file and those with secrets.

mod agent;
mod check;
mod config;
mod error;
mod fleet;
mod import;
mod layer;
mod secret;
mod show;
mod values;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

pub use agent::AgentInvocation;
pub use config::{Founding, Limits, ServeConfig};
pub use error::{ConfigError, Refusal};
pub use fleet::FleetInvocation;
pub use import::{Import, MoveInvocation, Origin};
pub use layer::Layer;
pub use secret::Secret;
pub use values::{Peers, ReadPolicy, RunScripts, Whole, YesNo};

/// The process did what it was asked to do.
pub const EXIT_OK: u8 = 0;
/// The configuration was understood and cannot be served: contradictions, unreadable files, a port or a data
/// directory that cannot be had.
pub const EXIT_CANNOT_START: u8 = 1;
/// The command line cannot be understood.
pub const EXIT_USAGE: u8 = 64;
/// A running node met something after which it must not go on.
pub const EXIT_FATAL: u8 = 70;

const AFTER_HELP: &str = "Every option can also be set in the environment (CFGSERVER_NODE_ID for --node-id) \
and in the file given with --config (node-id = 1). Options win over the environment, the environment wins \
over the file.";

#[derive(Debug, Parser)]
#[command(name = "cfgserver", version, about, after_help = AFTER_HELP)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a node
    #[command(after_help = AFTER_HELP)]
    Serve(Box<Layer>),
    /// Print the configuration that `serve` would run with, or say what is wrong with it
    #[command(after_help = AFTER_HELP)]
    CheckConfig(Box<Layer>),
    /// Keep a proxy that knows no Sentinel on the right primaries
    #[command(after_help = agent::HELP)]
    Agent(Box<agent::AgentLine>),
    /// Take the groups of a Redis Sentinel over, from its file or while it runs
    #[command(after_help = import::HELP)]
    Import(Box<import::ImportLine>),
    /// Print the groups of the cluster as lines of a sentinel.conf, without passwords
    Export(import::ExportLine),
    /// Pretend to be thousands of Redis instances, for benchmarks and capacity planning
    #[command(after_help = fleet::HELP)]
    Fleet(fleet::FleetLine),
}

/// What to do, after argv, environment and files were read and checked.
#[derive(Debug)]
pub enum Invocation {
    /// Run a node.
    Serve(Box<ServeConfig>),
    /// Run or show the agent of a proxy.
    Agent(AgentInvocation),
    /// Move groups from a Sentinel, or back.
    Move(MoveInvocation),
    /// Run a pretend fleet.
    Fleet(FleetInvocation),
    /// Print this text to standard output and end well: help, version, the effective configuration.
    Print(String),
}

/// Reads argv (the program's own name first) and the environment, and the files that they name.
pub fn read<A, E>(argv: A, environment: E) -> Result<Invocation, Refusal>
where
    A: IntoIterator<Item = OsString>,
    E: IntoIterator<Item = (OsString, OsString)>,
{
    let line = match CommandLine::try_parse_from(argv) {
        Ok(line) => line,
        Err(error) if !error.use_stderr() => return Ok(Invocation::Print(error.to_string())),
        Err(error) => return Err(Refusal::usage(&error)),
    };
    match line.verb {
        Verb::Serve(flags) => {
            let config = ServeConfig::load(*flags, environment)?;
            Ok(Invocation::Serve(Box::new(config)))
        }
        Verb::CheckConfig(flags) => {
            let config = ServeConfig::load(*flags, environment)?;
            Ok(Invocation::Print(config.to_toml()))
        }
        Verb::Agent(line) => agent::read(*line, environment).map(Invocation::Agent),
        Verb::Import(line) => import::read_import(*line, environment).map(Invocation::Move),
        Verb::Export(line) => Ok(Invocation::Move(import::read_export(line))),
        Verb::Fleet(line) => fleet::read(line),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<OsString> {
        std::iter::once("cfgserver")
            .chain(words.iter().copied())
            .map(OsString::from)
            .collect()
    }

    fn refused(words: &[&str]) -> Refusal {
        read(argv(words), []).expect_err("should be refused")
    }

    #[test]
    fn serve_alone_just_runs() {
        let Ok(Invocation::Serve(config)) = read(argv(&["serve"]), []) else {
            panic!("refused");
        };
        assert_eq!(config.node_id, 1);
        assert_eq!(config.listen.to_string(), "127.0.0.1:26379");
        assert_eq!(config.founding, Founding::Alone);
    }

    #[test]
    fn a_command_line_that_cannot_be_understood_is_a_usage_error() {
        for words in [
            &["serve", "--port", "1"][..],
            &["serve", "--node-id", "0"],
            &["serve", "--node-id", "one"],
            &["serve", "--listen", "localhost"],
            &["serve", "--peers", "1:a"],
            &["serve", "--strict-sentinel", "maybe"],
            &["serve", "--read-policy", "stale"],
            &["serve", "--run-scripts", "never"],
            &["serve", "--connections-max", "3"],
            &["serve", "extra"],
            &["dance"],
            &["agent"],
            &["agent", "status", "--jason"],
            &["agent", "--config", "a", "dance"],
            &["agent", "--config", "a", "--node-id", "1"],
            &[],
        ] {
            let refusal = refused(words);
            assert_eq!(refusal.code, EXIT_USAGE, "{words:?}: {refusal}");
        }
    }

    #[test]
    fn help_and_version_go_to_standard_output() {
        for words in [
            &["--version"][..],
            &["--help"],
            &["serve", "--help"],
            &["agent", "--help"],
        ] {
            let Ok(Invocation::Print(text)) = read(argv(words), []) else {
                panic!("{words:?} refused");
            };
            assert!(text.contains("cfgserver"), "{text}");
        }
        let Ok(Invocation::Print(version)) = read(argv(&["--version"]), []) else {
            panic!("refused");
        };
        assert_eq!(version.trim(), concat!("cfgserver ", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn check_config_prints_what_serve_would_run_with() {
        let Ok(Invocation::Print(text)) = read(argv(&["check-config", "--node-id", "7"]), []) else {
            panic!("refused");
        };
        assert!(text.contains("node-id = 7\n"), "{text}");
    }

    #[test]
    fn an_agent_is_told_its_file_by_argv_or_the_environment_and_argv_wins() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "nodes = [\"a:1\"]\nlog-level = \"warn\"\n[hook]\ncommand = [\"x\"]\ngroups = [\"g\"]\n";
        std::fs::write(file.path(), text).unwrap();
        let there = file.path().as_os_str().to_owned();
        let agent = |words: &[&str], variables: Vec<(&str, OsString)>| {
            let variables = variables.into_iter().map(|(name, value)| (name.into(), value));
            match read(argv(words), variables) {
                Ok(Invocation::Agent(AgentInvocation::Run(config))) => Ok(config),
                Ok(other) => panic!("{other:?}"),
                Err(refusal) => Err(refusal.to_string()),
            }
        };
        let named = ("CFGSERVER_AGENT_CONFIG", there.clone());
        let config = agent(&["agent"], vec![named.clone()]).unwrap();
        assert_eq!(config.log_level, crate::telemetry::LogLevel::Warn);
        let louder = ("CFGSERVER_AGENT_LOG_LEVEL", "debug".into());
        let config = agent(&["agent"], vec![named.clone(), louder.clone()]).unwrap();
        assert_eq!(config.log_level, crate::telemetry::LogLevel::Debug);
        let words = ["agent", "--config", there.to_str().unwrap(), "--log-level", "error"];
        let config = agent(&words, vec![("CFGSERVER_AGENT_CONFIG", "/none".into()), louder]).unwrap();
        assert_eq!(config.log_level, crate::telemetry::LogLevel::Error);
        let wrong = ("CFGSERVER_AGENT_LOG_FORMAT", "xml".into());
        let refusal = agent(&["agent"], vec![named, wrong]).unwrap_err();
        assert_eq!(
            refusal,
            "cfgserver: CFGSERVER_AGENT_LOG_FORMAT: 'xml' is none of text, json"
        );
        let refusal = agent(&["agent", "--config", "/none"], vec![]).unwrap_err();
        assert!(refusal.starts_with("cfgserver: cannot read /none: "), "{refusal}");
    }

    #[test]
    fn the_verbs_of_the_agent_take_its_file_before_or_after_them() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "nodes = [\"a:1\"]\n[hook]\ncommand = [\"x\"]\ngroups = [\"g\"]\n",
        )
        .unwrap();
        let there = file.path().to_str().unwrap();
        for words in [
            &["agent", "status", "--config", there, "--json"][..],
            &["agent", "--config", there, "status", "--json"],
        ] {
            let asked = read(argv(words), []);
            let json = matches!(asked, Ok(Invocation::Agent(AgentInvocation::Status { json: true, .. })));
            assert!(json, "{asked:?}");
        }
        let asked = read(argv(&["agent", "check", "--config", there]), []);
        assert!(
            matches!(asked, Ok(Invocation::Agent(AgentInvocation::Check(_)))),
            "{asked:?}"
        );
    }

    #[test]
    fn a_contradiction_is_one_line_and_cannot_start() {
        let refusal = refused(&["check-config", "--peers", "1=127.0.0.1:26379", "--join", "127.0.0.1:5"]);
        assert_eq!(refusal.code, EXIT_CANNOT_START);
        assert_eq!(refusal.to_string().lines().count(), 1, "{refusal}");
    }
}
