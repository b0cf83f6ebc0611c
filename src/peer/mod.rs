//! Node-to-node transport: RESP requests named `RAFT.*` on the server's own port.
//!
//! ```text
//! Link (one per peer and purpose) -> HELLO, PROOF -> RAFT.<CALL> <number> <body> ... -> <number> <answer>
//! Acceptor: HELLO, PROOF -> Service::call, started in order, answered as they finish
//! ```
//!
//! Both sides prove that they know the cluster secret and which data directory they are; see `handshake`.
//! Frames have no checksum of their own: against bits that flip on the way TCP's must do (a snapshot, the one large
//! body, has a digest besides), because a second one would have to be agreed on in the handshake, in both directions
//! and by nodes that do not know it yet, and TLS, which is to come, does more for the same trouble.
//! What does not live here: what a body means (`raft`), and the choice of a peer.

mod acceptor;
mod codec;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzed;
#[cfg(test)]
mod golden;
mod handshake;
mod link;
mod local;

pub use acceptor::{Acceptor, Answer, Caller, Service};
pub use handshake::Refusal;
pub use link::{CallError, Link, LinkParts, Links, Pending, Purpose};
pub use local::{Local, Secret};

/// Version of the requests between nodes. Nodes of different versions refuse each other.
pub const PROTOCOL: u32 = 1;

/// What a node may ask another to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Log entries, or a heartbeat.
    Append,
    /// A vote in an election.
    Vote,
    /// The question whether a vote would be given.
    PreVote,
    /// A piece of a snapshot.
    Snapshot,
    /// The word to take over leadership.
    Transfer,
    /// A write of a client of another node.
    Write,
    /// Verdicts about instances.
    Votes,
    /// Who are you, and what do you have? The only call that is answered to a node without a cluster.
    Probe,
    /// The founding of a cluster.
    Form,
    /// The taking in of a node that waits.
    Adopt,
    /// The word that a node was removed.
    Retire,
    /// Nothing but a sign of life.
    Ping,
}

impl Call {
    const ALL: [(Self, &'static str); 12] = [
        (Self::Append, "RAFT.APPEND"),
        (Self::Vote, "RAFT.VOTE"),
        (Self::PreVote, "RAFT.PREVOTE"),
        (Self::Snapshot, "RAFT.SNAPSHOT"),
        (Self::Transfer, "RAFT.TRANSFER"),
        (Self::Write, "RAFT.WRITE"),
        (Self::Votes, "RAFT.VOTES"),
        (Self::Probe, "RAFT.PROBE"),
        (Self::Form, "RAFT.FORM"),
        (Self::Adopt, "RAFT.ADOPT"),
        (Self::Retire, "RAFT.RETIRE"),
        (Self::Ping, "RAFT.PING"),
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(call, _)| *call == self)
            .map_or("RAFT.PING", |(_, name)| name)
    }

    /// The call of that name.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let same = |(_, known): &&(Self, &str)| name.eq_ignore_ascii_case(known.as_bytes());
        Self::ALL.iter().find(same).map(|(call, _)| *call)
    }
}
