//! What nodes log, as a story: simulated time, machine, what it saw and did.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use cfgserver::failover::Order;
use cfgserver::host::Host;
use cfgserver::machine::State;
use cfgserver::model::{GroupId, RunId};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::fact::Fact;

/// An order that left a node, as it is about to be written to the socket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left {
    pub(crate) node: String,
    pub(crate) group: u64,
    pub(crate) term: u64,
    pub(crate) address: String,
    pub(crate) run_id: String,
    pub(crate) order: String,
    /// The same order once more, in its bare form.
    pub(crate) repeated: bool,
}

/// What nodes say of orders that leave.
const ORDERS: &str = "cfgserver::order";

/// Lines of a run, shared by the world and the log of its nodes. Errors are noted also when it is not kept.
#[derive(Clone, Default)]
pub(crate) struct Story {
    kept: bool,
    lines: Arc<Mutex<Vec<String>>>,
    error: Arc<Mutex<Option<String>>>,
    orders: Arc<Mutex<Vec<Left>>>,
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

    /// Orders that left since the last call.
    pub(crate) fn take_orders(&self) -> Vec<Left> {
        std::mem::take(&mut self.orders.lock().unwrap())
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
        metadata.target() == ORDERS || own && *metadata.level() <= if self.kept { Level::INFO } else { Level::ERROR }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == ORDERS {
            let mut left = Left {
                node: Host::current().map_or_else(String::new, |host| host.name().to_owned()),
                ..Left::default()
            };
            event.record(&mut left);
            return self.orders.lock().unwrap().push(left);
        }
        let mut line = Line::default();
        event.record(&mut line);
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

impl Visit for Left {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.repeated = value && field.name() == "repeated";
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "group" => self.group = value,
            "term" => self.term = value,
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "address" => self.address = value,
            "run_id" => self.run_id = value,
            "order" => self.order = value,
            _ => {}
        }
    }
}

impl Left {
    /// The fact that it is; `applied` is what its node had applied.
    pub(crate) fn fact(&self, applied: Arc<State>) -> Option<Fact> {
        Some(Fact::OrderSent {
            node: self.node.strip_prefix("node ")?.parse().ok()?,
            term: self.term,
            group: GroupId(self.group),
            address: self.address.parse().ok()?,
            run_id: RunId::new(&self.run_id),
            order: self.order()?,
            repeated: self.repeated,
            applied,
        })
    }

    fn order(&self) -> Option<Order> {
        let text = self.order.as_str();
        if let Some(rest) = text.strip_prefix("follow ") {
            let (primary, disconnects) = match rest.strip_suffix(", disconnect clients") {
                Some(primary) => (primary, true),
                None => (rest, false),
            };
            return Some(Order::Follow {
                host: None,
                primary: primary.parse().ok()?,
                disconnect_clients: disconnects,
            });
        }
        if let Some(rest) = text.strip_prefix("pause writes ") {
            let ms = rest.strip_suffix(" ms")?.parse().ok()?;
            return Some(Order::Pause { ms });
        }
        match text {
            "promote" => Some(Order::Promote),
            "unpause" => Some(Order::Unpause),
            _ => None,
        }
    }
}
