//! What an operator was told is done, is done: the write is in the committed log, and for ever.

use cfgserver::machine::{Command, Outcome};
use cfgserver::model::FailoverKind;
use cfgserver::requests::{AdminRequest, Write, WriteReply};

use super::{Invariant, Scene};
use crate::fact::Fact;

/// Enough for what may be under way at once, many times over.
const REMEMBERED_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Acknowledged {
    /// Committed writes of operators, and what came of them.
    committed: Vec<(Command, Outcome)>,
}

impl Invariant for Acknowledged {
    fn name(&self) -> &'static str {
        "an acknowledged write is committed"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Committed { command, outcome, .. } if of_operator(command) => {
                if self.committed.len() == REMEMBERED_MAX {
                    self.committed.drain(..REMEMBERED_MAX / 2);
                }
                self.committed.push((command.as_ref().clone(), outcome.clone()));
                Ok(())
            }
            Fact::Acknowledged {
                write,
                reply: WriteReply::Outcome { outcome, revision },
            } => {
                scene.judges(self.name());
                let state = scene.state();
                if *revision > state.revision() {
                    return Err(format!(
                        "{write:?} was acknowledged at revision {revision}, which is to come"
                    ));
                }
                let is_it = |command: &Command| match write {
                    Write::Command(written) => written == command,
                    Write::Failover { .. } => matches!(command, Command::OpenFailover { .. }),
                    Write::FailoverWith { coordinated, to, .. } => match command {
                        Command::OpenFailover { kind, candidate, .. } => {
                            let same_kind = *coordinated == (*kind == FailoverKind::Coordinated);
                            same_kind && to.is_none_or(|to| to == *candidate)
                        }
                        _ => false,
                    },
                    Write::Reset { .. } => matches!(command, Command::Reset { .. }),
                    Write::Admin(_) | Write::Monitor(_) | Write::Explain { .. } => false,
                };
                let removed = |id| state.header().removed.contains(id);
                let stands = match write {
                    Write::Admin(AdminRequest::AddNode { id, .. }) => state.nodes().contains_key(id) || removed(id),
                    Write::Admin(AdminRequest::RemoveNode { id }) => removed(id),
                    _ => false,
                };
                // RESET of nothing needs no entry.
                let nothing = *outcome == Outcome::Count(0);
                let mut known = self.committed.iter().rev();
                if nothing || stands || known.any(|(command, done)| is_it(command) && done == outcome) {
                    return Ok(());
                }
                Err(format!(
                    "{write:?} was acknowledged ({outcome:?}) and is not in the log"
                ))
            }
            _ => Ok(()),
        }
    }
}

fn of_operator(command: &Command) -> bool {
    let asked = |kind: &FailoverKind| kind.is_planned();
    match command {
        Command::Monitor { .. }
        | Command::Configure { .. }
        | Command::Remove { .. }
        | Command::Set { .. }
        | Command::Share { .. }
        | Command::Reset { .. } => true,
        Command::OpenFailover { kind, .. } => asked(kind),
        _ => false,
    }
}
