//! A coordinated switch loses no write that its primary acknowledged: the candidate is ordered to be a primary only when
//! the old one is none any more, and has every byte that the old one ever wrote.

use std::collections::{BTreeMap, BTreeSet};

use cfgserver::failover::Order;
use cfgserver::machine::{Command, Outcome};
use cfgserver::model::{Address, Epoch, Failover, FailoverKind, Group, GroupId, Term};

use super::{Invariant, Scene};
use crate::fact::Fact;
use crate::redis::Server;

#[derive(Default)]
pub(super) struct Coordinated {
    /// What the old primary had written when it stepped down.
    written: BTreeMap<(GroupId, Epoch), u64>,
    /// The term of the leader that opened it.
    opened: BTreeMap<(GroupId, Epoch), Option<Term>>,
    /// Its candidate was made a primary by us.
    promoted: BTreeSet<(GroupId, Epoch)>,
    /// Whom the order to promote is on its way to, for what, and whom it is to replace.
    ordered: BTreeMap<Address, (GroupId, Epoch, Address)>,
    /// The old primary, which had stepped down, lost its data, and the candidate copied it while the order was on its
    /// way.
    wiped: BTreeSet<(GroupId, Epoch)>,
}

impl Invariant for Coordinated {
    fn name(&self) -> &'static str {
        "a coordinated switch loses no acknowledged write"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::OrderDone {
                group,
                server,
                order: Order::StepDown { .. },
                was_primary: true,
                ..
            } => {
                let state = scene.state();
                if let Some(group) = state.group(*group) {
                    let written = scene.fleet().offset(*server, scene.now());
                    self.written.insert((group.id, group.epoch), written);
                }
                Ok(())
            }
            Fact::OrderDone {
                group,
                server,
                order: order @ (Order::Promote | Order::Yield { .. }),
                was_primary,
                ..
            } => {
                if *order == Order::Promote {
                    self.ordered.remove(&scene.fleet().servers[*server].address);
                }
                // A master that is ordered to be one was made one by somebody else.
                if !was_primary || *order != Order::Promote {
                    let epoch = scene.state().group(*group).map(|group| group.epoch);
                    self.promoted.extend(epoch.map(|epoch| (*group, epoch)));
                }
                Ok(())
            }
            Fact::Overwritten(overwritten) => {
                let [who, source] = [overwritten.who, overwritten.source].map(|one| scene.fleet().servers[one].address);
                if let Some((group, epoch, old)) = self.ordered.get(&who)
                    && *old == source
                {
                    self.wiped.insert((*group, *epoch));
                }
                Ok(())
            }
            Fact::OrderSent {
                group,
                address,
                order: Order::Promote,
                term,
                applied,
                ..
            } => match applied.group(*group).and_then(|group| coordinated(group)) {
                Some(failover) => {
                    let what = (*group, failover.epoch, failover.old_primary);
                    self.ordered.insert(*address, what);
                    if self.by_hand(scene, *group, failover, Some(*term)) {
                        return Ok(());
                    }
                    no_primary(scene, failover)
                }
                None => Ok(()),
            },
            Fact::Committed {
                command,
                outcome: Outcome::Done { .. },
                before,
                after,
                ..
            } => {
                let Command::CompletePromotion { group, .. } = command.as_ref() else {
                    if let Command::OpenFailover { group, .. } = command.as_ref()
                        && let Some(group) = after.group(*group)
                    {
                        self.opened.insert((group.id, group.epoch), scene.led_term());
                    }
                    return Ok(());
                };
                match before.group(*group).and_then(|group| coordinated(group)) {
                    Some(failover) if !self.by_hand(scene, *group, failover, scene.led_term()) => {
                        scene.judges(self.name());
                        no_primary(scene, failover)?;
                        self.has_all(scene, *group, failover)
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

fn coordinated(group: &Group) -> Option<&Failover> {
    group
        .failover
        .as_ref()
        .filter(|open| open.kind == FailoverKind::Coordinated)
}

/// The process that was the primary, while it runs.
fn old<'a>(scene: &'a dyn Scene, failover: &Failover) -> Option<&'a Server> {
    let server = scene.server_at(failover.old_primary)?;
    let itself = failover.old_run_id.as_ref() == Some(&server.run_id());
    (itself && server.running).then_some(server)
}

/// It acknowledges nothing any more.
fn no_primary(scene: &dyn Scene, failover: &Failover) -> Result<(), String> {
    match old(scene, failover) {
        Some(server) if server.is_primary() => Err(format!("{} is still a primary", server.name)),
        _ => Ok(()),
    }
}

impl Coordinated {
    /// Somebody made the candidate a primary behind our back, and the leader that could have known is gone: to its
    /// successor that looks as if it had done it, after the old primary stepped down.
    fn by_hand(&self, scene: &dyn Scene, group: GroupId, failover: &Failover, term: Option<Term>) -> bool {
        let key = (group, failover.epoch);
        let primary = scene.server_at(failover.candidate).is_some_and(Server::is_primary);
        primary && !self.promoted.contains(&key) && self.opened.get(&key).is_some_and(|opened| *opened != term)
    }

    fn has_all(&self, scene: &dyn Scene, group: GroupId, failover: &Failover) -> Result<(), String> {
        let Some(written) = self.written.get(&(group, failover.epoch)) else {
            return Ok(());
        };
        let Some(candidate) = scene.server_at(failover.candidate) else {
            return Ok(());
        };
        if self.wiped.contains(&(group, failover.epoch)) {
            return Ok(());
        }
        let promoted = candidate.is_primary() && candidate.run_id() == failover.candidate_run_id;
        if promoted && candidate.second_offset < *written {
            let has = candidate.second_offset;
            return Err(format!("{} has {has} of {written} bytes", candidate.name));
        }
        Ok(())
    }
}
