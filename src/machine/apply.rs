//! The entry point: one committed entry, and the change it makes.

use std::sync::Arc;

use crate::machine::{
    Applied, Command, Entry, Outcome, Rejection, State, Touched, failover, groups, hosts, invariants,
};
use crate::model::{Address, Event, EventKind, Group, GroupId, HostName, InstanceRef, Monitored, Revision, Timestamp};
use crate::mutation::{self, Mutation};

/// Applies one committed entry. Total: refuses by value, never panics.
pub fn apply(state: &mut State, entry: &Entry) -> Applied {
    let header = state.header_mut();
    header.now = header.now.max(entry.at);
    let before = state.clone();
    let mut change = Change::new(state);
    let result = run(&mut change, &entry.command);
    let Change {
        events,
        touched,
        changed,
        revision,
        ..
    } = change;
    if changed {
        state.header_mut().revision = revision;
    }
    let result = result.and_then(|outcome| match invariants::check(state, &touched) {
        Ok(()) => Ok(outcome),
        Err(reason) => Err(Rejection::Broken(reason.into())),
    });
    match result {
        Ok(Outcome::Done { .. }) => Applied {
            outcome: Outcome::Done {
                revision: state.revision(),
            },
            events,
            touched,
        },
        Ok(outcome) => Applied {
            outcome,
            events,
            touched,
        },
        Err(rejection) => {
            *state = before;
            Applied {
                outcome: Outcome::Rejected(rejection),
                events: Vec::new(),
                touched: Touched::default(),
            }
        }
    }
}

fn run(change: &mut Change<'_>, command: &Command) -> Result<Outcome, Rejection> {
    match command {
        Command::Noop => {}
        Command::Monitor {
            name,
            primary,
            host,
            quorum,
            settings,
        } => groups::monitor(change, name, &monitored(*primary, host, *quorum), settings)?,
        Command::Share { settings } => groups::share(change, settings)?,
        Command::Remove { name } => groups::remove(change, name)?,
        Command::Set { name, settings } => groups::set(change, name, settings)?,
        Command::Reset { groups } => return groups::reset(change, groups),
        Command::Learn { group, on, members } => groups::learn(change, *group, *on, members)?,
        Command::Outage {
            group,
            on,
            votes,
            replicas,
        } => failover::outage(change, *group, *on, *votes, replicas)?,
        Command::OutageOver { group, on } => failover::outage_over(change, *group, *on)?,
        Command::OpenFailover {
            group,
            on,
            kind,
            votes,
            candidate,
            run_id,
        } => {
            let opening = failover::Opening {
                kind: *kind,
                votes: *votes,
                candidate: *candidate,
                run_id,
            };
            failover::open(change, *group, *on, &opening)?;
        }
        Command::CompletePromotion {
            group,
            on,
            epoch,
            proof,
        } => {
            failover::complete(change, *group, *on, *epoch, proof)?;
        }
        Command::AbortFailover {
            group,
            on,
            epoch,
            fault,
        } => failover::abort(change, *group, *on, *epoch, fault)?,
        Command::UndoFailover {
            group,
            on,
            epoch,
            fault,
        } => failover::undo(change, *group, *on, *epoch, fault)?,
        Command::Reconfigured {
            group,
            on,
            epoch,
            steps,
        } => {
            failover::reconfigured(change, *group, *on, *epoch, steps)?;
        }
        Command::EndFailover {
            group,
            on,
            epoch,
            timed_out,
        } => {
            failover::end(change, *group, *on, *epoch, *timed_out)?;
        }
        Command::Adopt {
            group,
            on,
            primary,
            proof,
        } => failover::adopt(change, *group, *on, *primary, proof)?,
        Command::Repaired {
            group,
            on,
            member,
            was_primary,
        } => {
            failover::repaired(change, *group, *on, *member, *was_primary)?;
        }
        Command::Nodes { nodes } => groups::nodes(change, nodes),
        Command::Found { cluster } => groups::found(change, cluster),
        Command::Configure {
            name,
            primary,
            host,
            quorum,
            settings,
        } => groups::configure(change, name, &monitored(*primary, host, *quorum), settings)?,
        Command::Name { group, on, hosts } => hosts::name(change, *group, *on, hosts)?,
        Command::Readdress { group, on, from, to } => hosts::readdress(change, *group, *on, *from, *to)?,
    }
    Ok(Outcome::Done {
        revision: change.revision,
    })
}

/// What MONITOR asks for.
fn monitored(address: Address, host: &Option<HostName>, quorum: u32) -> Monitored {
    let host = host.clone();
    Monitored { address, host, quorum }
}

/// One entry at work: the state, and what it says about itself.
pub(super) struct Change<'a> {
    pub(super) state: &'a mut State,
    /// The revision that this entry makes, if it changes anything.
    pub(super) revision: Revision,
    events: Vec<Event>,
    touched: Touched,
    changed: bool,
}

impl<'a> Change<'a> {
    fn new(state: &'a mut State) -> Self {
        let revision = state.revision() + 1;
        Self {
            state,
            revision,
            events: Vec::new(),
            touched: Touched::default(),
            changed: false,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.state.header().now
    }

    /// The group, if it has not moved on since `on`.
    pub(super) fn planned(&self, id: GroupId, on: Revision) -> Result<Group, Rejection> {
        let group = self.state.group(id).ok_or(Rejection::NoSuchGroup)?;
        if group.version != on && !mutation::is_on(Mutation::MovedIsApplied) {
            return Err(Rejection::Moved);
        }
        Ok(group.as_ref().clone())
    }

    /// Puts a changed group back under a new version.
    pub(super) fn put(&mut self, mut group: Group) {
        group.version = self.revision;
        self.touched.groups.insert(group.id);
        self.changed = true;
        self.state.put(group);
    }

    /// Takes a group out.
    pub(super) fn take(&mut self, id: GroupId) -> Option<Arc<Group>> {
        let group = self.state.take(id)?;
        self.touched.groups.insert(id);
        self.changed = true;
        Some(group)
    }

    /// The header, or a public fact, changes with this entry.
    pub(super) fn mark(&mut self) {
        self.changed = true;
    }

    /// Tells subscribers something about a group.
    pub(super) fn tell(&mut self, group: GroupId, kind: EventKind) {
        self.events.push(Event {
            revision: Some(self.revision),
            group: Some(group),
            kind,
        });
    }
}

/// The primary of a group, for an event.
pub(super) fn primary_of(group: &Group) -> InstanceRef {
    InstanceRef::Primary {
        group: group.name.clone(),
        address: group.primary,
    }
}

/// A replica of a group, for an event.
pub(super) fn replica_of(group: &Group, address: Address) -> InstanceRef {
    InstanceRef::Replica {
        group: group.name.clone(),
        address,
        primary: group.primary,
    }
}
