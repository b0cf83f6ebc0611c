//! A second writer that talks to one instance directly: it knows when that instance accepts writes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::Client;
use crate::crew::Stop;
use crate::moment::{last, ms};
use crate::two_primaries::{Span, extend};

const PACE_MS: u64 = 25;
/// A hanging instance answers what waits when it goes on: the answer must not be missed.
const PATIENCE: Duration = Duration::from_secs(120);

/// When the instance accepted writes.
#[derive(Clone, Default)]
pub(crate) struct Accepted(Arc<Mutex<Vec<Span>>>);

impl Accepted {
    /// What is not over before `from`, cut off there and at `to`.
    pub(crate) fn between(&self, from: u64, to: u64) -> Vec<Span> {
        let spans = self.0.lock().unwrap();
        let inside = spans.iter().filter(|span| span.to > from && span.from < to);
        inside
            .map(|span| Span {
                from: span.from.max(from),
                to: span.to.min(to),
            })
            .collect()
    }
}

pub(crate) struct Prober {
    pub(crate) at: SocketAddr,
    pub(crate) accepted: Accepted,
    pub(crate) stop: Stop,
}

impl Prober {
    pub(crate) fn run(self) {
        let mut count = 0_u64;
        let mut broken = false;
        while !self.stop.is_set() {
            if let Ok(mut client) = Client::reach(self.at, Duration::from_secs(1)) {
                client.patience(PATIENCE);
                self.probe(&mut client, &mut count, &mut broken);
            }
            broken = true;
            last(PACE_MS);
        }
    }

    fn probe(&self, client: &mut Client, count: &mut u64, broken: &mut bool) {
        while !self.stop.is_set() {
            *count += 1;
            let Ok(answer) = client.try_call(&["SET", "probe", &count.to_string()]) else {
                return;
            };
            if answer.is_ok() {
                extend(&mut self.accepted.0.lock().unwrap(), ms(), *broken);
            }
            *broken = !answer.is_ok();
            last(PACE_MS);
        }
    }
}
