//! Watches every instance of every group, and tells the leader what it thinks.
//!
//! ```text
//! board.state -> Roster -> one task per instance -> links -> detect::Watch -> board.put_sighting, own events
//!                                    \-> verdicts -> Voter -> VoteReport -> whoever leads
//! ```
//!
//! What does not live here: what follows from a verdict, and the rules of a verdict (they are in `detect`).
//! Bounds: one task, at most two connections and at most a handful of requests on their way per instance.

mod instance;
mod line;
mod picture;
mod roster;
mod schedule;
mod stalls;
mod strangers;
mod voter;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::board::Board;
use crate::clock::Clock;
use crate::detect::{Probing, VoteAck, VoteReport};
use crate::model::{Age, Event, Instant, MyId, NodeId, Term};
use crate::requests::WriteError;
use crate::runtime::Runtime;
use crate::task::Tasks;
use crate::watch;

use stalls::Stalls;
use voter::Changes;

/// The way to whoever leads.
pub trait Votes: Send + Sync + 'static {
    /// Sends a report to the leader, also when that is this node.
    fn report(&self, report: VoteReport) -> BoxFuture<'_, Result<VoteAck, WriteError>>;
    /// The leader and its term, as this node knows them.
    fn leadership(&self) -> watch::Receiver<Option<(NodeId, Term)>>;
}

/// The way to this node's subscribers.
pub trait Announce: Send + Sync + 'static {
    /// Publishes an event of this node's own sighting.
    fn announce(&self, event: Event);
}

/// How this node probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// Fastest period of PING.
    pub floor_ms: Age,
    /// Period of INFO while nothing is going on.
    pub info_every_ms: Age,
    /// A pause of this node longer than this is a stall.
    pub stall_ms: Age,
    /// How many nodes watch a primary closely.
    pub probing: Probing,
}

/// What the probe is made of.
pub struct ProbeParts {
    /// Source of groups, destination of sightings.
    pub board: Arc<Board>,
    /// Time.
    pub clock: Clock,
    /// Where its tasks run.
    pub tasks: Tasks,
    /// This node.
    pub node: NodeId,
    /// Names its links.
    pub my_id: MyId,
    /// Destination of votes.
    pub votes: Arc<dyn Votes>,
    /// Destination of own events.
    pub announce: Arc<dyn Announce>,
    /// How to probe.
    pub settings: ProbeSettings,
}

/// The running probe.
#[derive(Clone)]
pub struct Probe {
    shared: Arc<Shared>,
}

/// Thousands of answers come one by one, a few microseconds apart: this long they are let come.
const DOZE: Duration = Duration::from_millis(1);

/// What the tasks of the probe have in common.
struct Shared {
    /// All of it runs on one thread: what is due at the same moment is asked before the first answer is read, and no
    /// client of this node keeps it waiting. It lives as long as the tasks on it.
    runtime: Runtime,
    board: Arc<Board>,
    clock: Clock,
    announce: Arc<dyn Announce>,
    settings: ProbeSettings,
    link_name: String,
    stalls: Stalls,
    changes: Changes,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self {
            floor_ms: 50,
            info_every_ms: 10_000,
            stall_ms: 500,
            probing: Probing::All,
        }
    }
}

impl Probe {
    /// Starts to watch what the board's state says, and to follow it. Ends with the tasks.
    ///
    /// # Errors
    /// The system has no more threads or descriptors.
    pub fn start(parts: ProbeParts) -> io::Result<Self> {
        let my_id = parts.my_id.0.get(..8).unwrap_or(&parts.my_id.0);
        let shared = Arc::new(Shared {
            runtime: Runtime::start_drowsy("cfgserver-probe", DOZE)?,
            link_name: format!("cfgserver-{my_id}-probe"),
            stalls: Stalls::new(parts.settings.stall_ms, parts.clock.now()),
            changes: Changes::default(),
            board: parts.board,
            clock: parts.clock,
            announce: parts.announce,
            settings: parts.settings,
        });
        let tasks = &parts.tasks;
        let on = shared.runtime.handle();
        tasks.spawn_on("probe-stalls", on, stalls::run(shared.clone(), tasks.stopping()));
        tasks.spawn_on(
            "probe-roster",
            on,
            roster::run(shared.clone(), parts.node, parts.votes.leadership(), tasks.clone()),
        );
        let voter = voter::run(shared.clone(), parts.votes, tasks.stopping());
        tasks.spawn_on("probe-votes", on, voter);
        Ok(Self { shared })
    }

    /// Since when this node is known to have stalled lately (`sentinel_tilt`).
    pub fn stalled_since(&self) -> Option<Instant> {
        self.shared.stalls.stalled_since(self.shared.clock.now())
    }
}

/// No code panics while it holds one of these locks, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
