//! Things that happen at the worst moment: right after a commit or an order of a failover.

use cfgserver::failover::Order;
use cfgserver::machine::{Command, Outcome};
use cfgserver::model::{GroupId, NodeId};

use super::Fault;
use crate::event::Event;
use crate::fact::Fact;
use crate::redis::Index;
use crate::world::World;

/// A moment of a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Commit 1.
    Opened,
    /// Promote was written to a socket.
    PromoteSent,
    /// The candidate carried it out.
    Promoted,
    /// Commit 2.
    Completed,
}

/// What happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    OldPrimaryBack { keeps_data: bool },
    OldPrimaryReached,
    LeaderCrash,
    LeaderIsolated,
    LeaderPause,
    LeaderRemoved,
    NodeAdded,
    CandidateCrash,
    CandidateEmptied,
    CandidateReplaced,
    SlowDisks,
    Observe,
    Removed,
}

const MOMENTS: &[(Moment, &str)] = &[
    (Moment::Opened, "moment: right after commit 1"),
    (Moment::PromoteSent, "moment: right after the order to promote"),
    (Moment::Promoted, "moment: right after the promotion"),
    (Moment::Completed, "moment: right after commit 2"),
];

const HANDED_OVER: &str = "moment: leadership handed over, and its receiver cut off";

const DEEDS: &[(Deed, &str)] = &[
    (
        Deed::OldPrimaryBack { keeps_data: true },
        "at that moment: old primary back",
    ),
    (
        Deed::OldPrimaryBack { keeps_data: true },
        "at that moment: old primary back",
    ),
    (
        Deed::OldPrimaryBack { keeps_data: false },
        "at that moment: old primary back, empty",
    ),
    (Deed::OldPrimaryReached, "at that moment: old primary reached again"),
    (Deed::OldPrimaryReached, "at that moment: old primary reached again"),
    (Deed::LeaderCrash, "at that moment: leader crash"),
    (Deed::LeaderIsolated, "at that moment: leader isolated"),
    (Deed::LeaderPause, "at that moment: leader pause"),
    (Deed::LeaderRemoved, "at that moment: leader removed"),
    (Deed::NodeAdded, "at that moment: node added"),
    (Deed::CandidateCrash, "at that moment: candidate crash"),
    (Deed::CandidateEmptied, "at that moment: candidate emptied"),
    (
        Deed::CandidateReplaced,
        "at that moment: a stranger in the candidate's place",
    ),
    (Deed::SlowDisks, "at that moment: all disks slow"),
    (Deed::Observe, "at that moment: mode observe"),
    (Deed::Removed, "at that moment: group removed"),
];

/// What should be reached.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let moments = MOMENTS.iter().map(|(_, name)| *name);
    moments.chain([HANDED_OVER]).chain(DEEDS.iter().map(|(_, name)| *name))
}

/// Waits for its moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trap {
    group: usize,
    /// The primary when it was set.
    primary: Index,
    moment: (Moment, &'static str),
    deed: (Deed, &'static str),
}

impl World {
    /// A primary goes, and something waits for its failover.
    pub(super) fn set_trap(&mut self, group: usize, primary: Index) {
        let trap = Trap {
            group,
            primary,
            moment: *self.core.chance.pick(MOMENTS),
            deed: *self.core.chance.pick(DEEDS),
        };
        self.says(format!("{} waits for {}", trap.deed.1, trap.moment.1));
        match trap.deed.0 {
            Deed::OldPrimaryBack { .. } => {
                let now = self.core.now;
                let name = self.name(primary);
                self.says(format!("{name} crashes"));
                self.core.fleet.stop(primary, now);
                // Should that moment never come.
                let up = Fault::ServerUp {
                    who: primary,
                    keeps_data: true,
                };
                self.core.after(20_000, Event::Fault(up));
            }
            Deed::OldPrimaryReached => self.cut_server_from_nodes(primary),
            _ if self.core.chance.permille(300) => self.admin_wants(failover_of(group)),
            _ => self.crash_server(primary, true),
        }
        self.traps.push(trap);
    }

    /// Is it the moment that one waits for?
    pub(crate) fn spring_traps(&mut self, facts: &[Fact]) {
        for fact in facts {
            if matches!(fact, Fact::HandsOver { .. }) && self.core.chance.permille(500) {
                self.core.coverage.mark(HANDED_OVER);
                let ms = self.core.chance.within(300, 1_500);
                self.core.after(ms, Event::Fault(Fault::NewLeaderFromServers));
            }
            let Some((id, moment)) = moment_of(fact) else { continue };
            let state = self.core.log.state();
            let Some(group) = state.group(id) else { continue };
            let name = group.name.to_string();
            let is_due = |trap: &Trap| trap.moment.0 == moment && crate::world::group_name(trap.group).as_str() == name;
            while let Some(place) = self.traps.iter().position(is_due) {
                let trap = self.traps.swap_remove(place);
                self.core.coverage.mark(trap.moment.1);
                self.core.coverage.mark(trap.deed.1);
                let ms = *self.core.chance.pick(&[0, 0, 1, 5, 30]);
                self.core.after(ms, Event::Fault(Fault::Sprung(trap)));
            }
        }
    }

    pub(super) fn sprung(&mut self, trap: Trap, leader: NodeId) {
        self.says(format!("now: {}", trap.deed.1));
        match trap.deed.0 {
            Deed::OldPrimaryBack { keeps_data } => self.start_server(trap.primary, keeps_data),
            Deed::OldPrimaryReached => self.heal(),
            Deed::LeaderCrash => self.crash_node(leader),
            Deed::LeaderIsolated => self.isolate(leader),
            Deed::LeaderPause => self.pause_node(leader),
            Deed::LeaderRemoved => self.remove_node(leader),
            Deed::NodeAdded => self.add_node(),
            Deed::CandidateCrash | Deed::CandidateEmptied | Deed::CandidateReplaced => {
                if let Some(who) = self.candidate_of(trap.group) {
                    self.strike(trap.deed.0, who);
                }
            }
            Deed::SlowDisks => (1..=self.core.net.nodes).for_each(|id| self.slow_disk(id)),
            Deed::Observe => {
                let name = crate::world::group_name(trap.group);
                self.admin_wants(format!("SENTINEL SET {name} mode observe"));
                self.admin_wants(format!("SENTINEL SET {name} mode manage"));
            }
            Deed::Removed => {
                let name = crate::world::group_name(trap.group);
                self.admin_wants(format!("SENTINEL REMOVE {name}"));
            }
        }
    }
}

impl World {
    /// The candidate of the open failover, or who became the primary by it.
    fn candidate_of(&self, group: usize) -> Option<Index> {
        let state = self.core.log.state();
        let group = state.group_named(crate::world::group_name(group).as_str())?;
        let candidate = group.failover.as_ref().map_or(group.primary, |open| open.candidate);
        self.core.server_at(candidate)
    }

    fn strike(&mut self, deed: Deed, who: Index) {
        match deed {
            Deed::CandidateEmptied => self.empty(who),
            Deed::CandidateReplaced => self.foreign(who),
            _ => self.crash_server(who, true),
        }
    }
}

fn failover_of(group: usize) -> String {
    format!("SENTINEL FAILOVER {}", crate::world::group_name(group))
}

fn moment_of(fact: &Fact) -> Option<(GroupId, Moment)> {
    match fact {
        Fact::Committed {
            command,
            outcome: Outcome::Done { .. },
            ..
        } => match command.as_ref() {
            Command::OpenFailover { group, .. } => Some((*group, Moment::Opened)),
            Command::CompletePromotion { group, .. } => Some((*group, Moment::Completed)),
            _ => None,
        },
        Fact::OrderSent {
            group,
            order: Order::Promote,
            ..
        } => Some((*group, Moment::PromoteSent)),
        Fact::OrderDone {
            group,
            order: Order::Promote,
            ..
        } => Some((*group, Moment::Promoted)),
        _ => None,
    }
}
