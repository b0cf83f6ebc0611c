//! Follows the groups on one node at a time, and learns where they are.
//!
//! ```text
//! all nodes --ask who is fit--> one node: subscribe, then look every group up
//!           <--lost, silent, not ready, nonsense, or another is in contact with a leader and this one is not--
//! ```
//!
//! Events only say which group to look up again; what counts is the look-up, because it has the version. The
//! subscription holds before the first look-up, so that nothing falls between them, and everything is looked up
//! again now and then, whatever was heard.
//! What does not live here: what is done with what was learned.

mod answer;
mod book;
mod session;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use crate::agent::Table;
use crate::agent::state::{Kept, StateDir};
use crate::clock::Clock;
use crate::model::{HostPort, Instant};

use answer::NodeFacts;
use book::Book;
use session::Session;
use wire::{Wire, request};

pub use book::{Fault, Following};

/// A node has this long to accept a connection, and as long to say who it is.
const MEET_LIMIT: Duration = Duration::from_millis(1_000);
/// A node that failed is taken again before this only when there is no other.
const DISTRUST_MS: u64 = 5_000;
/// Contact with a leader that is older than this is none. Longer than an election takes.
const CONTACT_MS_MAX: u64 = 3_000;
/// Pause after a round without a node, or after a node that failed at once; it doubles.
const PAUSE_MS: u64 = 50;
/// The longest of these pauses.
const PAUSE_MS_MAX: u64 = 1_000;

/// What the follower is to follow, and whom it tells.
pub struct FollowParts {
    /// All nodes.
    pub nodes: Vec<HostPort>,
    /// Healthy replicas are wanted too.
    pub replicas: bool,
    /// Everything is looked up again this often.
    pub refresh: Duration,
    /// The groups to look up.
    pub groups: watch::Receiver<BTreeSet<String>>,
    /// Where to keep what was learned, and what was kept.
    pub dir: Arc<StateDir>,
    /// What was kept.
    pub kept: Kept,
    /// Told of what was learned.
    pub table: watch::Sender<Arc<Table>>,
    /// Told how it goes.
    pub following: watch::Sender<Following>,
    /// Time.
    pub clock: Clock,
}

/// Follows for ever.
pub async fn follow(parts: FollowParts) {
    let follower = Follower {
        book: Book::new(parts.dir, parts.kept, parts.table, parts.following, parts.clock),
        nodes: parts.nodes,
        distrusted: BTreeMap::new(),
        replicas: parts.replicas,
        refresh_ms: parts.refresh.as_millis() as u64,
        groups: parts.groups,
        clock: parts.clock,
    };
    follower.run().await;
}

struct Follower {
    nodes: Vec<HostPort>,
    /// Place in `nodes` -> until when another node is better.
    distrusted: BTreeMap<usize, Instant>,
    replicas: bool,
    refresh_ms: u64,
    groups: watch::Receiver<BTreeSet<String>>,
    book: Book,
    clock: Clock,
}

/// A node that was asked who it is.
struct Met {
    place: usize,
    wire: Wire,
    facts: NodeFacts,
}

/// Why a node is left.
enum Left {
    /// It is of no use now.
    Fault(String),
    /// Another one is in contact with a leader, and it was not.
    Better(Box<Met>),
}

impl Follower {
    async fn run(mut self) {
        let mut pause_ms = PAUSE_MS;
        let mut better = None;
        loop {
            let met = match better.take() {
                Some(met) => Some(met),
                None => self.choose(None).await,
            };
            let Some(met) = met else {
                self.book.nobody();
                pause_ms = self.pause(pause_ms).await;
                continue;
            };
            let (place, began) = (met.place, self.clock.now());
            let node = self.nodes[place].to_string();
            let left = Session::run(&mut self, met).await;
            match left {
                Left::Better(met) => {
                    self.book.left_for_another();
                    better = Some(*met);
                }
                Left::Fault(fault) => {
                    let lasted_ms = self.clock.now().since(began);
                    self.book.left_for(&node, fault);
                    self.distrusted.insert(place, self.clock.now().plus(DISTRUST_MS));
                    if lasted_ms > PAUSE_MS_MAX {
                        pause_ms = PAUSE_MS;
                    } else {
                        pause_ms = self.pause(pause_ms).await;
                    }
                }
            }
        }
    }

    /// Waits, and answers how long to wait the next time.
    async fn pause(&self, pause_ms: u64) -> u64 {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        (pause_ms * 2).min(PAUSE_MS_MAX)
    }

    /// Asks all nodes, except one, at the same time who they are. The first that is fit is taken at once; when all
    /// have answered or failed, one without contact to a leader is better than none.
    async fn choose(&mut self, except: Option<usize>) -> Option<Met> {
        let places = (0..self.nodes.len()).filter(|place| Some(*place) != except);
        let mut meetings: FuturesUnordered<_> = places
            .map(|place| {
                let node = self.nodes[place].to_string();
                async move { (place, meet(place, &node).await) }
            })
            .collect();
        let mut rest: Option<((bool, bool), Met)> = None;
        while let Some((place, met)) = meetings.next().await {
            let node = self.nodes[place].to_string();
            let now = self.clock.now();
            let met = match met.and_then(|met| self.fit(met)) {
                Ok(met) => met,
                Err(fault) => {
                    self.book.fault(&node, fault);
                    continue;
                }
            };
            let distrusted = self.distrusted.get(&place).is_some_and(|until| *until > now);
            let rank = (distrusted, !in_contact(&met.facts));
            if rank == (false, false) {
                return Some(met);
            }
            if rest.as_ref().is_none_or(|(best, _)| rank < *best) {
                rest = Some((rank, met));
            }
        }
        rest.map(|(_, met)| met)
    }

    /// Whether this node may be followed at all.
    fn fit(&self, met: Met) -> Result<Met, String> {
        if !met.facts.ready {
            return Err("it is not ready".to_owned());
        }
        match self.book.may_follow(&met.facts.cluster) {
            Ok(()) => Ok(met),
            Err(foreign) => Err(format!(
                "{foreign}: correct nodes, or have it followed with cluster = \"{}\"",
                foreign.met
            )),
        }
    }
}

fn in_contact(facts: &NodeFacts) -> bool {
    facts.contact_ms.is_some_and(|age| age <= CONTACT_MS_MAX)
}

async fn meet(place: usize, node: &str) -> Result<Met, String> {
    let mut wire = Wire::connect(node, MEET_LIMIT).await?;
    let replies = wire.call(&[request(&["INFO", "raft"])], MEET_LIMIT).await?;
    let facts = read_facts(&replies)?;
    Ok(Met { place, wire, facts })
}

fn read_facts(replies: &[crate::resp::Reply]) -> Result<NodeFacts, String> {
    let answer = replies.first().ok_or("no answer")?;
    NodeFacts::read(answer).map_err(|fault| fault.to_string())
}
