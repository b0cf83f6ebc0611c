//! Runs the scripts of the groups.
//!
//! ```text
//! hub: events -> which of them are mine -> script::told -> script::Queue -> processes -> how they ended -> Queue
//!                                                             \-> board, -script-error, -script-timeout
//! ```
//!
//! Each event is told by one node, the leader, unless the operator wants every node to tell it. The queue is this
//! node's own and ends with it: a notification is told at most once. A switch is told at least once: who begins to
//! lead tells those of the last minute again, unless it did so itself. What does not live here: the rules of the queue.
//!
//! Bounds: those of the queue; the events that wait are the hub's, and after an overflow it is listened to anew.

mod process;
mod turns;

use std::sync::Arc;

use crate::board::Board;
use crate::clock::Clock;
use crate::pubsub::Hub;
use crate::raft::Leadership;
use crate::task::Tasks;
use crate::watch;

use turns::Runner as Turns;

/// Which nodes run scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// This one does not: its operator has not allowed that programs are set over the wire.
    Never,
    /// The node that leads.
    WhenLeading,
    /// Every node.
    Always,
}

/// What the runner is made of.
pub struct RunnerParts {
    /// Source of events, destination of its own.
    pub hub: Arc<Hub>,
    /// Settings of groups, and where what waits is shown.
    pub board: Arc<Board>,
    /// Who leads.
    pub leadership: watch::Receiver<Leadership>,
    /// Time.
    pub clock: Clock,
    /// Where it runs.
    pub tasks: Tasks,
    /// Whether this node runs scripts.
    pub runs: Runs,
}

/// The service that runs scripts.
pub struct Runner;

impl Runner {
    /// Starts it. It and every process that it started end with the tasks.
    pub fn start(parts: RunnerParts) {
        let tasks = parts.tasks.clone();
        let stop = tasks.stopping();
        tasks.spawn("scripts", async move {
            let mut turns = Turns::new(parts);
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = turns.run() => {}
            }
            turns.end_all();
        });
    }
}
