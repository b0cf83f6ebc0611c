//! Logging: one line per event on standard error, as text or JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// How much to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What must be looked at.
    Error,
    /// And what may become that.
    Warn,
    /// And what happened.
    #[default]
    Info,
    /// And why.
    Debug,
    /// And every step.
    Trace,
}

impl LogLevel {
    /// The level as an option and a log filter write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is neither a level nor a filter.
    #[error("log level '{0}' is not one of error, warn, info, debug, trace, nor a filter such as info,openraft=debug")]
    Level(String),
    /// Logging was set up before.
    #[error("logging is already set up")]
    Twice,
}

/// Sets up logging for the process. A plain level holds for cfgserver itself; libraries speak from `warn` on.
pub fn start(level: &str, format: LogFormat) -> Result<(), LogError> {
    let plain = ["error", "warn", "info", "debug", "trace"].contains(&level);
    let filter = if plain {
        format!("warn,openraft=error,cfgserver={level}")
    } else {
        level.to_owned()
    };
    let filter = EnvFilter::try_new(filter).map_err(|_| LogError::Level(level.to_owned()))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| LogError::Twice)
}
