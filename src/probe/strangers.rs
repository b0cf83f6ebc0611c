//! Sentinels that are not ours and watch an instance of ours: they listen on it for each other.
//!
//! Listening as well would cost a connection per instance. Who listens is asked on the one that there is, each time
//! INFO is: a count, and names only where somebody does.

use tracing::warn;

use crate::detect::watchers;
use crate::model::{Address, Instant};
use crate::redis::Answer;
use crate::requests::Hello;

use super::instance::{Instance, Which};

impl Instance {
    /// What PUBSUB NUMSUB or CLIENT LIST answered. An error is the last answer on this connection: who may not ask
    /// would only fill a log.
    pub(super) fn take_sentinels(&mut self, which: Which, answer: &Answer, now: Instant) {
        let Some(line) = self.slot(which).line() else { return };
        match answer {
            Answer::Array(items) if matches!(items.get(1), Some(Answer::Integer(count)) if *count > 0) => {
                line.ask_sentinel_list();
            }
            Answer::Error(_) => line.hides_sentinels = true,
            Answer::Bulk(list) => self.note_sentinels(list, now),
            _ => {}
        }
    }

    fn note_sentinels(&self, list: &[u8], now: Instant) {
        for watcher in watchers(list) {
            let hello = Hello {
                group: self.known.group.id,
                id: watcher.id.clone(),
                address: Address {
                    ip: watcher.ip,
                    port: 0,
                },
            };
            if self.shared.board.note_hello(hello, now) {
                warn!(
                    target: "cfgserver::probe", group = %self.known.group.name, from = %watcher.ip, id = watcher.id,
                    "a Sentinel that is not ours watches this group and may fail it over: nothing is adopted from it"
                );
            }
        }
    }
}
