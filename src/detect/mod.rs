//! Failure detection: what one node thinks of an instance, and what the leader makes of all nodes' opinions.
//!
//! ```text
//! probe history, INFO text -> Watch, parse_info -> verdict, Facts      (every node)
//! verdicts -> Voter -> VoteReport                                      (every node)
//! VoteReport of every node -> Ballot -> Tally                          (the leader)
//! ```
//!
//! Pure: every method takes `now`. What does not live here: sockets, timers, and what follows from a tally
//! (that is `failover`).

mod ballot;
mod duty;
mod info;
mod stall;
mod voter;
mod watch;
mod watchers;

pub use ballot::{Ballot, Judgement, Tally, Vote, VoteAck, VoteReport};
pub use duty::{Duty, Probing};
pub use info::{INFO_BYTES_MAX, InfoError, REPLICA_LINES_MAX, parse_info};
pub use stall::{Stall, StallDetector};
pub use voter::Voter;
pub(crate) use watch::REMOTE_MS;
pub use watch::{Cause, Pace, PingAnswer, Seen, Watch, WatchRules};
pub use watchers::{Watcher, watchers};
