//! A plan in the making: what it may look at, and what it has decided so far.

use std::sync::Arc;

use crate::failover::lawful::broken_rule;
use crate::failover::memory::{Attempt, LinkMemory, OrderMemory};
use crate::failover::{Action, LinkFault, Memory, Order, Plan, Scene};
use crate::machine::Command;
use crate::model::{Address, Facts, Group, GroupId, Instant, LinkState, Revision, RunId, Sighting};

/// A plan in the making.
pub(super) struct Draft<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) group: &'a Group,
    pub(super) memory: &'a Memory,
    pub(super) now: Instant,
    actions: Vec<Action>,
    wake_at: Option<Instant>,
}

/// What an order link says right now.
pub(super) enum LinkView {
    /// Open, to the expected process.
    Ready {
        /// What was read on it last.
        facts: Arc<Facts>,
        /// When.
        facts_at: Instant,
        /// INFO is on its way.
        reading: bool,
    },
    /// Open, but another process answers.
    OtherProcess,
    /// Nobody listens there: found out just now.
    Refused,
    /// Being opened, or opened again.
    NotYet,
}

/// What is known of the last order to an instance.
pub(super) enum OrderView<'a> {
    /// None of this kind was given in this stage.
    None,
    /// Under way.
    UnderWay,
    /// Answered or failed.
    Ended(&'a OrderMemory),
}

impl<'a> Draft<'a> {
    pub(super) fn new(scene: &'a Scene<'a>, memory: &'a Memory, now: Instant) -> Self {
        Self {
            scene,
            group: scene.group,
            memory,
            now,
            actions: Vec::new(),
            wake_at: None,
        }
    }

    pub(super) fn finish(self) -> Plan {
        Plan {
            actions: self.actions,
            wake_at: self.wake_at,
        }
    }

    /// What every command about the group carries.
    pub(super) fn target(&self) -> (GroupId, Revision) {
        (self.group.id, self.group.version)
    }

    /// The attempt as remembered. Programmer error: planning a stage that was not observed.
    pub(super) fn attempt(&self) -> Attempt {
        let attempt = self.memory.attempt;
        assert!(attempt.is_some(), "a stage is planned only after it was observed");
        attempt.unwrap_or(Attempt {
            epoch: self.group.epoch,
            promoting: true,
            entered_at: self.now,
            mine: false,
            promote_sent: false,
            sent_before: false,
        })
    }

    pub(super) fn sighting(&self, address: Address) -> Option<&'a Sighting> {
        self.scene.sightings.get(&address)
    }

    /// This node sees it Up.
    pub(super) fn sees_up(&self, address: Address) -> bool {
        self.sighting(address)
            .is_some_and(|sighting| sighting.verdict == crate::model::Verdict::Up)
    }

    /// This node sees it Down.
    pub(super) fn sees_down(&self, address: Address) -> bool {
        self.sighting(address)
            .is_some_and(|sighting| sighting.verdict.is_down())
    }

    /// The probe is connected to it: the process that it read INFO of last is still there.
    pub(super) fn is_connected(&self, address: Address) -> bool {
        self.sighting(address)
            .is_some_and(|sighting| sighting.link == LinkState::Connected)
    }

    /// The newest INFO of an instance.
    pub(super) fn facts(&self, address: Address) -> Option<(Arc<Facts>, Instant)> {
        self.memory.newest_facts(self.scene, address)
    }

    /// Ask again at `at`, at the latest.
    pub(super) fn wake_by(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }

    pub(super) fn proposes(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Propose(_)))
    }

    pub(super) fn act(&mut self, action: Action) {
        if !self.actions.contains(&action) {
            self.actions.push(action);
        }
    }

    /// Wants a command in the log. One at a time: the next one is planned on what this one makes.
    pub(super) fn propose(&mut self, command: Command) {
        assert!(!self.proposes(), "one proposal for a group at a time");
        self.act(Action::Propose(command));
    }

    /// Wants an order given. Programmer error: while another one is on its way to the instance, because an answer could
    /// be taken for that of the other.
    pub(super) fn order(&mut self, address: Address, run_id: &RunId, order: Order) {
        self.assert_lawful(address, run_id, &order);
        assert!(!self.order_under_way(address), "one order to an instance at a time");
        self.act(Action::Order {
            address,
            run_id: run_id.clone(),
            order,
        });
    }

    /// The order to follow the primary.
    pub(super) fn follow(&self, disconnect_clients: bool) -> Order {
        let told = self.group.told_primary(self.scene.elsewhere.naming());
        Order::Follow {
            primary: told.address,
            host: told.host,
            disconnect_clients,
        }
    }

    /// What no plan may ever contain, whatever the world looks like.
    fn assert_lawful(&self, address: Address, run_id: &RunId, order: &Order) {
        let broken = broken_rule(self.group, address, run_id, order, self.scene.wall);
        assert!(broken.is_none(), "{}", broken.unwrap_or_default());
    }

    /// The order link to an instance, opened if need be. The answer holds for the process `run_id`.
    pub(super) fn link(&mut self, address: Address, run_id: &RunId) -> LinkView {
        match self.memory.links.get(&address) {
            Some(LinkMemory::Open {
                facts,
                facts_at,
                reading,
            }) if facts.run_id == *run_id => LinkView::Ready {
                facts: facts.clone(),
                facts_at: *facts_at,
                reading: *reading,
            },
            Some(LinkMemory::Open { facts_at, .. }) => {
                // The link may be the older news: a restart is seen by the probe first.
                if self.probed_since(address, *facts_at, run_id) {
                    self.act(Action::OpenLink(address));
                    return LinkView::NotYet;
                }
                LinkView::OtherProcess
            }
            Some(link @ LinkMemory::Failed { fault, .. }) => {
                let again = self.reopen(address, link);
                match fault {
                    LinkFault::Refused if !again => LinkView::Refused,
                    LinkFault::Refused | LinkFault::Failed => LinkView::NotYet,
                }
            }
            Some(LinkMemory::Opening) => LinkView::NotYet,
            None => {
                self.act(Action::OpenLink(address));
                LinkView::NotYet
            }
        }
    }

    fn probed_since(&self, address: Address, at: Instant, run_id: &RunId) -> bool {
        self.sighting(address).is_some_and(|sighting| {
            let same = sighting.facts.as_ref().is_some_and(|facts| facts.run_id == *run_id);
            same && sighting.facts_at.is_some_and(|facts_at| facts_at > at)
        })
    }

    /// Opens order links to all members that may soon need orders, so that nothing waits for them later.
    pub(super) fn open_links_early(&mut self) {
        for (address, member) in &self.group.members {
            if member.quarantine.is_some() || !self.sees_up(*address) {
                continue;
            }
            match self.memory.links.get(address) {
                None => self.act(Action::OpenLink(*address)),
                Some(link) => _ = self.reopen(*address, link),
            }
        }
    }

    /// Opens a link again that failed a while ago; whether it does.
    fn reopen(&mut self, address: Address, link: &LinkMemory) -> bool {
        let Some(retry_at) = link.retry_at() else {
            return false;
        };
        let due = retry_at <= self.now;
        if due {
            self.act(Action::OpenLink(address));
        } else {
            self.wake_by(retry_at);
        }
        due
    }

    /// Has INFO of all members read, unless that was asked for since `at`.
    pub(super) fn refresh_info_since(&mut self, at: Instant) {
        if self.memory.info_asked_at.is_none_or(|asked| asked < at) {
            self.act(Action::RefreshInfo);
        }
    }

    /// What became of the last order to `address`, if `is_it` and it was given since `since`.
    pub(super) fn last_order(&self, address: Address, since: Instant, is_it: impl Fn(&Order) -> bool) -> OrderView<'a> {
        match self.memory.orders.get(&address) {
            Some(memory) if memory.at >= since && is_it(&memory.order) => match memory.answer {
                None => OrderView::UnderWay,
                Some(_) => OrderView::Ended(memory),
            },
            _ => OrderView::None,
        }
    }

    /// An order is on its way to the instance: no other may be given.
    pub(super) fn order_under_way(&self, address: Address) -> bool {
        self.memory
            .orders
            .get(&address)
            .is_some_and(|order| order.answer.is_none())
    }
}
