//! What nodes log, as a story: simulated time, machine, what it saw and did.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use cfgserver::host::Host;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Lines of a run, shared by the world and the log of its nodes. Errors are noted also when it is not kept.
#[derive(Clone, Default)]
pub(crate) struct Story {
    kept: bool,
    lines: Arc<Mutex<Vec<String>>>,
    error: Arc<Mutex<Option<String>>>,
}

impl Story {
    pub(crate) fn kept() -> Self {
        Self {
            kept: true,
            ..Self::default()
        }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.kept
    }

    /// The first error that a node has logged since the last call.
    pub(crate) fn take_error(&self) -> Option<String> {
        self.error.lock().unwrap().take()
    }

    pub(crate) fn tell(&self, at_ms: u64, who: &str, what: &str) {
        if !self.kept {
            return;
        }
        let (seconds, ms) = (at_ms / 1_000, at_ms % 1_000);
        let line = format!("{seconds:>4}.{ms:03} {who:<10} {what}");
        self.lines.lock().unwrap().push(line);
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

impl<S: Subscriber> Layer<S> for Story {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        let own = metadata.target().starts_with("cfgserver::");
        own && *metadata.level() <= if self.kept { Level::INFO } else { Level::ERROR }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        let place = metadata.target().trim_start_matches("cfgserver::");
        let level = match *metadata.level() {
            Level::INFO => String::new(),
            level => format!("{level} "),
        };
        let host = Host::current();
        let who = host.as_ref().map_or("?", Host::name);
        let at = turmoil::sim_elapsed().unwrap_or_default().as_millis() as u64;
        let text = format!("{level}{place}: {}{}", line.message, line.fields);
        self.tell(at, who, &text);
        // A disk that fails is one of the faults, and Raft says so.
        let expected = text.contains("raft has failed");
        if *metadata.level() == Level::ERROR && !expected {
            self.error.lock().unwrap().get_or_insert(format!("{who}: {text}"));
        }
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
        written.expect("a string takes everything");
    }
}
