//! Logging: one line per event on standard error, as text or JSON.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::requests::LogWord;

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

impl LogLevel {
    /// The nearest word of Sentinel.
    pub fn word(self) -> LogWord {
        match self {
            Self::Error | Self::Warn => LogWord::Warning,
            Self::Info => LogWord::Notice,
            Self::Debug | Self::Trace => LogWord::Debug,
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

/// Changes what is logged, once logging is set up.
static FILTER: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// A plain level holds for cfgserver itself; libraries speak from `warn` on.
fn filter(level: &str) -> String {
    let plain = ["error", "warn", "info", "debug", "trace"].contains(&level);
    if plain {
        format!("warn,openraft=error,cfgserver={level}")
    } else {
        level.to_owned()
    }
}

/// Sets up logging for the process.
pub fn start(level: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter(level)).map_err(|_| LogError::Level(level.to_owned()))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    // Only the lines of the process that logs can be changed: what fails here has no reader any more.
    let started = match format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            _ = FILTER.set(Box::new(move |filter| _ = handle.reload(filter)));
            lines.try_init()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            _ = FILTER.set(Box::new(move |filter| _ = handle.reload(filter)));
            lines.try_init()
        }
    };
    started.map_err(|_| LogError::Twice)
}

/// Changes how much is logged, where logging was set up.
pub fn set(word: LogWord) {
    let level = match word {
        LogWord::Debug => "debug",
        LogWord::Verbose | LogWord::Notice => "info",
        LogWord::Warning => "warn",
        LogWord::Nothing => "off",
    };
    if let (Some(set), Ok(filter)) = (FILTER.get(), EnvFilter::try_new(filter(level))) {
        set(filter);
    }
}
