//! The replicated state machine: `apply(&mut State, Entry) -> Applied`.
//!
//! ```text
//! Entry { command, at } -> apply -> State', Applied { outcome, events, touched }
//! ```
//!
//! Pure and total: it cannot fail, does not read a clock (time comes in the entry and never goes back)
//! and gives the same bytes on every node. A refused command is a value, and so is a broken invariant.
//! What does not live here: the log, the disk, the rendering of events, and any wish to act.

mod apply;
mod command;
mod diff;
mod failover;
mod groups;
mod hosts;
mod invariants;
mod shared;
mod state;

pub use apply::apply;
pub use command::{
    Applied, Command, Entry, MemberFacts, Outcome, Progress, Rejection, ReplicaFault, ResetGroup, SwitchProof, Touched,
};
pub use diff::differences;
pub use invariants::check;
pub use shared::{Announced, SharedSetting, SharedSettings};
pub use state::{Header, Record, RecordError, State, read_whole};
