//! Control: on the leader only, carries out what the planner decides.
//!
//! ```text
//! news of sightings, votes, commits, timers -> dirty groups -> failover::plan -> proposals, orders, links
//!                  answers to those -> failover::Memory -> dirty again
//! ```
//!
//! All groups at the same time: a host that dies with a thousand primaries is one burst. Per group at most one
//! proposal is under way. When leadership ends everything volatile goes with it: memory, links, orders on their way.
//! What does not live here: rules. Every one of them is in `failover` and `machine`.
//!
//! Bounds: one order link per instance that may need orders, closed when idle; one proposal per group; what operators
//! ask for waits in a bounded queue.

mod act;
mod book;
mod desk;
mod explain;
mod leader;
mod links;
mod names;
mod ports;
mod tell;
mod wiring;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::mpsc;

use crate::board::Board;
use crate::clock::Clock;
use crate::model::{Instant, NodeId};
use crate::raft::Desk;
use crate::stop::{self, Point};
use crate::task::Tasks;

use book::Book;
use desk::{ASKS_MAX, Asked, LeaderDesk};
use leader::Leader;
pub use ports::{Names, OrderConnection, OrderLinks, Proposals};
pub use wiring::{RedisLinks, Resolver};

/// What the control is made of.
pub struct ControlParts {
    /// State and sightings of this node.
    pub board: Arc<Board>,
    /// The log, and who leads.
    pub proposals: Arc<dyn Proposals>,
    /// The way to the instances.
    pub links: Arc<dyn OrderLinks>,
    /// Where host names are.
    pub names: Arc<dyn Names>,
    /// Time.
    pub clock: Clock,
    /// Where the service runs.
    pub tasks: Tasks,
    /// This node.
    pub node: NodeId,
}

/// The leader's service. Sleeps while this node does not lead.
pub struct Control;

/// What the service and its desk share.
struct Shared {
    board: Arc<Board>,
    proposals: Arc<dyn Proposals>,
    links: Arc<dyn OrderLinks>,
    names: Arc<dyn Names>,
    clock: Clock,
    node: NodeId,
    book: Book,
    /// Orders that were sent and not answered yet.
    orders: AtomicUsize,
}

impl Shared {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Ends the process when a test or an operator wants it to end here.
    fn stop_at(&self, point: Point) {
        stop::here(point);
        stop::simulated(point, self.board.dials().simulated);
    }
}

impl Control {
    /// Starts the service. What it gives back answers the requests that only a leader can carry out.
    pub fn start(parts: ControlParts) -> Arc<dyn Desk> {
        let shared = Arc::new(Shared {
            board: parts.board,
            proposals: parts.proposals,
            links: parts.links,
            names: parts.names,
            clock: parts.clock,
            node: parts.node,
            book: Book::new(),
            orders: AtomicUsize::new(0),
        });
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let stop = parts.tasks.stopping();
        let service = serve(shared.clone(), asked);
        parts.tasks.spawn("control", async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = service => {}
            }
        });
        Arc::new(LeaderDesk::new(shared, asks))
    }
}

/// Leads whenever this node does.
async fn serve(shared: Arc<Shared>, mut asked: mpsc::Receiver<Asked>) {
    let mut leadership = shared.proposals.leadership();
    loop {
        let leading = *leadership.borrow_and_update();
        if leading.me {
            let leader = Leader::new(shared.clone(), leading.term);
            leader.lead(&mut leadership, &mut asked).await;
            continue;
        }
        tokio::select! {
            biased;
            changed = leadership.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            ask = asked.recv() => match ask {
                Some(asked) => asked.refuse_not_leading(),
                None => return,
            },
        }
    }
}
