//! Histories as they are written down while a simulation runs: one per name.

use std::collections::BTreeMap;

use cfgserver::machine::{Command, State};
use cfgserver::model::{self, FailoverKind};
use cfgserver::resp::Reply;

use super::group::{Group, settings};
use super::words::{Said, said};
use super::{Answer, Call, GroupSpec, Operation, Seen, Shape, check};

/// An operation that has begun.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    name: String,
    index: usize,
}

#[derive(Default)]
struct History {
    start: Option<Group>,
    operations: Vec<Operation<Call, Answer>>,
    /// Operations that were not carried out, and said so.
    void: Vec<usize>,
}

/// All names.
#[derive(Default)]
pub(crate) struct Histories(BTreeMap<String, History>);

impl Histories {
    /// The name has this group before anything happens.
    pub(crate) fn starts_with(&mut self, name: &str, group: Group) {
        self.0.entry(name.to_owned()).or_default().start = Some(group);
    }

    pub(crate) fn begin(&mut self, name: &str, call: Call, place: u64, now: u64) -> Ticket {
        let history = self.0.entry(name.to_owned()).or_default();
        history.operations.push(Operation {
            may_be_behind: call == Call::Read,
            call,
            answer: None,
            invoked_at: now,
            answered_at: now,
            place,
            is_applied: true,
        });
        Ticket {
            name: name.to_owned(),
            index: history.operations.len() - 1,
        }
    }

    /// It was answered. An operation that is never ended is one whose outcome is unknown.
    pub(crate) fn end(&mut self, ticket: &Ticket, answer: Answer, now: u64) {
        if let Some(operation) = self.operation(ticket) {
            // A leader refuses a failover by itself: nothing is applied for that.
            operation.is_applied = operation.call != Call::Failover || answer == Answer::Done;
            operation.answer = Some(answer);
            operation.answered_at = now;
        }
    }

    /// It was answered that nothing was done.
    pub(crate) fn nothing_done(&mut self, ticket: &Ticket) {
        if let Some(history) = self.0.get_mut(&ticket.name) {
            history.void.push(ticket.index);
        }
    }

    /// What a reply says of it.
    pub(crate) fn said(&mut self, ticket: &Ticket, reply: &Reply, now: u64) {
        let Some(operation) = self.operation(ticket) else {
            return;
        };
        match said(&operation.call, reply) {
            Said::Answer(answer) => self.end(ticket, answer, now),
            Said::NothingDone => self.nothing_done(ticket),
            Said::Unknown => {}
        }
    }

    /// An entry was committed, at some time in between. What operators did not ask for, the cluster did by itself.
    pub(crate) fn committed(&mut self, command: &Command, before: &State, after: &State, (from, until): (u64, u64)) {
        let asked_for = matches!(
            command,
            Command::Monitor { .. }
                | Command::Configure { .. }
                | Command::Remove { .. }
                | Command::Set { .. }
                | Command::OpenFailover {
                    kind: FailoverKind::Operator | FailoverKind::Coordinated,
                    ..
                }
        );
        if asked_for {
            return;
        }
        for group in after.groups() {
            let Some(known) = before.group(group.id) else { continue };
            let (before, after) = (Shape::of(known), Shape::of(group));
            if before != after {
                let call = Call::Moves { before, after };
                self.settled(group.name.as_str(), call, Answer::Done, (from, until));
            }
        }
    }

    /// What a name is at the end, when everything that was answered is applied everywhere.
    pub(crate) fn ends_as(&mut self, name: &str, group: Option<&model::Group>, now: u64) {
        let seen = group.map(|group| Seen {
            primary: Some(group.primary.to_string()),
            settings: settings(&group.config),
        });
        self.settled(name, Call::Read, Answer::Seen(seen), (now, now));
    }

    fn settled(&mut self, name: &str, call: Call, answer: Answer, (invoked_at, answered_at): (u64, u64)) {
        let history = self.0.entry(name.to_owned()).or_default();
        history.operations.push(Operation {
            call,
            answer: Some(answer),
            invoked_at,
            answered_at,
            place: u64::MAX,
            may_be_behind: false,
            is_applied: true,
        });
    }

    /// Every name that something was asked of.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn operation(&mut self, ticket: &Ticket) -> Option<&mut Operation<Call, Answer>> {
        self.0.get_mut(&ticket.name)?.operations.get_mut(ticket.index)
    }

    /// How many operations were written down.
    pub(crate) fn length(&self) -> usize {
        self.0.values().map(|history| history.operations.len()).sum()
    }

    /// The first name whose history no order explains.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (name, history) in &self.0 {
            let each = history.operations.iter().enumerate();
            let counts = |(index, operation): (usize, &Operation<Call, Answer>)| {
                // A read without an answer says nothing.
                let counts = !history.void.contains(&index) && (operation.answer.is_some() || !operation.may_be_behind);
                counts.then(|| operation.clone())
            };
            let operations: Vec<_> = each.filter_map(counts).collect();
            check::<GroupSpec>(&history.start, &operations)
                .map_err(|violation| format!("{name}: {}", violation.text))?;
        }
        Ok(())
    }
}
