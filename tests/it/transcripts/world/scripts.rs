//! The scripts of a transcript's node.

use cfgserver::model::Instant;
use cfgserver::script::{End, JobId, Pending, Queue};

/// Scripts that run or wait.
#[derive(Default)]
pub(crate) struct Scripts {
    queue: Queue,
    started: Vec<JobId>,
}

impl Scripts {
    pub(crate) fn pending(&self) -> Vec<Pending> {
        self.queue.pending()
    }

    /// `add PROGRAM ARGUMENT...`, `starts PROCESS`: the next one; `fails`: the one that was started first.
    pub(crate) fn change(&mut self, words: &[&str], now: Instant) {
        match words {
            ["add", words @ ..] => {
                let words = words.iter().map(|word| (*word).to_owned()).collect();
                assert_eq!(self.queue.add(words, now), None);
            }
            ["starts", process] => {
                let (id, _) = self.queue.start(now).expect("one waits");
                self.queue.started(id, process.parse().unwrap());
                self.started.push(id);
            }
            ["fails"] => {
                self.queue.ended(self.started.remove(0), End::Code(1), now, 30_000);
            }
            other => panic!("unknown change: script {other:?}"),
        }
    }
}
