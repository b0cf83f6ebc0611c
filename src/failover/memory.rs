//! What this leader did for one group, and heard back, since it took over.
//!
//! Volatile on purpose: a successor starts with an empty memory, finds the committed stage and goes on. So nothing
//! here may be needed for safety; it only says what need not be done again, and since when something lasts.

mod links;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::failover::names::Lookup;
use crate::failover::{Action, Order, Scene, emptied, idle, maintenance, repair};
use crate::machine::Command;
use crate::model::{
    Address, Age, Epoch, Facts, Failover, FailoverKind, Fault, HostName, Instant, Revision, Role, RunId, Stage, VoteKey,
};

/// What one leader remembers about one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// When this node began to lead, or first saw the group as leader.
    pub(super) took_over_at: Instant,
    /// What votes are about, and since when this leader collects them.
    pub(super) collected: Option<(VoteKey, Instant)>,
    /// Since when no majority is heard to see the primary Up.
    pub(super) undisputed_at: Option<Instant>,
    /// Since when somebody says that the primary is down.
    pub(super) alarm_at: Option<Instant>,
    /// When the probe was last asked for fresh INFO.
    pub(super) info_asked_at: Option<Instant>,
    /// Since when the primary is seen emptied.
    pub(super) emptied_at: Option<Instant>,
    /// The primary, and since when it is seen to say that it is a replica.
    pub(super) demoted: Option<(Address, Instant)>,
    /// Since when an automatic failover is held back because it is off.
    held_back_at: Option<Instant>,
    /// Since when a member is seen with the wrong role or primary.
    pub(super) wrong_since: BTreeMap<Address, Instant>,
    /// The open failover, as far as this leader is with it.
    pub(super) attempt: Option<Attempt>,
    /// The epoch that this leader is opening, or has opened.
    pub(super) opening: Option<Epoch>,
    /// The primary whose writes this leader holds back.
    pub(super) paused: Option<Paused>,
    /// Order links.
    pub(super) links: BTreeMap<Address, LinkMemory>,
    /// The last order to each instance.
    pub(super) orders: BTreeMap<Address, OrderMemory>,
    /// Members that were turned, and when.
    pub(super) repaired_at: BTreeMap<Address, Instant>,
    /// Candidates that failed.
    pub(super) shunned: BTreeMap<Address, Shunned>,
    /// The last switch, and since when this leader has known of it.
    pub(super) switch_known: Option<(Revision, Instant)>,
    /// Host names, with their ports, and where they are.
    pub(super) lookups: BTreeMap<(HostName, u16), Lookup>,
    /// When leadership was last offered to another node.
    pub(super) offered_at: Option<Instant>,
    /// The members at the last look, and when one was last forgotten (RESET).
    members: BTreeSet<Address>,
    pub(super) forgot_at: Option<Instant>,
}

/// The stage of the open failover, and when this leader met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) epoch: Epoch,
    pub(super) promoting: bool,
    pub(super) entered_at: Instant,
    /// This leader opened it, so it knows whether Promote was sent.
    pub(super) mine: bool,
    pub(super) promote_sent: bool,
    /// The same before the last order: that one may turn out not to have been sent.
    pub(super) sent_before: bool,
}

/// A primary whose writes are held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paused {
    pub(super) address: Address,
    pub(super) run_id: RunId,
    /// Since when this leader has them held back; `None`: one before it may have.
    pub(super) since: Option<Instant>,
    /// It answered, and this is how much it had written then.
    pub(super) offset: Option<u64>,
}

/// An order link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LinkMemory {
    Opening,
    Open {
        facts: Arc<Facts>,
        facts_at: Instant,
        /// INFO is on its way.
        reading: bool,
    },
    Failed {
        at: Instant,
        fault: LinkFault,
    },
}

impl LinkMemory {
    /// How soon a link that failed is opened again.
    const RETRY_MS: Age = 100;

    /// When a link that failed is to be opened again. From then on its failure says nothing of the instance any more.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        match self {
            Self::Failed { at, .. } => Some(at.plus(Self::RETRY_MS)),
            Self::Opening | Self::Open { .. } => None,
        }
    }
}

/// Why an order link could not be opened, or broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// Nobody listens there.
    Refused,
    /// No answer, a broken connection, or an answer that makes no sense.
    Failed,
}

/// The last order to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OrderMemory {
    pub(super) order: Order,
    pub(super) at: Instant,
    /// The failover that it belongs to; `None`: a repair, or a pause that is lifted.
    pub(super) epoch: Option<Epoch>,
    pub(super) answer: Option<Result<Option<Arc<Facts>>, OrderFault>>,
}

/// Why an order was not carried out, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderFault {
    /// Another process answers at the address; nothing was sent.
    OtherProcess,
    /// The majority lease did not hold, or the group or the instance has moved on; nothing was sent.
    LeaseLost,
    /// The instance said no; its words.
    Refused(Arc<str>),
    /// Nobody listens at the address.
    Unreachable,
    /// The connection broke, or no answer came in time: the effect is unknown.
    Unknown,
}

/// A candidate that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shunned {
    pub(super) run_id: RunId,
    pub(super) until: Instant,
    pub(super) times: u32,
    pub(super) why: Arc<str>,
}

impl Memory {
    /// How long a candidate that failed is left alone the first time; doubles.
    const SHUN_MS: Age = 5_000;
    /// The most doublings.
    const SHUN_DOUBLINGS_MAX: u32 = 6;

    /// A name that was not asked for during this long is forgotten.
    const LOOKUP_MS: Age = 60_000;

    /// The memory of a leader that has just taken over.
    pub fn new(now: Instant) -> Self {
        Self {
            took_over_at: now,
            ..Self::default()
        }
    }

    /// Whether nothing but links is remembered: they may be closed.
    pub fn at_rest(&self) -> bool {
        let order_under_way = self.orders.values().any(|order| order.answer.is_none());
        let quiet = self.alarm_at.is_none() && self.attempt.is_none() && self.paused.is_none();
        quiet && self.wrong_since.is_empty() && self.emptied_at.is_none() && !order_under_way
    }

    /// Since when this leader would act, if automatic failover were not off.
    pub fn held_back_since(&self) -> Option<Instant> {
        self.held_back_at
    }

    /// Takes note of what lasts. To be called before each plan; calling it again changes nothing.
    pub fn observe(&mut self, scene: &Scene<'_>, now: Instant) {
        since(&mut self.undisputed_at, !scene.seen_up_by_majority(), now);
        since(&mut self.alarm_at, scene.alarm(), now);
        since(&mut self.emptied_at, emptied::suspected(scene), now);
        let key = scene.group.vote_key();
        if self.collected.as_ref().is_none_or(|(known, _)| *known != key) {
            self.collected = Some((key, now));
        }
        self.observe_stage(scene, now);
        let switched = scene.group.switches.last().map(|last| last.revision);
        if self.switch_known.map(|(revision, _)| revision) != switched {
            self.switch_known = switched.map(|revision| (revision, now));
        }
        self.observe_demotion(scene, now);
        let demoted = self
            .demoted
            .is_some_and(|(_, since)| now.since(since) >= idle::DEMOTED_MS);
        since(&mut self.held_back_at, maintenance::holds_back(scene, demoted), now);
        let wrong = repair::wrong_members(scene);
        self.wrong_since.retain(|address, _| wrong.contains(address));
        for address in wrong {
            self.wrong_since.entry(address).or_insert(now);
        }
        let known = |address: &Address| scene.group.members.contains_key(address);
        if !self.members.iter().all(known) {
            self.forgot_at = Some(now);
        }
        self.members = scene.group.members.keys().copied().collect();
        self.links.retain(|address, _| known(address));
        self.orders.retain(|address, _| known(address));
        self.shunned.retain(|address, _| known(address));
        self.repaired_at.retain(|address, _| known(address));
        let recent = |lookup: &Lookup| lookup.under_way || now.since(lookup.asked_at) < Self::LOOKUP_MS;
        self.lookups.retain(|_, lookup| recent(lookup));
    }

    fn observe_demotion(&mut self, scene: &Scene<'_>, now: Instant) {
        let primary = scene.group.primary;
        let newest = self.newest_facts(scene, primary);
        let demoted = newest.is_some_and(|(facts, _)| facts.role == Role::Replica);
        let known = self.demoted.filter(|(address, _)| *address == primary);
        self.demoted = demoted.then(|| known.unwrap_or((primary, now)));
    }

    /// The newest INFO of an instance: the probe's, or the one that was read on its order link.
    pub(super) fn newest_facts(&self, scene: &Scene<'_>, address: Address) -> Option<(Arc<Facts>, Instant)> {
        let sighting = scene.sightings.get(&address);
        let probed = sighting.and_then(|sighting| sighting.facts.clone().zip(sighting.facts_at));
        let read = match self.links.get(&address) {
            Some(LinkMemory::Open { facts, facts_at, .. }) => Some((facts.clone(), *facts_at)),
            _ => None,
        };
        let newest = match (probed, read) {
            (Some(probed), Some(read)) => Some(if read.1 > probed.1 { read } else { probed }),
            (probed, read) => probed.or(read),
        };
        newest.map(|(facts, at)| (scene.with_names_found(facts), at))
    }

    fn observe_stage(&mut self, scene: &Scene<'_>, now: Instant) {
        let Some(failover) = &scene.group.failover else {
            self.attempt = None;
            return;
        };
        let promoting = failover.stage == Stage::Promote;
        let same = |attempt: &Attempt| attempt.epoch == failover.epoch && attempt.promoting == promoting;
        if self.attempt.as_ref().is_some_and(same) {
            return;
        }
        let mine = self.opening == Some(failover.epoch);
        if !mine {
            self.suspect_pause(failover);
        }
        self.attempt = Some(Attempt {
            epoch: failover.epoch,
            promoting,
            entered_at: now,
            mine,
            promote_sent: false,
            sent_before: false,
        });
    }

    /// A leader before this one may have held back the writes of a primary, and the log says whose.
    fn suspect_pause(&mut self, failover: &Failover) {
        if failover.kind != FailoverKind::Coordinated || self.paused.is_some() {
            return;
        }
        self.paused = failover.old_run_id.clone().map(|run_id| Paused {
            address: failover.old_primary,
            run_id,
            since: None,
            offset: None,
        });
    }

    /// Takes note that an action has been started.
    pub fn started(&mut self, scene: &Scene<'_>, action: &Action, now: Instant) {
        match action {
            Action::Propose(Command::OpenFailover { .. }) => self.opening = Some(scene.group.epoch + 1),
            Action::Propose(Command::AbortFailover { fault, .. }) => self.shun(scene, fault, now),
            Action::Propose(Command::Repaired { member, .. }) => {
                self.orders.remove(member);
                self.repaired_at.insert(*member, now);
            }
            Action::Propose(_) => {}
            Action::OpenLink(address) => {
                self.links.insert(*address, LinkMemory::Opening);
            }
            Action::ReadInfo(address) => {
                if let Some(LinkMemory::Open { reading, .. }) = self.links.get_mut(address) {
                    *reading = true;
                }
            }
            Action::Look { host, port, .. } => {
                let lookup = self.lookups.entry((host.clone(), *port)).or_default();
                (lookup.asked_at, lookup.under_way) = (now, true);
            }
            Action::RefreshInfo => self.info_asked_at = Some(now),
            Action::HandOver(_) => self.offered_at = Some(now),
            Action::Order { address, run_id, order } => self.ordered(*address, run_id, order, now),
        }
    }

    fn ordered(&mut self, address: Address, run_id: &RunId, order: &Order, now: Instant) {
        match order {
            Order::Promote => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.sent_before = attempt.promote_sent;
                    attempt.promote_sent = true;
                }
            }
            Order::Pause { .. } | Order::Yield { .. } => {
                let entered_at = self.attempt.map_or(now, |attempt| attempt.entered_at);
                let known = self.paused.as_ref().filter(|paused| paused.address == address);
                let since = known
                    .and_then(|paused| paused.since)
                    .filter(|since| *since >= entered_at);
                self.paused = Some(Paused {
                    address,
                    run_id: run_id.clone(),
                    since: since.or(Some(now)),
                    offset: None,
                });
            }
            Order::Follow { .. } | Order::Unpause | Order::StepDown { .. } | Order::TakeBack => {}
        }
        let order = OrderMemory {
            order: order.clone(),
            at: now,
            epoch: self.attempt.map(|attempt| attempt.epoch),
            answer: None,
        };
        self.orders.insert(address, order);
    }

    /// A proposal was not carried out, or nobody knows whether it was.
    pub fn proposal_failed(&mut self) {
        // If an opening was committed all the same, this leader treats it like a successor would: forward only.
        if self.attempt.is_none() {
            self.opening = None;
        }
    }

    /// INFO was read again, or the link broke.
    pub fn info_read(&mut self, address: Address, result: Result<Facts, LinkFault>, now: Instant) {
        self.link_opened(address, result, now);
    }

    /// An order was answered, or failed.
    pub fn answered(&mut self, address: Address, result: Result<Option<Facts>, OrderFault>, now: Instant) {
        let result = result.map(|facts| facts.map(Arc::new));
        match &result {
            Ok(Some(facts)) => self.read_after_order(address, facts, now),
            Ok(None) | Err(OrderFault::OtherProcess | OrderFault::Unknown) => {
                self.links.remove(&address);
            }
            Err(OrderFault::Unreachable) => {
                let fault = LinkFault::Refused;
                self.links.insert(address, LinkMemory::Failed { at: now, fault });
            }
            Err(OrderFault::LeaseLost | OrderFault::Refused(_)) => {}
        }
        let Some(order) = self.orders.get_mut(&address) else {
            return;
        };
        let nothing_sent = matches!(result, Err(OrderFault::OtherProcess | OrderFault::LeaseLost));
        match (&order.order, nothing_sent) {
            (Order::Promote, true) => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.promote_sent = attempt.sent_before;
                }
            }
            // Whatever came of it: the pause ends by itself.
            (Order::Unpause, _) => self.paused = None,
            (Order::TakeBack, _) if result.is_ok() => self.paused = None,
            _ => {}
        }
        order.answer = Some(result);
    }

    fn read_after_order(&mut self, address: Address, facts: &Arc<Facts>, now: Instant) {
        self.links.insert(
            address,
            LinkMemory::Open {
                facts: facts.clone(),
                facts_at: now,
                reading: false,
            },
        );
        let pausing = matches!(self.orders.get(&address), Some(order) if matches!(order.order, Order::Pause { .. }));
        if let Some(paused) = self
            .paused
            .as_mut()
            .filter(|paused| pausing && paused.address == address)
        {
            paused.offset = Some(facts.primary_offset);
        }
    }

    fn shun(&mut self, scene: &Scene<'_>, fault: &Fault, now: Instant) {
        let (Some(failover), Fault::Candidate(_) | Fault::Timeout) = (&scene.group.failover, fault) else {
            return;
        };
        let why: Arc<str> = match fault {
            Fault::Candidate(text) => text.clone(),
            _ => "its promotion timed out".into(),
        };
        let times = self.shunned.get(&failover.candidate).map_or(0, |shunned| shunned.times);
        let pause_ms = Self::SHUN_MS << times.min(Self::SHUN_DOUBLINGS_MAX);
        let shunned = Shunned {
            run_id: failover.candidate_run_id.clone(),
            until: now.plus(pause_ms),
            times: times + 1,
            why,
        };
        self.shunned.insert(failover.candidate, shunned);
    }
}

/// Keeps when something began, for as long as it lasts.
fn since(began: &mut Option<Instant>, lasts: bool, now: Instant) {
    *began = if lasts { began.or(Some(now)) } else { None };
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::failover::testing::ADDRESSES;

    /// Found by the simulator, seed 80707: the first order was lost on its way, the second was not sent for want of the
    /// lease, and then the failover was cancelled because its primary was back.
    #[test]
    fn an_order_that_was_not_sent_does_not_unmake_the_one_before() {
        let now = Instant(1);
        let mut memory = Memory::new(now);
        memory.attempt = Some(Attempt {
            epoch: 1,
            promoting: true,
            entered_at: now,
            mine: true,
            promote_sent: false,
            sent_before: false,
        });
        let run_id = RunId::new("b");
        let sent = |memory: &Memory| memory.attempt.unwrap().promote_sent;
        let give = |memory: &mut Memory, fault| {
            memory.ordered(ADDRESSES[1], &run_id, &Order::Promote, now);
            memory.answered(ADDRESSES[1], Err(fault), now);
        };
        give(&mut memory, OrderFault::LeaseLost);
        assert!(!sent(&memory), "nothing was ever sent");
        give(&mut memory, OrderFault::Unknown);
        give(&mut memory, OrderFault::LeaseLost);
        assert!(sent(&memory));
    }
}
