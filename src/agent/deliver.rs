//! Passes what was learned on to the outlet, at the right pace.
//!
//! What does not live here: what an outlet does with it, and the rules of the pace.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent::pace::{Pacer, Settle, Settling};
use crate::agent::{Following, Outcome, Outlet, OutletStatus, Pace, Table};
use crate::clock::Clock;
use crate::model::{Instant, Timestamp};

/// How often the template is looked at, and the outlet's own state.
const LOOK_MS: u64 = 1_000;
/// At the start, nodes have this long to answer before the outlet begins with what is on disk: a proxy that starts
/// with old addresses would be restarted at once.
const BEGIN_LIMIT: Duration = Duration::from_millis(1_000);

/// How the passing on goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delivering {
    /// The outlet has begun.
    pub begun: bool,
    /// Something waits since then: to be carried out, or to have been the same for long enough.
    pub pending_since: Option<Timestamp>,
    /// Why it was refused the last time.
    pub refused: Option<String>,
    /// What the outlet shows of itself.
    pub outlet: OutletStatus,
    /// What was learned after it waits too.
    #[serde(skip)]
    pub taken: Taken,
}

/// The table that was taken up last. Equal means: the same one.
#[derive(Clone, Debug, Default)]
pub struct Taken(Option<Arc<Table>>);

impl Taken {
    /// Whether it is this one.
    pub fn is(&self, table: &Arc<Table>) -> bool {
        self.0.as_ref().is_some_and(|taken| Arc::ptr_eq(taken, table))
    }
}

impl PartialEq for Taken {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref().map(Arc::as_ptr) == other.0.as_ref().map(Arc::as_ptr)
    }
}

/// What is needed to deliver.
pub struct DeliverParts {
    /// How fast.
    pub pace: Pace,
    /// What must be old before it is passed on.
    pub settle: Settle,
    /// What was learned.
    pub table: watch::Receiver<Arc<Table>>,
    /// How the following goes.
    pub following: watch::Receiver<Following>,
    /// Told of the groups that are needed.
    pub groups: watch::Sender<BTreeSet<String>>,
    /// Told how it goes.
    pub delivering: watch::Sender<Delivering>,
    /// Time.
    pub clock: Clock,
    /// When to end.
    pub stop: CancellationToken,
}

/// Delivers until it is told to stop, then stops the outlet.
pub async fn deliver(parts: DeliverParts, mut outlet: Outlet) {
    let mut delivery = Delivery {
        settling: Settling::new(parts.settle, &parts.pace, Table::default()),
        pacer: Pacer::new(parts.pace),
        shown: Delivering::default(),
        look: parts.clock.now().plus(LOOK_MS),
        parts,
    };
    let stop = delivery.parts.stop.clone();
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = delivery.first_word() => {
            delivery.begin(&mut outlet).await;
            while delivery.turn(&mut outlet).await {}
        }
    }
    outlet.stop().await;
}

struct Delivery {
    parts: DeliverParts,
    settling: Settling,
    pacer: Pacer,
    shown: Delivering,
    look: Instant,
}

impl Delivery {
    /// Waits until every group was asked for, but not for long.
    async fn first_word(&mut self) {
        let complete = self.parts.following.wait_for(|following| following.complete);
        let _ = tokio::time::timeout(BEGIN_LIMIT, complete).await;
    }

    async fn begin(&mut self, outlet: &mut Outlet) {
        let table = self.parts.table.borrow_and_update().clone();
        self.shown.taken = Taken(Some(table.clone()));
        let now = self.parts.clock.now();
        // At the start nothing was passed on before, so nothing needs to settle.
        self.settling.learned(&table, now);
        self.pacer.changed(now);
        let outcome = outlet.begin(&table).await;
        self.shown.begun = true;
        self.note(outcome, outlet);
        self.tell(outlet);
    }

    /// One thing that happens; `false`: it is time to stop.
    async fn turn(&mut self, outlet: &mut Outlet) -> bool {
        let clock = self.parts.clock;
        let next = [self.pacer.due(), self.settling.next(), Some(self.look)];
        let next = next.into_iter().flatten().min().unwrap_or(self.look);
        let stop = self.parts.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            changed = self.parts.table.changed() => {
                if changed.is_err() {
                    return false;
                }
                let table = self.parts.table.borrow_and_update().clone();
                self.shown.taken = Taken(Some(table.clone()));
                if self.settling.learned(&table, clock.now()) {
                    self.pacer.changed(clock.now());
                }
            }
            () = clock.sleep_until(next) => {}
            () = outlet.stirred() => {}
        }
        if self.settling.pass(clock.now()) {
            self.pacer.changed(clock.now());
        }
        if clock.now() >= self.look {
            self.look = clock.now().plus(LOOK_MS);
            if outlet.template_changed().await {
                info!(target: "cfgserver::agent", "the template was changed");
                self.pacer.changed(clock.now());
                let groups = outlet.groups();
                self.parts.groups.send_if_modified(|known| {
                    let differs = *known != groups;
                    *known = groups;
                    differs
                });
            }
        }
        if self.pacer.due().is_some_and(|due| due <= clock.now()) {
            // It may take its time.
            self.tell(outlet);
            let outcome = outlet.apply(self.settling.take()).await;
            self.note(outcome, outlet);
        }
        self.tell(outlet);
        true
    }

    fn note(&mut self, outcome: Outcome, outlet: &Outlet) {
        let now = self.parts.clock.now();
        let refused = match outcome {
            Outcome::Unchanged => {
                self.pacer.rested();
                None
            }
            Outcome::Applied { moved, proxy_down_ms } => {
                let servers = moved.len();
                info!(target: "cfgserver::agent", servers, proxy_down_ms, "carried out");
                self.pacer.applied(now);
                None
            }
            Outcome::Refused { reason } => {
                self.pacer.refused(now);
                Some(reason)
            }
        };
        // A proxy that ends again and again is tried by who keeps it.
        if refused.is_none() && self.shown.refused.is_some() && outlet.status().fault.is_none() {
            info!(target: "cfgserver::agent", "no longer refused");
        }
        if refused.is_some() && self.shown.refused != refused {
            warn!(target: "cfgserver::agent", reason = refused, "not carried out: tried again later");
        }
        self.shown.refused = refused;
    }

    fn tell(&mut self, outlet: &Outlet) {
        if self.pacer.waits() || self.settling.holds() {
            self.shown.pending_since.get_or_insert(self.parts.clock.wall());
        } else {
            self.shown.pending_since = None;
        }
        self.shown.outlet = outlet.status();
        self.parts.delivering.send_if_modified(|shown| {
            let differs = *shown != self.shown;
            if differs {
                shown.clone_from(&self.shown);
            }
            differs
        });
    }
}
